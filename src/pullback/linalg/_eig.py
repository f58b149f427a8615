"""Eigendecomposition of general matrices with exact derivatives, also at semisimple degenerate eigenvalues.

Mathematics. A = V Λ V^-1 and dV = V X. From Λ = V^-1 A V follows dΛ = M + Λ X − X Λ with M = V^-1 dA V, so that, as in
`eigh` but with the inverse in the place of the adjoint,

    X Λ − Λ X = M    off the blocks of equal eigenvalues,    X_ij = 0 (i ≠ j) in them,    Λ = V^-1 A V as a matrix.

The equation is stated to JAX as such and differentiated by it. The diagonal of X is the scale of each vector: length
one and a phase that is transported in parallel, v_j† dv_j = 0.
"""

from functools import partial
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Inexact

from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._clusters import same_cluster
from pullback.linalg._eigh import solve_off_block
from pullback.linalg._units import in_units


@overload
def eig(
    a: Inexact[Array, "*batch n n"], *, left: Literal[False] = False, degeneracy_tol: float | None = None
) -> tuple[Complex[Array, "*batch n"], Complex[Array, "*batch n n"]]: ...
@overload
def eig(
    a: Inexact[Array, "*batch n n"], *, left: Literal[True], degeneracy_tol: float | None = None
) -> tuple[Complex[Array, "*batch n"], Complex[Array, "*batch n n"], Complex[Array, "*batch n n"]]: ...
def eig(a: Inexact[Array, "*batch n n"], *, left: bool = False, degeneracy_tol: float | None = None):
    r"""Eigenvalues and eigenvectors of a general matrix, a v = v diag(w); on request left ones, vl† a = diag(w) vl†.

    Derivatives are exact in every mode and order for functions that depend neither on length and phase of the vectors
    nor, in a degenerate space, on the choice of basis (spectral projectors Σ v_j vl_j†, biorthogonal expectation
    values). Such functions are holomorphic in `a` where they are so on paper, and may be differentiated as such. What
    is said of functions of the values in `eigh` holds here: use `funm` for functions of the matrix.

    At a defective matrix (Jordan block, exceptional point) the values are what LAPACK returns, with vectors that are
    parallel to rounding. No derivative exists there: those of eigenvalues are huge (they grow without bound on
    approach), those of the vectors of the block finite and without meaning.

    Args:
        a: square matrix, real or complex, any leading batch axes.
        left: return left eigenvectors too.
        degeneracy_tol: eigenvalues closer than this in the complex plane, in chains, are treated as one. Default
            sqrt(eps) * max|w|.

    Returns:
        (w, v), or (w, vl, v) with `left`, all complex: eigenvalues in LAPACK's order, right eigenvectors as columns of
        length one, left ones as columns with vl_i† v_j = δ_ij.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.

    Examples:
        Two modes with gain and loss ±g, coupled by 1: w = ±sqrt(1 − g²), dw/dg = ∓ g / sqrt(1 − g²).

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> h = lambda g: jnp.array([[1j * g, 1], [1, -1j * g]])
        >>> slope = jax.jacfwd(lambda g: jnp.max(pb.linalg.eig(h(g))[0].real))(0.6)
        >>> print(f"{slope:.10f}")
        -0.7500000000
    """
    a = _checks.square("eig", a)
    _checks.degeneracy_tol(degeneracy_tol)
    w, v = over_batch(partial(_eig, degeneracy_tol), a, "(n,n)->(n),(n,n)")
    if left:
        return w, jnp.conj(jnp.swapaxes(jnp.linalg.inv(v), -1, -2)), v
    return w, v


def eigvals(a: Inexact[Array, "*batch n n"]) -> Complex[Array, "*batch n"]:
    """Eigenvalues of a general matrix, complex, in LAPACK's order; derivatives as for `eig`, whose limits it shares.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.
    """
    a = _checks.square("eigvals", a)
    return over_batch(_eigvals, a, "(n,n)->(n)")


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _eig(tol, a):
    a, s = in_units(a)
    w, v = jnp.linalg.eig(a)
    return w * s.astype(w.dtype), v


@_eig.defjvp
def _eig_jvp(tol, primals, tangents):
    (a,), (da,) = primals, tangents
    w, v = _eig(tol, a)
    inverse = jnp.linalg.inv(v)
    a, da = a.astype(v.dtype), da.astype(v.dtype)
    m = inverse @ (da @ v)
    # The matrix Λ is read by the derivatives of the equation only: at first order XLA drops these products.
    s = in_units(a)[1].astype(w.dtype)  # gaps in these units: a complex division squares them
    dv = v @ solve_off_block(inverse @ (a @ v) / s, m / s, same_cluster(w, tol), w / s)
    return (w, v), (jnp.diagonal(m), dv - v * jnp.sum(v.conj() * dv, axis=0, keepdims=True))


@jax.custom_jvp
def _eigvals(a):
    a, s = in_units(a)
    w = jnp.linalg.eigvals(a)
    return w * s.astype(w.dtype)


@_eigvals.defjvp
def _eigvals_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    w, v = _eig(None, a)
    return w, jnp.sum(jnp.linalg.inv(v).T * (da.astype(v.dtype) @ v), axis=0)
