"""Measurements in the middle of a circuit, put off to its end.

A gate under the condition that an outcome is 1 is a gate controlled by the measured qubit, for a control commutes with
the measurement (deferred measurement; M. Nielsen, I. Chuang, Quantum Computation and Quantum Information, 4.4). Where
something else acts on that qubit afterwards, its outcome is first copied to a new qubit by a CNOT; a reset puts the
qubit's contents there and takes a |0⟩. So every program with measurements, resets and conditions is one unitary circuit
with as many more qubits as there are such outcomes; its amplitudes are those of all branches of the tree of outcomes,
side by side, and sums over branches are means in its state: ordinary circuits, with all their derivatives.
"""

from functools import lru_cache
from typing import NamedTuple

from pullback.circuits._gates import DIAGONAL
from pullback.circuits._outcomes import Cube
from pullback.circuits._program import Operation, Program
from pullback.core import InputError

MOST_BRANCHES = 20  # outcomes that are enumerated
Guard = tuple[Cube, ...] | None


class Gates(NamedTuple):
    """The next `number` gates, where the guard holds: in one of its disjoint cubes of outcomes; None: always."""

    number: int
    guard: Guard


class Measure(NamedTuple):
    """A measurement and the number of its outcome, which is 0 where the guard does not hold."""

    qubit: int
    outcome: int
    guard: Guard


class Reset(NamedTuple):
    """A qubit becomes |0⟩."""

    qubit: int
    guard: Guard


Event = Gates | Measure | Reset


class Deferred(NamedTuple):
    """The unitary program, and the qubit that holds each outcome at its end."""

    program: Program
    holders: tuple[int, ...]


@lru_cache(maxsize=32)
def deferred(program: Program, events: tuple[Event, ...]) -> Deferred:
    """The program of all gates, as if no guard was there, and the events, as one unitary program."""
    if not any(event.guard for event in events):
        first = next((k for k, event in enumerate(events) if not isinstance(event, Gates)), len(events))
        if all(isinstance(event, Measure) for event in events[first:]):  # nothing to do
            return Deferred(program, tuple(event.qubit for event in events[first:] if isinstance(event, Measure)))
    maker = _Deferring(program)
    for event in events:
        match event:
            case Gates():
                for _ in range(event.number):
                    maker.gate(event.guard)
            case Measure():
                maker.measure(event)
            case Reset():
                maker.reset(event)
    return Deferred(maker.finished(), tuple(maker.holders[k] for k in sorted(maker.holders)))


def enumerated(program: Program, events: tuple[Event, ...]) -> Deferred:
    """The same, if the branches are few enough to stand side by side.

    Raises:
        InputError: there are too many.
    """
    found = deferred(program, events)
    if found.program.n - program.n > MOST_BRANCHES:
        raise InputError(
            f"MeasuredCircuit: {found.program.n - program.n} outcomes of qubits that are used again; at most "
            f"{MOST_BRANCHES} are enumerated. Draw outcomes instead, MeasuredCircuit.from_qasm(…).sample(key, "
            "shots) or expect_sampled."
        )
    return found


class _Deferring:
    def __init__(self, program: Program):
        self.given, self.n = program, program.n
        self.numbers: dict[Operation, int] = {}
        self.word: list[int] = []
        self.slots: list[int] = []
        self.factors: list[float] = []
        self.matrices: list[int] = []
        self.at = self.angle = self.matrix = 0  # in the given program
        self.holders: dict[int, int] = {}  # of each outcome
        self.held: dict[int, list[int]] = {}  # the outcomes that a qubit holds
        self.touched: set[int] = set()  # qubits that need not be |0⟩

    def add(self, operation: Operation) -> None:
        self.word.append(self.numbers.setdefault(operation, len(self.numbers)))
        self.touched |= {*operation.qubits}

    def gate(self, guard: Guard) -> None:
        given = self.given
        operation = given.alphabet[given.word[self.at]]
        angles = slice(self.angle, self.angle + operation.angles)
        needed = {k for cube in guard or () for k, _ in cube}
        for qubit in operation.qubits:
            if operation.kind not in DIAGONAL or any(k in needed for k in self.held.get(qubit, ())):
                self.copy(qubit)
        for controls in self.controls(guard):
            merged = _merged(dict(zip(operation.controls, operation.values)), controls)
            if merged is None:
                continue
            self.add(operation._replace(controls=tuple(merged), values=tuple(merged.values())))
            self.slots += given.slots[angles].tolist()
            self.factors += given.factors[angles].tolist()
            if operation.kind == "matrix":
                self.matrices.append(int(given.matrices[self.matrix]))
        self.at += 1
        self.angle += operation.angles
        self.matrix += operation.kind == "matrix"

    def controls(self, guard: Guard) -> list[dict[int, int]]:
        """For each cube of a guard the qubits that control, and their values."""
        found = []
        for cube in ((),) if guard is None else guard:
            controls: dict[int, int] | None = {}
            for k, value in cube:
                controls = None if controls is None else _merged(controls, {self.holders[k]: value})
            if controls is not None:
                found.append(controls)
        return found

    def new(self) -> int:
        self.n += 1
        return self.n - 1

    def copy(self, qubit: int) -> None:
        """Moves the outcomes that a qubit holds to a new one, before the qubit changes."""
        if outcomes := self.held.pop(qubit, None):
            self.hold(outcomes, self.new())
            self.add(Operation("X", (self.n - 1,), (qubit,), (1,)))

    def hold(self, outcomes: list[int], qubit: int) -> None:
        self.held.setdefault(qubit, []).extend(outcomes)
        self.holders.update(dict.fromkeys(outcomes, qubit))

    def measure(self, event: Measure) -> None:
        if event.guard is None:
            self.hold([event.outcome], event.qubit)
            return
        new = self.new()
        for controls in self.controls(event.guard):
            if (merged := _merged({event.qubit: 1}, controls)) is not None:
                self.add(Operation("X", (new,), tuple(merged), tuple(merged.values())))
        self.hold([event.outcome], new)

    def reset(self, event: Reset) -> None:
        qubit = event.qubit
        if qubit not in self.touched:
            return
        if event.guard is None:
            new = self.new()
            self.add(Operation("SWAP", (qubit, new)))
            self.hold(self.held.pop(qubit, []), new)
            self.touched.discard(qubit)
            return
        self.copy(qubit)
        new = self.new()
        for controls in self.controls(event.guard):
            self.add(Operation("SWAP", (qubit, new), tuple(controls), tuple(controls.values())))

    def finished(self) -> Program:
        alphabet = tuple(self.numbers)
        given = self.given
        return Program(self.n, alphabet, self.word, self.slots, self.factors, self.matrices, given.parameters)


def _merged(a: dict[int, int], b: dict[int, int]) -> dict[int, int] | None:
    """Both conditions; None: they contradict each other."""
    if any(a.get(qubit, value) != value for qubit, value in b.items()):
        return None
    return {**a, **b}
