"""What is given from outside: numbers of qubits, integers, numbers and their precision."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np

from pullback.core import InputError


def qubit_count(name: str, n: Any) -> int:
    """n as a number of qubits.

    Raises:
        InputError: it is not an integer, or less than one.
    """
    try:
        count = operator.index(n)
    except TypeError:
        raise InputError(f"{name}: n = {n!r}; the number of qubits must be an integer.") from None
    if count < 1:
        raise InputError(f"{name}: n = {n!r}; needs at least one qubit.")
    return count


def integers(name: str, given: Any) -> tuple[int, ...]:
    """One integer, or several, as a tuple.

    Raises:
        InputError: they are not integers.
    """
    if type(given) is int:  # the usual case, a million times
        return (given,)
    try:
        several = not hasattr(given, "__index__") or np.ndim(given)  # arrays have it, of any shape
        return tuple(map(operator.index, given)) if several else (operator.index(given),)
    except TypeError:
        raise InputError(f"{name}({given}, …): needs integers.") from None


def is_numeric(dtype: Any) -> bool:
    """Whether arrays of this type hold numbers, as those of strings and objects do not."""
    return jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)


def is_real(value: Any) -> bool:
    """Whether the value is one real number, or stands for one."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    return is_numeric(dtype) and not jnp.issubdtype(dtype, jnp.complexfloating) and np.shape(value) == ()


def at_least_single(dtype: Any) -> Any:
    """The type to calculate in: half precision becomes single precision."""
    return np.promote_types(dtype, np.float32)
