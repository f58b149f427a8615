"""`fused`: a program for a value and its tangent together that comes apart where JAX wants one of them only.

A `custom_jvp` rule returns value and tangent. In forward mode a single program often makes both for less than the two
by themselves; in reverse mode they must be two, the value now and the tangent, transposed, later. `fused(whole, parts)`
is a primitive that is evaluated by `whole` and is `parts` to every transformation that looks inside.
"""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from pullback.core._compat import (
    Primitive,
    ad,
    batching,
    closed_call_p,
    jaxpr_as_fun,
    mlir,
    not_mapped,
    partial_eval,
    within,
)
from pullback.core._live import jvp_of_live

fused_p = Primitive("fused")
fused_p.multiple_results = True


def fused(whole: Callable[..., PyTree], parts: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """Evaluates `whole(*args)`, which must equal `parts(*args)`; what JAX differentiates or splits is `parts`.

    Args:
        whole: the program to run. It is never differentiated. Must not close over traced values.
        parts: the same values from programs of their own, with the derivatives. Must not close over traced values.
        args: pytrees of arrays.
    """
    flat, tree = jax.tree.flatten(args)
    jaxpr, out = jax.make_jaxpr(lambda *a: whole(*jax.tree.unflatten(tree, a)), return_shape=True)(*flat)

    def flat_parts(*a):
        return jax.tree.leaves(parts(*jax.tree.unflatten(tree, a)))

    return jax.tree.unflatten(jax.tree.structure(out), fused_p.bind(*flat, whole=jaxpr, parts=flat_parts))


@fused_p.def_impl
def _impl(*args, whole, parts):
    del parts
    return jaxpr_as_fun(whole)(*args)


@fused_p.def_abstract_eval
def _abstract_eval(*avals, whole, parts):
    del avals, parts
    return whole.out_avals


def _jvp(primals, tangents, *, whole, parts):
    del whole
    return jvp_of_live(parts, tuple(primals), tuple(tangents))


def _batch(axis, args, dims, *, whole, parts):
    """Outputs that no mapped operand reaches stay unmapped: `jacfwd` asks for one value with many tangents."""
    jaxpr = jax.make_jaxpr(parts)(*whole.in_avals).jaxpr
    mapped = []
    for k in range(len(jaxpr.outvars)):
        _, used = partial_eval.dce_jaxpr(jaxpr, [j == k for j in range(len(jaxpr.outvars))])
        mapped.append(any(u and d is not not_mapped for u, d in zip(used, dims)))

    def batched(program):
        of_all = jax.vmap(program, dims, 0, axis_size=axis.size, axis_name=axis.name, spmd_axis_name=axis.spmd_name)
        return lambda *a: [y if m else y[0] for y, m in zip(of_all(*a), mapped)]

    out = fused_p.bind(*args, whole=jax.make_jaxpr(batched(jaxpr_as_fun(whole)))(*args), parts=batched(parts))
    return out, [0 if m else not_mapped for m in mapped]


def _partial_eval(trace, *tracers, whole, parts):
    if len({tracer.is_known() for tracer in tracers}) < 2:
        return trace.default_process_primitive(fused_p, tracers, {"whole": whole, "parts": parts})
    return within(trace, parts, *tracers)


def _partial_eval_of_jaxpr(saveable, unknown, instantiated, eqn):  # for `jax.checkpoint`
    jaxpr = jax.make_jaxpr(eqn.params["parts"])(*(v.aval for v in eqn.invars))
    call = eqn.replace(primitive=closed_call_p, params={"call_jaxpr": jaxpr})
    return partial_eval.partial_eval_jaxpr_custom_rules[closed_call_p](saveable, unknown, instantiated, call)


mlir.register_lowering(fused_p, mlir.lower_fun(_impl, multiple_results=True))
ad.primitive_jvps[fused_p] = _jvp
batching.fancy_primitive_batchers[fused_p] = _batch
partial_eval.custom_partial_eval_rules[fused_p] = _partial_eval
partial_eval.partial_eval_jaxpr_custom_rules[fused_p] = _partial_eval_of_jaxpr
