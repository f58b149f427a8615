r"""Singular value decomposition with exact derivatives at degenerate and zero singular values.

Mathematics, for m >= n (else the adjoint matrix is decomposed). A(t) = U Σ V†, U thin, V square. Write
dU = U X + Z and dV = V Y with X, Y anti-Hermitian and U† Z = 0, and M = U† dA V, P = 1 − U U†. Then, with
Σ = U† A V and R = P A V kept as matrices (R is zero in value),

    X Σ − Σ Y = M,     Y Σ† − Σ† X − R† Z = M†     up to the diagonal part dΣ,      Z Σ − R Y = P dA V.

In terms of T = X + Y and D = X − Y the first two read, in value (Σ = diag s),

    T_ij (s_j − s_i) = M_ij + M̄_ji,       D_ij (s_j + s_i) = M_ij − M̄_ji.

T is free inside a block of equal singular values (a common rotation of U and V; zero is chosen: parallel transport).
D never is, but for zero singular values, where U and V rotate separately (zero again). Columns of Z that belong to zero
singular values are free too. The diagonal of D is the phase term of complex matrices.

As in `eigh` this is stated as one linear equation for (T, D, Z) through `custom_linear_solve`, and JAX differentiates
the equation. R matters from second order on: when a singular value leaves zero, A V leaves the span of U.

When only the first k triplets are wanted, the bases of the two discarded spaces are free as well: T and D are zero
between discarded columns, and so is Z on them. The discarded space still responds (it is what the kept vectors mix
with), but gaps inside it no longer appear, however small.

Sources: F. Wan, S. Zhang, arXiv:1909.02659 (complex matrices); J. Naumann et al., arXiv:2311.11894 (truncation);
M. Giles (2008).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Inexact

from pullback.core import InputError, whole_number
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._eigh import blocks


def svd(
    a: Inexact[Array, "*batch m n"], *, full_matrices: bool = False, degeneracy_tol: float | None = None
) -> tuple[Inexact[Array, "*batch m k1"], Float[Array, "*batch k"], Inexact[Array, "*batch k2 n"]]:
    r"""Singular value decomposition, a = u diag(s) vh, s descending; thin unless `full_matrices`.

    Derivatives are exact in every mode and order for functions that depend neither on the choice of basis inside a
    degenerate block (common rotations of u and v) nor on that in the null spaces (separate rotations): projectors on
    groups of singular vectors, polar factors, low-rank approximations. What is said of functions of the values in
    `eigh` holds here: an entanglement entropy has an exact gradient, its second derivatives at degenerate values need
    `funmh` of a†a.

    Args:
        a: matrix, real or complex, any leading batch axes.
        full_matrices: return square u and vh; the added columns span the null spaces, and projectors on them have
            exact derivatives.
        degeneracy_tol: neighbouring singular values closer than this are treated as one. Default
            sqrt(eps) * max(s).

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("svd", a)
    _checks.degeneracy_tol(degeneracy_tol)
    fun = partial(decompose, degeneracy_tol, full_matrices, Keep())
    return over_batch(fun, a, "(m,n)->(m,k),(l),(o,n)")


def svdvals(a: Inexact[Array, "*batch m n"]) -> Float[Array, "*batch k"]:
    """Singular values, descending; derivatives as for `svd`.

    A zero singular value has a kink. What is returned there is one of its subgradients, Re u† dA v with the vectors
    that LAPACK chose.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    return svd(a)[1]


def svd_truncated(
    a: Inexact[Array, "*batch m n"],
    rank: int | None = None,
    *,
    cutoff: float | None = None,
    degeneracy_tol: float | None = None,
) -> tuple[Inexact[Array, "*batch m k"], Float[Array, "*batch k"], Inexact[Array, "*batch k n"]]:
    r"""The `rank` largest singular values and their vectors, a ~ u diag(s) vh.

    Derivatives are the exact ones of the truncated factors: the discarded space contributes, and neither its gaps nor
    its zeros do harm. A multiplet that is cut by `rank` has no unique truncation; derivatives are finite there
    (its members are transported in parallel), but belong to the choice that LAPACK made.

    Args:
        a: matrix, real or complex, any leading batch axes.
        rank: how many to keep.
        cutoff: instead of `rank`: keep the singular values above cutoff * max(s), at least one. The number of
            columns then depends on values, so this works outside `jit` and for a single matrix only.
        degeneracy_tol: as in `svd`.

    Raises:
        InputError: rank larger than min(m, n) or not positive; not exactly one of rank and cutoff; `cutoff` under
            `jit`; `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("svd_truncated", a)
    _checks.degeneracy_tol(degeneracy_tol)
    if cutoff is not None and rank is None:
        rank = _rank_above(a, cutoff)
    elif rank is None or cutoff is not None:
        raise InputError("svd_truncated needs either rank or cutoff.")
    rank = check_rank("svd_truncated", a, rank)

    def truncated(a):
        u, s, vh = decompose(degeneracy_tol, False, Keep(rank=rank), a)
        return u[:, :rank], s[:rank], vh[:rank]

    return over_batch(truncated, a, "(m,n)->(m,k),(k),(k,n)")


def low_rank(a: Inexact[Array, "*batch m n"], rank: int) -> Inexact[Array, "*batch m n"]:
    """The best approximation of `a` of the given rank, Σ_{i<rank} u_i s_i v_i† (Eckart, Young).

    Exact derivatives in every mode and order wherever s[rank-1] > s[rank], whatever the spectrum is otherwise.

    Raises:
        InputError: rank larger than min(m, n) or not positive; `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("low_rank", a)
    rank = check_rank("low_rank", a, rank)

    def approximation(a):
        u = decompose(None, False, Keep(rank=rank, as_one=True), a)[0][:, :rank]
        return u @ (u.conj().T @ a)

    return over_batch(approximation, a, "(m,n)->(m,n)")


