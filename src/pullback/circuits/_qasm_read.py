"""OpenQASM 2 and a subset of OpenQASM 3: text to blocks (`_qasm_write` goes the other way).

The reader is a recursive descent parser: `_qasm_parse` has its tokens, expressions and gate calls, this file its
statements. Gate bodies become lists of `Call`s whose angles are functions of the gate's parameters; `_qasm_gates`
expands calls to blocks. Quantum registers follow each other in the order of their declaration, and qubit 0 of the first
is qubit 0 of the circuit.

Source: A. Cross et al., arXiv:1707.03429 (OpenQASM 2), arXiv:2104.14722 (OpenQASM 3).
"""

from functools import cache
from typing import Any

from pullback.circuits._blocks import Block, shared
from pullback.circuits._qasm_gates import DEFINED, STANDARD, Definition, Gates, Meaning
from pullback.circuits._qasm_parse import CONSTANTS, Call, Evaluate, Parser, at_line, whole, with_end
from pullback.core import InputError

_LIBRARIES = ("qelib1.inc", "stdgates.inc")
_UNSUPPORTED = {
    **dict.fromkeys(("if", "while", "switch"), "classical control is"),
    **dict.fromkeys(("def", "extern", "defcal"), "subroutines are"),
    **dict.fromkeys(("delay", "box", "duration", "stretch"), "timing is"),
    **dict.fromkeys(("output", "array", "bool", "complex"), "such a declaration is"),
}
# Far more than processors have. A call on a whole register makes a block for each of its qubits.
_MOST_QUBITS = 100_000


def read_qasm(text: str) -> tuple[int, list[Block]]:
    """The number of qubits and the blocks of a program.

    Measurements at the end are dropped, and so are barriers. An `input` of OpenQASM 3 becomes a shared parameter with
    value 0. Global phases are dropped where they cannot be observed. What stands after `end;` is not read, nor are
    annotations and pragmas.

    Raises:
        InputError: what cannot be read, with its line: an unknown statement or gate, a wrong number of angles or
            qubits, a qubit out of range, a measurement that is followed by gates, classical control.
    """
    reader = _Reader(text.removeprefix("\ufeff"), _library())
    reader.program()
    if not reader.n:
        raise InputError("OpenQASM: the program declares no qubits.")
    return reader.n, reader.gates.blocks


@cache
def _library() -> dict[str, Meaning]:
    reader = _Reader(DEFINED, STANDARD)
    reader.program()
    return reader.gates.known


class _End(Exception):
    """The program has ended, wherever it was."""


