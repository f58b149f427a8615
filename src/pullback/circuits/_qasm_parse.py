"""The tokens of OpenQASM, and what is made of them without knowing the program: gate calls and expressions."""

import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pullback.core import InputError

Evaluate = Callable[[dict[str, Any]], Any]
CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}


def _power(a, b):
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > 64:
        a = float(a)  # the integer could fill the memory
    return a**b


_FUNCTIONS = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log, "log": math.log,
    "sqrt": math.sqrt, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan,
}  # fmt: skip
_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": _power, "**": _power}
_TOKEN = re.compile(
    r"(?P<skip>\s+|//[^\n]*|/\*.*?\*/|#?pragma\b[^\n]*)|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r'|(?P<word>[^\W\d]\w*)|(?P<string>"[^"\n]*")|(?P<symbol>->|==|\*\*|\+\+|[\[\](){},;:+\-*/^@=])',
    re.DOTALL,
)
_ANNOTATION = re.compile(r"@[^\n]*")


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


def at_line(line: int, message: str) -> InputError:
    return InputError(f"OpenQASM line {line}: {message}")


class Parser:
    """The tokens of a program, taken one after the other; what is read need not be declared."""

    def __init__(self, text: str):
        self.tokens, self.at = list(_tokens(text)), 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens)

    @property
    def line(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 1

    def error(self, message: str) -> InputError:
        return at_line(self.line, message)

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def next(self) -> str:
        if self.ended:
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
            raise at_line(line, f"expected {text!r}, found {found or 'the end'!r}.")

    def word(self) -> str:
        line, found = self.line, self.next()
        if not (found[0].isalpha() or found[0] == "_"):
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
        line, bounds = self.line, self.bounds()
        if len(bounds) == 1:
            return name, bounds[0]
        return name, lambda names: with_end([bound(names) for bound in bounds], line)

    def bounds(self) -> list[Evaluate]:
        """What stands between brackets: an index, or start and stop, or start, step and stop of a range."""
        line, bounds = self.line, [self.expression()]
        while self.accept(":"):
            bounds.append(self.expression())
        self.expect("]")
        if len(bounds) > 3:
            raise at_line(line, "a range has a start, a step and a stop, as in [0:2:8].")
        return bounds

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
            return self.binary(self.next(), base, self.factor())
        return base

    def binary(self, symbol: str, left: Evaluate, right: Evaluate) -> Evaluate:
        line = self.line
        return lambda names: _evaluated(symbol, line, left(names), right(names))

    def atom(self) -> Evaluate:
        line, text = self.line, self.next()
        if text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if text[0] in ".0123456789":
            number = int(text) if text.isdigit() and len(text) < 20 else float(text)
            if math.isinf(number):
                raise at_line(line, "the number is too large.")
            return lambda names: number
        if text in _FUNCTIONS and self.accept("("):
            argument = self.expression()
            self.expect(")")
            return lambda names: _evaluated(text, line, argument(names))
        if not (text[0].isalpha() or text[0] == "_"):
            raise at_line(line, f"expected a number or a name, found {text!r}.")

        def name(names):
            if text not in names:
                raise at_line(line, f"unknown name {text!r}.")
            return names[text]

        return name


def _tokens(text: str) -> Iterator[Token]:
    at, line, last = 0, 1, ";"
    while at < len(text):
        is_annotation = text[at] == "@" and last in (";", "{", "}")  # elsewhere it follows a modifier
        match = (_ANNOTATION if is_annotation else _TOKEN).match(text, at)
        if match is None:
            raise at_line(line, f"cannot read {text[at]!r}.")
        if match.lastgroup not in ("skip", None):
            last = match[0]
            yield Token(last, line)
        line += match[0].count("\n")
        at = match.end()


def _evaluated(name: str, line: int, *arguments: Any) -> Any:
    """The value of a function or an operator: an integer of 64 bits, a finite number, or a multiple of an input."""

    def error(message):
        return at_line(line, (f"{name}({arguments[0]})" if name in _FUNCTIONS else repr(name)) + f": {message}")

    act = _OPERATORS.get(name) or _FUNCTIONS[name]
    try:
        value = act(*arguments)
        if isinstance(value, int) and value.bit_length() > 64:
            value = float(value)
    except TypeError:
        raise at_line(line, "only multiples of an input can be angles.") from None
    except ZeroDivisionError:
        raise error("division by zero.") from None
    except OverflowError:
        raise error("the value is too large.") from None
    except ValueError:
        raise error("there is no real value.") from None
    if isinstance(value, complex):
        raise error("there is no real value.")
    if math.isinf(getattr(value, "factor", value)):
        raise error("the value is too large.")
    return value


def whole(value: Any, line: int, what: str) -> int:
    """The value as an integer."""
    if not isinstance(value, int | float):
        raise at_line(line, f"{what} must be an integer, not an input, whose value is not known.")
    if value != int(value):
        raise at_line(line, f"{what} must be an integer, not {value}.")
    return int(value)


def with_end(bounds: list[Any], line: int) -> range:
    """The range from start, stop or start, step, stop, with the stop."""
    start, *steps, stop = (whole(bound, line, "a bound of a range") for bound in bounds)
    step = steps[0] if steps else 1
    if not step:
        raise at_line(line, "the step of a range must not be zero.")
    return range(start, stop + (1 if step > 0 else -1), step)
