"""Moduli, norms and angles: functions with a kink or a jump where their argument vanishes.

Two ideas. Where there is no derivative (the tip of the cone |z|) the derivatives of every order are defined as 0: the
symmetric element of the subdifferential, and the value a minimiser can stop at. And very large and very small numbers
are scaled by a constant, so that squares neither overflow nor underflow; the scale drops out of every derivative,
because the functions are homogeneous.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.elementary._inexact import inexact, inexacts

Axis = int | Sequence[int] | None


def safe_sqrt(x: ArrayLike) -> Inexact[Array, "..."]:
    """√x, whose derivatives at x = 0 are defined as 0 (they are infinite); elsewhere those of `jnp.sqrt`."""
    x = inexact("safe_sqrt", x)
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def safe_divide(x: ArrayLike, y: ArrayLike, fallback: ArrayLike = 0.0) -> Inexact[Array, "..."]:
    """x / y, and `fallback` where y = 0; the derivatives with respect to x and y are 0 there, not NaN."""
    x, y, fallback = inexacts("safe_divide", x, y, fallback)
    zero = y == 0
    return jnp.where(zero, fallback, x / jnp.where(zero, 1, y))


def abs2(z: ArrayLike) -> Float[Array, "..."]:
    """|z|² = Re(z)² + Im(z)², smooth everywhere: the second derivative of `jnp.abs(z)**2` at z = 0 is 0, not 2."""
    z = inexact("abs2", z)
    return z.real**2 + z.imag**2 if jnp.iscomplexobj(z) else z**2


def abs(z: ArrayLike) -> Float[Array, "..."]:
    """|z|, real or complex; its derivatives at z = 0 are defined as 0 (`jnp.abs` takes 1 for real z)."""
    z = inexact("abs", z)
    if jnp.iscomplexobj(z):
        return hypot(z.real, z.imag)
    return jnp.where(z == 0, 0, jnp.abs(z))


def sign(z: ArrayLike) -> Inexact[Array, "..."]:
    """z/|z|, and 0 at z = 0; derivatives with respect to the phase of a complex z, which JAX takes as 0.

    At z = 0 all derivatives are defined as 0.
    """
    z = inexact("sign", z)
    if not jnp.iscomplexobj(z):
        return jnp.sign(z)
    scale = _scale(jnp.maximum(jnp.abs(z.real), jnp.abs(z.imag)))
    unit = jax.lax.complex(z.real / scale, z.imag / scale)
    return safe_divide(unit, abs(unit))


def hypot(x: ArrayLike, y: ArrayLike) -> Float[Array, "..."]:
    """√(x² + y²) without overflow or underflow, also in its derivatives; those at (0, 0) are defined as 0."""
    x, y = inexacts("hypot", x, y, real=True)
    scale = _scale(jnp.maximum(jnp.abs(x), jnp.abs(y)))
    return scale * safe_sqrt((x / scale) ** 2 + (y / scale) ** 2)


def norm(x: ArrayLike, *, axis: Axis = None, keepdims: bool = False) -> Float[Array, "..."]:
    """Euclidean (Frobenius) norm over `axis`, default all axes; its derivatives at x = 0 are defined as 0.

    Without overflow or underflow. For the square, use `jnp.sum(abs2(x))`: it has a second derivative at 0, which the
    square of a norm cannot know.
    """
    x = inexact("norm", x)
    scale = _scale(jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0.0))
    total = scale * safe_sqrt(jnp.sum(abs2(x / scale.astype(x.dtype)), axis=axis, keepdims=True))
    return total if keepdims else jnp.squeeze(total, axis)


def std(x: ArrayLike, *, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Float[Array, "..."]:
    """Standard deviation over `axis`, default all axes; its derivatives are defined as 0 where it vanishes."""
    x = inexact("std", x)
    deviation = x - jnp.mean(x, axis=axis, keepdims=True)
    count = x.size if axis is None else jnp.size(x, axis)
    return norm(deviation, axis=axis, keepdims=keepdims) / jnp.sqrt(jnp.asarray(count - ddof, deviation.real.dtype))


def arctan2(y: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """The angle of the point (x, y), without overflow or underflow in derivatives; those at (0, 0) are defined as 0."""
    y, x = inexacts("arctan2", y, x, real=True)
    largest = jnp.maximum(jnp.abs(x), jnp.abs(y))
    scale, zero = _scale(largest), largest == 0
    angle = jnp.arctan2(jnp.where(zero, 0, y / scale), jnp.where(zero, 1, x / scale))
    # At the origin the value still depends on the signs of the zeros.
    return jnp.where(zero, jax.lax.stop_gradient(jnp.arctan2(y, x)), angle)


def angle(z: ArrayLike) -> Float[Array, "..."]:
    """The phase of z; its derivatives at z = 0 are defined as 0."""
    z = inexact("angle", z)
    return arctan2(jnp.imag(z), jnp.real(z))


def _scale(largest):
    """1, or a power of two where squares of numbers of this size would overflow or underflow.

    Few values, and far apart: XLA may compute an argument twice, with different rounding, for `largest` and for what is
    divided by the scale. With `largest` itself as the scale, 1e-8 divided by the scale of 0, then times that of 1e-8,
    was 1.
    """
    largest = jax.lax.stop_gradient(largest)
    edge, step = (2.0 ** int(share * jnp.finfo(largest.dtype).maxexp) for share in (0.4, 0.6))
    outside = jnp.where(largest < 1 / edge, 1 / step, jnp.where(largest > edge, step, 1)).astype(largest.dtype)
    return jnp.where((largest > 0) & jnp.isfinite(largest), outside, 1)
