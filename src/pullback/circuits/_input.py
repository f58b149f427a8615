"""What is given from outside: numbers of qubits, integers, Hermitian sums, and the precision of numbers."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np

from pullback.core import InputError
from pullback.operators import FermionSum, PauliSum


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


def hermitian_sum(name: str, given: Any) -> PauliSum:
    """What is given as a Hamiltonian or an observable, a Hermitian sum of Pauli strings.

    Raises:
        InputError: it is none.
    """
    if not isinstance(given, PauliSum):
        raise InputError(f"{name}: needs a PauliSum, not {type(given).__name__}.{sum_hint(given)}")
    if jnp.iscomplexobj(given.coefficients):
        raise InputError(f"{name}: the coefficients are complex; hermitian() makes those of a Hermitian sum real.")
    return given


def sum_hint(given: Any = None) -> str:
    """How to make a sum of Pauli strings of what is none."""
    if isinstance(given, str):
        return f" PauliSum.from_string({given!r}) reads a string."
    return " to_paulis().hermitian() makes a PauliSum of fermions." if isinstance(given, FermionSum) else ""


def at_least_single(dtype: Any) -> Any:
    """The type to calculate in: half precision becomes single precision."""
    return np.promote_types(dtype, np.float32)
