"""From blocks to a program, and its arrays."""

from collections.abc import Iterable
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
from pullback.circuits._program import Operation, Program
from pullback.core import InputError


class _Tape:
    """Operations one after the other, by their numbers.

    Attributes:
        word: the operations. slots, factors: of each angle the parameter, and times what. matrices: of each matrix or
            channel its number.
        values: those of the parameters first … end − 1, which are new here: lists of numbers, and arrays between them.
    """

    def __init__(self, first: int):
        self.word: list[int] = []
        self.slots: list[int] = []
        self.factors: list[float] = []
        self.matrices: list[int] = []
        self.values: list[Any] = [[]]
        self.first = self.end = first

    def append(self, other: "_Tape", count: int = 1) -> None:
        """Appends what began at the end of this tape, `count` times with the same parameters."""
        self.word += other.word * count
        self.slots += other.slots * count
        self.factors += other.factors * count
        self.matrices += other.matrices * count
        self.values[-1] += other.values[0]
        self.values += other.values[1:]
        self.end = other.end


class _Builder:
    def __init__(self, n: int):
        self.n = n
        self.numbers: dict[Operation, int] = {}
        self.operations: list[Operation] = []
        self.quick: dict[tuple[str, tuple[int, ...]], int] = {}  # of plain gates on qubits
        self.tape = _Tape(0)
        self.shared: dict[str, tuple[int, Any]] = {}
        self.matrices: dict[int, list[Any]] = {}
        self.known_matrices: dict[int, int] = {}
        self.channels: dict[tuple[int, int], list[Channel]] = {}
        self.couplings: list[Any] = []
        self.known_sums: dict[int, int] = {}
        self.kept: list[Any] = []  # what ids in the two dictionaries belong to must stay alive

    def add(self, operation: Operation) -> None:
        self.tape.word.append(self.number(operation))

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
        self.tape.slots.append(slot)
        self.tape.factors.append(factor)

    def _new(self, value):
        if type(value) is not float and np.shape(value) != ():
            raise InputError(f"Circuit: an angle has shape {np.shape(value)}; angles are numbers (see `layers`).")
        tape = self.tape
        tape.values[-1].append(value)
        tape.end += 1
        return tape.end - 1

    def matrix(self, block: MatrixGate) -> None:
        of_size = self.matrices.setdefault(block.n, [])
        if id(block.matrix) not in self.known_matrices:
            self.known_matrices[id(block.matrix)] = len(of_size)
            of_size.append(block.matrix)
            self.kept.append(block)
        self.tape.matrices.append(self.known_matrices[id(block.matrix)])

    def channel(self, block: Channel) -> None:
        of_size = self.channels.setdefault((block.n, block.weights.shape[0]), [])
        if id(block) not in self.known_matrices:
            self.known_matrices[id(block)] = len(of_size)
            of_size.append(block)
        self.tape.matrices.append(self.known_matrices[id(block)])

    def coefficients(self, block: Evolution) -> int:
        key = id(block.hamiltonian.coefficients)
        if key not in self.known_sums:
            self.known_sums[key] = sum(len(c) for c in self.couplings)
            self.couplings.append(block.hamiltonian.coefficients)
            self.kept.append(block)
        return self.known_sums[key]

    def aside(self, block: Block, where, controls, values) -> _Tape:
        """The block on a tape of its own."""
        outer, self.tape = self.tape, _Tape(self.tape.end)
        try:
            self.emit(block, where, controls, values)
            return self.tape
        finally:
            self.tape = outer

    def layers(self, block: Layers, where, controls, values) -> None:
        """Appends the repetitions of a block; their parameters are the rows, where there are rows."""
        rows, count = block.parameters, block.count
        if rows is None:
            if count:
                self.tape.append(self.aside(block.block, where, controls, values), count)
            return
        if count == 0:  # of what is never done nothing stays, but it is checked
            other = _Builder(self.n)
            other.shared = dict(self.shared)
            other.rows(block, other.aside(block.block, where, controls, values), len(self.shared))
            return
        before = len(self.shared)
        self.tape.append(self.rows(block, self.aside(block.block, where, controls, values), before))

    def rows(self, block: Layers, once: _Tape, before: int) -> _Tape:
        """The tape of all layers from that of one; `before` names were shared before it."""
        rows, columns = block.parameters, once.end - once.first
        if len(self.shared) > before:
            name = list(self.shared)[before]
            raise InputError(f"layers: use the shared parameter {name!r} once before, or with `repeat`.")
        if columns != rows.shape[1]:
            raise InputError(
                f"layers: parameters have {rows.shape[1]} columns, but the block has {columns} parameters."
            )
        slots = np.array(once.slots, int)
        slots = slots + np.where(slots >= once.first, columns, 0) * np.arange(block.count)[:, None]
        once.slots = slots.ravel().tolist()
        once.word *= block.count
        once.factors *= block.count
        once.matrices *= block.count
        once.values = [[], rows.reshape(-1), []] if columns else [[]]
        once.end = once.first + rows.size
        return once

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
                self.tape.append(self.adjoint(self.aside(block.block, where, controls, values)))
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
            self.tape.word.append(number)
        else:
            self.add(Operation(kind, where, controls, values))
        for value in block.angles:
            self.angle(value)

    def adjoint(self, tape: _Tape) -> _Tape:
        """The adjoint of what is on a tape; parameters keep their numbers.

        So the parameters of a block, and the columns of its layers, have the same order as those of its adjoint.
        """
        end, slots, factors, word = len(tape.slots), [], [], []
        for k in reversed(tape.word):
            operation = self.operations[k]
            if operation.kind == "channel":
                raise InputError("daggered: a channel has no adjoint that is a channel; adjoin the gates only.")
            word.append(self.number(_adjoint(operation)))
            places = range(end - operation.angles, end)
            end -= operation.angles
            # U3(θ, φ, λ)† = U3(−θ, −λ, −φ)
            order = (places[0], places[2], places[1]) if operation.kind == "U3" else places
            slots += [tape.slots[p] for p in order]
            factors += [-tape.factors[p] for p in order]
        tape.word, tape.slots, tape.factors = word, slots, factors
        tape.matrices.reverse()
        return tape

    def parameters(self) -> Array:
        parts = [_numbers(p) if isinstance(p, list) else p for p in self.tape.values if len(p)]
        if not parts:
            return jnp.zeros(0)
        if any(isinstance(p, jax.Array) for p in parts):
            return jnp.concatenate([jnp.asarray(p) for p in parts])
        return jnp.asarray(np.concatenate(parts))


class Compiled(NamedTuple):
    """A program and its arrays, which are the leaves of `Circuit`."""

    program: Program
    parameters: Array
    matrices: dict[int, Array]
    channels: dict[tuple[int, int], Channel]
    couplings: Array


def compile_blocks(n: int, blocks: Iterable[Block]) -> Compiled:
    """The program of blocks on n qubits.

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
    tape = builder.tape
    used, word = np.unique(np.array(tape.word, int), return_inverse=True)  # not those that only adjoints came from
    alphabet = tuple(builder.operations[k] for k in used)
    program = Program(n, alphabet, word, tape.slots, tape.factors, tape.matrices, tape.end)
    matrices = {k: jnp.stack([jnp.asarray(m) for m in found]) for k, found in sorted(builder.matrices.items())}
    couplings = jnp.concatenate(builder.couplings) if builder.couplings else jnp.zeros(0)
    channels = {
        size: Channel(*(jnp.stack(a) for a in zip(*((c.weights, c.operators) for c in found))))
        for size, found in sorted(builder.channels.items())
    }
    return Compiled(program, parameters, matrices, channels, couplings)


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
