"""Residuals of the linear equations inside a program."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pullback.core._compat import ClosedJaxpr, bound, jaxpr_as_fun
from pullback.trust._diagnose._program import Rule, equations


def residuals(program: ClosedJaxpr, record: Callable[[Any], None]) -> Mapping[str, Rule]:
    """Rules that report |A x − b| / |b| of each equation that is solved by iteration; empty if there is none."""
    solves = [e for e in equations(program.jaxpr) if e.primitive.name == "custom_linear_solve"]
    if not any(_iterates(e) for e in solves):
        return {}

    def rule(equation, values):
        outs = bound(equation, values)
        if _iterates(equation):
            lengths, jaxprs = equation.params["const_lengths"], equation.params["jaxprs"]
            b = values[sum(lengths) :]
            image = jaxpr_as_fun(jaxprs.matvec)(*values[: lengths.matvec], *outs[: len(b)])
            missing, size = _norm([p - q for p, q in zip(image, b)]), _norm(b)
            jax.debug.callback(record, missing / jnp.where(size > 0, size, 1))
        return outs

    return {"custom_linear_solve": rule}


def _iterates(equation: Any) -> bool:
    solve = equation.params["jaxprs"].solve
    return solve is not None and any(e.primitive.name in ("while", "scan") for e in equations(solve.jaxpr))


def _norm(xs: list) -> Any:
    return jnp.sqrt(sum(jnp.sum(jnp.abs(x) ** 2) for x in xs))
