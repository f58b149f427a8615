"""OpenQASM 2 and a subset of OpenQASM 3: text to blocks (`_qasm_write` goes the other way).

The reader is a tokenizer and a recursive descent parser. Gate bodies become lists of `Call`s whose angles are functions
of the gate's parameters; calling a gate expands them. Quantum registers follow each other in the order of their
declaration, and qubit 0 of the first is qubit 0 of the circuit.

Source: A. Cross et al., arXiv:1707.03429 (OpenQASM 2), arXiv:2104.14722 (OpenQASM 3).
"""

import math
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from pullback.circuits._blocks import (
    Block,
    Gate,
    Shared,
    control,
    daggered,
    put,
    shared,
)
from pullback.circuits._gates import KINDS
from pullback.core import InputError, nearest

Evaluate = Callable[[dict[str, Any]], Any]


class Token(NamedTuple):
    text: str
    line: int


class Call(NamedTuple):
    """A gate call: its modifiers (name, argument), angles, and operands (name, index or None)."""

    modifiers: tuple[tuple[str, Evaluate | None], ...]
    name: str
    angles: tuple[Evaluate, ...]
    operands: tuple[tuple[str, Evaluate | None], ...]
    line: int


class Definition(NamedTuple):
    """`gate name(parameters) qubits { body }`."""

    parameters: tuple[str, ...]
    qubits: tuple[str, ...]
    body: tuple[Call, ...]


class Standard(NamedTuple):
    """A gate of the standard libraries: controls, kind, whether it is the adjoint, its angles from the given ones."""

    controls: int
    kind: str
    adjoint: bool = False
    angles: Callable[..., tuple[Any, ...]] | None = None
    given: int | None = None  # number of angles, if it is not that of the kind


def _u2(phi: Any, lam: Any) -> tuple[Any, ...]:
    return math.pi / 2, phi, lam


_STANDARD: dict[str, Standard] = {
    "id": Standard(0, "I"),
    **{name: Standard(0, name.upper()) for name in ("x", "y", "z", "h", "s", "t", "sx")},
    **{name + "dg": Standard(0, name.upper(), True) for name in ("s", "t", "sx")},
    **{name: Standard(0, name.capitalize()) for name in ("rx", "ry", "rz", "rxx", "ryy", "rzz")},
    **{name: Standard(0, "P") for name in ("p", "u1", "phase")},
    **{name: Standard(0, "U3") for name in ("u3", "u", "U")},
    "u2": Standard(0, "U3", False, _u2, 2),
    "u0": Standard(0, "I", False, lambda cycles: (), 1),  # waits
    **{name: Standard(1, "X") for name in ("cx", "CX", "cnot")},
    **{"c" + name: Standard(1, name.upper()) for name in ("y", "z", "h", "sx")},
    **{"c" + name: Standard(1, name.capitalize()) for name in ("rx", "ry", "rz")},
    **{name: Standard(1, "P") for name in ("cp", "cu1", "cphase")},
    "cu3": Standard(1, "U3"),
    "ccx": Standard(2, "X"),
    "ccz": Standard(2, "Z"),
    "c3x": Standard(3, "X"),
    "c4x": Standard(4, "X"),
    "c3sqrtx": Standard(3, "SX"),
    "swap": Standard(0, "SWAP"),
    "cswap": Standard(1, "SWAP"),
    "iswap": Standard(0, "iSWAP"),
}
_DEFINED = """
gate rccx a,b,c { u2(0,pi) c; p(pi/4) c; cx b,c; p(-pi/4) c; cx a,c; p(pi/4) c; cx b,c; p(-pi/4) c; u2(0,pi) c; }
gate rc3x a,b,c,d {
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
  cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d; cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d;
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
}
"""  # of qelib1.inc; Toffoli gates up to phases, D. Maslov, arXiv:1508.03273
_LIBRARIES = ("qelib1.inc", "stdgates.inc")
_FUNCTIONS = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log, "log": math.log,
    "sqrt": math.sqrt, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan,
}  # fmt: skip
_UNSUPPORTED = {
    **dict.fromkeys(("if", "while", "switch"), "classical control is"),
    **dict.fromkeys(("def", "extern", "defcal"), "subroutines are"),
    **dict.fromkeys(("delay", "box", "duration", "stretch"), "timing is"),
    **dict.fromkeys(("let", "output", "array"), "such a declaration is"),
}
_CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}
_TOKEN = re.compile(
    r"(?P<skip>\s+|//[^\n]*|/\*.*?\*/|#?pragma\b[^\n]*)|(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)"
    r'|(?P<word>[^\W\d]\w*)|(?P<string>"[^"\n]*")|(?P<symbol>->|==|\*\*|[\[\](){},;:+\-*/^@=])',
    re.DOTALL,
)


