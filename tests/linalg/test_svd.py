"""svd at regular, degenerate and zero singular values, tall and wide, real and complex, thin and full."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg import svd, svdvals
from pullback.trust import check_derivatives, directional_derivative


def matrices(m, n, s, *, dtype: type = float, seed=0):
    """A matrix with singular values s and random singular vectors, and a random direction and test matrix."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        z = rng.normal(size=shape)
        return z + 1j * rng.normal(size=shape) if dtype is complex else z

    u, _ = np.linalg.qr(draw(m, m))
    v, _ = np.linalg.qr(draw(n, n))
    a = u[:, : len(s)] @ np.diag(s) @ v[:, : len(s)].conj().T
    return jnp.asarray(a), jnp.asarray(draw(m, n)), jnp.asarray(draw(m, n))


def invariant(decompose, a, da, o, k):
    """A loss that sees the k largest singular values and their spaces, but no basis: Tr O†UV†, projectors, values."""

    def loss(t):
        u, s, vh = decompose(a + t * da)
        u, vh = u[:, :k], vh[:k]
        left = jnp.sum((o @ o.conj().T) * (u @ u.conj().T).T).real
        right = jnp.sum((o.conj().T @ o) * (vh.conj().T @ vh).T).real
        return jnp.sum(o.conj() * (u @ vh)).real + left + right + jnp.sum(s[:k]) ** 2

    return loss


CASES = {
    "regular": ((5, 4, [3.0, 2.0, 1.0, 0.5]), {}, 2),
    "double": ((5, 4, [3.0, 3.0, 1.0, 0.5]), {}, 2),
    "double, complex": ((5, 4, [3.0, 3.0, 1.0, 0.5]), {"dtype": complex}, 2),
    "wide": ((4, 6, [3.0, 3.0, 1.0, 1.0]), {}, 2),
    "square triple": ((5, 5, [3.0, 3.0, 3.0, 1.0, 1.0]), {}, 3),
    "square, zeros": ((5, 5, [2.0, 2.0, 2.0, 0.0, 0.0]), {"dtype": complex}, 3),
    "tall, zeros": ((6, 4, [2.0, 2.0, 0.0, 0.0]), {}, 2),
    "wide, zeros": ((4, 6, [2.0, 1.0, 0.0, 0.0]), {"dtype": complex}, 2),
}


SLOW = {"double", "wide", "square triple", "wide, zeros"}


@pytest.mark.optimised
@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def test_all_modes(case):
    shape, options, k = CASES[case]
    check_derivatives(invariant(svd, *matrices(*shape, **options), k), 0.0, samples=1, throw=True)


@pytest.mark.slow
def test_third_order_against_40_digits():
    """Double singular values of a rectangular matrix; the reference goes through A†A in multi-precision."""
    a, da, o = matrices(4, 3, [2.0, 2.0, 0.5], seed=3)

    def loss(t):
        u, s, vh = svd(a + t * da)
        return jnp.sum(o * (u[:, :2] @ vh[:2])) + jnp.sum(s[:2]) ** 2

    with mp.workdps(40):
        a_mp, da_mp = mp.matrix(a.tolist()), mp.matrix(da.tolist())

        def value(t):
            u, s, vh = mp.svd_r(a_mp + t * da_mp)
            polar = u[:, :2] * vh[:2, :]
            total = sum(mp.mpf(float(o[i, j])) * polar[i, j] for i in range(4) for j in range(3))
            return total + (s[0] + s[1]) ** 2

        want = [float(mp.diff(value, 0, m, h=mp.mpf("1e-8"))) for m in (1, 2, 3)]
    for mode in ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd-fwd", "fwd-rev-rev", "rev-rev-rev"):
        order = 1 + mode.count("-")
        got = jax.jit(lambda t, m=mode, n=order: directional_derivative(loss, t, [1.0] * n, m))(0.0)
        assert float(got) == pytest.approx(want[order - 1], rel=10.0 ** (order - 10)), mode


@pytest.mark.slow
def test_jnp_svd_is_wrong_at_a_double_value():
    a, da, o = matrices(5, 4, [3.0, 3.0, 1.0, 0.5])
    report = check_derivatives(invariant(lambda a: jnp.linalg.svd(a, full_matrices=False), a, da, o, 2), 0.0)
    assert report.verdict("vjp") in ("wrong", "NaN")


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 3), complex),
        ((3, 5), float),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in [((5, 3), float), ((3, 5), complex)]),
    ],
)
def test_null_space_projectors_of_the_full_decomposition(shape, dtype):
    a, da, o = matrices(*shape, [2.0, 2.0, 1.0], dtype=dtype)

    def null_space(t):
        u, _, vh = svd(a + t * da, full_matrices=True)
        if shape[0] > shape[1]:
            return u[:, 3:] @ u[:, 3:].conj().T @ o
        return o @ vh[3:].conj().T @ vh[3:]

    u, s, vh = svd(a, full_matrices=True)
    np.testing.assert_allclose((u[:, :3] * s) @ vh[:3], a, atol=1e-13)
    check_derivatives(null_space, 0.0, samples=1, throw=True)


def test_single_vectors_and_values_at_a_regular_point():
    a, *_ = matrices(4, 3, [3.0, 2.0, 0.5], dtype=complex)

    def moduli(a):
        u, s, vh = svd(a)
        return jnp.abs(u), s, jnp.abs(vh)

    check_derivatives(moduli, a, samples=1, throw=True)
    check_derivatives(svdvals, a, samples=1, throw=True)


def test_entanglement_entropy_at_degenerate_schmidt_values():
    """Two singlets across a cut: four equal Schmidt values; entropy 2 ln 2 is stationary along rotations."""
    singlets = jnp.eye(4) / 2

    def entropy(psi):
        p = svdvals(psi / jnp.linalg.norm(psi)) ** 2
        return -jnp.sum(p * jnp.log(p))

    assert entropy(singlets) == pytest.approx(2 * np.log(2), abs=1e-14)
    np.testing.assert_allclose(jax.grad(entropy)(singlets), 0, atol=1e-14)


def test_batch_and_float32():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3)), jnp.float32)
    u, s, vh = svd(a)
    assert u.dtype == s.dtype == jnp.float32
    np.testing.assert_allclose((u * s[:, None, :]) @ vh, a, atol=1e-5)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(("a", "message"), [(np.ones(3), "matrix"), (np.array([[np.inf, 1.0]]), "NaN or infinite")])
def test_bad_input(a, message):
    with pytest.raises(InputError, match=message):
        svd(jnp.asarray(a))
