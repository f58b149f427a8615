"""Arguments of elementwise functions as arrays of one floating-point or complex type."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, result_type


def inexact(name: str, x: ArrayLike, *, real: bool = False) -> Array:
    """`x` as a floating-point or complex array; float32 and complex64 are kept."""
    return inexacts(name, x, real=real)[0]


def inexacts(name: str, *xs: ArrayLike, real: bool = False) -> list[Array]:
    """The arguments promoted to one inexact dtype, not broadcast.

    Raises:
        InputError: an argument does not hold numbers, or is complex where `real` is needed.
    """
    arrays = [jnp.asarray(x) if not isinstance(x, (bool, int, float, complex)) else x for x in xs]
    dtype = result_type(*arrays)
    if not (jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_):
        raise InputError(f"{name} needs numbers, got dtype {dtype}.")
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)
    if real and jnp.issubdtype(dtype, jnp.complexfloating):
        raise InputError(f"{name} is defined here for real arguments only, got dtype {dtype}.")
    return [jnp.asarray(x, dtype) for x in arrays]
