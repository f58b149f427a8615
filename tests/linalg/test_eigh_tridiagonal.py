"""eigh_tridiagonal: SciPy's LAPACK values, exact chains, every mode, degenerate and clustered levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import eigh_tridiagonal
from pullback.trust import check_derivatives, directional_derivative
from tests.linalg.references import line_derivatives, projector_value

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (7, None), (50, 3), (300, 1), (300, None), (2000, 4)])
def test_against_lapack(n, k):
    d, e = RNG.normal(size=n), RNG.normal(size=n - 1)
    w, v = jax.jit(eigh_tridiagonal, static_argnums=2)(jnp.asarray(d), jnp.asarray(e), k)
    w, v = np.asarray(w), np.asarray(v)
    want = scipy.linalg.eigh_tridiagonal(d, e, eigvals_only=True)[: k or n]
    np.testing.assert_allclose(w, want, atol=1e-13 * n**0.5)
    t_v = d[:, None] * v
    t_v[1:] += e[:, None] * v[:-1]
    t_v[:-1] += e[:, None] * v[1:]
    assert np.abs(t_v - v * w).max() < 1e-12
    assert np.abs(v.T @ v - np.eye(v.shape[1])).max() < 1e-13


def test_open_chain_is_exact():
    n = 400
    w, _ = eigh_tridiagonal(jnp.zeros(n), -jnp.ones(n - 1), 5)
    np.testing.assert_allclose(w, -2 * np.cos(np.pi * np.arange(1, 6) / (n + 1)), atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 3, None])
def test_all_modes(k):
    d, e = jnp.asarray(RNG.normal(size=8)), jnp.asarray(RNG.normal(size=7))

    def f(d, e):
        w, v = eigh_tridiagonal(d, e, k)
        return w, v**2, jnp.tanh(v @ v.T)

    check_derivatives(f, d, e, samples=1, throw=True)


@pytest.mark.slow
def test_third_order():
    d, e = jnp.asarray(RNG.normal(size=5)), jnp.asarray(RNG.normal(size=4))
    check_derivatives(lambda d: eigh_tridiagonal(d, e, 2)[1] ** 2, d, samples=1, order=3, throw=True,
                      modes=("fwd-fwd-fwd", "rev-rev-rev"))  # fmt: skip


@pytest.mark.parametrize(
    "mode",
    [
        "jvp",
        "vjp",
        "fwd-rev",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("rev-rev", "fwd-fwd", "fwd-fwd-fwd", "rev-rev-rev")),
    ],
)
def test_exact_degeneracy_of_decoupled_blocks(mode):
    """Two equal, decoupled chains: every level is double. Projector on the lowest pair, against 40 digits."""
    d, e = np.array([1.0, 2, 3, 1, 2, 3]), np.array([0.5, 0.7, 0.0, 0.5, 0.7])
    dd, de = RNG.normal(size=6), RNG.normal(size=5)
    o = RNG.normal(size=(6, 6))
    o = o + o.T

    def matrix(d, e):
        return np.diag(d) + np.diag(e, 1) + np.diag(e, -1)

    def loss(t):
        w, v = eigh_tridiagonal(d + t * dd, e + t * de, 2)
        return jnp.sum(v * (o @ v)) + jnp.sum(w) ** 2

    order = 1 + mode.count("-")
    want = line_derivatives(projector_value(o, 2), matrix(d, e), matrix(dd, de), (order,))[0]
    got = jax.jit(lambda t: directional_derivative(loss, t, [1.0] * order, mode))(0.0)
    assert float(got) == pytest.approx(want, rel=10.0 ** (2 * order - 12))


@pytest.mark.slow
def test_no_norm_of_the_matrix_is_lost_on_a_fine_grid():
    """A box of 2000 points (norm 8e6): the gradient of the ground density against the dense solver of SciPy."""
    n = 2000
    h = 2 / n
    x = -1 + h * np.arange(1, n)
    d, e = 1 / h**2 + 5 * x**2, np.full(n - 2, -0.5 / h**2)
    o = np.sin(3 * x)
    g = jax.grad(lambda d: jnp.sum(o * eigh_tridiagonal(d, jnp.asarray(e), 1)[1][:, 0] ** 2))(jnp.asarray(d))
    w, v = scipy.linalg.eigh_tridiagonal(d, e, select="i", select_range=(0, 200))
    # First-order perturbation theory, summed over 200 states; the rest weigh less than 1e-8.
    want = sum(2 * (v[:, 0] @ (o * v[:, j])) * v[:, 0] * v[:, j] / (w[0] - w[j]) for j in range(1, 201))
    np.testing.assert_allclose(g, want, atol=1e-7 * np.abs(want).max())
    assert abs(float(jnp.sum(g))) < 1e-13


def test_vmap_and_batch():
    d = jnp.asarray(RNG.normal(size=(3, 6)))
    e = jnp.ones(5)
    w, v = eigh_tridiagonal(d, jnp.broadcast_to(e, (3, 5)), 2)
    assert w.shape == (3, 2)
    assert v.shape == (3, 6, 2)
    np.testing.assert_allclose(w[1], eigh_tridiagonal(d[1], e, 2)[0], atol=1e-14)


def test_float32():
    d = jnp.asarray(RNG.normal(size=20), jnp.float32)
    w, v = eigh_tridiagonal(d, jnp.ones(19, jnp.float32), 2)
    assert w.dtype == v.dtype == jnp.float32
    np.testing.assert_allclose(w, scipy.linalg.eigh_tridiagonal(d, np.ones(19))[0][:2], atol=1e-5)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("d", "e", "k", "message"),
    [
        (np.ones(3), np.ones(3), 1, "off-diagonal of n - 1"),
        (np.ones(3), np.ones(2), 0, "between 1 and n = 3"),
        (np.ones(3), np.ones(2), 4, "between 1 and n = 3"),
        (np.array([1.0, np.nan, 0.0]), np.ones(2), 1, "NaN"),
        (np.ones(3), 1j * np.ones(2), 1, "real"),
    ],
)
def test_bad_input(d, e, k, message):
    with pytest.raises(InputError, match=message):
        eigh_tridiagonal(jnp.asarray(d), jnp.asarray(e), k)
