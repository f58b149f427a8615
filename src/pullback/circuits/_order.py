"""The order of qubits: |s0 s1 s2⟩ is the basis state whose index has these bits, qubit 0 the most significant one.

So psi.reshape((2,) * n)[s0, s1, s2] is its amplitude, matrices are Kronecker products in the order of the qubits, and
qubit q of n is bit n − 1 − q. The engine, from `_engine/_lower.py` on, knows bits alone.
"""

from collections.abc import Sequence


def bits_of(qubits: Sequence[int], n: int) -> tuple[int, ...]:
    """The bits of qubits, one for each, in a basis state's index of n qubits."""
    return tuple(n - 1 - q for q in qubits)


def mask_of(qubits: Sequence[int], n: int) -> int:
    """These bits as one number."""
    return sum(1 << b for b in bits_of(qubits, n))
