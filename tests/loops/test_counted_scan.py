"""counted_scan: against a Python loop, in all modes, in batches, in blocks, beside what is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.loops import counted_scan
from pullback.trust import check_derivatives

BOUND = 12
ROWS = jnp.array([9, 9, 0, 9, 9, 1, 9, 2, 9, 9, 9, 9])  # steps 2, 5 and 7 are kept; row 9 is beyond the end
X, H, A = jnp.array([0.3, 0.7]), jnp.linspace(0.1, 0.3, BOUND), jnp.asarray(1.3)


def step(x, us, p):
    ((h, one),) = us
    x = x + h * jnp.sin(p["a"] * x) * one
    return x, (x**2,), jnp.sum(x) * p["a"]


def run(x, h, a, count):
    p = {"a": a, "labels": jnp.arange(3)}
    inputs = (((h, jnp.ones(BOUND)), None),)
    end, (kept,), total = counted_scan(step, x, p, count, bound=BOUND, inputs=inputs, outputs=((3, ROWS),))
    return end, kept, total


def blocks(x, h, a, count):
    """The same, three steps at a time; sums of rows instead of rows."""

    def three(x, us, p):
        ((h, rows, count),) = us
        inputs = (((h, jnp.ones(3)), None),)
        end, (kept,), total = counted_scan(step, x, p, count, bound=3, inputs=inputs, outputs=((3, rows),))
        return end, (), (kept, total)

    counts = jnp.clip(count - 3 * jnp.arange(4), 0, 3)
    inputs = (((h.reshape(4, 3), ROWS.reshape(4, 3), counts), None),)
    end, _, (kept, total) = counted_scan(three, x, {"a": a}, (count + 2) // 3, bound=4, inputs=inputs)
    return end, kept, total


def loop(x, h, a, count):
    kept, total = [], 0.0
    for n in range(count):
        x = x + h[n] * jnp.sin(a * x)
        total = total + jnp.sum(x) * a
        if n in (2, 5, 7):
            kept.append(x**2)
    return x, jnp.stack(kept), total


def test_values():
    for count in (8, 9, 12):
        for f in (run, blocks):
            for a, b in zip(f(X, H, A, count), loop(X, H, A, count)):
                np.testing.assert_allclose(a, b, rtol=1e-14)
    for a, b in zip(run(X, H, A, 0), (X, np.zeros((3, 2)), 0.0)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("f", "order"),
    [(run, 2), pytest.param(run, 3, marks=pytest.mark.slow), pytest.param(blocks, 2, marks=pytest.mark.slow)],
)
def test_all_modes(f, order):
    check_derivatives(lambda x, h, a: f(x, h, a, 9), X, H, A, order=order, samples=1, throw=True)


def test_members_of_a_batch_take_each_its_own_number_of_steps():
    """Values, gradients and Hessians are those of single loops."""

    def loss(x, a, count):
        def root(x, us, p):
            return x - jnp.sqrt(x) * p, (), jnp.sum(x)

        end, _, total = counted_scan(root, x, a, count, bound=BOUND)
        return jnp.sum(end**2) + total

    counts = jnp.array([9, 3, 12])
    starts = jnp.stack([X + 4, X + 1, X + 20])
    for f in (jax.value_and_grad(loss, (0, 1)), jax.hessian(loss)):
        together = jax.jit(jax.vmap(f, (0, None, 0)))(starts, 0.2, counts)
        alone = [jax.jit(f)(x, 0.2, n) for x, n in zip(starts, counts)]
        jax.tree.map(lambda a, *b: np.testing.assert_allclose(a, np.stack(b), rtol=1e-13), together, *alone)
    assert jax.vmap(partial(loss, a=0.2))(jnp.zeros((0, 2)), count=jnp.zeros(0, int)).shape == (0,)


def test_memory_is_that_of_the_states():
    def size(bound):
        def f(x, count):
            long = lambda x, us, p: (jnp.sin(x) + x, (), ())  # noqa: E731
            return jnp.sum(counted_scan(long, x, (), count, bound=bound)[0])

        program = jax.jit(jax.grad(f)).lower(jnp.ones(8), 3).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert size(10**4) < 1.2 * 10**4 * 8 * 8
