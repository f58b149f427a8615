"""The one place that touches what differs, or may differ, between JAX versions."""

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive, jaxpr_as_fun, set_current_trace
from jax.extend.core.primitives import closed_call_p
from jax.interpreters import ad, batching, mlir, partial_eval

not_mapped = getattr(batching, "not_mapped", None)  # the name is gone in 0.12, its value is still None


def vary_alike(arrays: list) -> list:
    """Inside `shard_map`: the arrays, each marked as varying along every mesh axis along which one of them varies.

    Most of JAX's operations do this by themselves. A primitive of ours must do it, or the transpose hands a varying
    cotangent to a replicated argument. Elsewhere nothing happens.
    """
    axes = frozenset().union(*map(_varying, arrays))
    return [jax.lax.pcast(a, tuple(axes - _varying(a)), to="varying") if axes - _varying(a) else a for a in arrays]


def within(trace, fun, *tracers):
    """fun(*tracers), with its operations processed by `trace`, as its own rules for primitives do not."""
    with set_current_trace(trace):
        return fun(*tracers)


def _varying(a) -> frozenset:
    kind = jax.typeof(a)
    kind = getattr(kind, "manual_axis_type", kind)  # the axes were an attribute of the type itself up to 0.9
    return frozenset(getattr(kind, "varying", None) or getattr(kind, "vma", ()))


__all__ = [
    "ClosedJaxpr",
    "Jaxpr",
    "Literal",
    "Primitive",
    "ad",
    "batching",
    "closed_call_p",
    "jaxpr_as_fun",
    "mlir",
    "not_mapped",
    "partial_eval",
    "vary_alike",
    "within",
]
