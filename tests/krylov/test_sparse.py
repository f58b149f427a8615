"""Sparse matrices of SciPy and of JAX as operators, against the same matrices made dense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from jax.experimental import sparse

from pullback.core import InputError
from pullback.krylov import eigs, eigsh, expm_multiply, funm_multiply, svds, trace

N = 110
DENSE = np.diag(np.arange(N) / 7) + np.diag(np.cos(np.arange(N - 1)), 1) + np.diag(np.cos(np.arange(N - 1)), -1)
KINDS = {
    "csr_matrix": scipy.sparse.csr_matrix,
    "csr_array": scipy.sparse.csr_array,
    "csc_array": scipy.sparse.csc_array,
    "coo_matrix": scipy.sparse.coo_matrix,
    "BCOO": lambda a: sparse.BCOO.fromdense(jnp.asarray(a)),
    "BCSR": lambda a: sparse.BCSR.fromdense(jnp.asarray(a)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_functions(kind):
    matrix, x = KINDS[kind](DENSE), np.ones(N)
    np.testing.assert_allclose(expm_multiply(matrix, x, 0.3), scipy.linalg.expm(0.3 * DENSE) @ x, rtol=1e-10)


@pytest.mark.slow
def test_all_solvers():
    matrix, x, w = KINDS["csr_array"](DENSE), np.ones(N), np.linalg.eigvalsh(DENSE)
    np.testing.assert_allclose(eigsh(matrix)[0][0], w[0], rtol=1e-11)
    np.testing.assert_allclose(svds(matrix)[1][0], w[-1], rtol=1e-11)
    np.testing.assert_allclose(eigs(matrix)[0][0], w[-1], rtol=1e-9)
    np.testing.assert_allclose(funm_multiply(matrix, x, lambda w: w**2), DENSE @ (DENSE @ x), atol=1e-10)
    estimate = trace(matrix, jnp.square, N, key=jax.random.key(0))
    assert abs(estimate.value - (DENSE**2).sum()) < 4 * estimate.error


def test_derivatives_in_the_entries():
    """dE/dA_ij = ψ_i ψ_j, for each entry of a BCOO matrix that is kept."""
    matrix = KINDS["BCOO"](DENSE)

    @jax.jit
    def slopes(data):
        return jax.grad(lambda d: eigsh(sparse.BCOO((d, matrix.indices), shape=matrix.shape))[0][0])(data)

    psi = np.linalg.eigh(DENSE)[1][:, 0]
    rows, columns = np.asarray(matrix.indices).T
    np.testing.assert_allclose(slopes(matrix.data), psi[rows] * psi[columns], atol=1e-9)


@pytest.mark.usefixtures("no_type_checks")
def test_refusals():
    with pytest.raises(InputError, match="square matrix"):
        eigsh(scipy.sparse.csr_array(np.ones((3, 4))))
    with pytest.raises(InputError, match="got str"):
        eigsh("matrix")
