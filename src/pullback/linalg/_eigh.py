"""Hermitian eigendecomposition with exact derivatives at degenerate spectra.

Mathematics. Let A(t) = U Λ U† with U unitary. Write dU = U X (X anti-Hermitian) and M = U† dA U. From
Λ = U† A U follows dΛ = M + Λ X − X Λ, so that

    X_ij = M_ij / (w_j − w_i)     where w_i ≠ w_j,          dw_i = M_ii.

Inside a block of equal eigenvalues X is not determined by the equation: it is the choice of a basis, and a
function that does not depend on that choice has the same derivative for every X there. The rule sets X = 0
in the block (parallel transport). From second order on two things matter that a table of inverse gaps
F_ij = 1/(w_j − w_i) loses: Λ = U† A U leaves the diagonal *inside* the block when A moves, and the gaps must
be differentiated as the matrix Λ, not as the numbers w. Therefore the rule is written as an equation,

    X Λ − Λ X = M    off the blocks,        X = 0    on them,        with Λ = U† A U kept as a full matrix,

solved through `jax.lax.custom_linear_solve` (elementwise division, since Λ is diagonal in value). JAX then
differentiates the equation, in every mode and order. See docs/derivations/eigh.md.

The generalized problem A x = λ B x is reduced to C y = λ y by B = L L†, C = L^{-1} A L^{-†}, x = L^{-†} y; or, when B
is nearly singular, by canonical orthogonalisation: with the function g(s) = s^{-1/2} above a threshold and 0 below,
C = g(B) A g(B), x = g(B) y, on the space that is kept.

Sources: M. Giles, An extended collection of matrix derivative results (2008); the in-block statement is
degenerate perturbation theory in the parallel-transport gauge. P.-O. Löwdin, Adv. Quantum Chem. 5, 185 (1970)
(canonical orthogonalisation).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact, Shaped

from pullback import elementary
from pullback.core import InputError
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._spectral import decomposed


def eigh(
    a: Inexact[Array, "*batch n n"],
    b: Inexact[Array, "*batch_b n n"] | None = None,
    *,
    degeneracy_tol: float | None = None,
    overlap_threshold: float | None = None,
) -> tuple[Float[Array, "*batch_w n"], Inexact[Array, "*batch_w n n"]]:
    r"""Eigenvalues and eigenvectors of a Hermitian matrix, a = v diag(w) v†, or of the pair a v = b v diag(w).

    Derivatives (with respect to `a` and `b`) are exact, in forward and reverse mode and at every order, for functions
    that do not depend on the choice of basis inside a degenerate space (projectors, subspace expectation values,
    densities), and for everything at a regular point. Levels are taken as degenerate when neighbours are closer than
    `degeneracy_tol`; inside such a block the vectors are transported in parallel, so that the derivative of a
    *single* vector out of a multiplet is finite, but depends on the basis that LAPACK returned.

    What no rule on (w, v) can do: at a degeneracy, derivatives of `v f(w) v†`, and second derivatives of
    `sum(f(w))`, need f′ between the levels of the block. Use `funmh` (exact) for functions of the matrix. Levels
    that are split by a gap above the tolerance are resolved, and m-th derivatives then carry a rounding error of
    eps/gap^m; `spectral_projector` and `funmh` do not.

    Args:
        a: Hermitian matrix, real or complex, any leading batch axes. The Hermitian part is used.
        b: Hermitian positive definite matrix (an overlap or mass matrix); the vectors then obey v† b v = 1.
        degeneracy_tol: neighbouring levels closer than this (absolute) are treated as one level. Default
            sqrt(eps) * max|w|: closer than that, single vectors are not resolved by the arithmetic.
        overlap_threshold: for nearly singular `b`: eigenvectors of `b` with eigenvalues up to this are left out
            (canonical orthogonalisation). As many levels come last, with w = inf and v = 0.

    Returns:
        w: eigenvalues, ascending. v: eigenvectors as columns.

    Raises:
        InputError: shapes do not fit; (outside `jit`) not finite or not Hermitian, or `b` is not positive definite
            or too ill-conditioned to be used without `overlap_threshold`.

    Examples:
        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def occupied(t):  # two degenerate levels of a ring of three sites; the projector on both
        ...     a = -jnp.ones((3, 3)) + jnp.diag(jnp.array([1.0, 1.0 + t, 1.0]))
        ...     w, v = pb.linalg.eigh(a)
        ...     return (v[:, 1:] @ v[:, 1:].T)[0, 1]
        >>> print(f"{jax.grad(occupied)(0.0):.6f}")
        0.037037
    """
    a = _checks.hermitian("eigh", a)
    _checks.degeneracy_tol(degeneracy_tol)
    if b is None:
        if overlap_threshold is not None:
            raise InputError("eigh: overlap_threshold is for the generalized problem; pass b.")
        return over_batch(partial(_eigh, degeneracy_tol), a, "(n,n)->(n),(n,n)")
    a, b = _pair("eigh", a, b, overlap_threshold)
    if overlap_threshold is None:
        fun = partial(_by_cholesky, degeneracy_tol)
    else:
        fun = partial(_by_canonical_orthogonalisation, degeneracy_tol, overlap_threshold)
    w, v = jnp.vectorize(fun, signature="(n,n),(n,n)->(n),(n,n)")(a, b)
    _checks.finite(w[..., 0], lambda: f"eigh: no eigenvalue of b is above overlap_threshold = {overlap_threshold}.")
    return w, v


def eigvalsh(
    a: Inexact[Array, "*batch n n"], b: Inexact[Array, "*batch_b n n"] | None = None
) -> Float[Array, "*batch_w n"]:
    """Eigenvalues of a Hermitian matrix or pair, ascending; derivatives as for `eigh`, whose limits it shares.

    Raises:
        InputError: as `eigh`.
    """
    a = _checks.hermitian("eigvalsh", a)
    if b is None:
        return over_batch(_eigvalsh, a, "(n,n)->(n)")
    reduced = jnp.vectorize(lambda a, b: _eigvalsh(_reduced(a, b)[0]), signature="(n,n),(n,n)->(n)")
    return reduced(*_pair("eigvalsh", a, b, None))


def _pair(name, a, b, threshold):
    b = _checks.hermitian(name, b)
    if b.shape[-2:] != a.shape[-2:]:
        raise InputError(f"{name} needs a and b of the same size, got {a.shape} and {b.shape}.")
    if threshold is not None and not threshold > 0:
        raise InputError(f"{name}: overlap_threshold must be positive, got {threshold}.")
    if threshold is None and not isinstance(b, Tracer):
        try:
            factor = np.linalg.cholesky(np.asarray(b))
        except np.linalg.LinAlgError:
            raise InputError(f"{name}: b is not positive definite.") from None
        diagonal = np.real(np.diagonal(factor, axis1=-2, axis2=-1))
        condition = (diagonal.max(axis=-1) / diagonal.min(axis=-1)).max(initial=1) ** 2
        if condition * np.finfo(b.dtype).eps > 1e-6:
            raise InputError(
                f"{name}: b is nearly singular (condition number about {condition:.0e}). Pass overlap_threshold "
                "(1e-8, say) to leave out the directions in which it vanishes."
            )
    dtype = jnp.result_type(a, b)
    return a.astype(dtype), b.astype(dtype)


def _reduced(a, b):
    """C = L^{-1} a L^{-†} and L, with b = L L†."""
    factor = jnp.linalg.cholesky(b)
    half = jax.scipy.linalg.solve_triangular(factor, a, lower=True)
    c = jax.scipy.linalg.solve_triangular(factor, half.conj().T, lower=True)
    return (c + c.conj().T) / 2, factor


def _by_cholesky(tol, a, b):
    c, factor = _reduced(a, b)
    w, y = _eigh(tol, c)
    return w, jax.scipy.linalg.solve_triangular(factor, y, lower=True, trans="C")


def _by_canonical_orthogonalisation(tol, threshold, a, b):
    overlap = decomposed(b)
    root = overlap.apply(lambda s: jnp.where(s > threshold, 1 / jnp.sqrt(jnp.where(s > threshold, s, 1)), 0))
    kept = overlap.apply(lambda s: jnp.where(s > threshold, 1.0, 0.0).astype(s.dtype))
    c = root @ a @ root
    # Levels of the space that is left out are moved above all others.
    above = 1 + 2 * elementary.norm(jax.lax.stop_gradient(c))
    c = c + above * (jnp.eye(len(a)) - kept)
    w, y = _eigh(tol, (c + c.conj().T) / 2)
    inside = jnp.arange(len(a)) < jnp.sum(overlap.w > threshold)
    return jnp.where(inside, w, jnp.inf), jnp.where(inside, root @ y, 0)


def blocks(w: Float[Array, " n"], tol: float | None) -> Shaped[Array, "n n"]:
    """True where levels i and j belong to one degenerate block: chains of neighbours closer than `tol`."""
    w = jax.lax.stop_gradient(w)
    threshold = jnp.sqrt(jnp.finfo(w.dtype).eps) * jnp.max(jnp.abs(w)) if tol is None else tol
    label = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(jnp.diff(w) > threshold)])
    return label[:, None] == label[None, :]


def solve_off_block(
    lam: Inexact[Array, "n n"], rhs: Inexact[Array, "n n"], same: Shaped[Array, "n n"], w: Inexact[Array, " n"]
) -> Inexact[Array, "n n"]:
    """X with X Λ − Λ X = rhs off the blocks and X = 0 on them; Λ = diag(w) in value, any matrix in derivative."""
    w = jax.lax.stop_gradient(w)
    gaps = jnp.where(same, 1, w[None, :] - w[:, None])

    def equation(x):
        return jnp.where(same, x, x @ lam - lam @ x)

    def solve(_, b):
        return b / gaps.astype(b.dtype)

    return jax.lax.custom_linear_solve(equation, jnp.where(same, 0, rhs), solve, transpose_solve=solve)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _eigh(tol, a):
    w, v = jnp.linalg.eigh(a, symmetrize_input=False)
    return w, v


@_eigh.defjvp
def _eigh_jvp(tol, primals, tangents):
    (a,), (da,) = primals, tangents
    w, v = _eigh(tol, a)
    vh = v.conj().T
    m = vh @ (da @ v)
    # The matrix Λ is read by the derivatives of the equation only: at first order XLA drops these products.
    x = solve_off_block(vh @ (a @ v), m, blocks(w, tol), w)
    return (w, v), (jnp.diagonal(m).real, v @ x)


@jax.custom_jvp
def _eigvalsh(a):
    return jnp.linalg.eigvalsh(a, symmetrize_input=False)


@_eigvalsh.defjvp
def _eigvalsh_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    w, v = _eigh(None, a)
    return w, jnp.sum(v.conj() * (da @ v), axis=0).real
