"""pfaffian: dimer counts, Pf² = det, derivatives at every rank in exact arithmetic, complex matrices, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._pfaffian import pfaffian, slogpfaffian
from pullback.trust import check_derivatives
from tests.linalg.test_det import MODES, check_line


def kasteleyn(width, height):
    """The oriented adjacency of a square lattice, every square with an odd number of edges against the clock."""
    site = np.arange(width * height).reshape(height, width)
    k = np.zeros((site.size, site.size))
    k[site[:, :-1], site[:, 1:]] = 1
    k[site[:-1], site[1:]] = (-1) ** np.arange(width)
    return jnp.asarray(k - k.T)


def integers(n, rank, seed=0):
    """A skew-symmetric integer matrix of exactly this rank, and a direction."""
    rng = np.random.default_rng([seed, n, rank])
    b, da = rng.integers(-3, 4, (n, rank)), rng.integers(-3, 4, (n, n))
    return b @ np.kron(np.eye(rank // 2, dtype=int), [[0, 1], [-1, 0]]) @ b.T, da - da.T


def exact_pfaffian(a):
    """Expansion in the first row."""
    if not a:
        return 1
    total = 0
    for j in range(1, len(a)):
        keep = [k for k in range(1, len(a)) if k != j]
        total += (-1) ** (j - 1) * a[0][j] * exact_pfaffian([[a[p][q] for q in keep] for p in keep])
    return total


@pytest.mark.parametrize(("shape", "count"), [((8, 8), 12988816), pytest.param((4, 4), 36, marks=pytest.mark.slow)])
def test_domino_tilings(shape, count):
    """Kasteleyn (1961), Temperley and Fisher (1961)."""
    assert abs(pfaffian(kasteleyn(*shape))) == pytest.approx(count, rel=1e-12)


@pytest.mark.slow
def test_probability_of_a_domino():
    """In half of the tilings of a square board the corner is covered horizontally: d log Pf / d log k_01 = 1/2."""
    k = kasteleyn(4, 4)
    weight = jnp.zeros_like(k).at[0, 1].set(1).at[1, 0].set(-1)

    @jax.jit
    def slopes(t):
        from_log = jax.grad(lambda t: slogpfaffian(k + t * weight)[1])(t)
        return from_log, jax.grad(lambda t: jnp.log(jnp.abs(pfaffian(k + t * weight))))(t)

    np.testing.assert_allclose(slopes(0.0), 0.5, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rank"), [(2, 0), (4, 4), (4, 2), (4, 0), (6, 6), (6, 4), (6, 2), (8, 4)])
def test_derivatives_at_every_rank(n, rank):
    check_line(pfaffian, exact_pfaffian, *integers(n, rank), n // 2, MODES)


@pytest.mark.parametrize(("n", "rank", "mode"), [(6, 2, "fwd-rev")])
def test_first_derivative_that_does_not_vanish(n, rank, mode):
    check_line(pfaffian, exact_pfaffian, *integers(n, rank), n // 2, (mode,))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_far_below_full_rank_two_orders_vanish(rank):
    a, da = integers(8, rank)
    check_line(pfaffian, exact_pfaffian, a, da, 4, MODES[:5], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_modes(dtype):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 6)) + (1j * rng.normal(size=(6, 6)) if dtype is complex else 0)
    check_derivatives(lambda a: (pfaffian(a - a.T), slogpfaffian(a - a.T)), jnp.asarray(a), samples=1, throw=True)


def test_square_is_the_determinant():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 60, 60)) + 1j * rng.normal(size=(2, 60, 60))
    a = jnp.asarray(a - a.swapaxes(-1, -2))
    sign, logabs = slogpfaffian(a)
    want_sign, want = np.linalg.slogdet(a)
    np.testing.assert_allclose(2 * logabs, want, rtol=1e-13)
    np.testing.assert_allclose(sign**2, want_sign, atol=1e-11)


def test_odd_dimension_and_singular():
    a = jnp.asarray(np.triu(np.ones((3, 3)), 1))
    value, gradient = jax.jit(jax.value_and_grad(pfaffian))(a - a.T)
    assert value == 0 and not gradient.any()
    assert slogpfaffian(jnp.zeros((4, 4))) == (0, -np.inf)


@pytest.mark.slow
def test_float32():
    assert pfaffian(kasteleyn(4, 4).astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("a", "message"), [(np.eye(2), "skew-symmetric"), (np.ones((2, 3)), "square"), (np.full((2, 2), np.nan), "NaN")]
)
def test_bad_input(a, message):
    with pytest.raises(InputError, match=message):
        pfaffian(jnp.asarray(a))