def check_rank(name: str, a: Array, rank: int) -> int:
    """`rank` as a Python integer."""
    rank = whole_number(name, "rank", rank)
    limit = min(a.shape[-2:])
    if not 1 <= rank <= limit:
        raise InputError(f"{name}: rank must be from 1 to min(m, n) = {limit} for shape {a.shape}, got {rank}.")
    return rank


def _rank_above(a, cutoff):
    if isinstance(a, Tracer) or a.ndim != 2:
        raise InputError(
            "svd_truncated: with cutoff the number of columns depends on values, so it needs one matrix "
            "outside jit, vmap and grad; pass rank there."
        )
    s = np.linalg.svd(np.asarray(a), compute_uv=False)
    return max(1, int(np.sum(s > cutoff * s[0])))


class Keep(NamedTuple):
    """Which singular triplets matter: the first `rank`, or those with s > rtol * max(s), or all.

    `as_one`: only for functions that no common rotation of the kept u and v changes (u v†, projectors). The kept
    triplets are then one block, and gaps between them, by which derivatives otherwise divide, do not appear.
    """

    rank: int | None = None
    rtol: float | None = None
    as_one: bool = False

    def __call__(self, s: Float[Array, " n"]) -> Bool[Array, " n"]:
        if self.rtol is not None:
            return s > self.rtol * jnp.max(s)
        return jnp.arange(s.size) < (s.size if self.rank is None else self.rank)


def decompose(
    tol: float | None, full: bool, keep: Keep, a: Inexact[Array, "m n"]
) -> tuple[Inexact[Array, "m k1"], Float[Array, " k"], Inexact[Array, "k2 n"]]:
    """The decomposition of one matrix, with derivatives of functions that see the triplets of `keep` only."""
    if a.shape[0] >= a.shape[1]:
        u, s, v = _svd_tall(tol, full, keep, a)
        return u, s, v.conj().T
    v, s, u = _svd_tall(tol, full, keep, a.conj().T)
    return u, s, v.conj().T


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _svd_tall(tol, full, keep, a):
    """The decomposition of a matrix with m >= n; u is square if `full`."""
    del tol, keep
    u, s, vh = jnp.linalg.svd(a, full_matrices=full)
    return u, s, vh.conj().T


@_svd_tall.defjvp
def _svd_tall_jvp(tol, full, keep, primals, tangents):
    (a,), (da,) = primals, tangents
    u, s, v = _svd_tall(tol, full, keep, a)
    u, complement = u[:, : s.size], u[:, s.size :]
    sigma, rest = _split(u, a @ v)
    m, outside = _split(u, da @ v)
    x, y, z = _solve(u, sigma, rest, m, outside, s, tol, keep)
    du = u @ x + z
    if full:
        du = jnp.concatenate([du, -u @ (z.conj().T @ complement)], axis=1)
        u = jnp.concatenate([u, complement], axis=1)
    return (u, s, v), (du, jnp.diagonal(m).real, v @ y)


def _split(u, z):
    """Components of z in the span of u, and the part outside."""
    inside = u.conj().T @ z
    return inside, z - u @ inside


def _solve(u, sigma, rest, m, outside, s, tol, keep):
    """X, Y and Z of the module's docstring."""
    s, u0 = jax.lax.stop_gradient((s, u))
    # In units of the largest singular value: Z along u and Z outside it are of different dimension.
    scale = jnp.where(s[0] > 0, s[0], 1)
    s, sigma, rest, m, outside = (x / scale.astype(x.dtype) for x in (s, sigma, rest, m, outside))
    tol = None if tol is None else tol / scale
    zero = 16 * len(u) * jnp.finfo(s.dtype).eps * jnp.max(s)  # singular values below are zeros of the arithmetic
    kept = keep(s)
    dropped = ~kept
    both_dropped = dropped[:, None] & dropped[None, :]
    one_block = kept[:, None] & kept[None, :] if keep.as_one else blocks(-s, tol)
    gaps, sums = s[None, :] - s[:, None], s[None, :] + s[:, None]
    same = one_block | both_dropped
    null, null_column = (sums <= zero) | both_dropped, ((s <= zero) | dropped)[None, :]
    gaps, sums, s0 = jnp.where(same, 1, gaps), jnp.where(null, 1, sums), jnp.where(null_column, 1, s[None, :])
    gaps, sums, s0 = (x.astype(m.dtype) for x in (gaps, sums, s0))

    def equation(tdz):
        t, d, z = tdz
        x, y = (t + d) / 2, (t - d) / 2
        along, z_out = _split(u, z)
        first = x @ sigma - sigma @ y
        second = y @ sigma.conj().T - sigma.conj().T @ x - rest.conj().T @ z_out
        third = _split(u, z_out @ sigma - rest @ y)[1] + u @ along
        return (
            jnp.where(same, t, first + second),
            jnp.where(null, d, first - second),
            jnp.where(null_column, z, third),
        )

    def solve(_, b):
        along, out = _split(u0, b[2])
        return b[0] / gaps, b[1] / sums, jnp.where(null_column, b[2], out / s0 + u0 @ along)

    def transpose_solve(_, b):
        along, out = _split(u0.conj(), b[2])
        return b[0] / gaps, b[1] / sums, jnp.where(null_column, b[2], out / s0 + u0.conj() @ along)

    mh = m.conj().T
    rhs = jnp.where(same, 0, m + mh), jnp.where(null, 0, m - mh), jnp.where(null_column, 0, outside)
    t, d, z = jax.lax.custom_linear_solve(equation, rhs, solve, transpose_solve=transpose_solve)
    return (t + d) / 2, (t - d) / 2, z
