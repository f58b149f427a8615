"""Numbers that choose: whole ones, known when a program is traced, and precisions."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core._errors import InputError


def whole_number(name: str, what: str, value: Any) -> int:
    """`value`, a Python or NumPy integer, as a Python integer.

    Raises:
        InputError: it is none, or is traced.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(
            f"{name}: {what} must be a Python integer (a whole number) known when the program is traced; got {value!r}."
        ) from None


def result_type(*xs: Any) -> np.dtype:
    """`jnp.result_type`, also in JAX's strict mode of promotion: for functions that promote their arguments."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*xs)


def complex_dtype(dtype: Any) -> np.dtype:
    """The complex type of the same precision; works in JAX's strict mode of promotion, where types do not mix."""
    return np.promote_types(dtype, np.complex64)


def refuse_half(name: str, dtype: Any, what: str = "the input") -> None:
    """Refuses float16 and bfloat16: decompositions and iterations have no meaning with three digits.

    Elementwise functions compute them in wider types and round. Here rounding is left to the user, who knows where.

    Raises:
        InputError: naming the dtype and what to do.
    """
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        raise InputError(
            f"{name} works in single or double precision; {what} has dtype {dtype}. Pass x.astype(jnp.float32), and "
            "round the result if half precision is wanted."
        )
