"""The tokens of OpenQASM, and its expressions as functions of the names' values (`_values` does the arithmetic).

Where the tokens end since one cannot be read, the error waits until it is needed: what follows `end;` may be anything.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pullback.circuits._qasm._values import FUNCTIONS, Bits, Type, apply, at_line, convert, element, with_end
from pullback.core import InputError

Evaluate = Callable[[Mapping[str, Any]], Any]
TYPES = ("int", "uint", "float", "angle", "bool", "bit")
_TOKEN = re.compile(
    r"(?P<skip>\s+|//[^\n]*|/\*.*?\*/|#?pragma\b[^\n]*)"
    r"|(?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+"
    r"|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[^\W\d]\w*|\$[0-9]+)|(?P<string>\"[^\"\n]*\")"
    r"|(?P<symbol>->|(?:\*\*|<<|>>|[+\-*/%^&|~])=|==|!=|<=|>=|\*\*|<<|>>|&&|\|\||\+\+|[\[\](){},;:+\-*/%^@=<>!&|~])",
    re.DOTALL,
)
_ANNOTATION = re.compile(r"@[^\n]*")
# From the loosest to the tightest; unary operators bind tighter than all of them, and powers tighter still.
_LEVELS = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>"), ("+", "-"),
    ("*", "/", "%"),
)  # fmt: skip
_TIGHTNESS = {symbol: level for level, symbols in enumerate(_LEVELS) for symbol in symbols}


class Operand(NamedTuple):
    """Qubits or bits as the program names them: a register, or what indices choose of it."""

    name: str
    value: Evaluate
    indexed: bool
    line: int


class Parser:
    """The tokens of a program, taken one after the other; what is read need not be declared."""

    def __init__(self, text: str):
        self.at = 0
        self.tokens, self.unreadable = _tokens(text)
        self.version = 2
        self.real_division = False  # in the arguments of `pow`, whose 1/2 is a square root

    def _have(self, ahead: int) -> bool:
        if self.at + ahead < len(self.tokens):
            return True
        if self.unreadable is not None:
            raise self.unreadable
        return False

    @property
    def ended(self) -> bool:
        return not self._have(0)

    @property
    def line(self) -> int:
        try:
            return self.tokens[self.at][1]
        except IndexError:
            return self.tokens[-1][1] if self.tokens else 1

    def error(self, message: str) -> InputError:
        return at_line(self.line, message)

    def peek(self, ahead: int = 0) -> str:
        try:
            return self.tokens[self.at + ahead][0]
        except IndexError:
            self._have(ahead)
            return ""

    def next(self) -> str:
        found = self.peek()
        if not found:
            raise self.error("the program ends in the middle of a statement.")
        self.at += 1
        return found

    def accept(self, text: str) -> bool:
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        line = self.line
        found = self.peek()
        if not self.accept(text):
            raise at_line(line, f"expected {text!r}, found {found or 'the end'!r}.")

    def word(self) -> str:
        line, found = self.line, self.next()
        if not is_name(found):
            raise at_line(line, f"expected a name, found {found!r}.")
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

    def type(self) -> "TypeOf":
        """`int[32]`, `array[float[64], 3, 2]`, `qubit[4]`, …: what was written, whose sizes are expressions."""
        line, name = self.line, self.word()
        if name != "array":
            size = None
            if self.accept("["):
                size = self.expression()
                self.expect("]")
            return TypeOf(name, size, (), line)
        self.expect("[")
        inner = self.type()
        sizes = []
        while self.accept(","):
            sizes.append(self.expression())
        self.expect("]")
        return TypeOf(inner.name, inner.size, tuple(sizes), line)

    def operand(self, what: str = "qubits") -> Operand:
        """A name with indices."""
        line, name = self.line, self.word()
        value, indexed = _named(name, line, what), False
        while self.accept("["):
            value, indexed = self.indexed(value, name, line), True
        return Operand(name, value, indexed, line)

    def indexed(self, value: Evaluate, name: str, line: int) -> Evaluate:
        """What the indices that follow choose: a number, several for an array, a range, or a set."""
        version = self.version
        if self.accept("{"):
            chosen = self.listed(self.expression, "}")
            self.expect("]")
            return lambda names: element(value(names), name, [one(names) for one in chosen], line, version)
        bounds = self.bounds()
        if len(bounds) > 1:
            return lambda names: element(
                value(names), name, tuple(bound and bound(names) for bound in bounds), line, version
            )
        index = bounds[0]
        return lambda names: element(value(names), name, index(names), line, version)

    def bounds(self) -> list[Any]:
        """What stands between brackets: an index, or start and stop, or start, step and stop of a range.

        Bounds of a range that are not written are None; [i, j] is [i][j].
        """
        line = self.line
        bounds: list[Any] = [None if self.peek() == ":" else self.expression()]
        while self.accept(":"):
            bounds.append(None if self.peek() in ("]", ":") else self.expression())
        if len(bounds) > 3:
            raise at_line(line, "a range has a start, a step and a stop, as in [0:2:8].")
        if self.peek() == "," and len(bounds) == 1:
            self.tokens[self.at : self.at + 1] = [("]", line), ("[", line)]
        self.expect("]")
        return bounds

    def expression(self, level: int = 0) -> Evaluate:
        """Operators that bind at least as tightly as `level`, from the left to the right."""
        left = self.unary()
        while (found := _TIGHTNESS.get(self.peek(), -1)) >= level:
            left = self.binary(self.next(), left, self.expression(found + 1))
        return left

    def unary(self) -> Evaluate:
        line, symbol = self.line, self.peek()
        if symbol in ("-", "+", "!", "~"):
            self.next()
            inner = self.unary()
            return inner if symbol == "+" else lambda names: apply("unary " + symbol, line, inner(names))
        base = self.atom()
        if self.peek() == ("^" if self.version == 2 else "**") or self.peek() == "**":
            self.next()
            return self.binary("**", base, self.unary(), "^" if self.version == 2 else "**")
        return base

    def binary(self, symbol: str, left: Evaluate, right: Evaluate, written: str | None = None) -> Evaluate:
        line = self.line
        if symbol == "/" and (self.version == 2 or self.real_division):
            symbol, written = "real /", "/"
        return lambda names: apply(symbol, line, left(names), right(names), written=written)

    def atom(self) -> Evaluate:
        line, text = self.line, self.next()
        if text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if text == "{":  # the elements of an array
            items = self.listed(self.expression, "}")
            return lambda names: [item(names) for item in items]
        if text[0] in ".0123456789":
            number = _number(text, line)
            return lambda names: number
        if text[0] == '"' and set(text) <= set('"01_'):
            bits = Bits(int(b) for b in reversed(text.strip('"').replace("_", "")))
            return lambda names: bits
        if not is_name(text):
            raise at_line(line, f"expected a number or a name, found {text!r}.")
        if text == "measure":
            operand = self.operand()
            return lambda names: names["measure"](operand.value(names), line)
        if text in TYPES and self.peek() in ("[", "("):
            return self.cast(text, line)
        if self.peek() == "(":
            return self.function(text, line)
        value = _named(text, line)
        while self.accept("["):
            value = self.indexed(value, text, line)
        return value

    def cast(self, name: str, line: int) -> Evaluate:
        self.at -= 1
        of, _ = self.type(), self.expect("(")
        inner = self.expression()
        self.expect(")")
        return lambda names: convert(inner(names), of.known(names), line)

    def function(self, name: str, line: int) -> Evaluate:
        self.next()
        arguments = self.listed(self.expression, ")")
        if name in FUNCTIONS:
            return lambda names: apply(name, line, *(a(names) for a in arguments))
        called = _named(name, line)

        def call(names):
            function = called(names)
            if not callable(function):
                raise at_line(line, f"{name!r} is not a function.")
            return function([a(names) for a in arguments], line)

        return call


class TypeOf(NamedTuple):
    """A type as it is written."""

    name: str
    size: Evaluate | None
    shape: tuple[Evaluate, ...]
    line: int

    def known(self, names: Mapping[str, Any]) -> Type:
        size = None if self.size is None else self.size(names)
        return Type.of(self.name, size, tuple(s(names) for s in self.shape), self.line)


def is_name(text: str) -> bool:
    return text[0].isalpha() or text[0] in "_$"


def range_of(bounds: list[Any], line: int) -> Evaluate:
    """What a loop runs over, of a start, perhaps a step, and a stop, which belongs to it."""
    if len(bounds) == 1 or None in bounds:
        raise at_line(line, "a loop needs a range, as in [0:9].")
    return lambda names: with_end([bound(names) for bound in bounds], line)


def _named(name: str, line: int, what: str = "name") -> Evaluate:
    def value(names):
        try:
            return names[name]
        except KeyError:
            raise at_line(line, f"unknown {what} {name!r}.") from None

    return value


def _number(text: str, line: int) -> int | float:
    digits = text.replace("_", "")
    if digits[:2].lower() in ("0x", "0b", "0o"):
        return int(digits, 0)
    number = int(digits) if digits.isdigit() and len(digits) < 20 else float(digits)
    if number == float("inf"):
        raise at_line(line, "the number is too large.")
    return number


def _tokens(text: str) -> tuple[list[tuple[str, int]], InputError | None]:
    """The tokens with their lines, and why there are no more if they end before the text."""
    at, line, last, found = 0, 1, ";", []
    while at < len(text):
        is_annotation = text[at] == "@" and last in (";", "{", "}")  # elsewhere it follows a modifier
        match = (_ANNOTATION if is_annotation else _TOKEN).match(text, at)
        if match is None:
            return found, at_line(line, f"cannot read {text[at]!r}.")
        at = match.end()
        if match.lastgroup in ("skip", None):
            line += match[0].count("\n")
        else:
            last = match[0]
            found.append((last, line))
    return found, None
