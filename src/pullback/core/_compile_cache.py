"""Programs that are compiled once for functions that do the same.

Outside `jit`, JAX compiles a loop anew whenever the function in it is a new object, as a closure made by each call is.
Here the key is what the function does: its jaxpr, with the arrays that it closes over taken out as arguments (`hoist`).
Two functions with the same text, the same numbers in it and the same options share one program; arrays are handed over
at each call, so that a closure over a variable that has changed is computed with the new value. (A Python number is
part of the text: another one is another program. Make it an array.)

The programs are for values only: derivative rules play no part in the key.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from pullback.core._compat import ClosedJaxpr, Jaxpr, Literal

_KEPT = 256  # programs
_LARGEST = 4096  # numbers of an array inside a program that are compared
_OF_EQUINOX = {"treedef", "static", "flatten"}  # parameters of its primitives, as lineax's solve

_programs: OrderedDict[Hashable, Callable] = OrderedDict()


def compiled_once(fun: Callable[..., PyTree], static: Hashable, parts: list[tuple[Callable, tuple]], *args: PyTree):
    """fun(*args), by a program that an earlier call made if there is one; as it is where something is traced.

    Args:
        fun: a function of arrays, determined by `static` and by `parts`; not differentiated.
        static: options, among them what tells one caller from another.
        parts: functions that `fun` calls, with arguments to trace them; they must not close over arrays.
        args: of `fun`.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(args)):
        return fun(*args)
    try:
        key = (static, tuple(_described(jax.make_jaxpr(part)(*values)) for part, values in parts))
        program = _programs.pop(key, None) or jax.jit(fun)
    except (_Unknown, TypeError):  # the latter from what cannot be hashed
        return jax.jit(fun)(*args)
    _programs[key] = program
    if len(_programs) > _KEPT:
        _programs.popitem(last=False)
    return program(*args)


class _Unknown(Exception):
    """Whether two programs do the same cannot be told."""


def _described(value: Any) -> Hashable:
    """Something that is equal for two programs, or parts of them, exactly if they do the same."""
    if isinstance(value, ClosedJaxpr | Jaxpr):  # one class since JAX 0.12
        inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
        return _jaxpr(inner), _described([*getattr(value, "consts", ())])
    if isinstance(value, list | tuple):
        return (type(value), *map(_described, value))
    if isinstance(value, dict):
        return tuple((name, _described(value[name])) for name in sorted(value))
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        if isinstance(value, Tracer) or array.size > _LARGEST or array.dtype == object:
            raise _Unknown
        return array.shape, str(array.dtype), array.tobytes()
    is_object = isinstance(value, type | jax.sharding.Mesh | jax.sharding.AbstractMesh)
    if callable(value) and not is_object and not _is_of_module(value):
        raise _Unknown
    if isinstance(value, float):
        return "float", value.hex()
    return type(value), value


def _is_of_module(function: Callable) -> bool:
    """Whether the function stands in a module under its name, so that there is one of it, as of JAX's generators."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return getattr(module, getattr(function, "__qualname__", ""), None) is function


def _jaxpr(jaxpr: Jaxpr) -> Hashable:
    names: dict[Any, int] = {}

    def named(variable: Any) -> Hashable:
        if isinstance(variable, Literal):
            return "literal", str(variable.aval), _described(np.asarray(variable.val))
        return names.setdefault(variable, len(names)), str(variable.aval)

    first = tuple(named(v) for v in (*jaxpr.constvars, *jaxpr.invars))
    equations = []
    for equation in jaxpr.eqns:
        params = dict(equation.params)
        if equation.primitive.name == "linear_map":
            avals = [v.aval for v in equation.invars]
            params = {"fun": jax.make_jaxpr(params["fun"])(*avals)}
        elif equation.primitive.name.startswith(("custom_jvp_call", "custom_vjp_call")):
            params = {name: value for name, value in params.items() if isinstance(value, ClosedJaxpr | Jaxpr)}
        elif params.keys() == _OF_EQUINOX:
            del params["flatten"]  # only notes the form of the result
        inputs = tuple(named(v) for v in equation.invars)
        outputs = tuple(named(v) for v in equation.outvars)
        equations.append((equation.primitive, inputs, outputs, _described(params), str(equation.effects)))
    return first, tuple(equations), tuple(named(v) for v in jaxpr.outvars)
