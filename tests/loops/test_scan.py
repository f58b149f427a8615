"""scan and while_loop: all ways to rematerialise against lax.scan, bounds, early stops, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, Checkpoint, ConvergenceError, Direct, InputError, TwoLevel, Uncompute
from pullback.loops import scan, while_loop
from pullback.trust import check_derivatives
from tests.loops.systems import leapfrog, point


def run(loop, options, reverse, steps):
    init, xs, p = point(steps)

    def loss(args):
        (q, v), xs, p = args
        end, ys = loop(lambda s, u: leapfrog(s, u, p), (q, v, init[2]), xs, reverse=reverse, **options)
        return jnp.sum(end[1] ** 2) + jnp.sum(ys["q0"] ** 3 * jnp.arange(steps)), (end, ys)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))((init[:2], xs, p))


@pytest.mark.parametrize(
    ("adjoint", "reverse", "steps"),
    [
        (TwoLevel(), True, 23),
        *(
            pytest.param(adjoint, reverse, steps, marks=pytest.mark.slow)
            for steps in (1, 2, 12, 23)
            for adjoint in (Direct(), Checkpoint(1), Checkpoint(5), Checkpoint(40), TwoLevel())
            for reverse in (False, True)
        ),
    ],
)
def test_gradient_and_outputs_are_those_of_lax_scan(adjoint, reverse, steps):
    found = run(scan, {"adjoint": adjoint}, reverse, steps)
    wanted = run(jax.lax.scan, {}, reverse, steps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), found, wanted)


def test_memory_of_two_levels_grows_with_the_root():
    def size(adjoint, n):
        f = lambda x: jnp.sum(scan(lambda x, _: (jnp.sin(x) + x, None), x, length=n, adjoint=adjoint)[0])  # noqa: E731
        return jax.jit(jax.grad(f)).lower(jnp.ones(8)).compile().memory_analysis().temp_size_in_bytes

    state = 8 * 8
    assert size(TwoLevel(), 10**6) < 5 * 1000 * state
    assert size(Checkpoint(), 10**4) > 10**4 * state


def newton(a, max_steps=40):
    return while_loop(lambda x: jnp.abs(x**2 - a) > 1e-12 * a, lambda x: (x + a / x) / 2, a, max_steps=max_steps)


def test_while_loop_in_all_modes():
    check_derivatives(newton, 3.0, samples=1, throw=True)


def test_while_loop_batched_members_stop_alone():
    """The second member stops at once, where its body divides by zero from the first step on."""

    def shrink(x):
        return while_loop(lambda x: x > 1.0, lambda x: x / 2 + 0 * jnp.sqrt(x - 1.0), x, max_steps=100)

    found = jax.jit(jax.vmap(jax.value_and_grad(shrink)))(jnp.array([40.0, 3.0, 1.5]))
    np.testing.assert_allclose(found, [[0.625, 0.75, 0.75], [1 / 64, 1 / 4, 1 / 2]])


def test_while_loop_stores_what_its_adjoint_says():
    """The same derivative, that of a power, from fewer or more states."""

    def gradient(adjoint):
        def last(x):
            body = lambda carry: (carry[0] * jnp.cos(x), carry[1] + 1)  # noqa: E731
            return while_loop(lambda carry: carry[1] < 900, body, (x, 0), max_steps=1024, adjoint=adjoint)[0].sum()

        return jax.jit(jax.grad(last)).lower(x).compile()

    x = jnp.linspace(0.01, 0.02, 64)
    expected = np.cos(x) ** 900 - 900 * x * np.sin(x) * np.cos(x) ** 899
    memory = []
    for adjoint in (TwoLevel(), Checkpoint(100), Checkpoint(5000), Checkpoint()):
        program = gradient(adjoint)
        np.testing.assert_allclose(program(x), expected, rtol=1e-11)
        memory.append(program.memory_analysis().temp_size_in_bytes)
    assert memory[0] < memory[1] < memory[3] and memory[0] < memory[3] / 4, memory
    with pytest.raises(InputError, match=r"while_loop: adjoint must be Checkpoint\(n\) or TwoLevel\(\)"):
        while_loop(lambda x: x < 1, lambda x: x, 0.0, max_steps=3, adjoint=Direct())


def test_while_loop_says_when_the_bound_stopped_it():
    with pytest.raises(ConvergenceError, match="maximum number of steps"):
        newton(2.0, 3)
    with pytest.raises(RuntimeError, match="maximum number of steps"):
        jax.block_until_ready(jax.jit(lambda a: newton(a, 3))(2.0))
    count = lambda n: while_loop(lambda i: i < 10, lambda i: i + 1, 0, max_steps=n, throw=False)  # noqa: E731
    assert count(9).result == RESULTS.max_steps_reached and count(9).steps == 9
    assert count(10).converged and count(10).value == 10
    assert count(1000).steps == 10


def test_bad_input():
    def keep(x, _):
        return x, None

    with pytest.raises(InputError, match=r"xs\['b'\] has 3 entries along its first axis, but xs\['a'\] is 2"):
        scan(keep, 0.0, {"a": jnp.ones(2), "b": jnp.ones(3)})
    with pytest.raises(InputError, match="needs xs or length"):
        scan(keep, 0.0)
    with pytest.raises(InputError, match=r"state\['x'\] must stay float64\[2\]"):
        scan(lambda s, _: ({"x": s["x"][:1]}, None), {"x": jnp.ones(2)}, length=2)
    with pytest.raises(InputError, match=r"must stay float32\[\]"):
        scan(lambda s, _: (s * jnp.ones(()), None), jnp.float32(1), length=2)
    with pytest.raises(InputError, match="must return a pair"):
        scan(lambda s, _: s, 0.0, length=2)
    with pytest.raises(InputError, match="cond must return one boolean"):
        while_loop(lambda x: x, lambda x: x, 0.0, max_steps=3)
    with pytest.raises(InputError, match="max_steps must be positive"):
        while_loop(lambda x: x < 1, lambda x: x, 0.0, max_steps=0)


def test_arguments_of_the_wrong_type_are_refused(no_type_checks):
    with pytest.raises(InputError, match="length must be a Python integer"):
        scan(lambda x, _: (x, None), 0.0, length=2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="adjoint must be"):
        scan(lambda x, _: (x, None), 0.0, length=2, adjoint=Uncompute())
