"""Programs: circuits as data, a flat word over an alphabet of operations.

A circuit of a million gates has few different operations. The program therefore is the list of those, the word (which
operation comes when) and the numbers of the parameters that each occurrence takes, all fixed; the parameters, dense
matrices and coefficients of Hamiltonians are arrays beside it. `_compile.py` makes them from blocks.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from pullback.circuits._gates import KINDS
from pullback.operators import PauliString


class Operation(NamedTuple):
    """One operation on definite qubits, but for the values of its angles.

    Attributes:
        kind: a key of `KINDS`, or "rotor", "evolution", "matrix", "channel".
        qubits: where; the first is the most significant one of a matrix.
        controls: control qubits, with the values that they must have.
        adjoint: for kinds without angles that are not their own adjoint: whether it is the adjoint.
        strings: the Pauli string of a rotor, or the strings of a Hamiltonian.
        first: the first of the Hamiltonian's coefficients among the circuit's couplings.
        unitary: of a matrix; False for a channel.
        branches: the number of operators of a channel.
        conjugate: whether it is the complex conjugate, which acts on the columns of density matrices.
    """

    kind: str
    qubits: tuple[int, ...]
    controls: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    adjoint: bool = False
    strings: tuple[PauliString, ...] = ()
    first: int = 0
    unitary: bool = True
    branches: int = 0
    conjugate: bool = False

    @property
    def angles(self) -> int:
        return KINDS[self.kind].angles if self.kind in KINDS else int(self.kind in ("rotor", "evolution"))

    @property
    def name(self) -> str:
        """The usual name: CNOT for a controlled X, and a dagger for an adjoint."""
        usual = {("X", 1): "CNOT", ("X", 2): "Toffoli", ("Z", 1): "CZ"}
        kind = self.kind if self.kind != "rotor" else f"rotor({self.strings[0].letters})"
        prefix = "C" * len(self.controls)
        named = usual.get((kind, len(self.controls)), prefix + kind) if all(self.values) else prefix + kind
        return named + "†" * self.adjoint


class Program:
    """The fixed part of a circuit; equal programs compile to the same code.

    Attributes:
        n: number of qubits.
        alphabet: the different operations.
        word: which of them comes when.
        slots, factors: for each angle, in order of the word, the parameter that it is, and times what.
        matrices: for each occurrence of a matrix or channel, in order of the word, its number among those of its size.
        parameters: number of parameters.
    """

    def __init__(self, n, alphabet, word, slots, factors, matrices, parameters):
        self.n: int = n
        self.alphabet: tuple[Operation, ...] = alphabet
        self.word: np.ndarray = np.asarray(word, np.int32)
        self.slots: np.ndarray = np.asarray(slots, np.int32)
        self.factors: np.ndarray = np.asarray(factors, np.float64)
        self.matrices: np.ndarray = np.asarray(matrices, np.int32)
        self.parameters: int = parameters
        arrays = (self.word, self.slots, self.factors, self.matrices)
        content = repr((n, alphabet)).encode() + b"".join(a.tobytes() for a in arrays)
        self._digest = hashlib.blake2b(content, digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @property
    def is_unitary(self) -> bool:
        return all(o.unitary for o in self.alphabet)

    @property
    def digest(self) -> bytes:
        return self._digest
