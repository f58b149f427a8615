"""The values of OpenQASM, and its arithmetic.

Integers of OpenQASM 3 are integers: 7/2 is 3, ^ is exclusive or, a `uint[2]` is what it is modulo 4. An `angle[n]` is
an integer of n bits times 2π/2ⁿ, and operators act on the integer. Inputs have no value while a program is read, and
are not rounded; what can be done with them are sums of multiples (`Affine`), which angles may be.

Source: the OpenQASM 3 specification, "Types and Casting"; A. Cross et al., arXiv:2104.14722.
"""

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from pullback.circuits._blocks import Shared
from pullback.circuits._outcomes import Dependent, lift
from pullback.core import InputError

CONSTANTS = {
    "pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e, "true": True,
    "false": False,
}  # fmt: skip
_WIDTH = 64  # of integers whose size is not given


def at_line(line: int, message: str) -> InputError:
    return InputError(f"OpenQASM line {line}: {message}")


class Qubits(list[int]):
    """Numbers of qubits."""


class Bits(list[Any]):
    """Classical bits, 0, 1 or dependent on outcomes; the first is the least significant."""

    @property
    def number(self) -> Any:
        width = len(self)
        total: Any = 0
        for k, bit in enumerate(self):
            total = lift(lambda a, b, k=k: a + (int(b) << k), total, bit)
        return lift(lambda value: Sized(value, width), total)


class Sized(int):
    """An unsigned integer of so many bits."""

    width: int

    def __new__(cls, value: int, width: int) -> "Sized":
        new = super().__new__(cls, value % (1 << width))
        new.width = width
        return new


class Angle(float):
    """2π/2ⁿ times an integer of n bits."""

    bits: Sized

    def __new__(cls, bits: int, width: int) -> "Angle":
        turns = Sized(bits, width)
        new = super().__new__(cls, math.tau * (turns / (1 << width)))
        new.bits = turns
        return new

    @classmethod
    def nearest(cls, value: float, width: int) -> "Angle":
        """The nearest angle of so many bits; of two equally near ones that with the even multiple."""
        if isinstance(value, Angle):
            turns = Fraction(value.bits, 1 << value.bits.width)
        else:
            turns = Fraction(math.fmod(value, math.tau) / math.tau)
        return cls(round(turns * (1 << width)), width)


