"""Classical values that depend on outcomes of measurements, and the conditions under which statements are executed.

Outcomes are numbered. A *cube* fixes some of them, ((outcome, 0 or 1), …); a `Dependent` value is a list of disjoint
cubes that cover everything, with the value in each. Functions of such values are evaluated case by case.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Cube = tuple[tuple[int, int], ...]
_MOST_CASES = 4096


class TooManyCases(Exception):
    """A value depends on more outcomes than can be listed."""


class Dependent(NamedTuple):
    """A value for each of the cases, which are disjoint and cover all outcomes."""

    cases: tuple[tuple[Cube, Any], ...]


def outcome(number: int) -> Dependent:
    """The outcome itself, 0 or 1."""
    return Dependent(((((number, 0),), 0), (((number, 1),), 1)))


def cases_of(value: Any) -> tuple[tuple[Cube, Any], ...]:
    return value.cases if isinstance(value, Dependent) else (((), value),)


def lift(act: Callable[..., Any], *arguments: Any) -> Any:
    """act(…), in each case of the arguments.

    Raises:
        TooManyCases: there are too many.
    """
    if not any(isinstance(argument, Dependent) for argument in arguments):
        return act(*arguments)
    return _simple([(cube, act(*values)) for cube, values in joint(arguments)])


def joint(arguments: Iterable[Any]) -> list[tuple[Cube, tuple[Any, ...]]]:
    """The cases of several values together.

    Raises:
        TooManyCases: there are too many.
    """
    found: list[tuple[Cube, tuple[Any, ...]]] = [((), ())]
    for argument in arguments:
        cases = cases_of(argument)
        if len(found) * len(cases) > 64 * _MOST_CASES:
            raise TooManyCases
        found = [
            (both, (*values, value))
            for cube, values in found
            for other, value in cases
            if (both := meet(cube, other)) is not None
        ]
    return found


def meet(a: Cube, b: Cube) -> Cube | None:
    """Where both hold; None: nowhere."""
    if not a or not b:
        return a or b
    fixed = dict(a)
    for number, value in b:
        if fixed.setdefault(number, value) != value:
            return None
    return tuple(sorted(fixed.items()))


def where_true(condition: Any) -> tuple[Cube, ...]:
    """The cubes in which a condition holds."""
    return tuple(cube for cube, value in cases_of(condition) if value)


def _simple(cases: list[tuple[Cube, Any]]) -> Any:
    """The value of the cases, with as few of them as pairs can be joined to."""
    groups: dict[Any, tuple[Any, set[Cube]]] = {}
    for cube, value in cases:
        key = (type(value), value) if isinstance(value, int | float) else id(value)
        groups.setdefault(key, (value, set()))[1].add(cube)
    joined = [(cube, value) for value, cubes in groups.values() for cube in _joined(cubes)]
    if len(joined) > _MOST_CASES:
        raise TooManyCases
    return joined[0][1] if len(joined) == 1 else Dependent(tuple(joined))


def _joined(cubes: set[Cube]) -> Iterable[Cube]:
    """Disjoint cubes with the same union: two that differ in the value of one outcome are one without it."""
    waiting, done = sorted(cubes), set(cubes)
    while waiting:
        cube = waiting.pop()
        if cube not in done:
            continue
        for k, (number, value) in enumerate(cube):
            partner = (*cube[:k], (number, 1 - value), *cube[k + 1 :])
            if partner in done:
                both = cube[:k] + cube[k + 1 :]
                done -= {cube, partner}
                done.add(both)
                waiting.append(both)
                break
    return sorted(done)
