"""What is held fixed is not differentiated: zero times an infinite slope would be NaN, and a missing rule an error.

`hidden(c)` is zero with an infinite slope at c = 0, `order` is the order of a Bessel function, which has no rule. The
reference is the same program without the term, or with SciPy's number in its place.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from pullback import implicit, krylov, linalg, loops, special

N = 110  # beyond the dense path of krylov
X = jnp.arange(float(N)) / N


def chain(t, extra):
    return lambda u: t * X * u + 2 * u - jnp.roll(u, 1) - jnp.roll(u, -1) + extra * u


def skewed(t, extra):
    return lambda u: t * jnp.arange(8.0) * u + jnp.roll(u, 1) + extra * u


def turns(t, extra):
    def step(q, _, p):
        return q + jnp.sin(p[0]) + p[1], None

    def back(q, _, p):
        return q - jnp.sin(p[0]) - p[1]

    return loops.reversible_scan(step, back, jnp.ones(()), None, (t, extra), length=3)[0]


PROGRAMS = {  # (t, a term that is added without being differentiated)
    "scan": lambda t, extra: loops.scan(lambda s, _: (s * t + extra, None), jnp.ones(()), length=3)[0],
    "while_loop": lambda t, extra: loops.while_loop(lambda s: s < 5, lambda s: s * t + extra, 1.0 + 0 * t, max_steps=9),
    "reversible_scan": turns,
    "root": lambda t, extra: implicit.root(lambda x: x**3 + x - t + extra, 1.0),
    "fixed_point": lambda t, extra: implicit.fixed_point(lambda x: jnp.cos(x * t) / 2 + extra, 0.3),
    "argmin": lambda t, extra: implicit.argmin(lambda x: (x - t) ** 2 + x**4 + extra * x, 0.3),
    "eigsh": lambda t, extra: krylov.eigsh(chain(t, extra), shape=N)[0][0],
    "eigs": lambda t, extra: krylov.eigs(skewed(t, extra), 1, shape=8)[0][0].real,
    "expm_multiply": lambda t, extra: krylov.expm_multiply(chain(t, extra), X, -0.5, hermitian=True)[3],
    "funmh": lambda t, extra: linalg.funmh(jnp.diag(jnp.array([1.0, 1.0, 2.0])), lambda w: t * w * w + extra)[2, 2],
    "funm": lambda t, extra: linalg.funm(jnp.array([[1.0, 2.0], [0.0, 3.0]]), lambda w: t * w * w + extra)[0, 1],
}


def first(f, mode):
    return jax.jit((lambda t: jax.jvp(f, (t,), (1.0,))[1]) if mode == "forward" else jax.grad(f))


QUICK = ("scan", "reversible_scan", "eigsh", "funmh")


@pytest.mark.optimised
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PROGRAMS])
def test_infinite_slopes_and_missing_rules(name):
    program = PROGRAMS[name]
    t, c, order = 1.3, jnp.array(0.0), jnp.array(0.5)

    def with_both(t):
        return program(t, jnp.sqrt(c) + special.jv(order, 0.2))

    exact = first(lambda t: program(t, float(scipy.special.jv(0.5, 0.2))), "reverse")(t)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(first(with_both, mode)(t), exact, rtol=1e-9, err_msg=mode)


def test_mixed_derivatives_see_what_first_ones_held_fixed():
    """d²/dt dp of three turns x -> x + sin(t p): the parameter that is dead at first order is live at the second."""

    def end(t, p):
        return loops.reversible_scan(
            lambda x, _, q: (x + jnp.sin(q[0] * q[1]), None),
            lambda x, _, q: x - jnp.sin(q[0] * q[1]),
            jnp.zeros(()), None, (t, p), length=3,
        )[0]  # fmt: skip

    t, p = 0.7, 1.1
    exact = 3 * (np.cos(t * p) - t * p * np.sin(t * p))
    slope = jax.grad(end)
    for mixed in (jax.grad(slope, 1), jax.jacfwd(slope, 1), jax.jacfwd(jax.jacfwd(end), 1)):
        np.testing.assert_allclose(jax.jit(mixed)(t, p), exact, rtol=1e-12)


def test_parameters_of_a_function_of_a_matrix_one_by_one():
    """f = t x² + c x: the derivatives of f(A)_01 in t, c and both, of which only the live ones are taken."""
    a = jnp.array([[1.0, 0.3], [0.3, 1.0]])

    def entry(t, c):
        return linalg.funmh(a, lambda x: t * c * x * x)[0, 1]

    np.testing.assert_allclose(jax.grad(entry)(2.0, 3.0), 3 * 0.6, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(jax.grad(entry), 1)(2.0, 3.0), 0.6, rtol=1e-12)


@pytest.mark.optimised
def test_members_that_take_no_step_leave_no_trace():
    """One member is finished before the first step, where the body is singular; the gradient is the other's."""

    def last(theta, x0):
        return loops.while_loop(lambda x: x > 0.5, lambda x: x - theta * (1 + 0.1 * jnp.log(x)), x0, max_steps=20)

    def by_hand(theta, x=2.0):
        while x > 0.5:
            x = x - theta * (1 + 0.1 * np.log(x))
        return x

    exact = (by_hand(0.3 + 1e-6) - by_hand(0.3 - 1e-6)) / 2e-6
    starts = jnp.array([0.0, 2.0])
    found = jax.vmap(jax.grad(last), (None, 0))(0.3, starts)
    np.testing.assert_allclose(found, [0.0, exact], rtol=1e-8)
    total = jax.grad(lambda theta: jax.vmap(last, (None, 0))(theta, starts).sum())
    np.testing.assert_allclose(total(0.3), exact, rtol=1e-8)
