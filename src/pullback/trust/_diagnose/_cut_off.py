"""Which loops of a program are not differentiated step by step?

Those inside functions with a derivative rule of their own, and those that meet `stop_gradient`. Only there it matters
whether an iteration has converged; elsewhere the derivative is that of the numbers that it returns.
"""

from typing import Any

from pullback.core._compat import ClosedJaxpr, Literal
from pullback.trust._diagnose._program import called, equations

_LOOPS = ("scan", "while")


def cut_off(program: ClosedJaxpr) -> set[int]:
    """The ids of the equations of these loops."""
    found: set[int] = set()
    _follow(program, [frozenset()] * len(program.jaxpr.invars), found)
    return found


def _follow(program: ClosedJaxpr, inputs: list[frozenset], found: set[int]) -> list[frozenset]:
    """What the results come from: ids of loops, and None for `stop_gradient`."""
    known: dict[Any, frozenset] = dict(zip(program.jaxpr.invars, inputs, strict=True))

    def read(variable):
        return frozenset() if isinstance(variable, Literal) else known.get(variable, frozenset())

    for equation in program.jaxpr.eqns:
        name, sources = equation.primitive.name, [read(v) for v in equation.invars]
        source = frozenset().union(*sources)
        if name.startswith("custom_"):
            found |= {id(e) for e in _loops_within(equation)}
        if name == "stop_gradient":
            found |= source - {None}
            source |= {None}
        elif name in _LOOPS:
            found |= {id(equation)} if None in source else set()
            source |= {id(equation)}
        inner = called(equation)
        results = [source] * len(equation.outvars) if inner is None else _follow(inner, sources, found)
        known.update(zip(equation.outvars, results))
    return [read(v) for v in program.jaxpr.outvars]


def _loops_within(equation: Any) -> list:
    inner = called(equation)
    return [] if inner is None else [e for e in equations(inner.jaxpr) if e.primitive.name in _LOOPS]