class Affine:
    """A sum of multiples of inputs and a number; `terms` are the multiples by the name of the input."""

    __slots__ = ("constant", "terms")
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, terms: dict[str, Shared], constant: float = 0.0):
        self.terms, self.constant = terms, constant

    @property
    def parts(self) -> list[Any]:
        """Angles whose sum it is."""
        return [*self.terms.values(), *([self.constant] if self.constant else [])]

    def __add__(self, other: Any) -> "Affine":
        if not isinstance(other, Affine):
            return Affine(self.terms, self.constant + float(other))
        terms = dict(self.terms)
        for name, term in other.terms.items():
            factor = term.factor + (terms[name].factor if name in terms else 0.0)
            terms[name] = Shared(name, term.value, factor)
        return Affine(terms, self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> "Affine":
        return self * -1.0

    def __sub__(self, other: Any) -> "Affine":
        return self + (-other)

    def __rsub__(self, other: Any) -> "Affine":
        return -self + other

    def __mul__(self, factor: Any) -> "Affine":
        if isinstance(factor, Affine):
            return NotImplemented
        return Affine({name: term * factor for name, term in self.terms.items()}, self.constant * float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> "Affine":
        if isinstance(divisor, Affine):
            return NotImplemented
        return Affine({name: term / divisor for name, term in self.terms.items()}, self.constant / float(divisor))

    def __bool__(self) -> bool:
        raise TypeError("the value of an input is not known")

    def __eq__(self, other: object) -> bool:
        return bool(self)

    @property
    def largest(self) -> float:
        return max((abs(term.factor) for term in self.terms.values()), default=abs(self.constant))


class Type(NamedTuple):
    """A classical type: its name, its size in bits if it has one, and the lengths of an array."""

    name: str
    size: int | None = None
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, size: Any, shape: tuple[Any, ...], line: int) -> "Type":
        if size is not None:
            size = whole(size, line, "a size or number")
            if size < 1:
                raise at_line(line, f"a {name} needs at least one bit, not {size}.")
        return cls(name, size, tuple(whole(length, line, "the length of an array") for length in shape))

    def zero(self) -> Any:
        """The value before there is one."""
        if self.shape:
            inner = self._replace(shape=self.shape[1:])
            return [inner.zero() for _ in range(self.shape[0])]
        return Bits([0] * (self.size or 1)) if self.name == "bit" else convert(0, self, 0)


def convert(value: Any, to: Type, line: int) -> Any:
    """The value as one of the type: floating-point numbers are truncated to integers, integers wrap around.

    Raises:
        InputError: it has none.
    """
    if to.shape:
        if not isinstance(value, list) or isinstance(value, Bits | Qubits) or len(value) != to.shape[0]:
            raise at_line(line, f"an array of {to.shape[0]} elements is needed.")
        inner = to._replace(shape=to.shape[1:])
        return [convert(item, inner, line) for item in value]
    if isinstance(value, Affine) and to.name not in ("float", "angle"):
        raise at_line(line, f"an input has no value yet; it cannot become {to.name}.")
    if isinstance(value, Bits):
        if to.name == "bit":
            if len(value) != (to.size or 1):
                raise at_line(line, f"{len(value)} bits do not fit to {to.size or 1}.")
            return Bits(value)
        if to.name == "angle" and to.size:
            return _angle_of(value, to.size, line)
        value = value.number
    if not isinstance(value, int | float | Affine | Dependent):
        raise at_line(line, f"this is not a value that can become {to.name}.")
    if to.name == "bit":
        return Bits(lift(lambda v, k=k: _bits_in(v, line) >> k & 1, value) for k in range(to.size or 1))
    return lift(lambda v: _converted(v, to, line), value)


def _converted(value, to, line):
    match to.name:
        case "uint":
            return Sized(_truncated(value, line), to.size or _WIDTH)
        case "int":
            half = 1 << ((to.size or _WIDTH) - 1)
            return (_truncated(value, line) + half) % (2 * half) - half
        case "bool":
            return bool(value)
        case "angle" if to.size and not isinstance(value, Affine):
            return Angle.nearest(value, to.size)
    return value if isinstance(value, Affine) else float(value)


def _angle_of(bits: Bits, width: int, line: int) -> Any:
    """The angle with these bits."""
    if len(bits) != width:
        raise at_line(line, f"{len(bits)} bits do not fit to an angle of {width}.")
    return lift(lambda number: Angle(number, width), bits.number)


def _bits_in(value, line) -> int:
    return value.bits if isinstance(value, Angle) else _truncated(value, line)


def _truncated(value, line) -> int:
    try:
        return int(value)
    except (OverflowError, ValueError, TypeError):
        raise at_line(line, f"{value} has no integer part.") from None


def _power(a, b):
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > 64:
        a = float(a)  # the integer could fill the memory
    return a**b


def _divided(a, b):
    if not (isinstance(a, int) and isinstance(b, int)):
        return a / b
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return a - b * _divided(a, b)
    if b == 0:
        raise ZeroDivisionError
    return math.fmod(a, b)


def _shifted(sign: int) -> Callable[[int, int], int]:
    def shift(a: int, b: int) -> int:
        if b < 0:
            raise ValueError
        result = a >> b if sign < 0 else 0 if b > 2 * _WIDTH else a << b
        return Sized(result, a.width) if isinstance(a, Sized) else result

    return shift


def _complement(a):
    return Sized(~a, a.width) if isinstance(a, Sized) else (not a) if isinstance(a, bool) else ~a


def _rotated(a, by):
    by %= a.width
    return Sized(a << by | a >> (a.width - by), a.width)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divided, "real /": operator.truediv,
    "%": _remainder, "**": _power, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "<<": _shifted(1), ">>": _shifted(-1), "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "&&": lambda a, b: bool(a) and bool(b), "||": lambda a, b: bool(a) or bool(b),
    "unary -": lambda a: Sized(-a, a.width) if isinstance(a, Sized) else -a, "unary !": operator.not_,
    "unary ~": _complement,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "exp": math.exp, "ln": math.log, "log": math.log,
    "sqrt": math.sqrt, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan, "pow": _power,
    "mod": _remainder, "floor": lambda a: float(math.floor(a)), "ceiling": lambda a: float(math.ceil(a)),
    "popcount": lambda a: int(a).bit_count(), "rotl": _rotated, "rotr": lambda a, by: _rotated(a, -by),
    "sizeof": len,
}  # fmt: skip


def apply(name: str, line: int, *arguments: Any, written: str | None = None) -> Any:
    """The value of a function or an operator: an integer of 64 bits, a finite number, or a sum of multiples of inputs.

    Raises:
        InputError: there is none.
    """
    if name in ("==", "!=") and any(isinstance(a, Bits) for a in arguments):
        return _same_bits(line, name == "==", *arguments)
    numbers = [a.number if isinstance(a, Bits) and name != "sizeof" else a for a in arguments]
    return lift(lambda *values: _applied(name, line, written, values), *numbers)