class _Reader:
    """Statements are executed as they are parsed."""

    def __init__(self, text: str, known: dict[str, Meaning]):
        self.parser, self.gates = Parser(text), Gates(known)
        self.version = 2
        self.n = 0
        self.registers: dict[str, range] = {}
        self.aliases: dict[str, list[int]] = {}
        self.bits: set[str] = set()
        self.values: dict[str, Any] = dict(CONSTANTS)
        self.measured: set[int] = set()
        self.used: set[int] = set()

    def program(self) -> None:
        try:
            while not self.parser.ended:
                self.statement()
        except _End:
            pass

    def statement(self) -> None:
        parser = self.parser
        line = parser.line
        try:
            self.execute(line, parser.peek())
        except RecursionError:
            raise at_line(line, "this is nested too deeply.") from None

    def execute(self, line: int, name: str) -> None:
        parser = self.parser
        match name:
            case "OPENQASM":
                parser.next()
                version = parser.next().partition(".")[0]
                if version not in ("2", "3"):
                    raise at_line(line, f"version 2 or 3 is needed, not {version!r}.")
                self.version = int(version)
                parser.expect(";")
            case "include":
                parser.next()
                if (file := parser.next().strip('"')) not in _LIBRARIES:
                    raise at_line(line, f"cannot include {file!r}; the libraries are {', '.join(_LIBRARIES)}.")
                parser.expect(";")
            case "qreg" | "creg" | "qubit" | "bit":
                self.declaration()
            case "gate":
                self.definition()
            case "barrier":
                parser.next()
                if parser.peek() != ";":
                    for operand in parser.listed(parser.operand):
                        self.qubits_of(operand, line)
                parser.expect(";")
            case "measure":
                parser.next()
                self.measure(self.qubits_of(parser.operand(), line))
                if parser.accept("->") and (bit := parser.operand()[0]) not in self.bits:
                    raise at_line(line, f"unknown bits {bit!r}.")
                parser.expect(";")
            case "reset":
                parser.next()
                if self.used & set(self.qubits_of(parser.operand(), line)):
                    raise at_line(line, "reset of a qubit that gates have acted on is not supported.")
                parser.expect(";")
            case "input" | "const" | "float" | "angle" | "int" | "uint":
                self.value()
            case "let":
                self.alias()
            case "for":
                self.loop()
            case "end" if parser.peek(1) == ";":
                raise _End
            case "opaque":
                parser.next()
                self.gates.known[parser.word()] = None
                while not parser.accept(";"):
                    parser.next()
            case _ if name in _UNSUPPORTED:
                raise at_line(line, f"{name!r}: {_UNSUPPORTED[name]} not supported.")
            case _ if name in self.bits:
                parser.operand()
                parser.expect("=")
                parser.expect("measure")
                self.measure(self.qubits_of(parser.operand(), line))
                parser.expect(";")
            case _:
                self.run(parser.call())

    def declaration(self) -> None:
        parser = self.parser
        kind, size, line = parser.next(), 1, parser.line
        if kind in ("qubit", "bit") and parser.accept("["):
            size = self.integer()
            parser.expect("]")
        name = parser.word()
        if kind in ("qreg", "creg"):
            parser.expect("[")
            size = self.integer()
            parser.expect("]")
        self.check_new(name, line)
        if size < 1:
            raise at_line(line, f"the register {name!r} needs at least one element.")
        if kind in ("qreg", "qubit"):
            if self.n + size > _MOST_QUBITS:
                raise at_line(line, f"{name!r}: more than {_MOST_QUBITS} qubits are not supported.")
            self.registers[name] = range(self.n, self.n + size)
            self.n += size
        else:
            self.bits.add(name)
            if parser.accept("="):
                parser.expect("measure")
                self.measure(self.qubits_of(parser.operand(), line))
        parser.expect(";")

    def alias(self) -> None:
        """`let name = some qubits ++ others;`"""
        parser = self.parser
        parser.next()
        line, name = parser.line, parser.word()
        parser.expect("=")
        qubits = self.qubits_of(parser.operand(), line)
        while parser.accept("++"):
            qubits += self.qubits_of(parser.operand(), line)
        parser.expect(";")
        self.check_new(name, line)
        if len(set(qubits)) < len(qubits):
            raise at_line(line, f"{name}: a qubit occurs twice.")
        self.aliases[name] = qubits

    def check_new(self, name: str, line: int) -> None:
        if name in self.registers or name in self.aliases or name in self.bits:
            raise at_line(line, f"{name!r} is declared twice.")

    def definition(self) -> None:
        parser = self.parser
        parser.next()
        name = parser.word()
        parameters = parser.listed(parser.word, ")") if parser.accept("(") else []
        qubits = parser.listed(parser.word, "{")
        body = []
        while not parser.accept("}"):
            if parser.accept("barrier"):
                parser.listed(parser.operand)
                parser.expect(";")
                continue
            call = parser.call()
            if call.name == name:
                raise at_line(call.line, f"the gate {name!r} cannot call itself.")
            for qubit, index in call.operands:
                if qubit not in qubits or index is not None:
                    raise at_line(call.line, f"unknown qubit {qubit!r} in a gate's body.")
            places = tuple(qubits.index(qubit) for qubit, _ in call.operands)
            body.append((call, self.gates.meaning(call), places))
        self.gates.known[name] = Definition(tuple(parameters), len(qubits), tuple(body), dict(self.values))

    def value(self) -> None:
        parser = self.parser
        is_input = parser.accept("input")
        parser.accept("const")
        parser.next()
        if parser.accept("["):
            self.integer()
            parser.expect("]")
        line, name = parser.line, parser.word()
        if is_input:
            self.values[name] = shared(name, 0.0)
        elif parser.accept("="):
            self.values[name] = parser.expression()(self.values)
        else:
            raise at_line(line, f"{name!r} needs a value.")
        parser.expect(";")

    def loop(self) -> None:
        parser = self.parser
        parser.next()
        while parser.peek(1) != "in":  # the type
            parser.next()
        name = parser.word()
        parser.expect("in")
        numbers = self.numbers()
        is_block = parser.accept("{")
        begin = parser.at
        aliases, values = self.aliases, self.values
        for number in numbers:
            parser.at = begin
            self.aliases, self.values = dict(aliases), {**values, name: number}
            if not is_block:
                self.statement()
                continue
            while parser.peek() != "}":
                self.statement()
        self.aliases, self.values = aliases, values
        if not numbers:
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1, ";": -(not is_block)}.get(parser.next(), 0)
        elif is_block:
            parser.expect("}")

    def numbers(self) -> list[int] | range:
        """What a loop runs over: a range [0:2:8], with its end, or a set {0, 2, 5}."""
        parser = self.parser
        if parser.accept("{"):
            return parser.listed(self.integer, "}")
        parser.expect("[")
        line, bounds = parser.line, parser.bounds()
        if len(bounds) == 1:
            raise at_line(line, "a loop needs a range, as in [0:9].")
        return with_end([bound(self.values) for bound in bounds], line)

    def integer(self) -> int:
        line = self.parser.line
        return whole(self.parser.expression()(self.values), line, "a size or number")

    def qubits_of(self, operand: tuple[str, Evaluate | None], line: int) -> list[int]:
        name, index = operand
        register = self.registers.get(name, self.aliases.get(name))
        if register is None:
            raise at_line(line, f"unknown qubits {name!r}.")
        if index is None:
            return list(register)
        found = index(self.values)
        first = -len(register) if self.version == 3 else 0
        qubits = []
        for i in found if isinstance(found, list | range) else [found]:
            if not first <= whole(i, line, f"an index of {name}") < len(register):
                raise at_line(line, f"{name}[{i}]: the register has the qubits 0 to {len(register) - 1}.")
            qubits.append(register[int(i)])
        return qubits

    def measure(self, qubits: list[int]) -> None:
        self.measured |= set(qubits)

    def run(self, call: Call) -> None:
        meaning = self.gates.meaning(call)
        operands = [self.qubits_of(operand, call.line) for operand in call.operands]
        qubits = {q for found in operands for q in found}
        if self.measured & qubits:
            raise at_line(call.line, f"{call.name} acts on a qubit after its measurement, which is not supported.")
        self.used |= qubits
        self.gates.run(call, meaning, operands, self.values)
