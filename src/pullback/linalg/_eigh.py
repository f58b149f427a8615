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

Sources: M. Giles, An extended collection of matrix derivative results (2008); the in-block statement is
degenerate perturbation theory in the parallel-transport gauge.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Shaped

from pullback.core import InputError
from pullback.linalg import _checks


def eigh(
    a: Inexact[Array, "*batch n n"], *, degeneracy_tol: float | None = None
) -> tuple[Float[Array, "*batch n"], Inexact[Array, "*batch n n"]]:
    r"""Eigenvalues and eigenvectors of a Hermitian matrix, a = v diag(w) v†.

    Derivatives are exact, in forward and reverse mode and at every order, for functions that do not depend
    on the choice of basis inside a degenerate space (projectors, subspace expectation values, densities),
    and for everything at a regular point. Levels are taken as degenerate when neighbours are closer than
    `degeneracy_tol`; inside such a block the vectors are transported in parallel, so that the derivative of a
    *single* vector out of a multiplet is finite, but depends on the basis that LAPACK returned.

    What no rule on (w, v) can do: at a degeneracy, derivatives of `v f(w) v†`, and second derivatives of
    `sum(f(w))`, need f′ between the levels of the block. Use `funmh` (exact) for functions of the matrix.

    Args:
        a: Hermitian matrix, real or complex, any leading batch axes. The Hermitian part is used.
        degeneracy_tol: neighbouring levels closer than this (absolute) are treated as one level. Default
            sqrt(eps) * max|w|: closer than that, single vectors are not resolved by the arithmetic.

    Returns:
        w: eigenvalues, ascending. v: eigenvectors as columns.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian.

    Examples:
        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def occupied(t):  # two degenerate levels of a ring of three sites; the projector on both
        ...     a = -jnp.ones((3, 3)) + jnp.diag(jnp.array([1.0, 1.0 + t, 1.0]))
        ...     w, v = pb.linalg.eigh(a)
        ...     return (v[:, 1:] @ v[:, 1:].T)[0, 1]
        >>> print(f"{jax.grad(occupied)(0.0):.6f}")
        0.037037
    """
    a = _checks.hermitian("eigh", _checks.inexact("eigh", a))
    check_tol(degeneracy_tol)
    return over_batch(partial(_eigh, degeneracy_tol), a, "(n,n)->(n),(n,n)")


def eigvalsh(a: Inexact[Array, "*batch n n"]) -> Float[Array, "*batch n"]:
    """Eigenvalues of a Hermitian matrix, ascending; derivatives as for `eigh`, whose limits it shares.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian.
    """
    a = _checks.hermitian("eigvalsh", _checks.inexact("eigvalsh", a))
    return over_batch(_eigvalsh, a, "(n,n)->(n)")


def blocks(w: Float[Array, " n"], tol: float | None) -> Shaped[Array, "n n"]:
    """True where levels i and j belong to one degenerate block: chains of neighbours closer than `tol`."""
    w = jax.lax.stop_gradient(w)
    threshold = jnp.sqrt(jnp.finfo(w.dtype).eps) * jnp.max(jnp.abs(w)) if tol is None else tol
    label = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(jnp.diff(w) > threshold)])
    return label[:, None] == label[None, :]


def solve_off_block(
    lam: Inexact[Array, "n n"], rhs: Inexact[Array, "n n"], same: Shaped[Array, "n n"], w: Float[Array, " n"]
) -> Inexact[Array, "n n"]:
    """X with X Λ − Λ X = rhs off the blocks and X = 0 on them; Λ = diag(w) in value, any matrix in derivative."""
    w = jax.lax.stop_gradient(w)
    gaps = jnp.where(same, 1, w[None, :] - w[:, None])

    def equation(x):
        return jnp.where(same, x, x @ lam - lam @ x)

    def solve(_, b):
        return b / gaps

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


def over_batch(fun, a, signature):
    return fun(a) if a.ndim == 2 else jnp.vectorize(fun, signature=signature)(a)


def check_tol(tol):
    if tol is not None and not tol >= 0:
        raise InputError(f"degeneracy_tol must be non-negative, got {tol}.")
