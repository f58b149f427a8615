r"""Polar decomposition, pseudo-inverse and least squares, from one singular value decomposition.

All three depend on no basis inside the singular spaces, so they inherit exact derivatives from `decompose`. The
derivative of a pseudo-inverse of rank r < min(m, n) is that of pinv(low_rank(a, r)): A⁺ itself jumps when the rank
grows, and the component of dA that would raise it (from the null space of A to that of A†) is projected out, as in

    dA⁺ = −A⁺ dA A⁺ + A⁺A⁺† dA† (1 − AA⁺) + (1 − A⁺A) dA† A⁺†A⁺

(G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973)), which here follows to every order.
"""

from functools import partial
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int

from pullback.core import InputError
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._svd import Keep, decompose


def polar(
    a: Inexact[Array, "*batch m n"], side: Literal["right", "left"] = "right"
) -> tuple[Inexact[Array, "*batch m n"], Inexact[Array, "*batch k k"]]:
    """Polar decomposition: a = u p with p = (a† a)^½ (side "right"), or a = p u with p = (a a†)^½ ("left").

    u has orthonormal columns (m >= n) or rows (m <= n). Derivatives are exact at degenerate singular values. Where
    `a` loses rank u is not unique; the response of its free part is taken as zero there.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite; unknown side.
    """
    a = _checks.matrix("polar", a)
    if side not in ("right", "left"):
        raise InputError(f"polar: side must be 'right' or 'left', got {side!r}.")
    return over_batch(partial(_polar, side), a, "(m,n)->(m,n),(k,k)")


def pinv(a: Inexact[Array, "*batch m n"], rtol: float | None = None) -> Inexact[Array, "*batch n m"]:
    """The pseudo-inverse (Moore, Penrose); singular values up to rtol * max(s) count as zero.

    Args:
        a: matrix, real or complex, any leading batch axes.
        rtol: default max(m, n) * eps.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("pinv", a)
    return over_batch(partial(_pinv, _tolerance(a, rtol)), a, "(m,n)->(n,m)")


def lstsq(
    a: Inexact[Array, "m n"], b: Inexact[Array, "m *k"], rcond: float | None = None
) -> tuple[Inexact[Array, "n *k"], Float[Array, "*r"], Int[Array, ""], Float[Array, " q"]]:
    """The x of smallest norm that minimises |a x − b|; exact derivatives also where `a` is rank deficient.

    Args:
        a: matrix of any shape.
        b: right-hand side, or several as columns.
        rcond: singular values up to rcond * max(s) count as zero. Default max(m, n) * eps.

    Returns:
        (x, residuals, rank, s) as NumPy; residuals |a x − b|² for each column of b are given at every rank.

    Raises:
        InputError: shapes that do not fit; (outside `jit`) not finite.
    """
    a, b = _checks.matrix("lstsq", a), _checks.inexact("lstsq", b)
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise InputError(f"lstsq needs shapes (m, n) and (m,) or (m, k), got {a.shape} and {b.shape}.")
    tolerance = _tolerance(a, rcond)
    u, s, vh = decompose(None, False, Keep(rtol=tolerance, as_one=True), a)
    x = _inverse(a, u, s, vh, tolerance) @ b
    return x, jnp.sum(jnp.abs(a @ x - b) ** 2, axis=0), jnp.sum(Keep(rtol=tolerance)(s)), s


def _polar(side, a):
    u, _, vh = decompose(None, False, Keep(as_one=True), a)
    unitary = u @ vh
    p = unitary.conj().T @ a if side == "right" else a @ unitary.conj().T
    return unitary, (p + p.conj().T) / 2


def _pinv(rtol, a):
    return _inverse(a, *decompose(None, False, Keep(rtol=rtol, as_one=True), a), rtol)


def _inverse(a, u, s, vh, rtol):
    keep = Keep(rtol=rtol)(s)
    u, v = jnp.where(keep[None, :], u, 0), jnp.where(keep[None, :], vh.conj().T, 0)
    # Diagonal in value; inside a degenerate block its derivative is not.
    sigma = u.conj().T @ a @ v + jnp.diag(jnp.where(keep, 0, 1).astype(a.dtype))
    return v @ jnp.linalg.solve(sigma, u.conj().T)


def _tolerance(a, rtol):
    if rtol is None:
        return max(a.shape[-2:]) * float(jnp.finfo(a.dtype).eps)
    if not 0 <= rtol < 1:
        raise InputError(f"the relative tolerance for zero singular values must be from 0 to 1, got {rtol}.")
    return rtol
