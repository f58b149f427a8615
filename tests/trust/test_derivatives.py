"""check_derivatives on functions with right rules, and on functions with every kind of wrong rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import DerivativeError, InputError, linear_map
from pullback.trust import check_derivatives
from pullback.trust._differences import derivative, noise_level

X = jnp.array([0.3, -0.7, 1.1])


def with_jvp(f, tangent):
    g = jax.custom_jvp(f)
    g.defjvp(lambda primals, tangents: (f(*primals), tangent(*primals, *tangents)))
    return g


# What is wrong -> (function, modes that must be caught, modes that must pass).
WRONG = {
    "first order": (
        with_jvp(jnp.sin, lambda x, dx: 1.001 * jnp.cos(x) * dx),
        {"jvp", "vjp"},
        {"jvp=vjp"},
    ),
    "second order only": (
        # Right at first order; the rule's own derivative is cut off.
        with_jvp(jnp.sin, lambda x, dx: jax.lax.stop_gradient(jnp.cos(x)) * dx),
        {"fwd-rev", "rev-rev", "fwd-fwd"},
        {"jvp", "vjp", "jvp=vjp"},
    ),
    "transpose": (
        with_jvp(jnp.sin, lambda x, dx: linear_map(lambda r, t: r * t, lambda r, t: 1.0001 * r * t, jnp.cos(x), dx)),
        {"vjp", "jvp=vjp", "fwd-rev"},
        {"jvp", "fwd-fwd"},
    ),
    "mixed second derivative": (
        # A first-order rule that is not a gradient field: its Jacobian is not symmetric.
        with_jvp(lambda x: x[0] * x[1] + 0 * x[2], lambda x, dx: x[1] * dx[0] + jax.lax.stop_gradient(x[0]) * dx[1]),
        {"fwd-rev", "fwd-fwd"},
        {"jvp", "vjp"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_rules_are_caught(kind):
    f, caught, passed = WRONG[kind]
    report = check_derivatives(f, X)
    assert not report.ok
    assert {m: report.verdict(m) for m in caught} == dict.fromkeys(caught, "wrong")
    assert {m: report.verdict(m) for m in passed} == dict.fromkeys(passed, "ok")
    with pytest.raises(DerivativeError, match="wrong"):
        check_derivatives(f, X, throw=True)


def test_wrong_vjp_of_custom_vjp_and_missing_forward_mode():
    f = jax.custom_vjp(lambda x: x**2)
    f.defvjp(lambda x: (x**2, x), lambda x, g: (2.0001 * x * g,))
    report = check_derivatives(f, 0.7)
    assert report.verdict("vjp") == "wrong"
    assert report.verdict("jvp") == "missing"
    assert "custom_vjp" in str(report)


def test_nan_is_named():
    assert check_derivatives(lambda x: jnp.sqrt(x**2), 0.0).verdict("jvp") == "NaN"


def test_a_reference_that_is_all_noise_proves_nothing():
    """A function that jumps at the point: differences grow without limit, and agree with anything."""
    report = check_derivatives(lambda x: jnp.where(x > 0, 1.0, -1.0) + jnp.sin(x), 0.0, order=1)
    assert not report.ok


def test_wrong_third_order_is_caught():
    @jax.custom_jvp
    def cosine(x):
        return jnp.cos(x)

    cosine.defjvp(lambda p, t: (jnp.cos(p[0]), -jax.lax.stop_gradient(jnp.sin(p[0])) * t[0]))
    f = with_jvp(jnp.sin, lambda x, dx: cosine(x) * dx)
    assert check_derivatives(f, X, order=2).ok
    report = check_derivatives(f, X, order=3)
    assert report.verdict("rev-rev-rev") == report.verdict("fwd-fwd-fwd") == "wrong"


@pytest.mark.parametrize("order", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_right_rules_pass(order):
    def f(x, tree, n):
        return {"a": jnp.sin(x) * jnp.exp(tree["z"]) ** n, "b": [jnp.sum(x**3), jnp.abs(tree["z"])]}

    report = check_derivatives(f, X, {"z": jnp.array([0.2 + 0.1j, -0.4j, 0.7])}, 2, order=order)
    assert report.ok, report
    assert max(row.relative_error for row in report.rows) < 1e-6


def test_complex_step_is_sharp_to_rounding():
    report = check_derivatives(lambda x: jnp.exp(x) / jnp.sqrt(jnp.sin(x) ** 3 + jnp.cos(x) ** 3), 1.5, order=1,
                               reference="complex-step")  # fmt: skip
    assert report.ok
    assert max(row.relative_error for row in report.rows) < 5e-15
    with pytest.raises(InputError, match="real arguments"):
        check_derivatives(jnp.exp, 1j, reference="complex-step")


def test_float32_is_checked_with_a_reference_in_double():
    assert check_derivatives(jnp.sin, X.astype(jnp.float32)).ok
    bad = with_jvp(jnp.sin, lambda x, dx: 1.01 * jnp.cos(x) * dx)
    assert not check_derivatives(bad, X.astype(jnp.float32)).ok


def test_a_noisy_function_is_unresolved_not_ok():
    """Noise of 1e-4 hides the derivative: the report must not claim that all is well."""
    f = with_jvp(lambda x: x**2 + 1e-4 * jnp.sin(1e9 * x), lambda x, dx: 2.003 * x * dx)
    assert check_derivatives(f, 0.7, order=1).verdict("jvp") in ("unresolved", "wrong")


def test_bad_arguments():
    with pytest.raises(InputError, match="unknown mode"):
        check_derivatives(jnp.sin, 1.0, modes=("forward",))
    with pytest.raises(InputError, match="no argument holds"):
        check_derivatives(lambda n: n, 3)


def test_differences_and_their_error_estimate():
    """Against the exact derivatives of exp(sin t) at t = 0: 1, 1, 0 and of 1/(1+t)^5."""
    for order, exact in ((1, 1.0), (2, 1.0), (3, 0.0)):
        value, error = derivative(lambda t: np.exp(np.sin(t)), order, 1e-16)
        assert abs(value - exact) <= 10 * error
        assert error < 10.0 ** (-12 + 2 * order)
    value, error = derivative(lambda t: (1 + t) ** -5.0, 2, 1e-16)
    assert abs(value / 30 - 1) < 1e-8


def test_noise_level_finds_the_noise():
    rng = np.random.default_rng(0)
    noise = {t: 1e-6 * rng.normal() for t in range(100)}
    calls = iter(range(100))
    assert 2e-7 < noise_level(lambda t: np.cos(t) + noise[next(calls)]) < 5e-6
