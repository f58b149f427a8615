"""Options: the typed, documented, range-checked fields of an experiment.

An option is a dataclass field whose metadata hold its help text and its range. The same object turns text
from the command line into a value, checks values given from Python, and describes itself in `--help`.
"""

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pullback.core import InputError, nearest

_RANGES: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": (">=", operator.ge),
    "gt": (">", operator.gt),
    "le": ("<=", operator.le),
    "lt": ("<", operator.lt),
}
_NOUNS = {int: "an integer", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
_METAVARS = {int: "INTEGER", float: "NUMBER", bool: "true|false", str: "TEXT", Path: "PATH"}


def option(
    default: Any,
    help: str,
    *,
    ge: int | float | None = None,
    gt: int | float | None = None,
    le: int | float | None = None,
    lt: int | float | None = None,
    metavar: str | None = None,
    also: Callable[[Path], Iterable[Path]] | None = None,
) -> Any:
    """A field of an experiment: its default, its help text, and the range of values it accepts.

    An option of type `Path` names a file that the run reads. It is copied into the run folder, and a resumed run reads
    the copy; the experiment does nothing for this.

    Args:
        default: the value when the option is not given; it must itself be accepted.
        help: one line, shown by `pullback run NAME --help` and `pullback show NAME`.
        ge: bound >= on the number, or on each number of a tuple.
        gt: bound >, likewise.
        le: bound <=, likewise.
        lt: bound <, likewise.
        metavar: what the help shows in place of the value; by default it follows from the type.
        also: of a file, lists further files that it refers to by paths relative to its folder, as a program includes
            others; they are copied with it. May raise `InputError`.

    Returns:
        A dataclass field. Its type annotation may be `int`, `float`, `bool`, `str`, `Path`, `Literal[...]`,
        `tuple[T, ...]` of these, and `T | None`.
    """
    bounds = {name: bound for name, bound in (("ge", ge), ("gt", gt), ("le", le), ("lt", lt)) if bound is not None}
    metadata = {"help": help, "bounds": bounds, "metavar": metavar, "also": also}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of an experiment class, as the command line and the checks see it."""

    name: str
    annotation: Any
    default: Any
    help: str
    bounds: dict[str, int | float]
    metavar: str
    also: Callable[[Path], Iterable[Path]] | None = None

    @property
    def is_file(self) -> bool:
        """Whether the value is the path of a file, or several."""
        return _base(self.annotation) is Path

    @property
    def takes_several(self) -> bool:
        """Whether the value is a tuple."""
        kind, parts = _kind(self.annotation)
        return kind == "tuple" or (kind == "optional" and _kind(parts[0])[0] == "tuple")

    @property
    def flag(self) -> str:
        """The name on the command line: `--max-steps` for `max_steps`."""
        return "--" + self.name.replace("_", "-")

    @property
    def accepted(self) -> str:
        """The accepted range, as in ">= 1 and < 10"; empty where everything is accepted."""
        return " and ".join(f"{_RANGES[name][0]} {bound:g}" for name, bound in self.bounds.items())

    def describe(self) -> str:
        """The range and the default, for help pages: ">= 1; default: 10"."""
        return "; ".join(filter(None, (self.accepted, f"default: {self.format(self.default)}")))

    def parse(self, text: str) -> Any:
        """The checked value that `text` stands for. Raises `InputError`, which names the option."""
        return self.check(_parse(self.annotation, text, self._refuse))

    def check(self, value: Any) -> Any:
        """`value` in the option's own type (an int becomes a float, a list a tuple, a str a path).

        Raises:
            InputError: the type or the range is wrong; the message names the option and what it accepts.
        """
        value = _convert(self.annotation, value, self._refuse)
        for number in value if isinstance(value, tuple) else (value,):
            for name, bound in self.bounds.items():
                sign, holds = _RANGES[name]
                if number is not None and not holds(number, bound):
                    raise InputError(f"{self.flag}: must be {sign} {bound:g}, got {number}")
        return value

    def format(self, value: Any) -> str:
        """`value` as the command line would take it."""
        if isinstance(value, tuple):
            return ",".join(self.format(item) for item in value)
        return str(value).lower() if value is None or isinstance(value, bool) else str(value)

    def _refuse(self, needed: str, given: Any) -> InputError:
        return InputError(f"{self.flag}: needs {needed}, got {given!r}")


def options_of(experiment: type) -> tuple[Option, ...]:
    """The options of an experiment class, in the order of its fields."""
    hints = typing.get_type_hints(experiment)
    return tuple(
        Option(
            name=field.name,
            annotation=hints[field.name],
            default=field.default,
            help=field.metadata["help"],
            bounds=field.metadata["bounds"],
            metavar=field.metadata["metavar"] or _metavar(hints[field.name]),
            also=field.metadata["also"],
        )
        for field in dataclasses.fields(experiment)
    )


def named_option(experiment: type, name: str) -> Option:
    """The option that is called so, with underscores or hyphens. Raises `InputError` with the nearest name."""
    known = {option.flag[2:]: option for option in options_of(experiment)}
    flag = name.strip().removeprefix("--").replace("_", "-")
    if flag not in known:
        raise InputError(f"there is no option --{flag}.{nearest(flag, known)}")
    return known[flag]


Refuse = Callable[[str, Any], InputError]


def _parse(annotation: Any, text: str, refuse: Refuse) -> Any:
    """From text to a value, or to the text itself where it cannot be read: `_convert` then refuses it."""
    kind, parts = _kind(annotation)
    if kind == "optional":
        return None if text.lower() == "none" else _parse(parts[0], text, refuse)
    if kind == "choice":
        return {str(choice): choice for choice in parts}.get(text, text)
    if kind == "tuple":
        return tuple(_parse(parts[0], item.strip(), refuse) for item in text.split(",") if item.strip())
    if annotation is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    if annotation in (int, float):
        try:
            number = float(text)
            exact = annotation is int and number.is_integer()  # so that 1e4 is an integer too
            return (int(text) if text.strip("+-").isdigit() else int(number)) if exact else number
        except (ValueError, OverflowError):
            return text
    return text


def _convert(annotation: Any, value: Any, refuse: Refuse) -> Any:
    kind, parts = _kind(annotation)
    if kind == "optional":
        return None if value is None else _convert(parts[0], value, refuse)
    if kind == "choice":
        if value not in parts:
            raise refuse(_noun(annotation), value)
        return value
    if kind == "tuple":
        if not isinstance(value, (tuple, list)):
            raise refuse(f"values separated by commas, each {_noun(parts[0])}", value)
        return tuple(_convert(parts[0], item, refuse) for item in value)
    return _convert_plain(annotation, value, refuse)


def _convert_plain(annotation: type, value: Any, refuse: Refuse) -> Any:
    if annotation is float and not isinstance(value, (bool, str)):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise refuse("a number", value) from None
        if not math.isfinite(number):
            raise refuse("a finite number", value)
        return number
    if annotation is int and not isinstance(value, (bool, str)):
        try:
            return operator.index(value)
        except TypeError:
            raise refuse("an integer", value) from None
    if annotation is Path and isinstance(value, (str, Path)) and str(value):
        return Path(value)
    if annotation in (bool, str) and isinstance(value, annotation):
        return value
    raise refuse(_NOUNS[annotation], value)


def _kind(annotation: Any) -> tuple[str, tuple[Any, ...]]:
    """What an annotation is: ("optional", (T,)), ("choice", values), ("tuple", (T,)) or ("plain", (T,))."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union) and len(parts) == 2 and parts[1] is type(None):
        return "optional", parts[:1]
    if origin is Literal:
        return "choice", parts
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return "tuple", parts[:1]
    if annotation in _NOUNS:
        return "plain", (annotation,)
    raise TypeError(
        f"an option cannot have the type {annotation}; it can be int, float, bool, str, Path, Literal[...], "
        "tuple[T, ...] of these, or T | None"
    )


def _base(annotation: Any) -> Any:
    """The type of the single values."""
    kind, parts = _kind(annotation)
    return _base(parts[0]) if kind in ("optional", "tuple") else annotation


def _noun(annotation: Any) -> str:
    kind, parts = _kind(annotation)
    return "one of " + ", ".join(map(str, parts)) if kind == "choice" else _NOUNS.get(parts[0], "a value")


def _metavar(annotation: Any) -> str:
    kind, parts = _kind(annotation)
    if kind == "choice":
        return "|".join(map(str, parts))
    if kind == "tuple":
        return f"{_metavar(parts[0])},..."
    return _metavar(parts[0]) if kind == "optional" else _METAVARS[annotation]
