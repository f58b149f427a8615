"""Input checks, each of which hands back the array that it checked. Shapes are always checked; values outside `jit`,
where they can be read, and inside on request (`pullback.core.checks_under_jit`).
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, are_checked_under_jit, error_if, refuse_half


def inexact(name: str, a: ArrayLike) -> Array:
    """`a` as a finite floating-point or complex array; float32 and complex64 are kept, half precision is refused."""
    x = jnp.asarray(a)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        if not jnp.issubdtype(x.dtype, jnp.number):
            raise InputError(f"{name} needs numbers, got dtype {x.dtype}.")
        x = x.astype(jnp.result_type(float))
    refuse_half(name, x.dtype)
    message = f"{name}: the input contains NaN or infinite entries."
    if isinstance(x, Tracer) and are_checked_under_jit():
        return error_if(x, ~jnp.isfinite(x).all(), message)
    finite(x, lambda: message)
    return x


def square(name: str, a: ArrayLike) -> Array:
    """`a` as a batch of square matrices."""
    x = inexact(name, a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise InputError(f"{name} needs a square matrix (..., n, n), got shape {x.shape}.")
    if x.shape[-1] == 0:
        raise InputError(f"{name} needs at least one row, got shape {x.shape}.")
    return x


def matrix(name: str, a: ArrayLike) -> Array:
    """`a` as a batch of matrices."""
    x = inexact(name, a)
    if x.ndim < 2 or 0 in x.shape[-2:]:
        raise InputError(f"{name} needs a matrix (..., m, n) with at least one row and column, got shape {x.shape}.")
    return x


def columns(name: str, b: ArrayLike, n: int) -> Array:
    """`b` as one right-hand side of n entries, or several as columns."""
    x = inexact(name, b)
    if x.ndim == 0 or x.shape[-2 if x.ndim > 1 else 0] != n:
        raise InputError(f"{name}: b must have shape (n,) or (..., n, k) with n = {n}, got {x.shape}.")
    return x


def hermitian(name: str, a: ArrayLike) -> Array:
    """The Hermitian part of `a`, after checking that `a` has no other part worth naming.

    Derivatives are those of the function of the Hermitian part: the gradient with respect to `a` is Hermitian.
    """
    x = square(name, a)
    x_h = jnp.conj(jnp.swapaxes(x, -1, -2))
    tolerance = 1e3 * float(jnp.finfo(x.dtype).eps) ** 0.5
    if isinstance(x, Tracer) and are_checked_under_jit():
        asymmetric = jnp.max(jnp.abs(x - x_h), initial=0) > tolerance * jnp.max(jnp.abs(x), initial=0)
        x = error_if(x, asymmetric, f"{name} needs a Hermitian matrix.")
    if not isinstance(x, Tracer):
        values = np.asarray(x)
        scale = np.abs(values).max(initial=0)  # a batch may be empty
        asymmetry = np.abs(values - np.conj(np.swapaxes(values, -1, -2))).max(initial=0)
        if asymmetry > tolerance * scale:
            raise InputError(
                f"{name} needs a Hermitian matrix, but max|a - a^H| = {asymmetry:.2e} at max|a| = {scale:.2e}. "
                "Pass (a + a^H)/2 if that is what is meant, or use a function for general matrices."
            )
    return (x + x_h) / 2


def finite(x: Array, message: Callable[[], str]) -> None:
    """Refuses NaN and infinities, of an input or of a result; skipped for traced values."""
    if not isinstance(x, Tracer) and not np.isfinite(np.asarray(x)).all():
        raise InputError(message())


def degeneracy_tol(tol: float | None) -> None:
    """Refuses a negative distance of levels."""
    if tol is not None and not tol >= 0:
        raise InputError(f"degeneracy_tol must be non-negative, got {tol}.")
