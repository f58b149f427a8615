"""The other order of sites: states, matrices and operators whose last site is the most significant digit."""

from typing import overload

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from pullback.core import InputError
from pullback.operators._fermion_sum import FermionSum
from pullback.operators._sum import OperatorSum


@overload
def reverse_sites(x: OperatorSum) -> OperatorSum: ...
@overload
def reverse_sites(x: Inexact[Array, "..."], *, axes: tuple[int, ...] = (-1,), levels: int = 2) -> Array: ...


def reverse_sites(x, *, axes=(-1,), levels=2):
    r"""A state, a matrix or an operator with its sites in the opposite order.

    Here site 0 is the most significant digit of a basis state's number, as in NetKet, quimb, Cirq and PennyLane:
    |s0 s1 s2⟩ is entry 4 s0 + 2 s1 + s2 of a state of three spins ½. Qiskit, Yao and qulacs number basis states by
    s0 + 2 s1 + 4 s2; this takes arrays from one order to the other, and back.

    Args:
        x: an array, or a sum of Pauli strings or spin words, whose site i becomes site n − 1 − i.
        axes: those of an array that number basis states: (−1,) for states, (−2, −1) for matrices.
        levels: states of a site.

    Raises:
        InputError: an axis whose length is not a power of `levels`; a sum of fermions, whose states take signs, too:
            make Pauli strings of it first (`to_paulis`).

    Examples:
        >>> from pullback.operators import PauliSum
        >>> reverse_sites(jnp.array([0.0, 1.0, 0.0, 0.0])).tolist()  # |01⟩
        [0.0, 0.0, 1.0, 0.0]
        >>> print(reverse_sites(PauliSum(3, {"X0 Z1": 1.0})))
        1.0*Z1 X2
    """
    if isinstance(x, FermionSum):
        raise InputError("reverse_sites: fermions in another order have other signs; take to_paulis() first")
    if isinstance(x, OperatorSum):
        return x.on(range(x.n - 1, -1, -1))
    for axis in axes:
        x = jnp.take(x, _reversed_numbers(x.shape[axis], levels), axis)
    return x


def _reversed_numbers(size: int, levels: int) -> np.ndarray:
    n = round(np.log(size) / np.log(levels)) if size else 0
    if levels**n != size:
        raise InputError(f"reverse_sites: {size} states are not those of sites with {levels} states each")
    numbers, reversed_ = np.arange(size), np.zeros(size, int)
    for _ in range(n):
        numbers, digit = np.divmod(numbers, levels)
        reversed_ = reversed_ * levels + digit
    return reversed_
