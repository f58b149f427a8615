r"""Pfaffians with exact derivatives, also where they vanish.

Value. Skew-symmetric elimination, A = P^T L T L^T P with T = ⊕ [[0, p_k], [−p_k, 0]], so that Pf A = det P Π p_k. Each
step swaps the largest entry that is left to the pivot's place (complete pivoting) and subtracts a rank-two matrix.

Derivative. d Pf A = ½ Pf A tr(A^-1 dA) is 0 · ∞ at a singular matrix. As for `det`, the Pfaffian is therefore written,
for the derivatives, in a form that is exact and smooth and free of small divisors. With the permutation P held constant

    P A P^T = [[B, C], [−C^T, E]],      Pf A = det P Pf B Pf(E + C^T B^-1 C),

where E is what the pivoting left to the last: 4 × 4. The last factor is a polynomial, whatever it is at the point; B
is as well conditioned as A lets it be, and singular only at rank below n − 4, where the first two derivatives are zero.

Sources: M. Wimmer, arXiv:1102.3440 (skew-symmetric elimination); J. R. Bunch, Math. Comp. 38, 475 (1982) (pivoting).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.lax.linalg import triangular_solve
from jaxtyping import Array, Float, Inexact

from pullback.core import InputError, vary_like
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch

_SMALL = 4


def pfaffian(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch"]:
    r"""Pfaffian of a skew-symmetric matrix (a^T = −a, also if complex): Pf(a)² = det(a), Pf([[0, 1], [−1, 0]]) = 1.

    Derivatives are exact to every order at matrices of rank n − 4 and above, also where the Pfaffian is zero; below
    that rank to second order. Time O(n³). For large n, where the value leaves the range of floating point, use
    `slogpfaffian`.

    Args:
        a: skew-symmetric matrix, real or complex, any leading batch axes; the skew-symmetric part is used. For odd n
            the Pfaffian is 0.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not skew-symmetric.

    Examples:
        The 2 × 2 board has two coverings by dominoes (Kasteleyn): one of the four edges gets the other sign.

        >>> import jax.numpy as jnp, pullback as pb
        >>> k = jnp.array([[0, 1, 1, 0], [0, 0, 0, -1], [0, 0, 0, 1], [0, 0, 0, 0]], float)
        >>> print(abs(pb.linalg.pfaffian(k - k.T)))
        2.0
    """
    return over_batch(_pfaffian, _skew("pfaffian", a), "(n,n)->()")


def slogpfaffian(a: Inexact[Array, "*batch n n"]) -> tuple[Inexact[Array, "*batch"], Float[Array, "*batch"]]:
    r"""Sign (or phase) of the Pfaffian, and the logarithm of its modulus: Pf a = sign * exp(logabs).

    A singular matrix has sign 0 and logabs −inf, as in `slogdet`, and no derivative there: use `pfaffian`.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not skew-symmetric.
    """
    return over_batch(_slogpfaffian, _skew("slogpfaffian", a), "(n,n)->(),()")


@jax.custom_jvp
def _pfaffian(a):
    sign, _, pivots, _ = _eliminate(a)
    return sign * jnp.prod(pivots)


@_pfaffian.defjvp
def _pfaffian_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    if len(a) % 2:
        return jnp.zeros((), a.dtype), jnp.zeros((), a.dtype)
    sign, order, *factors = _eliminate(jax.lax.stop_gradient(a))
    slope = jax.jvp(lambda a: _by_blocks(a[order][:, order], *factors), (a,), (da,))[1]
    return _pfaffian(a), sign * slope


@jax.custom_jvp
def _slogpfaffian(a):
    sign, _, pivots, _ = _eliminate(a)
    size = jnp.abs(pivots)
    phases = jnp.where(size > 0, pivots / jnp.where(size > 0, size, 1).astype(a.dtype), 0)
    return sign * jnp.prod(phases), jnp.sum(jnp.log(size))


@_slogpfaffian.defjvp
def _slogpfaffian_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    sign, logabs = _slogpfaffian(a)
    slope = jnp.trace(jnp.linalg.solve(a, da)) / 2
    zero = jnp.zeros_like(slope.real)
    turn = sign * jax.lax.complex(zero, slope.imag) if jnp.iscomplexobj(a) else zero
    return (sign, logabs), (turn, slope.real)


def _eliminate(a):
    """(det P, P, p, L) with a[P][:, P] = L T L^T. For odd n a zero pivot stands for the last row."""
    n = len(a)
    rows = jnp.arange(n)

    def swap(i, j, a, order, sign):
        new = rows.at[i].set(j).at[j].set(i)
        return a[new][:, new], order[new], jnp.where(i == j, sign, -sign)

    def step(k, carry):
        a, order, sign, pivots = carry
        i = 2 * k
        left = (rows[:, None] >= i) & (rows[None, :] >= i)
        p, q = jnp.unravel_index(jnp.argmax(jnp.where(left, jnp.abs(a), -1)), a.shape)
        p, q = jnp.minimum(p, q), jnp.maximum(p, q)  # the first swap leaves q where it is
        a, order, sign = swap(i, p, a, order, sign)
        a, order, sign = swap(i + 1, q, a, order, sign)
        pivot = a[i, i + 1]
        below = rows > i + 1
        x, y = jnp.where(below, a[:, i], 0), jnp.where(below, a[:, i + 1], 0)
        divisor = jnp.where(pivot == 0, 1, pivot)
        columns = jnp.stack([y, -x], axis=1) / divisor
        a = a + jnp.outer(columns[:, 0], x) + jnp.outer(columns[:, 1], y)
        a = jax.lax.dynamic_update_slice(a, columns, (0, i))
        return a, order, sign, pivots.at[k].set(pivot)

    start = vary_like((a, rows, jnp.ones((), a.dtype), jnp.zeros((n + 1) // 2, a.dtype)))
    a, order, sign, pivots = jax.lax.fori_loop(0, n // 2, step, start)
    return sign, order, pivots, jnp.tril(a, -1) + jnp.eye(n, dtype=a.dtype)


def _by_blocks(a, pivots, lower):
    """pf(a) for an `a` that is L T L^T in value."""
    k = max(len(a) - _SMALL, 0)
    if k == 0:
        return _polynomial(a)
    # Squares of 1/p must not overflow: what is smaller stands for rank < n − 4.
    regular = jnp.min(jnp.abs(pivots[: k // 2])) > jnp.sqrt(jnp.finfo(a.dtype).tiny)
    p = jnp.where(regular, pivots[: k // 2], 1)
    lower = jnp.where(regular, lower[:k, :k], jnp.eye(k, dtype=a.dtype))
    unit = jnp.kron(jnp.eye(k // 2, dtype=a.dtype), jnp.array([[0, 1], [-1, 0]], a.dtype))
    b = jnp.where(regular, a[:k, :k], unit)
    schur = a[k:, k:] - a[k:, :k] @ _solve(b, p, lower, a[:k, k:])
    return jnp.where(regular, _regular(b, p, lower) * _polynomial(schur), 0)


@jax.custom_jvp
def _regular(b, pivots, lower):
    """pf(b) for a regular `b` that is L T L^T in value."""
    del b, lower
    return jnp.prod(pivots)


@_regular.defjvp
def _regular_jvp(primals, tangents):
    b, pivots, lower = primals
    out = _regular(b, pivots, lower)
    return out, out * jnp.trace(_solve(b, pivots, lower, tangents[0])) / 2


def _solve(b, pivots, lower, rhs):
    """b^-1 rhs for a `b` that is L T L^T in value."""

    def solve(_, y):
        y = triangular_solve(lower, y, left_side=True, lower=True, unit_diagonal=True)
        p = pivots[:, None]
        y = jnp.stack([-y[1::2] / p, y[::2] / p], axis=1).reshape(y.shape)
        return triangular_solve(lower, y, left_side=True, lower=True, unit_diagonal=True, transpose_a=True)

    return jax.lax.custom_linear_solve(lambda x: b @ x, rhs, solve, transpose_solve=lambda _, y: -solve(_, y))


def _polynomial(a):
    """The Pfaffian of two or four rows."""
    if len(a) == 2:
        return a[0, 1]
    return a[0, 1] * a[2, 3] - a[0, 2] * a[1, 3] + a[0, 3] * a[1, 2]


def _skew(name, a):
    """The skew-symmetric part of `a`, after checking that it has no other part worth naming."""
    a = _checks.square(name, a)
    transposed = jnp.swapaxes(a, -1, -2)
    if not isinstance(a, Tracer):
        scale, symmetric = (float(np.abs(np.asarray(z)).max(initial=0)) for z in (a, a + transposed))
        if symmetric > 1e3 * np.sqrt(np.finfo(a.dtype).eps) * scale:
            raise InputError(
                f"{name} needs a skew-symmetric matrix, but max|a + a^T| = {symmetric:.2e} at max|a| = {scale:.2e}. "
                "Pass (a - a.T)/2 if that is what is meant."
            )
    # Pivoting could leave a NaN behind, on the diagonal for instance.
    bad = jnp.isnan(a).any(axis=(-2, -1), keepdims=True)
    return jnp.where(bad, jnp.nan, (a - transposed) / 2)
