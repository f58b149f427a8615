"""Does a function move in steps only? Then its gradient is zero wherever it exists, and says nothing."""

from typing import Any

import jax.numpy as jnp

from pullback.core._compat import ClosedJaxpr, Literal
from pullback.trust._diagnose._program import called

NOTHING, BY_STEPS, SMOOTHLY = range(3)
_STEPS = {"floor", "ceil", "round", "sign", "argmax", "argmin", "eq", "ne", "lt", "le", "gt", "ge", "is_finite"}


def moves_by_steps(program: ClosedJaxpr, varied: list[bool]) -> bool:
    """Whether the results depend on the varied inputs, but only through comparisons, rounding and positions."""
    return _dependence(program, [SMOOTHLY if v else NOTHING for v in varied])[0] == BY_STEPS


def _dependence(program: ClosedJaxpr, inputs: list[int]) -> list[int]:
    known: dict[Any, int] = dict(zip(program.jaxpr.invars, inputs, strict=True))

    def read(variable):
        return NOTHING if isinstance(variable, Literal) else known.get(variable, NOTHING)

    for equation in program.jaxpr.eqns:
        levels = [read(v) for v in equation.invars]
        if (inner := called(equation)) is not None:
            found = _dependence(inner, levels)
        else:
            level = max(levels, default=NOTHING)
            level = min(level, BY_STEPS) if equation.primitive.name in _STEPS else level
            found = [level] * len(equation.outvars)
        for variable, level in zip(equation.outvars, found):
            whole = not jnp.issubdtype(variable.aval.dtype, jnp.inexact)
            known[variable] = min(level, BY_STEPS) if whole else level
    return [read(v) for v in program.jaxpr.outvars]
