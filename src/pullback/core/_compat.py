"""The one place that touches what differs, or may differ, between JAX versions."""

from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive, jaxpr_as_fun, set_current_trace
from jax.extend.core.primitives import closed_call_p
from jax.interpreters import ad, batching, mlir, partial_eval

# Options of the CPU compiler for programs that run a few times: unoptimised code compiles four times faster.
QUICK_XLA: dict[str, str | bool] = {
    "xla_backend_optimization_level": "0",
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": "1",  # parts of a program are not compiled in threads of their own
}
if jax.__version_info__ < (0, 12):  # later ones refuse what they do not know
    QUICK_XLA["xla_cpu_use_fusion_emitters"] = False

not_mapped = getattr(batching, "not_mapped", None)  # the name is gone in 0.12, its value is still None


def vary_like(tree: Any, *references: Any) -> Any:
    """Inside `shard_map`: `tree`, each leaf marked as varying along every mesh axis along which any leaf varies.

    Leaves of `tree` and of the `references` count. Most of JAX's operations do this by themselves. The start of a loop,
    whose state will vary as soon as it has met the data, and what a program on the host returns must be told.
    Elsewhere nothing happens.
    """
    axes = frozenset().union(*map(_varying, jax.tree.leaves((tree, references))))
    return jax.tree.map(lambda a: _vary(a, axes), tree) if axes else tree


def is_varying(tree: Any) -> bool:
    """Whether a leaf varies along an axis of a mesh: only inside `shard_map`, and not with `check_vma=False`."""
    return any(map(_varying, jax.tree.leaves(tree)))


def are_alike(tree: Any) -> bool:
    """Whether all leaves vary along the same axes of a mesh; true outside `shard_map`."""
    return len(set(map(_varying, jax.tree.leaves(tree)))) < 2


def sum_to_type(a: Any, like: Any) -> Any:
    """Inside `shard_map`: the cotangent of something that varies as `like` does, from its part `a` on each device.

    It is summed over the mesh axes along which `like` is the same everywhere, as the transpose of JAX's own operations
    does. Elsewhere nothing happens.
    """
    if sum_over := _varying(a) - _varying(like):
        a = jax.lax.psum(a, tuple(sum_over))
    return _vary(a, _varying(like))


def _vary(a, axes):
    missing = axes - _varying(a)
    return jax.lax.pcast(a, tuple(missing), to="varying") if missing else a


def within(trace, fun, *tracers):
    """fun(*tracers), with its operations processed by `trace`, as its own rules for primitives do not."""
    with set_current_trace(trace):
        return fun(*tracers)


def bound(equation, values):
    """The results of one equation of a jaxpr, a list."""
    found = equation.primitive.get_bind_params(equation.params)
    functions, params = found if isinstance(found, tuple) else ((), found)  # a pair up to 0.9
    outs = equation.primitive.bind(*functions, *values, **params)
    return list(outs) if equation.primitive.multiple_results else [outs]


def _varying(a) -> frozenset:
    kind = a if isinstance(a, jax.ShapeDtypeStruct) else jax.typeof(a)
    kind = getattr(kind, "manual_axis_type", kind)  # the axes were an attribute of the type itself up to 0.9
    return frozenset(getattr(kind, "varying", None) or getattr(kind, "vma", ()))


__all__ = [
    "ClosedJaxpr",
    "Jaxpr",
    "Literal",
    "Primitive",
    "ad",
    "are_alike",
    "batching",
    "bound",
    "closed_call_p",
    "is_varying",
    "jaxpr_as_fun",
    "mlir",
    "not_mapped",
    "partial_eval",
    "sum_to_type",
    "vary_like",
    "within",
]
