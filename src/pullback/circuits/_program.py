"""From blocks to a program: a flat word over an alphabet of operations, and one vector of parameters.

A circuit of a million gates has few different operations. The program therefore is the list of those, the word (which
operation comes when) and the numbers of the parameters that each occurrence takes, all fixed; the parameters, dense
matrices and coefficients of Hamiltonians are arrays beside it.
"""

import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pullback.circuits._blocks import (
    Block,
    Chain,
    Channel,
    Controlled,
    Daggered,
    Evolution,
    Gate,
    Layers,
    MatrixGate,
    Placed,
    Rotor,
    Shared,
)
from pullback.circuits._gates import KINDS
from pullback.circuits._input import is_numeric
from pullback.core import InputError
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
    def digest(self) -> bytes:
        return self._digest


class _Builder:
    def __init__(self, n: int):
        self.n = n
        self.numbers: dict[Operation, int] = {}
        self.operations: list[Operation] = []
        self.quick: dict[tuple[str, tuple[int, ...]], int] = {}  # of plain gates on qubits
        self.word: list[int] = []
        self.slots: list[int] = []
        self.factors: list[float] = []
        self.pieces: list[Any] = [[]]  # parameters: lists of numbers, and arrays between them
        self.count = 0
        self.shared: dict[str, tuple[int, Any]] = {}
        self.matrices: dict[int, list[Any]] = {}
        self.matrix_slots: list[int] = []
        self.known_matrices: dict[int, int] = {}
        self.channels: dict[tuple[int, int], list[Channel]] = {}
        self.couplings: list[Any] = []
        self.known_sums: dict[int, int] = {}
        self.kept: list[Any] = []  # what ids in the two dictionaries belong to must stay alive

    def add(self, operation: Operation) -> None:
        self.word.append(self.number(operation))

    def number(self, operation: Operation) -> int:
        found = self.numbers.get(operation)
        if found is None:
            for q in (*operation.qubits, *operation.controls):
                if q >= self.n:
                    raise InputError(
                        f"Circuit: {operation.name} acts on qubit {q}; the {self.n} qubits are 0 to {self.n - 1}."
                    )
            if len(set(operation.qubits + operation.controls)) < len(operation.qubits + operation.controls):
                raise InputError(f"Circuit: {operation.name} has a control among its own qubits {operation.qubits}.")
            found = self.numbers[operation] = len(self.numbers)
            self.operations.append(operation)
        return found

    def angle(self, value: Any) -> None:
        factor = 1.0
        if type(value) is Shared:
            factor = value.factor
            if value.name not in self.shared:
                self.shared[value.name] = self._new(value.value), value.value
            slot, first = self.shared[value.name]
            if first is not value.value and not _same(first, value.value):
                raise InputError(
                    f"Circuit: the shared parameter {value.name!r} has two values. Inside `jit` call `shared` once and "
                    "use the result in every gate; blocks that already hold it cannot be passed as arguments."
                )
        else:
            slot = self._new(value)
        self.slots.append(slot)
        self.factors.append(factor)

    def _new(self, value):
        if type(value) is not float and np.shape(value) != ():
            raise InputError(f"Circuit: an angle has shape {np.shape(value)}; angles are numbers (see `layers`).")
        self.pieces[-1].append(value)
        self.count += 1
        return self.count - 1

    def matrix(self, block: MatrixGate) -> None:
        of_size = self.matrices.setdefault(block.n, [])
        if id(block.matrix) not in self.known_matrices:
            self.known_matrices[id(block.matrix)] = len(of_size)
            of_size.append(block.matrix)
            self.kept.append(block)
        self.matrix_slots.append(self.known_matrices[id(block.matrix)])

    def channel(self, block: Channel) -> None:
        of_size = self.channels.setdefault((block.n, block.weights.shape[0]), [])
        if id(block) not in self.known_matrices:
            self.known_matrices[id(block)] = len(of_size)
            of_size.append(block)
        self.matrix_slots.append(self.known_matrices[id(block)])

    def coefficients(self, block: Evolution) -> int:
        key = id(block.hamiltonian.coefficients)
        if key not in self.known_sums:
            self.known_sums[key] = sum(len(c) for c in self.couplings)
            self.couplings.append(block.hamiltonian.coefficients)
            self.kept.append(block)
        return self.known_sums[key]

    def layers(self, block: Layers, where, controls, values) -> None:
        """Appends the repetitions of a block; their parameters are the rows, where there are rows."""
        marks = [len(a) for a in (self.word, self.slots, self.matrix_slots)]
        start, before = self.count, len(self.shared)
        rows = block.parameters
        if rows is not None:
            inner = _Builder(self.n)
            inner.shared = {name: (0, value) for name, (_, value) in self.shared.items()}
            inner.emit(block.block, where, controls, values)
            if len(inner.shared) > before:
                name = list(inner.shared)[before]
                raise InputError(f"layers: use the shared parameter {name!r} once before, or with `repeat`.")
            if inner.count != rows.shape[1]:
                raise InputError(
                    f"layers: parameters have {rows.shape[1]} columns, but the block has {inner.count} parameters."
                )
        if block.count == 0:
            return
        self.emit(block.block, where, controls, values)
        word, slots, matrices = (a[m:] for a, m in zip((self.word, self.slots, self.matrix_slots), marks))
        factors = self.factors[marks[1] :]
        self.word += word * (block.count - 1)
        self.matrix_slots += matrices * (block.count - 1)
        self.factors += factors * (block.count - 1)
        if rows is None:
            self.slots += slots * (block.count - 1)
            return
        columns = rows.shape[1]
        one = np.array(slots, int)
        more = one + np.where(one >= start, columns, 0) * np.arange(1, block.count)[:, None]
        self.slots += more.ravel().tolist()
        self.count = start + columns * block.count
        if columns:
            self._drop(columns)
            self.pieces += [rows.reshape(-1), []]

    def _drop(self, columns):
        """Forgets the last parameters: the block's own values, which the rows replace."""
        while columns:
            last = self.pieces[-1]
            taken = min(columns, len(last))
            if isinstance(last, list):
                del last[len(last) - taken :]
            else:
                self.pieces[-1] = last[: len(last) - taken]
            columns -= taken
            if columns:
                self.pieces.pop()
        if not isinstance(self.pieces[-1], list):
            self.pieces.append([])

    def emit(self, block: Block, where, controls, values) -> None:
        """Appends a block whose qubit i is where[i] (None: i), under controls."""
        while type(block) is Placed:
            where = block.qubits if where is None else tuple(where[q] for q in block.qubits)
            block = block.block
        if type(block) is Gate:
            self.gate(block, where, controls, values)
            return

        def place(qubits):
            return qubits if where is None else tuple(where[q] for q in qubits)

        match block:
            case Chain():
                for inner in block.blocks:
                    self.emit(inner, where, controls, values)
            case Controlled():
                new = place(block.controls)
                self.emit(block.block, where, controls + new, values + block.values)
            case Daggered():
                marks = len(self.word), len(self.slots), len(self.matrix_slots)
                self.emit(block.block, where, controls, values)
                self.adjoin(*marks)
            case Layers():
                self.layers(block, where, controls, values)
            case Rotor():
                moved = block.string.on(place(tuple(range(block.n))))
                self.add(Operation("rotor", moved.sites, controls, values, strings=(moved,)))
                self.angle(block.angle)
            case Evolution():
                qubits = place(tuple(range(block.n)))
                strings = tuple(s.on(qubits) for s in block.hamiltonian.words)
                used = tuple(sorted({q for s in strings for q in s.sites}))
                first = self.coefficients(block)
                self.add(Operation("evolution", used, controls, values, strings=strings, first=first))
                self.angle(block.time)
            case MatrixGate():
                qubits = place(tuple(range(block.n)))
                self.matrix(block)
                self.add(Operation("matrix", qubits, controls, values, unitary=block.unitary))
            case Channel():
                if controls:
                    raise InputError("control: a channel has no controlled version; control the gates only.")
                qubits = place(tuple(range(block.n)))
                self.channel(block)
                self.add(Operation("channel", qubits, unitary=False, branches=block.weights.shape[0]))
            case _:
                raise InputError(f"Circuit: {block!r} is not a block.")

    def gate(self, block: Gate, where, controls, values) -> None:
        kind = block.kind
        if where is None:
            where = tuple(range(KINDS[kind].qubits))
        if not controls:
            number = self.quick.get((kind, where))
            if number is None:
                number = self.quick[kind, where] = self.number(Operation(kind, where))
            self.word.append(number)
        else:
            self.add(Operation(kind, where, controls, values))
        for value in block.angles:
            self.angle(value)

    def adjoin(self, word: int, angle: int, matrix: int) -> None:
        """Replaces what was appended after these marks by its adjoint; parameters keep their numbers.

        So the parameters of a block, and the columns of its layers, have the same order as those of its adjoint.
        """
        end, slots, factors, new = len(self.slots), [], [], []
        for k in reversed(self.word[word:]):
            operation = self.operations[k]
            if operation.kind == "channel":
                raise InputError("daggered: a channel has no adjoint that is a channel; adjoin the gates only.")
            new.append(self.number(_adjoint(operation)))
            places = range(end - operation.angles, end)
            end -= operation.angles
            # U3(θ, φ, λ)† = U3(−θ, −λ, −φ)
            order = (places[0], places[2], places[1]) if operation.kind == "U3" else places
            slots += [self.slots[p] for p in order]
            factors += [-self.factors[p] for p in order]
        self.word[word:] = new
        self.slots[angle:], self.factors[angle:] = slots, factors
        self.matrix_slots[matrix:] = self.matrix_slots[matrix:][::-1]

    def parameters(self) -> Array:
        parts = [_numbers(p) if isinstance(p, list) else p for p in self.pieces if len(p)]
        if not parts:
            return jnp.zeros(0)
        if any(isinstance(p, jax.Array) for p in parts):
            return jnp.concatenate([jnp.asarray(p) for p in parts])
        return jnp.asarray(np.concatenate(parts))


