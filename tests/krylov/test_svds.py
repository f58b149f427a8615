"""Largest singular values without a matrix, against LAPACK and the dense low-rank product's derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.krylov import svds
from pullback.linalg import low_rank

_rng = np.random.default_rng(0)
LEFT, RIGHT = (np.linalg.qr(_rng.normal(size=(n, 60)) + 1j * _rng.normal(size=(n, 60)))[0] for n in (90, 70))
VALUES = np.concatenate([[3.0, 2.0, 2.0], np.linspace(1, 0, 57)])
A = jnp.asarray(LEFT * VALUES @ RIGHT.conj().T)
B = jnp.asarray(_rng.normal(size=(90, 70)) / 20)


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_values_vectors_and_derivatives(order):
    """A complex operator with a double value: derivatives of the product of the three leading terms."""
    u, s, vh = svds(A, 3)
    np.testing.assert_allclose(s, VALUES[:3], rtol=1e-10)
    np.testing.assert_allclose(A @ vh.conj().T, u * s, atol=1e-8)
    np.testing.assert_allclose(u.conj().T @ u, np.eye(3), atol=1e-9)

    def product(t):
        u, _, vh = svds(lambda x: A @ x + t * (B @ x), 3, shape=jax.ShapeDtypeStruct((70,), complex))
        # u s vh at equal values: Λ is made from the vectors (see `eigsh`).
        inner = u.conj().T @ (A + t * B) @ vh.conj().T
        return (u @ inner @ vh)[0, 1].real

    def dense(t):
        return low_rank(A + t * B, 3)[0, 1].real

    derivative = jax.grad if order == 1 else lambda f: jax.jacfwd(jax.grad(f))
    np.testing.assert_allclose(derivative(product)(0.0), derivative(dense)(0.0), rtol=1e-6)


def test_refusals():
    with pytest.raises(InputError, match="needs shape"):
        svds(lambda x: x)
    with pytest.raises(InputError, match="between 1"):
        svds(A, 71)
    with pytest.raises(ConvergenceError, match="multiplet"):
        svds(A, 2)
    found = svds(A, 2, throw=False)
    assert found.result == RESULTS.not_separated
    np.testing.assert_allclose(found.value[1], VALUES[:2], rtol=1e-10)
    found = svds(A, 3, throw=False)
    assert found.converged and found.residual < 1e-9
    np.testing.assert_allclose(found.stats["gap"], 1.0, rtol=0.01)
    for matrix in (jnp.zeros((3, 4)), jnp.diag(jnp.array([3.0, 3.0, 1.0])), jnp.full((3, 4), jnp.nan)):
        with pytest.raises(ConvergenceError):
            svds(matrix)
