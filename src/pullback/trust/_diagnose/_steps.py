"""Where does a function move by steps: by rounding, comparisons, positions? Of these its gradient knows nothing."""

from typing import Any

import jax.numpy as jnp

from pullback.core._compat import ClosedJaxpr, Literal
from pullback.trust._diagnose._program import called, equations, followed

NOTHING, BY_STEPS, SMOOTHLY = range(3)
_STEPS = {"floor", "ceil", "round", "sign", "argmax", "argmin", "eq", "ne", "lt", "le", "gt", "ge", "is_finite"}


def has_steps(program: ClosedJaxpr) -> bool:
    """Whether there are such operations at all."""
    return any(e.primitive.name in _STEPS or any(map(_is_whole, e.outvars)) for e in equations(program.jaxpr))


def moves_by_steps(program: ClosedJaxpr, varied: list[bool]) -> bool:
    """Whether the results depend on the varied inputs, but only by steps."""
    return _dependence(program, [SMOOTHLY if v else NOTHING for v in varied])[0] == BY_STEPS


def _dependence(program: ClosedJaxpr, inputs: list[int]) -> list[int]:
    def of_equation(equation, levels):
        found = zip(equation.outvars, _of_equation(equation, levels))
        return [min(level, BY_STEPS) if _is_whole(variable) else level for variable, level in found]

    return followed(program, inputs, NOTHING, of_equation)


def _of_equation(equation: Any, levels: list[int]) -> list[int]:
    name, params = equation.primitive.name, equation.params
    if (inner := called(equation)) is not None:
        return _dependence(inner, levels)
    if name == "scan":
        m, n = params["num_consts"], params["num_carry"]
        return _of_loop(params["jaxpr"], levels[:m], levels[m : m + n], levels[m + n :])
    if name == "while":
        a, b = params["cond_nconsts"], params["body_nconsts"]
        carry = _of_loop(params["body_jaxpr"], levels[a : a + b], levels[a + b :], [])
        by_length = min(_dependence(params["cond_jaxpr"], [*levels[:a], *carry])[0], BY_STEPS)
        return [max(c, by_length) for c in carry]
    if name == "cond":
        branches = [_dependence(branch, levels[1:]) for branch in params["branches"]]
        return [max(min(levels[0], BY_STEPS), *found) for found in zip(*branches)]
    if name == "mul" and any(isinstance(v, Literal) and v.val == 0 for v in equation.invars):
        return [NOTHING]  # how states of loops are given a dtype
    level = max(levels, default=NOTHING)
    return [min(level, BY_STEPS) if name in _STEPS else level] * len(equation.outvars)


def _of_loop(body: ClosedJaxpr, consts: list[int], carry: list[int], xs: list[int]) -> list[int]:
    """The levels of what a loop returns: those of its state rise until they stay."""
    while True:
        outs = _dependence(body, [*consts, *carry, *xs])
        higher = [max(pair) for pair in zip(carry, outs)]
        if higher == carry:
            return [*carry, *outs[len(carry) :]]
        carry = higher


def _is_whole(variable: Any) -> bool:
    return not jnp.issubdtype(variable.aval.dtype, jnp.inexact)