def _applied(name, line, written, arguments):
    def error(message):
        shown = ", ".join(map(str, arguments))
        return at_line(line, (f"{name}({shown})" if name in FUNCTIONS else repr(symbol)) + f": {message}")

    symbol = (written or name).removeprefix("unary ")
    act = _OPERATORS.get(name) or FUNCTIONS[name]
    try:
        value = _of_angles(name, act, arguments) if any(isinstance(a, Angle) for a in arguments) else act(*arguments)
        if isinstance(value, int) and value.bit_length() > _WIDTH:
            value = float(value)
    except (TypeError, AttributeError):
        if any(isinstance(a, Affine) for a in arguments):
            raise at_line(line, "only multiples of an input, and sums of them, can be angles.") from None
        raise at_line(line, f"{symbol!r} is not defined for what it is given here.") from None
    except ZeroDivisionError:
        raise error("division by zero.") from None
    except OverflowError:
        raise error("the value is too large.") from None
    except ValueError:
        raise error("there is no real value.") from None
    if isinstance(value, complex):
        raise error("there is no real value.")
    if not math.isfinite(value.largest if isinstance(value, Affine) else value):
        raise error("the value is too large.")
    return value


_OF_EQUALS = {"+", "-", "&", "|", "^", "==", "!=", "<", "<=", ">", ">="}
_OF_BITS = _OF_EQUALS | {"*", "/", "<<", ">>", "unary -", "unary ~", "rotl", "rotr", "popcount"}


def _of_angles(name: str, act: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What an operator makes of angles: what it makes of their bits; others see floating-point numbers."""
    widths = [a.bits.width for a in arguments if isinstance(a, Angle)]
    if (name in _OF_EQUALS or len(widths) == 2) and not any(isinstance(a, Affine) for a in arguments):
        arguments = tuple(Angle.nearest(a, max(widths)) for a in arguments)
    operands = [a.bits if isinstance(a, Angle) else a for a in arguments]
    if name not in _OF_BITS or not all(isinstance(a, int) for a in operands):
        return act(*arguments)
    value = act(*operands)
    is_number = isinstance(value, bool) or name == "popcount" or (name == "/" and len(widths) == 2)
    return value if is_number else Angle(value, max(widths))


def _same_bits(line, equal, a, b):
    """Whether two registers, or a register and a number, are the same; bit by bit, so that most cases end early."""
    width = max(len(side) for side in (a, b) if isinstance(side, Bits))
    a, b = (side if isinstance(side, Bits) else _bits_of(side, width, line) for side in (a, b))
    if a is None or b is None or len(a) != len(b):
        return not equal
    same: Any = True
    for x, y in zip(a, b):
        same = lift(lambda s, x, y: s and x == y, same, x, y)
    return same if equal else lift(operator.not_, same)


def _bits_of(value, width, line) -> Bits | None:
    """The bits of a number; None: it has more."""
    if isinstance(value, Dependent):
        return convert(value, Type("bit", width), line)
    if isinstance(value, Affine):
        raise at_line(line, "the value of an input is not known.")
    value = value.bits if isinstance(value, Angle) else value
    if value != int(value) or not 0 <= value < 1 << width:
        return None
    return Bits(int(value) >> k & 1 for k in range(width))


def element(value: Any, name: str, index: Any, line: int, version: int) -> Any:
    """What an index chooses: one element, several of a list, or those of a range (start, stop), (start, step, stop)."""
    if isinstance(value, Angle):
        value = value.bits
    if isinstance(value, Sized):
        value = Bits(int(value) >> k & 1 for k in range(value.width))
    if not isinstance(value, list):
        raise at_line(line, f"{name!r} has no elements.")
    length = len(value)
    what = {Qubits: "qubits", Bits: "bits"}.get(type(value), "elements")
    several = isinstance(index, list | tuple)
    if isinstance(index, tuple):
        index = _range_in(index, length, line, version)
        if not index:
            raise at_line(line, f"{name}: this range of {what} is empty.")
    first, chosen = (-length if version == 3 else 0), []
    for i in index if several else [index]:
        if not first <= whole(i, line, f"an index of {name}") < length:
            kind = "array" if what == "elements" else "register"
            raise at_line(line, f"{name}[{i}]: the {kind} has the {what} 0 to {length - 1}.")
        chosen.append(value[int(i)])
    return chosen[0] if what == "elements" and not several else type(value)(chosen)


def _range_in(bounds, length, line, version) -> range:
    """The range of indices; of OpenQASM 3, −1 is the last one."""
    start, stop, step = bounds[0], bounds[-1], bounds[1] if len(bounds) > 2 else None
    step = 1 if step is None else step
    ends = [0, length - 1] if whole(step, line, "a bound of a range") > 0 else [length - 1, 0]
    bounds = [end if bound is None else bound for bound, end in zip((start, stop), ends)]
    found = [whole(bound, line, "a bound of a range") for bound in bounds]
    if version == 3:
        found = [bound + length if bound < 0 else bound for bound in found]
    return with_end([found[0], step, found[1]], line)


def number(value: Any, line: int) -> Any:
    """The value as an angle."""
    return convert(value, Type("angle"), line)


def whole(value: Any, line: int, what: str) -> int:
    """The value as an integer."""
    if isinstance(value, Bits):
        value = value.number
    if isinstance(value, Dependent):
        raise at_line(line, f"{what} must be an integer that is known, not one that depends on a measurement.")
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
