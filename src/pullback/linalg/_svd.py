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

Sources: F. Wan, S. Zhang, arXiv:1909.02659 (complex matrices); M. Giles (2008).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pullback.linalg import _checks
from pullback.linalg._eigh import blocks, check_tol, over_batch


def svd(
    a: Inexact[Array, "*batch m n"], *, full_matrices: bool = False, degeneracy_tol: float | None = None
) -> tuple[Inexact[Array, "*batch m k1"], Float[Array, "*batch k"], Inexact[Array, "*batch k2 n"]]:
    r"""Singular value decomposition, a = u diag(s) vh, s descending; thin unless `full_matrices`.

    Derivatives are exact in every mode and order for functions that depend neither on the choice of basis inside a
    degenerate block (common rotations of u and v) nor on that in the null spaces (separate rotations): projectors on
    groups of singular vectors, polar factors, low-rank approximations, entanglement entropies. What is said of
    functions of the values in `eigh` holds here.

    Args:
        a: matrix, real or complex, any leading batch axes.
        full_matrices: return square u and vh; the added columns span the null spaces, and projectors on them have
            exact derivatives.
        degeneracy_tol: neighbouring singular values closer than this are treated as one. Default
            sqrt(eps) * max(s).

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.inexact("svd", a)
    _checks.matrix("svd", a)
    _checks.finite("svd", a)
    check_tol(degeneracy_tol)
    fun = partial(_svd, degeneracy_tol, full_matrices)
    return over_batch(fun, a, "(m,n)->(m,k),(l),(o,n)")


def svdvals(a: Inexact[Array, "*batch m n"]) -> Float[Array, "*batch k"]:
    """Singular values, descending; derivatives as for `svd`. A zero singular value has a kink, and derivative 0 there.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    return svd(a)[1]


def _svd(tol, full, a):
    if a.shape[0] >= a.shape[1]:
        u, s, v = _svd_tall(tol, full, a)
        return u, s, v.conj().T
    v, s, u = _svd_tall(tol, full, a.conj().T)
    return u, s, v.conj().T


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _svd_tall(tol, full, a):
    """The decomposition of a matrix with m >= n; u is square if `full`."""
    u, s, vh = jnp.linalg.svd(a, full_matrices=full)
    return u, s, vh.conj().T


@_svd_tall.defjvp
def _svd_tall_jvp(tol, full, primals, tangents):
    (a,), (da,) = primals, tangents
    u, s, v = _svd_tall(tol, full, a)
    u, complement = u[:, : s.size], u[:, s.size :]
    sigma, rest = _split(u, a @ v)
    m, outside = _split(u, da @ v)
    x, y, z = _solve(u, sigma, rest, m, outside, s, tol)
    du = u @ x + z
    if full:
        du = jnp.concatenate([du, -u @ (z.conj().T @ complement)], axis=1)
        u = jnp.concatenate([u, complement], axis=1)
    return (u, s, v), (du, jnp.diagonal(m).real, v @ y)


def _split(u, z):
    """Components of z in the span of u, and the part outside."""
    inside = u.conj().T @ z
    return inside, z - u @ inside


def _solve(u, sigma, rest, m, outside, s, tol):
    """X, Y and Z of the module's docstring."""
    s, u0 = jax.lax.stop_gradient((s, u))
    zero = 16 * len(u) * jnp.finfo(s.dtype).eps * jnp.max(s)  # singular values below are zeros of the arithmetic
    same = blocks(-s, tol)
    gaps, sums = s[None, :] - s[:, None], s[None, :] + s[:, None]
    null, null_column = sums <= zero, s <= zero
    gaps, sums, s0 = jnp.where(same, 1, gaps), jnp.where(null, 1, sums), jnp.where(null_column, 1, s)

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
