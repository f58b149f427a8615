"""schur: values, invariant subspaces, real blocks and complex triangles, in every mode."""

import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._schur import schur
from pullback.trust import check_derivatives


def ordered(levels, *, dtype=float, seed=0):
    """Nearly triangular with these on the diagonal, so that LAPACK keeps their order; and a direction."""
    n, rng = len(levels), np.random.default_rng(seed)

    def draw():
        z = rng.normal(size=(n, n))
        return z + 1j * rng.normal(size=(n, n)) if dtype is complex else z

    return jnp.asarray(np.triu(draw(), 1) + np.diag(levels) + 0.05 * draw()), jnp.asarray(draw())


def rotated_pairs(seed=0):
    """Eigenvalues 1, 3 ± i√2, 5 ± i√3 in a real matrix."""
    rng = np.random.default_rng(seed)
    t = np.triu(rng.normal(size=(5, 5)), 1) + np.diag([1.0, 3.0, 3.0, 5.0, 5.0])
    t[1, 2], t[2, 1], t[3, 4], t[4, 3] = 2, -1, -1, 3
    q, _ = np.linalg.qr(np.eye(5) + 0.2 * rng.normal(size=(5, 5)))
    return jnp.asarray(q @ t @ q.T)


def projector(z, k):
    return z[:, :k] @ z[:, :k].conj().T


@pytest.mark.parametrize("output", ["real", pytest.param("complex", marks=pytest.mark.slow)])
def test_values(output):
    a = jnp.stack([rotated_pairs(s) for s in range(2)])
    t, z = schur(a, output)
    np.testing.assert_allclose(z @ t @ z.conj().swapaxes(-1, -2), a, atol=1e-13)
    np.testing.assert_allclose(z.conj().swapaxes(-1, -2) @ z, np.broadcast_to(np.eye(5), (2, 5, 5)), atol=1e-13)
    np.testing.assert_array_equal(np.tril(t, -1 if output == "complex" else -2), 0)
    assert jnp.isrealobj(t) == (output == "real")


def test_second_order_of_a_triangle():
    a, _ = ordered([1.0, 2.0, 3.0, 4.0], dtype=complex)

    def moduli(a):
        t, z = schur(a)
        return jnp.abs(t), jnp.abs(z)

    check_derivatives(moduli, a, modes=("fwd-rev",), samples=1, scale=0.01, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_modes(dtype):
    a, _ = ordered([1.0, 2.0, 3.0, 4.0], dtype=dtype)

    def moduli(a):
        t, z = schur(a)
        return jnp.abs(t), jnp.abs(z), jnp.diagonal(schur(a, "complex")[0])

    check_derivatives(moduli, a, samples=1, scale=0.01, throw=True)


@pytest.mark.slow
def test_subspaces_of_a_real_matrix_with_complex_pairs():
    a = rotated_pairs()
    t, _ = schur(a)
    ends = [k for k in range(1, 5) if t[k, k - 1] == 0]
    assert len(ends) == 2

    def subspaces(a):
        t, z = schur(a)
        return [projector(z, k) for k in ends], jnp.linalg.norm(t)

    check_derivatives(subspaces, a, samples=1, scale=0.01, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_subspace_of_a_degenerate_level(dtype):
    """1, 1 | 4, 4 semisimple: the projector on the two leading Schur vectors does not see their basis."""
    a, da = ordered([1.0, 1.0, 4.0, 4.0], dtype=dtype)
    a = jnp.triu(a).at[[0, 2], [1, 3]].set(0).at[[0, 1, 2, 3], [0, 1, 2, 3]].set(jnp.array([1.0, 1.0, 4.0, 4.0]))
    check_derivatives(lambda t: projector(schur(a + t * da)[1], 2), 0.0, samples=1, scale=0.01, throw=True)


@pytest.mark.slow
def test_float32():
    t, z = schur(jnp.eye(2, dtype=jnp.float32), "complex")
    assert t.dtype == z.dtype == jnp.complex64


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("args", "message"),
    [((np.ones((2, 3)),), "square"), ((np.eye(2), "r"), "output"), ((np.full((2, 2), np.nan),), "NaN")],
)
def test_bad_input(args, message):
    with pytest.raises(InputError, match=message):
        schur(jnp.asarray(args[0]), *args[1:])
