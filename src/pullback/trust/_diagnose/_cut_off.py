"""Which loops of a program are not differentiated step by step?

Those inside functions with a derivative rule of their own, and those that meet `stop_gradient`. Only there it matters
whether an iteration has converged; elsewhere the derivative is that of the numbers that it returns.
"""

from typing import Any

from pullback.core._compat import ClosedJaxpr
from pullback.trust._diagnose._program import called, equations, followed

_LOOPS = ("scan", "while")


def cut_off(program: ClosedJaxpr) -> set[int]:
    """The ids of the equations of these loops."""
    found: set[int] = set()
    _follow(program, [frozenset()] * len(program.jaxpr.invars), found)
    return found


def _follow(program: ClosedJaxpr, inputs: list[frozenset], found: set[int]) -> list[frozenset]:
    """What the results come from: ids of loops, and None for `stop_gradient`."""

    def of_equation(equation, sources):
        name, source = equation.primitive.name, frozenset().union(*sources)
        if name.startswith("custom_"):
            found.update(id(e) for e in _loops_within(equation))
        if name == "stop_gradient":
            found.update(source - {None})
            source |= {None}
        elif name in _LOOPS:
            if None in source:
                found.add(id(equation))
            source |= {id(equation)}
        inner = called(equation)
        return [source] * len(equation.outvars) if inner is None else _follow(inner, sources, found)

    return followed(program, inputs, frozenset(), of_equation)


def _loops_within(equation: Any) -> list:
    inner = called(equation)
    return [] if inner is None else [e for e in equations(inner.jaxpr) if e.primitive.name in _LOOPS]
