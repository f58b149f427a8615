"""Is the step of a loop affine in its state?

Recurrences and sums of series are. Errors may grow in them as in a chaotic motion, but they are no chaos.
"""

from typing import Any

import jax.numpy as jnp

from pullback.core._compat import ClosedJaxpr
from pullback.trust._diagnose._program import called, followed

_CONSTANT, _AFFINE, _OTHER = range(3)
_PRODUCTS = {"mul", "dot_general", "conv_general_dilated"}
_LINEAR = {
    *(
        "add",
        "sub",
        "add_any",
        "neg",
        "reduce_sum",
        "cumsum",
        "convert_element_type",
        "real",
        "imag",
        "conj",
        "complex",
    ),
    *("reshape", "broadcast_in_dim", "concatenate", "slice", "squeeze", "transpose", "rev", "pad", "copy", "fft"),
}
_PLACED = {"gather": 1, "dynamic_slice": 1, "dynamic_update_slice": 2}  # where the inputs that say the place begin


def is_affine(step: ClosedJaxpr, consts: int, carry: int) -> bool:
    """Whether the new state is an affine function of the old one, of which `consts` inputs come before `carry`."""
    inner = step.jaxpr
    old, new = inner.invars[consts : consts + carry], inner.outvars[:carry]
    moving = [a is not b and jnp.issubdtype(a.aval.dtype, jnp.inexact) for a, b in zip(old, new)]
    levels = [_CONSTANT] * len(inner.invars)
    levels[consts : consts + carry] = [_AFFINE if m else _CONSTANT for m in moving]
    return max(_levels(step, levels)[:carry], default=_CONSTANT) <= _AFFINE


def _levels(program: ClosedJaxpr, inputs: list[int]) -> list[int]:
    def of_equation(equation, levels):
        inner = called(equation)
        return [_level(equation, levels)] * len(equation.outvars) if inner is None else _levels(inner, levels)

    return followed(program, inputs, _CONSTANT, of_equation)


def _level(equation: Any, levels: list[int]) -> int:
    name, level = equation.primitive.name, max(levels, default=_CONSTANT)
    if level != _AFFINE:
        return level
    if name in _PRODUCTS:
        return min(sum(levels), _OTHER)
    if name == "div":
        return _AFFINE if levels[1] == _CONSTANT else _OTHER
    if name == "select_n":
        return _AFFINE if levels[0] == _CONSTANT else _OTHER
    if name in _PLACED:
        return _AFFINE if max(levels[_PLACED[name] :]) == _CONSTANT else _OTHER
    return _AFFINE if name in _LINEAR else _OTHER
