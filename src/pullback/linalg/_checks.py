"""Input checks. Shapes are always checked; values outside `jit`, where they can be read, and inside on request
(`pullback.core.checks_under_jit`): then by `inexact` and `hermitian`, which hand back the array that carries the check.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, are_checked_under_jit


def inexact(name: str, a: ArrayLike) -> Array:
    """`a` as a floating-point or complex array; float32 and complex64 are kept. Under `jit`, on request: finite."""
    x = jnp.asarray(a)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        if not jnp.issubdtype(x.dtype, jnp.number):
            raise InputError(f"{name} needs numbers, got dtype {x.dtype}.")
        x = x.astype(jnp.result_type(float))
    if isinstance(x, Tracer) and are_checked_under_jit():
        return eqx.error_if(x, ~jnp.isfinite(x).all(), f"{name}: the input contains NaN or infinite entries.")
    return x


def square(name: str, a: Array) -> None:
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise InputError(f"{name} needs a square matrix (..., n, n), got shape {a.shape}.")
    if a.shape[-1] == 0:
        raise InputError(f"{name} needs at least one row, got shape {a.shape}.")


def matrix(name: str, a: Array) -> None:
    if a.ndim < 2 or 0 in a.shape[-2:]:
        raise InputError(f"{name} needs a matrix (..., m, n) with at least one row and column, got shape {a.shape}.")


def finite(name: str, *arrays: Array) -> None:
    """Refuses NaN and infinities; skipped for traced values."""
    for a in arrays:
        if not isinstance(a, Tracer) and not np.isfinite(np.asarray(a)).all():
            raise InputError(f"{name}: the input contains NaN or infinite entries.")


def hermitian(name: str, a: Array) -> Array:
    """The Hermitian part of `a`, after checking that `a` has no other part worth naming.

    Derivatives are those of the function of the Hermitian part: the gradient with respect to `a` is Hermitian.
    """
    square(name, a)
    a_h = jnp.conj(jnp.swapaxes(a, -1, -2))
    tolerance = 1e3 * float(jnp.finfo(a.dtype).eps) ** 0.5
    if isinstance(a, Tracer) and are_checked_under_jit():
        asymmetric = jnp.max(jnp.abs(a - a_h)) > tolerance * jnp.max(jnp.abs(a))
        a = eqx.error_if(a, asymmetric, f"{name} needs a Hermitian matrix.")
    if not isinstance(a, Tracer):
        finite(name, a)
        values = np.asarray(a)
        scale = np.abs(values).max()
        asymmetry = np.abs(values - np.conj(np.swapaxes(values, -1, -2))).max()
        if asymmetry > tolerance * scale:
            raise InputError(
                f"{name} needs a Hermitian matrix, but max|a - a^H| = {asymmetry:.2e} at max|a| = {scale:.2e}. "
                "Pass (a + a^H)/2 if that is what is meant, or use a function for general matrices."
            )
    return (a + a_h) / 2