def compile_blocks(n: int, blocks: tuple[Block, ...]) -> tuple[Program, dict[str, Any]]:
    """The program, and the leaves of the circuit by name.

    Raises:
        InputError: a qubit is out of range, an angle is not a real number, …
    """
    builder = _Builder(n)
    for block in blocks:
        builder.emit(block, None, (), ())
    parameters = builder.parameters()
    if jnp.iscomplexobj(parameters):
        raise InputError("Circuit: the angles must be real.")
    if not jnp.issubdtype(parameters.dtype, jnp.floating):
        parameters = parameters.astype(float)
    used, word = np.unique(np.array(builder.word, int), return_inverse=True)  # not those that only adjoints came from
    program = Program(
        n,
        tuple(builder.operations[k] for k in used),
        word,
        builder.slots,
        builder.factors,
        builder.matrix_slots,
        builder.count,
    )
    matrices = {k: jnp.stack([jnp.asarray(m) for m in found]) for k, found in sorted(builder.matrices.items())}
    couplings = jnp.concatenate(builder.couplings) if builder.couplings else jnp.zeros(0)
    channels = {
        size: Channel(*(jnp.stack(a) for a in zip(*((c.weights, c.operators) for c in found))))
        for size, found in sorted(builder.channels.items())
    }
    return program, {"parameters": parameters, "matrices": matrices, "channels": channels, "couplings": couplings}


def _adjoint(operation: Operation) -> Operation:
    """The adjoint, but for the signs of the angles."""
    flagged = operation.kind == "matrix" or (operation.kind in KINDS and KINDS[operation.kind].adjoint == "flag")
    return operation._replace(adjoint=not operation.adjoint) if flagged else operation


def _numbers(values: list[Any]) -> Array | np.ndarray:
    if any(isinstance(v, Tracer) for v in values):
        return jnp.stack([jnp.asarray(v) for v in values])
    try:
        array = np.array(values)
        if is_numeric(array.dtype):
            return array
    except TypeError:
        pass
    try:  # half precisions, of which NumPy knows no common type
        return jnp.stack([jnp.asarray(v) for v in values])
    except (TypeError, ValueError, OverflowError):
        raise InputError("Circuit: an angle is not a number.") from None


def _same(a, b):
    return not isinstance(a, Tracer) and not isinstance(b, Tracer) and bool(a == b)
