"""OpenQASM 2 and OpenQASM 3: text to blocks, measurements and resets (`_write` goes the other way).

`_parse` has the tokens and expressions, `_syntax` the statements, `_values` the arithmetic, `_gates` expands gate calls
to blocks; `_control` and this file execute the statements. Everything classical has a value then, but for outcomes of
measurements: values that depend on them have one for each case, and statements under such a condition are executed with
it as their guard (`circuits._outcomes`). Quantum registers follow each other in the order of their declaration, and
qubit 0 of the first is qubit 0 of the circuit.

Source: A. Cross et al., arXiv:1707.03429 (OpenQASM 2), arXiv:2104.14722 (OpenQASM 3).
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pullback.circuits._blocks import Block, shared
from pullback.circuits._deferred import Event, Gates, Guard, Measure, Reset
from pullback.circuits._outcomes import joint, lift, meet, outcome, where_true
from pullback.circuits._qasm._control import Control, End
from pullback.circuits._qasm._gates import DEFINED, STANDARD, Definition, Expansion, Meaning
from pullback.circuits._qasm._parse import Operand
from pullback.circuits._qasm._syntax import LIBRARIES, Call, Syntax
from pullback.circuits._qasm._values import (
    CONSTANTS,
    Affine,
    Bits,
    Qubits,
    Type,
    apply,
    at_line,
    convert,
    element,
    number,
    whole,
)
from pullback.core import InputError

# Far more than processors have. A call on a whole register makes a block for each of its qubits.
_MOST_QUBITS = 100_000


class Read(NamedTuple):
    """A program: its gates, when they, measurements and resets happen, and what the classical registers hold then."""

    n: int
    blocks: list[Block]
    events: tuple[Event, ...]
    registers: tuple[tuple[str, tuple[Any, ...]], ...]


def read_qasm(program: str | Path, inputs: Mapping[str, Any] | None = None) -> Read:
    """What a program says.

    Barriers, delays, boxes, annotations and pragmas are dropped, global phases where they cannot be observed. An
    `input` of OpenQASM 3 becomes a shared parameter. What stands after `end;` is not read.

    Raises:
        InputError: what cannot be read, with its line.
    """
    folder = None
    if isinstance(program, Path):
        folder, text = program, _file(program, "OpenQASM")
    elif isinstance(program, str):
        text = program
    else:
        raise InputError(f"OpenQASM: needs a text or the Path of a file, not {type(program).__name__}.")
    reader = _Reader(_library(), dict(inputs or {}))
    reader.program(text, () if folder is None else (folder,))
    if not reader.n:
        raise InputError("OpenQASM: the program declares no qubits.")
    if unknown := set(inputs or {}) - reader.inputs:
        known = ", ".join(sorted(reader.inputs)) or "none"
        raise InputError(f"OpenQASM: no input {', '.join(sorted(unknown))} in the program; its inputs are: {known}.")
    registers = tuple((name, tuple(bits)) for name, bits in reader.registers.items())
    return Read(reader.n, reader.gates.blocks, tuple(reader.events), registers)


@cache
def _library() -> dict[str, Meaning]:
    reader = _Reader(STANDARD, {})
    reader.program(DEFINED, ())
    return reader.gates.known


def qasm_includes(path: Path) -> list[Path]:
    """The files that an OpenQASM program includes, and those that these include; libraries and missing files are not
    among them."""
    found, waiting = dict[Path, None](), [path]
    while waiting:
        file = waiting.pop()
        for name in re.findall(r'^\s*include\s*"([^"\n]+)"\s*;', _file(file, "qasm_includes"), flags=re.MULTILINE):
            below = file.parent / name
            if name not in LIBRARIES and below.is_file() and below not in found:
                found[below] = None
                waiting.append(below)
    return [*found]


def _file(path: Path, who: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{who}: cannot read {str(path)!r}: {error}.") from None


class _Globals(dict[str, Any]):
    """The global names; $0, $1, … are qubits without declaration."""

    def __init__(self, physical):
        super().__init__(CONSTANTS)
        self.physical = physical

    def __missing__(self, name: str) -> Any:
        if name[0] != "$":
            raise KeyError(name)
        return self.physical(int(name[1:]))


class _Reader(Control):
    def __init__(self, known: dict[str, Meaning], inputs: dict[str, Any]):
        super().__init__(_Globals(self.physical_qubit))
        self.globals["measure"] = self.measured
        self.gates, self.given, self.inputs = Expansion(known), inputs, set[str]()
        self.n, self.outcomes, self.physical = 0, 0, False
        self.events: list[Event] = []
        self.registers: dict[str, Bits] = {}
        self.files: tuple[Path, ...] = ()

    def program(self, text: str, files: tuple[Path, ...]) -> None:
        with suppress(End):
            self.read(text, files, None)

    def read(self, text: str, files: tuple[Path, ...], version: int | None) -> None:
        before, self.files = self.files, files
        syntax = Syntax(text.removeprefix("\ufeff"), version)
        while not syntax.ended:
            statement = syntax.statement()
            self.version = syntax.version
            self.execute(statement)
        self.files = before

    # declarations

    def do_include(self, line, file) -> None:
        if file in LIBRARIES:
            return
        if not self.files:
            raise at_line(
                line,
                f"cannot include {file!r}: a text has no folder in which it could be. Give the Path of the program's "
                f"file; the libraries {' and '.join(LIBRARIES)} need none.",
            )
        path = self.files[-1].parent / file
        if path.resolve() in (one.resolve() for one in self.files):
            raise at_line(line, f"{file!r} includes itself.")
        text = _file(path, f"OpenQASM line {line}: include")
        try:
            self.read(text, (*self.files, path), self.version)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None

    def do_qubits(self, line, name, size) -> None:
        size = self.size(name, size, line)
        if self.physical:
            raise at_line(line, f"{name!r}: a program has either physical qubits, $0, or declared ones.")
        self.more_qubits(self.n + size, repr(name))
        self.declare(name, Qubits(range(self.n - size, self.n)), line)

    def do_bits(self, line, name, size) -> None:
        size = self.size(name, size, line)
        self.declare_bits(name, Bits([0] * size), line)

    def declare_bits(self, name, bits, line) -> None:
        self.declare(name, bits, line, Type("bit", len(bits)))
        if len(self.names.maps) == 1:
            self.registers[name] = bits

    def size(self, name, size, line) -> int:
        size = 1 if size is None else whole(size(self.names), line, "a size or number")
        if size < 1:
            raise at_line(line, f"the register {name!r} needs at least one element.")
        if size > _MOST_QUBITS:
            raise at_line(line, f"{name!r}: more than {_MOST_QUBITS} qubits are not supported.")
        return size

    def more_qubits(self, n: int, name: str) -> None:
        if n > _MOST_QUBITS:
            raise at_line(self.line, f"{name}: more than {_MOST_QUBITS} qubits are not supported.")
        self.n = max(self.n, n)

    def physical_qubit(self, k: int) -> Qubits:
        if self.n and not self.physical:
            raise at_line(self.line, f"${k}: a program has either physical qubits or declared ones.")
        self.physical = True
        self.more_qubits(k + 1, f"${k}")
        return Qubits([k])

    def do_variable(self, line, role, of, name, value) -> None:
        of = of.known(self.names)
        if role == "input":
            self.inputs.add(name)
            if of.shape or of.name == "bit":
                raise at_line(line, f"{name!r}: only numbers can be inputs.")
            given = self.given.get(name, 0.0)
            is_known = of.name not in ("float", "angle") and name in self.given
            value = convert(given, of, line) if is_known else Affine({name: shared(name, given)})
            self.declare(name, value, line)
            return
        if role == "const" and value is None:
            raise at_line(line, f"{name!r} needs a value.")
        value = of.zero() if value is None else convert(value(self.names), of, line)
        if isinstance(value, Bits):
            self.declare_bits(name, value, line)
        else:
            self.declare(name, value, line, of if role != "const" else None)

    def do_let(self, line, name, operands) -> None:
        parts = [operand.value(self.names) for operand in operands]
        if not all(isinstance(part, Qubits) for part in parts):
            raise at_line(line, f"{name}: an alias is made of qubits.")
        joined = [qubit for part in parts for qubit in part]
        if len(set(joined)) < len(joined):
            raise at_line(line, f"{name}: a qubit occurs twice.")
        self.declare(name, Qubits(joined), line)

    def do_opaque(self, line, name) -> None:
        self.gates.known[name] = None

    def do_gate(self, line, name, parameters, qubits, body) -> None:
        calls = []
        for statement in body:
            if statement.kind == "barrier" or statement.parts == ((),):
                continue
            if statement.kind != "call":
                raise at_line(statement.line, f"a gate's body has only gates, not {statement.kind!r}.")
            (call,) = statement.parts
            if call.name == name:
                raise at_line(call.line, f"the gate {name!r} cannot call itself.")
            for operand in call.operands:
                if operand.name not in qubits or operand.indexed:
                    raise at_line(call.line, f"unknown qubit {operand.name!r} in a gate's body.")
            places = tuple(qubits.index(operand.name) for operand in call.operands)
            calls.append((call, self.gates.meaning(call), places))
        self.gates.known[name] = Definition(parameters, len(qubits), tuple(calls), dict(self.names))

    # what happens

    def do_barrier(self, line, operands) -> None:
        for operand in operands:
            self.qubits(operand)

    def qubits(self, operand: Operand) -> Qubits:
        found = operand.value(self.names)
        if not isinstance(found, Qubits):
            raise at_line(operand.line, f"unknown qubits {operand.name!r}.")
        return found

    def where(self) -> Guard:
        return None if self.guard is True else where_true(self.guard)

    def measured(self, qubits: Any, line: int) -> Bits:
        """Outcomes of new measurements."""
        if not isinstance(qubits, Qubits):
            raise at_line(line, "only qubits can be measured.")
        found = Bits()
        for qubit in qubits:
            self.events.append(Measure(qubit, self.outcomes, self.where()))
            found.append(outcome(self.outcomes))
            self.outcomes += 1
        return found

    def do_measure(self, line, operand, target) -> None:
        bits = self.measured(self.qubits(operand), line)
        if target is not None:
            name, indices = target
            held = self.names.get(name)
            if not isinstance(held, Bits):
                raise at_line(line, f"unknown bits {name!r}.")
            if not indices and len(held) > len(bits):
                bits = Bits([*bits, *held[len(bits) :]])
            self.assign(line, target, bits)

    def do_reset(self, line, operand) -> None:
        self.events += [Reset(qubit, self.where()) for qubit in self.qubits(operand)]

    def do_assign(self, line, target, symbol, value) -> None:
        value = value(self.names)
        if symbol:
            name, indices = target
            held = self.value_at(line, name, indices)
            value = apply(symbol, line, held, value)
        self.assign(line, target, value)

    def value_at(self, line, name, indices) -> Any:
        if name not in self.names:
            raise at_line(line, f"unknown name {name!r}.")
        held = self.names[name]
        for index in indices:
            held = element(held, name, self.index(index), line, 3)
        return held

    def index(self, bounds) -> Any:
        values = [bound and bound(self.names) for bound in bounds]
        return values[0] if len(values) == 1 else tuple(values)

    def assign(self, line, target, value) -> None:
        """Gives a variable, or elements of it, a new value, where the guard holds."""
        self.assignments += 1
        name, indices = target
        held = self.value_at(line, name, ())
        of = self.types.get(name)
        if of is None:
            raise at_line(line, f"{name!r} cannot be assigned to.")
        if not indices:
            new = self.chosen(convert(value, of, line), held)
            owner = next(names for names in self.names.maps if name in names)
            if isinstance(held, list):
                held[:] = new
            else:
                owner[name] = new
            return
        *outer, last = indices
        for index in outer:
            held = element(held, name, self.index(index), line, 3)
            of = of._replace(shape=of.shape[1:])
        if not isinstance(held, list):
            raise at_line(line, f"{name!r} has no elements.")
        numbers = type(held)(range(len(held)))
        places = element(numbers, name, self.index(last), line, 3)
        several = isinstance(places, list)
        if isinstance(held, Bits):
            inner = Type("bit", len(places))
        else:
            inner = of._replace(shape=((len(places),) if several else ()) + of.shape[1:])
        new = convert(value, inner, line)
        for place, item in zip(places, new) if several else [(places, new)]:
            held[place] = self.chosen(item, held[place])

    def chosen(self, new: Any, old: Any) -> Any:
        """The new value where the guard holds, elsewhere the old one."""
        if isinstance(new, list):
            return type(new)(self.chosen(a, b) for a, b in zip(new, old))
        return lift(lambda guard, a, b: a if guard else b, self.guard, new, old)

    def do_call(self, line, call: Call) -> None:
        if call.name not in self.gates.known and callable(function := self.names.get(call.name)):
            if call.modifiers or call.operands:
                raise at_line(line, f"{call.name!r} is a subroutine: its qubits stand between its parentheses.")
            function([argument(self.names) for argument in call.angles], line)
            return
        meaning = self.gates.meaning(call)
        operands = [list(self.qubits(operand)) for operand in call.operands]
        angles = [number(angle(self.names), call.line) for angle in call.angles]
        guard = self.where()
        for cube, values in joint(angles):  # they may depend on outcomes
            met = [meet(one, cube) for one in guard or ((),)] if cube else []
            within = tuple(both for both in met if both is not None) if cube else guard
            if within == ():
                continue
            before = len(self.gates.blocks)
            self.gates.run(call, meaning, values, operands, self.names)
            if count := len(self.gates.blocks) - before:
                self.happened(count, within)

    def happened(self, count: int, guard: Guard) -> None:
        if self.events and isinstance(last := self.events[-1], Gates) and last.guard == guard:
            self.events[-1] = Gates(last.number + count, guard)
        else:
            self.events.append(Gates(count, guard))
