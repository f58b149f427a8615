"""Runs rows of the table: which implementation has which derivative right.

Nearly all the time goes into compiling. So the first derivative is read off the program of the second (jvp inside
fwd-fwd, vjp inside fwd-rev), rows that differ only in their numbers run through one program, and the short
programs of many rows and modes are compiled as one.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Literal

import jax

from pullback.core import InputError, nearest
from pullback.core._compat import QUICK_XLA
from pullback.trust._conformance._case import Case
from pullback.trust._conformance._table import cases
from pullback.trust._derivatives import MODES, directional_derivative

TOLERANCE = {1: 1e-8, 2: 1e-6}
_BATCH = 16  # rows whose programs are compiled together
_LONG = 400  # lines: beyond that, compiling as one saves nothing
_FIRST = {"fwd": "jvp", "rev": "vjp"}
Verdict = Literal["ok", "wrong", "NaN", "missing"]
Side = Literal["ours", "theirs"]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One row: mode -> verdict. `ours` is None where pullback uses JAX's function as it is."""

    case: Case
    ours: dict[str, Verdict] | None
    theirs: dict[str, Verdict]

    @property
    def ok(self) -> bool:
        """Whether a user of pullback has right derivatives in every mode."""
        return set((self.ours or self.theirs).values()) == {"ok"}


def check_conformance(primitive: str | None = None, *, processes: int = 1) -> Iterator[Outcome]:
    """Runs the table, or the rows of one primitive; yields an `Outcome` for every row.

    Args:
        primitive: only the rows of this one.
        processes: how many to share the work between (nearly all of it is tracing and compiling). More than one needs
            a main program that may be imported, as `multiprocessing` does.

    Raises:
        InputError: no row has this primitive.
    """
    known = sorted({case.primitive for case in cases()})
    if primitive is not None and primitive not in known:
        raise InputError(f"no primitive {primitive!r} in the conformance table.{nearest(primitive, known)}")
    selected = [i for i, case in enumerate(cases()) if primitive in (None, case.primitive)]
    batches = [selected[start : start + _BATCH] for start in range(0, len(selected), _BATCH)]
    if min(processes, len(batches)) <= 1:
        yield from _outcomes(selected, map(_both_sides, batches))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from _outcomes(selected, pool.map(_both_sides, batches))


def _outcomes(selected, found) -> Iterator[Outcome]:
    for row, (ours, theirs) in zip(selected, itertools.chain.from_iterable(found), strict=True):
        yield Outcome(cases()[row], ours, theirs)


def _both_sides(batch: list[int]) -> list[tuple[dict[str, Verdict] | None, dict[str, Verdict]]]:
    """The verdicts of the rows with these numbers: functions do not travel between processes."""
    chosen = [cases()[row] for row in batch]
    ours = verdicts([case for case in chosen if case.ours], "ours")
    theirs = verdicts([case for case in chosen if case.theirs], "theirs")
    missing: dict[str, Verdict] = dict.fromkeys(MODES, "missing")
    return [(ours.get(case), theirs.get(case, missing)) for case in chosen]


def verdicts(batch: Sequence[Case], side: Side, modes: Sequence[str] = MODES) -> dict[Case, dict[str, Verdict]]:
    """Row -> mode -> verdict for one side of these rows."""
    numbers: dict[Case, dict[str, float]] = {case: {} for case in batch}
    for order in (2, 1):
        programs = [
            program
            for mode in modes
            if _order(mode) == order
            for program in _Program.sharing([case for case in batch if mode not in numbers[case]], side, mode)
        ]
        for case, found in _run(programs):
            numbers[case] |= found
    return {case: {mode: _judge(case, mode, numbers[case].get(mode)) for mode in modes} for case in batch}


@dataclasses.dataclass(frozen=True, eq=False)
class _Program:
    """A function, a loss and a mode, and the rows that run through them with inputs of the same shapes and types."""

    function: Callable[..., Any]
    loss: Callable[[Any], Any]
    mode: str
    cases: list[Case]

    @staticmethod
    def sharing(batch: Sequence[Case], side: Side, mode: str) -> "list[_Program]":
        programs: dict[Any, _Program] = {}
        for case in batch:
            function = getattr(case, side)
            key = function, case.loss, *((x.shape, x.dtype) for x in case.inputs + case.directions)
            programs.setdefault(key, _Program(function, case.loss, mode, [])).cases.append(case)
        return list(programs.values())

    @functools.cached_property
    def compilable(self) -> Any:
        """`derivatives` under one `jit`, which remembers what it has traced."""
        return jax.jit(self.derivatives)

    def derivatives(self, inputs: Any, directions: Any) -> dict[str, jax.Array]:
        """The derivative in this mode and the one on the way to it."""

        def phi(t):
            value = self.loss(self.function(*(x + t * v for x, v in zip(inputs, directions, strict=True))))
            return value.real.astype(float)

        *outer, inner = {"jvp": ["fwd"], "vjp": ["rev"]}.get(self.mode, self.mode.split("-"))
        innermost = _FIRST[inner]

        def first(t):
            return directional_derivative(phi, t, [1.0], innermost)

        if not outer:
            return {innermost: first(0.0)}
        value, second = jax.jvp(first, (0.0,), (1.0,)) if outer == ["fwd"] else jax.value_and_grad(first)(0.0)
        return {innermost: value, self.mode: second}


def _run(programs: list[_Program]) -> Iterator[tuple[Case, dict[str, float]]]:
    """The derivatives of every row, but of those for which JAX has no rule."""
    for lot in _lots(programs):
        points = [program.cases for program in lot]
        compiled = _compiled(lot)
        for depth in range(max(map(len, points))):
            chosen = [rows[min(depth, len(rows) - 1)] for rows in points]
            for case, found in zip(chosen, compiled([_numbers(case) for case in chosen]), strict=True):
                yield case, {mode: float(x) for mode, x in found.items()}


def _lots(programs: list[_Program]) -> list[list[_Program]]:
    """Which programs are compiled as one: all the short ones that can be traced, and each of the long ones alone."""
    short, long = [], []
    for program in programs:
        try:
            traced = program.compilable.trace(*_numbers(program.cases[0]))
        except (NotImplementedError, TypeError, ValueError):  # how JAX says that a rule is missing
            continue
        lines = str(traced.jaxpr).count("\n")
        short, long = ([*short, program], long) if lines < _LONG else (short, [*long, [program]])
    return [short, *long] if short else long


def _numbers(case: Case) -> tuple[Any, Any]:
    return case.inputs, case.directions


def _compiled(lot: list[_Program]) -> Callable[..., Any]:
    def together(points):
        return [program.compilable(*point) for program, point in zip(lot, points, strict=True)]

    return _compile(jax.jit(together).lower([_numbers(program.cases[0]) for program in lot]))


def _compile(lowered):
    try:
        return lowered.compile(compiler_options=QUICK_XLA)
    except jax.errors.JaxRuntimeError:  # an option that this version of XLA does not have
        return lowered.compile()


def _judge(case: Case, mode: str, value: float | None) -> Verdict:
    if value is None:
        return "missing"
    if not math.isfinite(value):
        return "NaN"
    order = _order(mode)
    exact = case.derivatives[order - 1]
    return "ok" if abs(value - exact) <= TOLERANCE[order] * max(abs(exact), 1e-3) else "wrong"


def _order(mode: str) -> int:
    return 1 + mode.count("-")