def read_qasm(text: str) -> tuple[int, list[Block]]:
    """The number of qubits and the blocks of a program.

    Measurements at the end are dropped, and so are barriers. An `input` of OpenQASM 3 becomes a shared parameter with
    value 0. Global phases are dropped where they cannot be observed.

    Raises:
        InputError: what cannot be read, with its line: an unknown statement or gate, a wrong number of angles or
            qubits, a qubit out of range, a measurement that is followed by gates, classical control.
    """
    reader = _Reader(list(_tokens(text.removeprefix("\ufeff"))))
    reader.program()
    if not reader.n:
        raise InputError("OpenQASM: the program declares no qubits.")
    return reader.n, reader.blocks


@cache
def _defined():
    reader = _Reader(list(_tokens(_DEFINED)))
    reader.program()
    return reader.gates


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise InputError(f"OpenQASM line {line}: cannot read {text[at]!r}.")
        if match.lastgroup != "skip":
            yield Token(match[0], line)
        line += match[0].count("\n")
        at = match.end()


class _Reader:
    """Statements are executed as they are parsed."""

    def __init__(self, tokens: list[Token]):
        self.tokens, self.at = tokens, 0
        self.version = 2
        self.n = 0
        self.registers: dict[str, range] = {}
        self.bits: set[str] = set()
        self.gates: dict[str, Definition] = {}
        self.opaque: set[str] = set()
        self.values: dict[str, Any] = dict(_CONSTANTS)
        self.blocks: list[Block] = []
        self.measured: set[int] = set()
        self.used: set[int] = set()

    # tokens

    @property
    def line(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 1

    def error(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"OpenQASM line {self.line if line is None else line}: {message}")

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def next(self) -> str:
        if self.at >= len(self.tokens):
            raise self.error("the program ends in the middle of a statement.")
        self.at += 1
        return self.tokens[self.at - 1].text

    def accept(self, text: str) -> bool:
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        line = self.line
        found = self.peek()
        if not self.accept(text):
            raise self.error(f"expected {text!r}, found {found or 'the end'!r}.", line)

    def word(self) -> str:
        line, found = self.line, self.next()
        if not (found[0].isalpha() or found[0] == "_"):
            raise self.error(f"expected a name, found {found!r}.", line)
        return found

    def listed(self, item: Callable[[], Any], end: str | None = None) -> list[Any]:
        """Items between commas, up to `end` if it is given."""
        found: list[Any] = []
        if end is not None and self.accept(end):
            return found
        while True:
            found.append(item())
            if not self.accept(","):
                if end is not None:
                    self.expect(end)
                return found

    # statements

    def program(self) -> None:
        while self.at < len(self.tokens):
            self.statement()

    def statement(self) -> None:
        line = self.line
        try:
            self.execute(line, self.peek())
        except InputError:
            raise
        except RecursionError:
            raise self.error("this is nested too deeply, or gates call each other.", line) from None
        except (ArithmeticError, TypeError, ValueError) as error:
            raise self.error(f"cannot be evaluated: {error}.", line) from None

    def execute(self, line: int, name: str) -> None:
        match name:
            case "OPENQASM":
                self.next()
                self.version = int(float(self.next()))
                if self.version not in (2, 3):
                    raise self.error("version 2 or 3 is needed.", line)
                self.expect(";")
            case "include":
                self.next()
                if (file := self.next().strip('"')) not in _LIBRARIES:
                    raise self.error(f"cannot include {file!r}; the libraries are {', '.join(_LIBRARIES)}.", line)
                self.expect(";")
            case "qreg" | "creg" | "qubit" | "bit":
                self.declaration()
            case "gate":
                self.definition()
            case "barrier":
                self.next()
                if self.peek() != ";":
                    for operand in self.listed(self.operand):
                        self.qubits_of(operand, self.values, line)
                self.expect(";")
            case "measure":
                self.next()
                self.measure(self.qubits_of(self.operand(), self.values, line))
                if self.accept("->") and (bit := self.operand()[0]) not in self.bits:
                    raise self.error(f"unknown bits {bit!r}.", line)
                self.expect(";")
            case "reset":
                self.next()
                if self.used & set(self.qubits_of(self.operand(), self.values, line)):
                    raise self.error("reset of a qubit that gates have acted on is not supported.", line)
                self.expect(";")
            case "input" | "const" | "float" | "angle" | "int" | "uint":
                self.value()
            case "for":
                self.loop()
            case "opaque":
                self.next()
                self.opaque.add(self.word())
                while not self.accept(";"):
                    self.next()
            case _ if name in _UNSUPPORTED:
                raise self.error(f"{name!r}: {_UNSUPPORTED[name]} not supported.", line)
            case _ if name in self.bits:
                self.operand()
                self.expect("=")
                self.expect("measure")
                self.measure(self.qubits_of(self.operand(), self.values, line))
                self.expect(";")
            case _:
                self.run(self.call(), self.values, (), None)

    def declaration(self) -> None:
        kind, size, line = self.next(), 1, self.line
        if kind in ("qubit", "bit") and self.accept("["):
            size = self.integer()
            self.expect("]")
        name = self.word()
        if kind in ("qreg", "creg"):
            self.expect("[")
            size = self.integer()
            self.expect("]")
        if name in self.registers or name in self.bits:
            raise self.error(f"{name!r} is declared twice.", line)
        if size < 1:
            raise self.error(f"the register {name!r} needs at least one element.", line)
        if kind in ("qreg", "qubit"):
            self.registers[name] = range(self.n, self.n + size)
            self.n += size
        else:
            self.bits.add(name)
            if self.accept("="):
                self.expect("measure")
                self.measure(self.qubits_of(self.operand(), self.values, line))
        self.expect(";")

    def definition(self) -> None:
        self.next()
        name = self.word()
        parameters = self.listed(self.word, ")") if self.accept("(") else []
        qubits = self.listed(self.word, "{")
        body = []
        while not self.accept("}"):
            if self.accept("barrier"):
                self.listed(self.operand)
                self.expect(";")
            else:
                body.append(self.call())
                if body[-1].name == name:
                    raise self.error(f"the gate {name!r} cannot call itself.", body[-1].line)
        self.gates[name] = Definition(tuple(parameters), tuple(qubits), tuple(body))

    def value(self) -> None:
        is_input = self.accept("input")
        self.accept("const")
        self.next()
        if self.accept("["):
            self.integer()
            self.expect("]")
        line, name = self.line, self.word()
        if is_input:
            self.values[name] = shared(name, 0.0)
        elif self.accept("="):
            self.values[name] = self.expression()(self.values)
        else:
            raise self.error(f"{name!r} needs a value.", line)
        self.expect(";")

    def loop(self) -> None:
        self.next()
        while self.peek(1) != "in":  # the type
            self.next()
        name = self.word()
        self.expect("in")
        numbers = self.numbers()
        is_block = self.accept("{")
        begin = self.at
        hidden = self.values.get(name)
        for self.values[name] in numbers:
            self.at = begin
            if not is_block:
                self.statement()
                continue
            while self.peek() != "}":
                self.statement()
        if not numbers:
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1, ";": -(not is_block)}.get(self.next(), 0)
        elif is_block:
            self.expect("}")
        self.values.pop(name, None)
        if hidden is not None:
            self.values[name] = hidden

    def numbers(self) -> list[int]:
        """What a loop runs over: a range [0:2:8], with its end, or a set {0, 2, 5}."""
        if self.accept("{"):
            return self.listed(self.integer, "}")
        self.expect("[")
        bounds = [self.integer()]
        while self.accept(":"):
            bounds.append(self.integer())
        self.expect("]")
        if len(bounds) not in (2, 3):
            raise self.error("a loop needs a range, as in [0:9].")
        return _with_end(*bounds)

    def call(self) -> Call:
        modifiers = []
        while self.peek() in ("ctrl", "negctrl", "inv", "pow"):
            name, argument = self.next(), None
            if self.accept("("):
                argument = self.expression()
                self.expect(")")
            self.expect("@")
            modifiers.append((name, argument))
        line, name = self.line, self.word()
        angles = self.listed(self.expression, ")") if self.accept("(") else []
        operands = [] if self.peek() == ";" else self.listed(self.operand)
        self.expect(";")
        return Call(tuple(modifiers), name, tuple(angles), tuple(operands), line)

    def operand(self) -> tuple[str, Evaluate | None]:
        name = self.word()
        if not self.accept("["):
            return name, None
        if self.accept("{"):
            chosen = self.listed(self.expression, "}")
            self.expect("]")
            return name, lambda names: [one(names) for one in chosen]
        bounds = [self.expression()]
        while self.accept(":"):
            bounds.append(self.expression())
        self.expect("]")
        if len(bounds) == 1:
            return name, bounds[0]
        return name, lambda names: _with_end(*(bound(names) for bound in bounds))

    def integer(self) -> int:
        line, value = self.line, self.expression()(self.values)
        if value != int(value):
            raise self.error(f"{value} is not an integer.", line)
        return int(value)

    # expressions, as functions of the names' values

    def expression(self) -> Evaluate:
        left = self.term()
        while self.peek() in ("+", "-"):
            left = self.binary(self.next(), left, self.term())
        return left

    def term(self) -> Evaluate:
        left = self.factor()
        while self.peek() in ("*", "/"):
            left = self.binary(self.next(), left, self.factor())
        return left

    def factor(self) -> Evaluate:
        if self.accept("-"):
            inner = self.factor()
            return lambda names: -inner(names)
        if self.accept("+"):
            return self.factor()
        base = self.atom()
        if self.peek() in ("^", "**"):
            self.next()
            return self.binary("**", base, self.factor())
        return base

    def binary(self, symbol: str, left: Evaluate, right: Evaluate) -> Evaluate:
        act = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow}[
            symbol
        ]
        line = self.line

        def evaluate(names):
            a, b = left(names), right(names)
            try:
                return act(a, b)
            except TypeError:
                raise self.error("only multiples of an input can be angles.", line) from None
            except ZeroDivisionError:
                raise self.error("division by zero.", line) from None

        return evaluate

    def atom(self) -> Evaluate:
        line, text = self.line, self.next()
        if text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if text[0].isdigit() or text[0] == ".":
            number = float(text) if re.search(r"[.eE]", text) else int(text)
            return lambda names: number
        if text in _FUNCTIONS and self.accept("("):
            argument, function = self.expression(), _FUNCTIONS[text]
            self.expect(")")
            return lambda names: function(argument(names))
        if not (text[0].isalpha() or text[0] == "_"):
            raise self.error(f"expected a number or a name, found {text!r}.", line)

        def name(names):
            if text not in names:
                raise self.error(f"unknown name {text!r}.", line)
            return names[text]

        return name

    # execution

    def qubits_of(self, operand: tuple[str, Evaluate | None], names: dict[str, Any], line: int) -> list[int]:
        name, index = operand
        if name not in self.registers:
            raise self.error(f"unknown qubits {name!r}.", line)
        register = self.registers[name]
        if index is None:
            return list(register)
        found = index(names)
        chosen = found if isinstance(found, list) else [found]
        first = -len(register) if self.version == 3 else 0
        for i in chosen:
            if i != int(i) or not first <= i < len(register):
                raise self.error(f"{name}[{i}]: the register has the qubits 0 to {len(register) - 1}.", line)
        return [register[int(i)] for i in chosen]

    def measure(self, qubits: list[int]) -> None:
        self.measured |= set(qubits)

    def run(self, call: Call, names: dict[str, Any], controls: tuple, local: dict[str, int] | None) -> None:
        """Appends the blocks of a call; `local` are the qubits of the gate whose body it stands in."""
        if local is None:
            lists = [self.qubits_of(o, names, call.line) for o in call.operands]
        else:
            for name, index in call.operands:
                if name not in local or index is not None:
                    raise self.error(f"unknown qubit {name!r} in a gate's body.", call.line)
            lists = [[local[name]] for name, _ in call.operands]
        widest = max(map(len, lists), default=1)
        if any(len(qubits) not in (1, widest) for qubits in lists):
            raise self.error(f"{call.name}: registers of different lengths.", call.line)
        angles = [angle(names) for angle in call.angles]
        for k in range(widest):
            qubits = [found[k if len(found) > 1 else 0] for found in lists]
            if len(set(qubits)) < len(qubits):
                raise self.error(f"{call.name}: a qubit occurs twice.", call.line)
            if self.measured & {*qubits, *(q for q, _ in controls)}:
                raise self.error(
                    f"{call.name} acts on a qubit after its measurement, which is not supported.", call.line
                )
            self.used |= set(qubits)
            self.modified(call, list(call.modifiers), names, angles, qubits, controls)

    def modified(self, call, modifiers, names, angles, qubits, controls) -> None:
        if not modifiers:
            self.gate(call, angles, qubits, controls)
            return
        (name, argument), *rest = modifiers
        number = 1 if argument is None else argument(names)
        if number != int(number):
            raise self.error(f"{name}({number}): only integers are supported.", call.line)
        if name in ("ctrl", "negctrl"):
            count = int(number)
            if not 1 <= count <= len(qubits):
                raise self.error(f"{name}({count}): there are {len(qubits)} qubits.", call.line)
            new = tuple((q, int(name == "ctrl")) for q in qubits[:count])
            self.modified(call, rest, names, angles, qubits[count:], controls + new)
            return
        start = len(self.blocks)
        self.modified(call, rest, names, angles, qubits, controls)
        inner = self.blocks[start:]
        if name == "inv" or number < 0:
            inner = [daggered(b) for b in reversed(inner)]
        self.blocks[start:] = inner * (abs(int(number)) if name == "pow" else 1)

    def gate(self, call: Call, angles: list[Any], qubits: list[int], controls: tuple) -> None:
        definition = self.gates.get(call.name) or _defined().get(call.name)
        if definition is not None:
            self.counted(call, len(angles), len(definition.parameters), len(qubits), len(definition.qubits))
            names = {**self.values, **dict(zip(definition.parameters, angles))}
            for inner in definition.body:
                self.run(inner, names, controls, dict(zip(definition.qubits, qubits)))
            return
        if call.name == "gphase":
            self.counted(call, len(angles), 1, len(qubits), 0)
            self.phase(angles[0], controls)
            return
        if call.name == "cu":
            self.counted(call, len(angles), 4, len(qubits), 2)
            inside = (*controls, (qubits[0], 1))
            self.put("U3", tuple(angles[:3]), qubits[1:], inside)
            self.phase(angles[3], inside)
            return
        standard = _STANDARD.get(call.name)
        if call.name in self.opaque:
            raise self.error(f"the gate {call.name!r} is opaque: what it does is not known.", call.line)
        if standard is None:
            raise self.error(
                f"unknown gate or statement {call.name!r}.{nearest(call.name, [*_STANDARD, *self.gates])}", call.line
            )
        kind = KINDS[standard.kind]
        given = kind.angles if standard.given is None else standard.given
        self.counted(call, len(angles), given, len(qubits), standard.controls + kind.qubits)
        values = standard.angles(*angles) if standard.angles else tuple(angles)
        inside = controls + tuple((q, 1) for q in qubits[: standard.controls])
        self.put(standard.kind, values, qubits[standard.controls :], inside, standard.adjoint)
        if controls and self.version == 3 and standard.kind == "U3" and not standard.controls:
            theta, phi, lam = values  # the phases that the standard gives them matter under control
            if call.name == "U":
                self.phase(theta * 0.5, controls)
            elif call.name in ("u2", "u3"):
                self.phase(phi * -0.5, controls)
                self.phase(lam * -0.5, controls)

    def counted(self, call, angles, wanted_angles, qubits, wanted_qubits) -> None:
        for what, found, wanted in (("angles", angles, wanted_angles), ("qubits", qubits, wanted_qubits)):
            if found != wanted:
                raise self.error(f"{call.name} takes {wanted} {what}, not {found}.", call.line)

    def put(
        self, kind: str, angles: tuple[Any, ...], qubits: list[int], controls: tuple, adjoint: bool = False
    ) -> None:
        if kind == "I":
            return
        angles = tuple(a if isinstance(a, Shared) else float(a) for a in angles)
        if not all(isinstance(a, Shared) or math.isfinite(a) for a in angles):
            raise ValueError("an angle is not finite")
        block = put(tuple(qubits), Gate(kind, angles))
        if adjoint:
            block = daggered(block)
        if controls:
            where, values = zip(*controls)
            if set(where) & set(qubits):
                raise self.error("a control is among the gate's own qubits.")
            block = control(where, block, values=values)
        self.blocks.append(block)

    def phase(self, angle: Any, controls: tuple) -> None:
        """A global phase, which controls turn into a phase of the last of them."""
        if not controls:
            return
        *rest, (q, value) = controls
        if not value:
            self.put("X", (), [q], ())
        self.put("P", (angle,), [q], tuple(rest))
        if not value:
            self.put("X", (), [q], ())


def _with_end(start: int, *rest: int) -> list[int]:
    """start, stop or start, step, stop, with the stop."""
    *step, stop = rest
    by = step[0] if step else 1
    return list(range(start, stop + (1 if by > 0 else -1), by))
