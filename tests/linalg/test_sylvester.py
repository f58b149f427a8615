"""Linear matrix equations: SciPy's values, exact solutions, every mode, batches, singular equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg._sylvester import (
    solve_continuous_lyapunov,
    solve_discrete_lyapunov,
    solve_lyapunov,
    solve_sylvester,
    solve_triangular,
)
from pullback.trust import check_derivatives


def draw(*shape, dtype=float, seed=0):
    rng = np.random.default_rng([seed, *shape])
    z = rng.normal(size=shape)
    return jnp.asarray(z + 1j * rng.normal(size=shape) if dtype is complex else z)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [complex, float])
def test_values_are_those_of_scipy(dtype):
    a, b, q, p = (draw(*s, dtype=dtype) for s in ((4, 4), (3, 3), (4, 3), (4, 4)))
    np.testing.assert_allclose(solve_sylvester(a, b, q), scipy.linalg.solve_sylvester(a, b, q), rtol=1e-11)
    want = scipy.linalg.solve_continuous_lyapunov(a, p)
    np.testing.assert_allclose(solve_lyapunov(a, p), want, rtol=1e-11, atol=1e-12)
    want = scipy.linalg.solve_discrete_lyapunov(a, p)
    np.testing.assert_allclose(solve_discrete_lyapunov(a, p), want, rtol=1e-11, atol=1e-12)


def jordan(dtype):
    return jnp.asarray([[2.0, 1.0], [0.0, 2.0]], dtype)


@pytest.mark.slow
def test_second_order_at_a_jordan_block():
    """Where eigenvectors do not exist."""
    b, q = draw(3, 3), draw(2, 3)
    args = jordan(float), b, q
    check_derivatives(solve_sylvester, *args, modes=("vjp", "fwd-rev"), samples=1, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_modes(dtype):
    b, q, c = draw(3, 3, dtype=dtype), draw(2, 3, dtype=dtype), draw(2, 2, dtype=dtype)

    def equations(a, b, q, c):
        return solve_sylvester(a, b, q), solve_continuous_lyapunov(a, c), solve_discrete_lyapunov(a, c)

    check_derivatives(equations, jordan(dtype), b, q, c, samples=1, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("trans", [0, 1, 2])
def test_solve_triangular_all_modes(trans):
    a, b = draw(3, 3, dtype=complex), draw(3, 2, dtype=complex)
    check_derivatives(lambda a, b: solve_triangular(a, b, trans, lower=True), a, b, samples=1, throw=True)


def test_solve_triangular_is_scipys():
    a, b = draw(2, 3, 3, dtype=complex), draw(3, dtype=complex)
    for options in ({}, {"lower": True}, {"trans": 1}, {"trans": 2, "unit_diagonal": True}):
        want = scipy.linalg.solve_triangular(a[0], b, **options)
        np.testing.assert_allclose(solve_triangular(a[0], b, **options), want, rtol=1e-12)
    x = solve_triangular(a, b[:, None])
    np.testing.assert_allclose(jnp.triu(a) @ x, jnp.broadcast_to(b[:, None], (2, 3, 1)), atol=1e-13)


def test_stationary_variance_of_a_damped_oscillator():
    """dx = v dt, dv = −(k x + g v) dt + sqrt(2 g T) dW: <x²> = T/k, <v²> = T (equipartition); d<x²>/dk = −T/k²."""
    k, g, temperature = 2.0, 0.3, 1.5

    def x_squared(k):
        drift = jnp.array([[0.0, 1.0], [0.0, -g]]) + k * jnp.array([[0.0, 0.0], [-1.0, 0.0]])
        return solve_lyapunov(drift, -2 * g * temperature * jnp.diag(jnp.array([0.0, 1.0])))

    x, dx = jax.jit(lambda k: jax.jvp(x_squared, (k,), (1.0,)))(k)
    np.testing.assert_allclose(x, temperature * np.diag([1 / k, 1.0]), atol=1e-14)
    np.testing.assert_allclose(dx, temperature * np.diag([-1 / k**2, 0.0]), atol=1e-14)


@pytest.mark.slow
def test_batch_and_float32():
    a, b, q = (draw(*shape).astype(jnp.float32) for shape in ((2, 3, 3), (2, 2), (3, 2)))
    x = jax.jit(solve_sylvester)(a, b, q)
    assert x.shape == (2, 3, 2) and x.dtype == jnp.float32
    np.testing.assert_allclose(a @ x + x @ b, jnp.broadcast_to(q, x.shape), atol=1e-4)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_sylvester(jnp.eye(2), -jnp.eye(3), jnp.ones((2, 3))), "no unique solution"),
        (lambda: solve_lyapunov(jnp.diag(jnp.array([1.0, -1.0])), jnp.eye(2)), "no unique solution"),
        (lambda: solve_discrete_lyapunov(jnp.eye(2), jnp.eye(2)), "no unique solution"),
        (lambda: solve_sylvester(jnp.eye(2), jnp.eye(3), jnp.ones((3, 2))), r"shape \(..., 2, 3\)"),
        (lambda: solve_sylvester(jnp.ones((2, 3)), jnp.eye(3), jnp.ones((2, 3))), "square"),
        (lambda: solve_lyapunov(jnp.eye(2), jnp.full((2, 2), jnp.nan)), "NaN"),
        (lambda: solve_triangular(jnp.diag(jnp.array([1.0, 0.0])), jnp.ones(2)), "singular"),
        (lambda: solve_triangular(jnp.eye(2), jnp.ones(3)), "n = 2"),
        (lambda: solve_triangular(jnp.eye(2), jnp.ones(2), 3), "trans"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
