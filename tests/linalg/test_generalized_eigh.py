"""A x = λ B x: derivatives in both matrices at degenerate levels; nearly singular overlaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import eigh, eigvalsh
from pullback.trust import check_derivatives

N = 5
RNG = np.random.default_rng(0)


def hermitian():
    x = RNG.normal(size=(N, N)) + 1j * RNG.normal(size=(N, N))
    return x + x.conj().T


def unitary():
    return np.linalg.qr(hermitian())[0]


B = hermitian() @ np.eye(N)
B = B @ B.conj().T / 20 + np.eye(N)
FACTOR = np.linalg.cholesky(B)
U = unitary()
LEVELS = np.array([0.0, 0.0, 1.0, 1.0, 2.0])
A = FACTOR @ (U * LEVELS) @ U.conj().T @ FACTOR.conj().T
DA, DB = 0.3 * hermitian(), 0.1 * hermitian()


def occupied(a, b, **options):
    w, v = eigh(a, b, **options)
    return v[:, :2] @ v[:, :2].conj().T, jnp.sum(w[:2])


def test_values():
    w, v = eigh(jnp.asarray(A), jnp.asarray(B))
    np.testing.assert_allclose(w, scipy.linalg.eigh(A, B)[0], atol=1e-13)
    np.testing.assert_allclose(v.conj().T @ B @ v, np.eye(N), atol=1e-13)
    np.testing.assert_allclose(eigvalsh(jnp.asarray(A), jnp.asarray(B)), LEVELS, atol=1e-13)


def test_derivatives_in_both_matrices_at_double_levels():
    check_derivatives(lambda t, u: occupied(A + t * DA, B + u * DB), 0.0, 0.0, samples=1, throw=True)


# An overlap with one vanishing eigenvalue, and rotations of it: the kept space moves.
Q = unitary()
SINGULAR = (Q * [1e-12, 0.5, 1.0, 1.0, 2.0]) @ Q.conj().T
GENERATOR = DB - DB.conj().T + DB @ np.diag(np.arange(N)) - np.diag(np.arange(N)) @ DB


def test_canonical_orthogonalisation():
    w, v = eigh(jnp.asarray(A), jnp.asarray(SINGULAR), overlap_threshold=1e-8)
    kept = Q[:, 1:]
    inside = scipy.linalg.eigh(kept.conj().T @ A @ kept, kept.conj().T @ SINGULAR @ kept)[0]
    np.testing.assert_allclose(w[:4], inside, atol=1e-13)
    assert w[4] == np.inf
    assert not v[:, 4].any()

    def f(t, u):
        r = jax.scipy.linalg.expm(u * GENERATOR)
        return occupied(A + t * DA, r @ SINGULAR @ r.conj().T, overlap_threshold=1e-8)

    check_derivatives(f, 0.0, 0.0, modes=("vjp", "fwd-rev"), samples=1, throw=True)


def test_batch():
    b = jnp.asarray([B, np.eye(N)])
    w, v = eigh(jnp.asarray(A), b)
    assert w.shape == (2, N)
    np.testing.assert_allclose(v[0], eigh(jnp.asarray(A), b[0])[1], atol=1e-13)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (np.diag([1.0, -1.0, 1.0, 1.0, 1.0]), "positive definite"),
        (SINGULAR, "overlap_threshold"),
        (np.eye(4), "same size"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_overlaps(b, message):
    with pytest.raises(InputError, match=message):
        eigh(jnp.asarray(A), jnp.asarray(b))
