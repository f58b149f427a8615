"""Programs with some of their equations replaced.

A function that is traced is a list of equations (a jaxpr). Evaluated one by one, each can be looked at, or be given
other results: eigenvectors with other phases, a loop that measures how its state grows. Equations that hold programs
(calls, loops, branches, functions with derivative rules) are opened.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pullback.core._compat import ClosedJaxpr, Jaxpr, Literal, bound

Rule = Callable[[Any, list], list]  # (equation, values) -> results

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")  # names of the one program that such an equation runs
_CALLERS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call"),
    *("custom_vjp_call", "custom_vjp_call_jaxpr", "custom_vmap_call"),
}


def called(equation: Any) -> ClosedJaxpr | None:
    """The program of an equation that does nothing but run it."""
    if equation.primitive.name in _CALLERS:
        for name in _CALLS:
            if (found := closed(equation.params.get(name))) is not None:
                return found
    return None


def closed(program: Any) -> ClosedJaxpr | None:
    """A program that can be run; None if its constants are not there, or it is none."""
    if isinstance(program, ClosedJaxpr):
        return program
    return ClosedJaxpr(program, ()) if isinstance(program, Jaxpr) and not program.constvars else None


def programs_of(equation: Any) -> Iterator[Jaxpr]:
    """All programs in an equation's parameters."""
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr | Jaxpr):
                yield one.jaxpr if isinstance(one, ClosedJaxpr) else one


def equations(program: Jaxpr) -> Iterator[Any]:
    """All equations, those of inner programs included."""
    for equation in program.eqns:
        yield equation
        for inner in programs_of(equation):
            yield from equations(inner)


def evaluate(program: ClosedJaxpr, values: list, rules: Mapping[str, Rule]) -> list:
    """The results of a program, where equations of the primitives that are named follow these rules."""
    known = dict(zip(program.jaxpr.constvars, program.consts)) | dict(zip(program.jaxpr.invars, values, strict=True))

    def read(variable):
        return variable.val if isinstance(variable, Literal) else known[variable]

    for equation in program.jaxpr.eqns:
        results = _results(equation, [read(v) for v in equation.invars], rules)
        known |= zip(equation.outvars, results, strict=True)
    return [read(v) for v in program.jaxpr.outvars]


def followed(program: ClosedJaxpr, inputs: list, nothing: Any, of_equation: Callable[[Any, list], list]) -> list:
    """What is known of the results, from what is known of the inputs, equation by equation; of constants `nothing`."""
    known: dict[Any, Any] = dict(zip(program.jaxpr.invars, inputs, strict=True))

    def read(variable):
        return nothing if isinstance(variable, Literal) else known.get(variable, nothing)

    for equation in program.jaxpr.eqns:
        known.update(zip(equation.outvars, of_equation(equation, [read(v) for v in equation.invars])))
    return [read(v) for v in program.jaxpr.outvars]


def _results(equation: Any, values: list, rules: Mapping[str, Rule]) -> list:
    name = equation.primitive.name
    if name in rules:
        return rules[name](equation, values)
    if (inner := called(equation)) is not None:
        return evaluate(inner, values, rules)
    if name in _OPENED and any(e.primitive.name in rules for p in programs_of(equation) for e in equations(p)):
        return _OPENED[name](equation, values, rules)
    return bound(equation, values)


def _scan(equation: Any, values: list, rules: Mapping[str, Rule]) -> list:
    body, carry, xs = scan_parts(equation, values, lambda program, values: evaluate(program, values, rules))
    carry, ys = jax.lax.scan(body, carry, xs, equation.params["length"], reverse=equation.params["reverse"])
    return [*carry, *ys]


def _while(equation: Any, values: list, rules: Mapping[str, Rule]) -> list:
    cond, body, carry = while_parts(equation, values, lambda program, values: evaluate(program, values, rules))
    return list(jax.lax.while_loop(cond, body, carry))


def _cond(equation: Any, values: list, rules: Mapping[str, Rule]) -> list:
    which, *operands = values
    branches = [lambda *a, b=b: evaluate(b, list(a), rules) for b in equation.params["branches"]]
    return jax.lax.switch(jnp.asarray(which, int), branches, *operands)


_OPENED: dict[str, Callable] = {"scan": _scan, "while": _while, "cond": _cond}


def scan_parts(equation: Any, values: list, run: Callable[[ClosedJaxpr, list], list]) -> tuple[Callable, list, list]:
    """(step, first state, what is scanned over) of a scan, whose step is evaluated by `run`."""
    m, n = equation.params["num_consts"], equation.params["num_carry"]
    program, consts = equation.params["jaxpr"], values[:m]

    def step(carry, x):
        outs = run(program, [*consts, *carry, *x])
        return like(carry, outs[:n]), outs[n:]

    return step, values[m : m + n], values[m + n :]


def while_parts(
    equation: Any, values: list, run: Callable[[ClosedJaxpr, list], list]
) -> tuple[Callable, Callable, list]:
    """(condition, body, first state) of a while loop."""
    params = equation.params
    a, b = params["cond_nconsts"], params["body_nconsts"]

    def body(carry):
        return like(carry, run(params["body_jaxpr"], [*values[a : a + b], *carry]))

    return lambda carry: run(params["cond_jaxpr"], [*values[:a], *carry])[0], body, values[a + b :]


def like(carry: list, new: list) -> list:
    """A state of the dtypes of another; random keys have none to convert to."""
    return [
        b if jnp.issubdtype(b.dtype, jax.dtypes.extended) else jnp.asarray(b, jnp.result_type(a))
        for a, b in zip(carry, new)
    ]
