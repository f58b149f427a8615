r"""The lowest eigenpairs of a real symmetric tridiagonal matrix in O(n), with O(n) derivatives.

Values by multisection of Sturm sequences, vectors by inverse iteration (Barth, Martin, Wilkinson, Numer. Math. 9,
386 (1967); Parlett, The Symmetric Eigenvalue Problem, ch. 3-4).

Derivatives. With V (n, k) the selected vectors, Λ = V^T T V and M = V^T dT V, write dV = V X + Y with V^T Y = 0:

    X Λ − Λ X = M           off degenerate blocks, X = 0 on them    (as in `eigh`),
    P (T Y − Y Λ) = −P dT V                 with P = 1 − V V^T.

In value Λ is diagonal and the second equation falls apart into k tridiagonal solves with T − w_j, singular only
along v_j, which P removes. Both are stated to JAX as equations (`custom_linear_solve`), so that every mode and order
follows; only the gap between the selected levels and the others must be open.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.lax.linalg import tridiagonal_solve
from jaxtyping import Array, Float

from pullback.core import InputError, vary_like, whole_number
from pullback.linalg import _checks
from pullback.linalg._eigh import blocks, solve_off_block


def eigh_tridiagonal(
    d: Float[Array, "*batch n"],
    e: Float[Array, "*batch m"],
    k: int | None = None,
    *,
    degeneracy_tol: float | None = None,
) -> tuple[Float[Array, "*batch k"], Float[Array, "*batch n k"]]:
    """The k lowest eigenvalues and eigenvectors of the real symmetric matrix with diagonal `d`, off-diagonal `e`.

    Time O(n k) for the pairs (plus O(n k²) to keep them orthogonal) and O(n k) for a derivative, where the dense
    solver takes O(n³). What is said of degenerate levels in `eigh` holds here.

    Args:
        d: diagonal, n real numbers.
        e: off-diagonal, n − 1 real numbers.
        k: how many of the lowest pairs; all when None.
        degeneracy_tol: as in `eigh`.

    Returns:
        w: the k lowest eigenvalues, ascending. v: their eigenvectors as columns; their signs are not fixed.

    Raises:
        InputError: shapes that do not fit, k outside 1 … n, complex or (outside `jit`) non-finite input.

    Examples:
        The particle in a box on 4 points, H = 2 − (hop left + hop right).

        >>> import jax.numpy as jnp, pullback as pb
        >>> w, v = pb.linalg.eigh_tridiagonal(2 * jnp.ones(4), -jnp.ones(3), 1)
        >>> print(f"{w[0]:.12f} {2 - 2 * jnp.cos(jnp.pi / 5):.12f}")
        0.381966011250 0.381966011250
    """
    d, e = _checks.inexact("eigh_tridiagonal", d), _checks.inexact("eigh_tridiagonal", e)
    n = d.shape[-1] if d.ndim else 0
    if n == 0 or e.ndim == 0 or e.shape[-1] != n - 1:
        raise InputError(
            "eigh_tridiagonal needs a diagonal of n >= 1 and an off-diagonal of n - 1 entries; "
            f"got shapes {d.shape} and {e.shape}."
        )
    k = n if k is None else whole_number("eigh_tridiagonal", "k", k)
    if not 1 <= k <= n:
        raise InputError(f"eigh_tridiagonal: k must be between 1 and n = {n}, got {k}.")
    dtype = jnp.result_type(d, e)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise InputError("eigh_tridiagonal needs real d and e; use eigh for complex matrices.")
    _checks.degeneracy_tol(degeneracy_tol)
    fun = partial(_eigh_tridiagonal, k, degeneracy_tol)
    d, e = vary_like((d.astype(dtype), e.astype(dtype)))
    if d.ndim == e.ndim == 1:
        return fun(d, e)
    return jnp.vectorize(fun, signature="(n),(m)->(k),(n,k)")(d, e)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _eigh_tridiagonal(k, tol, d, e):
    # In units of the largest entry, whose square neither overflows nor underflows.
    scale = _largest(d, e)
    d, e = d / scale, e / scale
    w = _multisection(d, e, k)
    v = _inverse_iteration(d, e, w)
    # The Rayleigh quotient is accurate to the square of the vector's error.
    return scale * jnp.sum(v * _apply(d, e, v), axis=0), v


@_eigh_tridiagonal.defjvp
def _eigh_tridiagonal_jvp(k, tol, primals, tangents):
    (d, e), (dd, de) = primals, tangents
    w, v = _eigh_tridiagonal(k, tol, d, e)
    scale, same = _largest(d, e), blocks(w, tol)
    # Vectors do not depend on the units, and the equation below mixes T y with y.
    d, e, dd, de, w0 = (x / scale for x in (d, e, dd, de, w))
    dt_v = _apply(dd, de, v)
    m = v.T @ dt_v
    lam = v.T @ _apply(d, e, v)
    dv = v @ solve_off_block(lam, m, same, w0)
    if k < d.size:
        dv = dv - _solve_off_span(d, e, w0, v, lam, dt_v)
    return (w, v), (scale * jnp.diagonal(m), dv)


def _largest(d, e):
    """The largest entry, a constant; 1 if all are zero."""
    largest = jax.lax.stop_gradient(jnp.maximum(jnp.max(jnp.abs(d)), jnp.max(jnp.abs(e), initial=0)))
    return jnp.where(largest > 0, largest, 1)


def _apply(d, e, v):
    """T v for columns v (n, k)."""
    e = e[:, None]
    out = d[:, None] * v
    return out.at[1:].add(e * v[:-1]).at[:-1].add(e * v[1:])


def _solve_off_span(d, e, w, v, lam, rhs):
    """Y with P (T Y − Y Λ) = P rhs and V^T Y = 0."""

    def project(v, y):
        return y - v @ (v.T @ y)

    def equation(y):
        y_out = project(v, y)
        return project(v, _apply(d, e, y_out) - y_out @ lam) + y - y_out

    d0, e0, w0, v0 = jax.lax.stop_gradient((d, e, w, v))

    def solve(_, b):
        # Rounding along v_j is amplified to the size of the answer at most, and projected out.
        b_out = project(v0, b)
        y = project(v0, _shifted_solve(d0, e0, w0, b_out))
        residual = b_out - project(v0, _apply(d0, e0, y) - y * w0[None, :])
        return y + project(v0, _shifted_solve(d0, e0, w0, residual)) + b - b_out

    return jax.lax.custom_linear_solve(equation, project(v, rhs), solve, transpose_solve=solve)


def _shifted_solve(d, e, w, b):
    """Columns (T − w_j)^{-1} b_j; zero pivots are perturbed by rounding, as inverse iteration wants."""
    k, zero = w.size, jnp.zeros(1, d.dtype)
    lower = jnp.broadcast_to(jnp.concatenate([zero, e]), (k, d.size))
    upper = jnp.broadcast_to(jnp.concatenate([e, zero]), (k, d.size))
    return tridiagonal_solve(lower, d[None, :] - w[:, None], upper, b.T[..., None], perturb_singular=True)[..., 0].T


def _multisection(d, e, k):
    """The k lowest eigenvalues to rounding of |T|: every sweep counts the levels below several points at once."""
    eps, tiny = float(jnp.finfo(d.dtype).eps), float(jnp.finfo(d.dtype).tiny)
    e2 = jnp.concatenate([jnp.zeros(1, d.dtype), e * e])
    radius = jnp.abs(jnp.concatenate([e, jnp.zeros(1, d.dtype)])) + jnp.sqrt(e2)
    low, high = jnp.min(d - radius), jnp.max(d + radius)
    pivot_min = tiny * jnp.maximum(1, jnp.max(e2))
    margin = 2 * eps * jnp.maximum(jnp.abs(low), jnp.abs(high)) + 2 * pivot_min
    points = max(3, 64 // k)  # lanes enough to fill the vector units
    sweeps = math.ceil(-math.log2(eps) / math.log2(points + 1)) + 1
    fractions = jnp.arange(1, points + 1, dtype=d.dtype) / (points + 1)
    level = jnp.arange(k, dtype=jnp.int32)[:, None]

    def levels_below(x):
        def row(carry, de2):
            q, count = carry
            q = de2[0] - x - de2[1] / q
            q = jnp.where(jnp.abs(q) < pivot_min, -pivot_min, q)
            return (q, count + (q < 0).astype(count.dtype)), None

        start = jnp.ones_like(x), vary_like(jnp.zeros(x.shape, jnp.int32), x)
        return jax.lax.scan(row, start, (d, e2), unroll=8)[0][1]

    def sweep(_, bracket):
        a, b = bracket
        x = a[:, None] + (b - a)[:, None] * fractions[None, :]
        below = levels_below(x) <= level
        return jnp.max(jnp.where(below, x, a[:, None]), axis=1), jnp.min(jnp.where(below, b[:, None], x), axis=1)

    start = jnp.full(k, low - margin), jnp.full(k, high + margin)
    a, b = jax.lax.fori_loop(0, sweeps, sweep, start)
    return (a + b) / 2


def _inverse_iteration(d, e, w, steps=3):
    v = vary_like(jax.random.normal(jax.random.key(0), (d.size, w.size), d.dtype), d, e)

    def step(_, v):
        v = _shifted_solve(d, e, w, v)
        return jnp.linalg.qr(v / jnp.linalg.norm(v, axis=0, keepdims=True))[0]

    return jax.lax.fori_loop(0, steps, step, v)
