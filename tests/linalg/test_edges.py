"""Edges of the input: no members, entries of any scale, NaN, half precision, a Python number that chooses a branch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import linalg
from pullback.core import InputError

A = np.array([[1.0, 1.0, 0.3], [2.0, 4.0, -0.5], [4.0, 5.0, 2.0]])


def test_no_matrices_give_no_results():
    z = jnp.zeros((0, 3, 3))
    assert linalg.eigh(z)[1].shape == linalg.cholesky(z).shape == linalg.funmh(z, jnp.exp).shape == (0, 3, 3)
    assert linalg.eigvalsh(z).shape == linalg.eigh(z, z + jnp.eye(3))[0].shape == (0, 3)
    assert linalg.spectral(z).trace(jnp.exp).shape == (0,)
    assert linalg.pfaffian(z).shape == linalg.slogpfaffian(z)[1].shape == (0,)
    assert linalg.spectral_projector(z, 1).shape == linalg.spectral_projector(z, interval=(0.0, 1.0)).shape == (0, 3, 3)
    assert linalg.density_matrix(z, n_electrons=1).shape == linalg.density_matrix(z, 0.5).shape == (0, 3, 3)


# Functions of degree 0: their value does not depend on the scale of the matrix.
HOMOGENEOUS = {
    "qr": lambda a: linalg.qr(a)[0][0, 1],
    "lq": lambda a: linalg.lq(a)[1][0, 1],
    "svd": lambda a: linalg.svd(a)[0][0, 0] ** 2,
    "polar": lambda a: linalg.polar(a)[0][0, 1],
    "eigh": lambda a: linalg.eigh(a + a.T)[1][0, 0] ** 2,
    "eig": lambda a: (linalg.eig(a)[1][0, 0] * jnp.conj(linalg.eig(a)[1][0, 0])).real,
    "schur": lambda a: linalg.schur(a)[1][0, 0] ** 2,
    "eigh_tridiagonal": lambda a: linalg.eigh_tridiagonal(jnp.diag(a), jnp.diag(a, 1), 2)[1][0, 0] ** 2,
    "spectral_projector": lambda a: linalg.spectral_projector(a + a.T, 1)[0, 1],
    "signm": lambda a: linalg.signm(a - 3 * a[0, 0] * jnp.eye(3))[0, 1],
    "lstsq": lambda a: linalg.lstsq(a[:, :2], a[:, 2])[0][0],
    "solve_sylvester": lambda a: linalg.solve_sylvester(a, a, a @ jnp.ones((3, 3)))[0, 1],
    "solve_tridiagonal": lambda a: linalg.solve_tridiagonal(jnp.diag(a, -1), jnp.diag(a), jnp.diag(a, 1), a[0])[1],
}


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in HOMOGENEOUS if name not in ("qr", "eigh_tridiagonal")]


@pytest.mark.parametrize("name", ["qr", "eigh_tridiagonal", *OTHERS])
def test_derivatives_do_not_depend_on_the_scale(name):
    """f(s a) = f(a) for every number s, so that s ∇f(s a) = ∇f(a)."""
    slope = jax.jit(jax.grad(HOMOGENEOUS[name]))
    right = slope(A)
    assert np.abs(right).max() > 0.01
    for s in (1e-200, 1e-120, 1e120, 1e155):
        np.testing.assert_allclose(slope(s * A) * s, right, rtol=1e-9, atol=1e-11)


def test_the_default_temperature_is_zero_under_jit_too():
    """Three electrons on a ring: the response of a bond order, from differences of occupied subspaces by NumPy."""
    ring = np.diag([1.0, 0.8, 1.3, 0.7, 1.1], 1)
    ring[0, 5] = 0.9
    ring = -(ring + ring.T)
    kick = np.zeros((6, 6))
    kick[0, 3] = kick[3, 0] = 1.0

    def exact(t):
        v = np.linalg.eigh(ring + t * kick)[1][:, :3]
        return (v @ v.T)[0, 1]

    right = (8 * (exact(1e-3) - exact(-1e-3)) - (exact(2e-3) - exact(-2e-3))) / 12e-3
    for options in ({"n_electrons": 3}, {"mu": 0.0}, {"n_electrons": np.int64(3), "temperature": np.float64(0)}):

        def f(t, o=options):
            return linalg.density_matrix(ring + t * kick, **o)[0, 1]

        np.testing.assert_allclose(jax.jit(jax.grad(f))(0.0), right, rtol=1e-9)


def test_nan_in_is_nan_out_under_jit():
    nan = jnp.eye(4).at[1, 1].set(jnp.nan)
    assert jnp.isnan(jax.jit(linalg.expm_multiply)(nan, jnp.ones(4))).any()
    assert jnp.isnan(jax.jit(linalg.pfaffian)(nan)) and jnp.isnan(jax.jit(linalg.slogpfaffian)(nan)[1])


@pytest.mark.usefixtures("no_type_checks")
def test_what_cannot_be_used_is_one_line():
    for dtype in (jnp.float16, jnp.bfloat16):
        with pytest.raises(InputError, match="single or double precision"):
            linalg.eigh(jnp.eye(2, dtype=dtype))
    with pytest.raises(InputError, match="rank must be a Python integer"):
        jax.jit(lambda r: linalg.svd_truncated(jnp.eye(3), r)[1])(2)
    assert linalg.low_rank(A, np.int64(2)).shape == (3, 3)


FUNCTIONS = [linalg.sqrtm, linalg.logm, linalg.signm, linalg.cosm, linalg.sinm, partial(linalg.fractional_power, p=0.4)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_general_matrices_stay_in_single_precision(function):
    single = jax.ShapeDtypeStruct((3, 3), jnp.float32)
    for out in jax.eval_shape(lambda a: jax.jvp(function, (a,), (a,)), single):
        assert out.dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_their_values_and_derivatives_in_single_precision(function):
    a = A + 2 * np.eye(3)
    found, right = jax.jit(lambda a: jax.jvp(function, (a,), (a,)))(a.astype(np.float32)), jax.jvp(function, (a,), (a,))
    for x, y in zip(found, right):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-4)
