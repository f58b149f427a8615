r"""Schur decomposition with exact derivatives.

Mathematics. A = Z T Z† with Z unitary and T upper triangular. Write dZ = Z X with X anti-Hermitian and M = Z† dA Z.
From T = Z† A Z follows dT = M + T X − X T, which is zero below the diagonal:

    (X T − T X)_ij = M_ij    for i > j.

With T upper triangular these entries contain the lower triangle of X only; the upper one is minus its adjoint, and the
diagonal, the phases of the Schur vectors, is set to zero (parallel transport). For equal eigenvalues i and j the
equation is singular and X_ij is set to zero as well. As in `eigh` this is stated to JAX as one linear equation with T
kept as the full matrix Z† A Z, and solved column by column.

The real form of a real matrix has 2 × 2 blocks on the diagonal for pairs w, w̄. A unitary rotation inside the blocks
makes T triangular and leaves the region below the blocks alone, so that the same solver serves.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from pullback.core import InputError, complex_dtype
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._clusters import same_cluster
from pullback.linalg._sylvester import solve_columns
from pullback.linalg._units import in_units


def schur(
    a: Inexact[Array, "*batch n n"],
    output: Literal["real", "complex"] = "real",
    *,
    degeneracy_tol: float | None = None,
) -> tuple[Inexact[Array, "*batch n n"], Inexact[Array, "*batch n n"]]:
    r"""Schur decomposition a = z t z†: z unitary, t upper triangular with the eigenvalues on its diagonal.

    Derivatives are exact in every mode and order for functions that do not depend on the phases of the Schur vectors,
    such as projectors on the leading ones (on invariant subspaces); also where levels inside or outside of such a
    subspace are degenerate, as long as LAPACK puts equal ones side by side. For the real form the same is said of
    rotations inside a 2 × 2 block: they are transported in parallel, so that the derivative of a single vector of a
    block, or of the entries of t in its rows and columns, is that of another basis than LAPACK's.

    The Schur decomposition of JAX runs on CPUs.

    Args:
        a: square matrix, real or complex, any leading batch axes.
        output: "real": for real `a` a real t with a 2 × 2 block for each pair of complex eigenvalues; "complex": a
            triangular t always. Complex matrices have the latter only.
        degeneracy_tol: as in `eig`.

    Returns:
        t, z; the eigenvalues stand in LAPACK's order.

    Raises:
        InputError: `a` is not square, an unknown output, or (outside `jit`) not finite.
    """
    a = _checks.square("schur", a)
    _checks.degeneracy_tol(degeneracy_tol)
    if output not in ("real", "complex"):
        raise InputError(f"schur: output must be 'real' or 'complex', got {output!r}.")
    if output == "complex":
        a = a.astype(complex_dtype(a.dtype))
    t, z = over_batch(partial(_schur, degeneracy_tol), a, "(n,n)->(n,n),(n,n)")
    return jnp.where(jax.lax.stop_gradient(t) == 0, jnp.triu(t), t), z


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _schur(tol, a):
    """T = Z†AZ and Z. Below its blocks T is zero in value; in derivative it is so between distinct eigenvalues."""
    a, s = in_units(a)
    t, z = jax.scipy.linalg.schur(a, output="complex" if jnp.iscomplexobj(a) else "real")
    return t * s.astype(t.dtype), z


@_schur.defjvp
def _schur_jvp(tol, primals, tangents):
    (a,), (da,) = primals, tangents
    t, z = _schur(tol, a)
    m = z.conj().T @ da @ z
    s = in_units(a)[1]
    x = _solve_lower(t / s.astype(t.dtype), m / s.astype(t.dtype), None if tol is None else tol / s)
    x = x - x.conj().T
    return (t, z), (m + t @ x - x @ t, z @ x)


def _solve_lower(t, m, tol):
    """X, zero except below the blocks, with X T − T X = M there."""
    t0 = jax.lax.stop_gradient(t)
    if jnp.iscomplexobj(t):
        turn, triangular, w = jnp.eye(len(t), dtype=t.dtype), t0, jnp.diagonal(t0)
    else:
        turn = _rotation(t0)
        triangular = jnp.triu(turn.conj().T @ t0.astype(turn.dtype) @ turn)
        w = jnp.diagonal(triangular)
        w = jax.lax.complex(w.real, jnp.abs(w.imag))  # w and its conjugate make one block
    active = jnp.tril(~same_cluster(w, tol), -1)

    def equation(x):
        inside = jnp.where(active, x, 0)
        return jnp.where(active, inside @ t - t @ inside, x)

    def commutator_solve(turn, triangular, active, b):
        identity = jnp.eye(len(t), dtype=triangular.dtype)
        pairs = (identity, triangular), (-triangular, identity)
        x = solve_columns(pairs, turn.conj().T @ b.astype(turn.dtype) @ turn, active)
        x = turn @ x @ turn.conj().T
        return jnp.where(active, x if jnp.iscomplexobj(b) else x.real, b)

    def solve(_, b):
        return commutator_solve(turn, triangular, active, b)

    def transpose_solve(_, b):
        # X T^T − T^T X = B above; reversing the order of rows and columns makes T^T upper triangular.
        flip = (slice(None, None, -1),) * 2
        return commutator_solve(turn.conj()[flip], triangular.T[flip], active[flip], b[flip])[flip]

    return jax.lax.custom_linear_solve(equation, jnp.where(active, m, 0), solve, transpose_solve=transpose_solve)


def _rotation(t):
    """The unitary W, acting inside the 2 × 2 blocks [[a, b], [c, a]] of t, with W† t W upper triangular."""
    b, c = jnp.diagonal(t, 1), jnp.diagonal(t, -1)
    pair = c != 0
    mu = jnp.sqrt(jnp.where(pair, -b * c, 0))
    length = jnp.where(pair, jnp.hypot(b, mu), 1)
    same, other = jnp.where(pair, b / length, 0), jax.lax.complex(jnp.zeros_like(mu), jnp.where(pair, mu / length, 0))
    zero = jnp.zeros(1, bool)
    single = ~(jnp.concatenate([pair, zero]) | jnp.concatenate([zero, pair]))
    diagonal = (jnp.where(single, 1, 0) + jnp.pad(same, (0, 1)) + jnp.pad(same, (1, 0))).astype(other.dtype)
    return jnp.diag(diagonal) + jnp.diag(other, 1) + jnp.diag(other, -1)
