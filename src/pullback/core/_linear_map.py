"""`linear_map`: a linear function together with its own transpose.

The one mechanism under every derivative rule whose transposed program is not what JAX would derive by
itself. `jax.custom_vjp` refuses forward mode; a `custom_jvp` alone cannot have a transpose of its own.
`linear_map(fun, fun_transpose, residuals, x)` is a primitive that is

- evaluated by `fun(residuals, x)`;
- transposed by swapping the two functions;
- differentiated by itself in `x` and by differentiating *whichever of the two functions is in use* in the
  residuals, so that every higher order inherits the rules of what these functions call;
- batched by batching both.

A rule is then always the same: a `jax.custom_jvp` whose tangent is a `linear_map`.

"Transpose" is JAX's, without conjugation: sum(ct * fun(r, x)) = sum(fun_transpose(r, ct) * x).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pullback.core._compat import ClosedJaxpr, Primitive, ad, batching, jaxpr_as_fun, mlir, not_mapped

linear_map_p = Primitive("linear_map")  # operands: n flat residuals, then flat x
linear_map_p.multiple_results = True


def linear_map(
    fun: Callable[[PyTree, PyTree], PyTree],
    fun_transpose: Callable[[PyTree, PyTree], PyTree],
    residuals: PyTree,
    x: PyTree,
) -> PyTree:
    """Evaluates `fun(residuals, x)`, linear in `x`, whose transpose in `x` is `fun_transpose(residuals, ct)`.

    Args:
        fun: (residuals, x) -> y, linear in x. May close over traced values.
        fun_transpose: (residuals, ct) -> x-like, the transpose of `fun` in x (no conjugation). May close over
            traced values.
        residuals: pytree of arrays that both functions need; differentiated.
        x: pytree of inexact arrays, the linear argument.

    Raises:
        TypeError: if `fun_transpose` does not return something of the shapes and dtypes of `x`.
    """
    fun, consts, out = _hoist(fun, residuals, x)
    fun_transpose, consts_t, back = _hoist(fun_transpose, residuals, out)
    shapes = partial(jax.tree.map, lambda a: (jnp.shape(a), jnp.result_type(a)))
    if shapes(back) != shapes(x):
        raise TypeError(f"fun_transpose returns {shapes(back)}; the linear argument is {shapes(x)}.")
    flat_residuals, residuals_tree = jax.tree.flatten((residuals, consts, consts_t))
    flat_x, x_tree = jax.tree.flatten(x)
    n = len(flat_residuals)

    def flat(g, which, tree):
        def flat_g(*args):
            r = jax.tree.unflatten(residuals_tree, args[:n])
            return jax.tree.leaves(g(r[which], r[0], jax.tree.unflatten(tree, args[n:])))

        return flat_g

    out_tree = jax.tree.structure(out)
    outs = linear_map_p.bind(
        *flat_residuals,
        *flat_x,
        fun=flat(fun, 1, x_tree),
        fun_transpose=flat(fun_transpose, 2, out_tree),
        n=n,
    )
    return jax.tree.unflatten(out_tree, outs)


def _hoist(fun, *args):
    """(closed, consts, out): closed(consts, *args) == fun(*args), with all that `fun` closes over in consts."""
    flat, tree = jax.tree.flatten(args)
    jaxpr, out = jax.make_jaxpr(lambda *a: fun(*jax.tree.unflatten(tree, a)), return_shape=True)(*flat)
    raw, out_tree = jaxpr.jaxpr, jax.tree.structure(out)

    def closed(consts, *args):
        outs = jaxpr_as_fun(ClosedJaxpr(raw, consts))(*jax.tree.leaves(args))
        return jax.tree.unflatten(out_tree, outs)

    return closed, list(jaxpr.consts), out


@linear_map_p.def_impl
def _impl(*args, fun, fun_transpose, n):
    return jax.jit(fun)(*args)


@linear_map_p.def_abstract_eval
def _abstract_eval(*avals, fun, fun_transpose, n):
    return jax.make_jaxpr(fun)(*avals).out_avals


mlir.register_lowering(
    linear_map_p, mlir.lower_fun(lambda *args, fun, fun_transpose, n: fun(*args), multiple_results=True)
)


def _jvp(primals, tangents, *, fun, fun_transpose, n):
    bind = partial(linear_map_p.bind, fun=fun, fun_transpose=fun_transpose, n=n)
    residuals, x = primals[:n], primals[n:]
    live = [i for i, t in enumerate(tangents[:n]) if type(t) is not ad.Zero]
    if live:

        def of_residuals(*values):
            new = dict(zip(live, values))
            return fun(*(new.get(i, r) for i, r in enumerate(residuals)), *x)

        out, dout = jax.jvp(of_residuals, [residuals[i] for i in live], [tangents[i] for i in live])
    else:
        out, dout = bind(*residuals, *x), None
    if any(type(t) is not ad.Zero for t in tangents[n:]):
        linear = bind(*residuals, *map(ad.instantiate_zeros, tangents[n:]))
        dout = linear if dout is None else [a + b for a, b in zip(dout, linear)]
    return out, dout


def _transpose(cts, *args, fun, fun_transpose, n):
    residuals, x = args[:n], args[n:]
    if any(map(ad.is_undefined_primal, residuals)):
        raise NotImplementedError("linear_map is linear in x only; it cannot be transposed in its residuals.")
    cts = map(ad.instantiate_zeros, cts)
    outs = linear_map_p.bind(*residuals, *cts, fun=fun_transpose, fun_transpose=fun, n=n)
    return [None] * n + [c if ad.is_undefined_primal(a) else None for a, c in zip(x, outs)]


def _batch(axis, args, dims, *, fun, fun_transpose, n):
    if all(d is not_mapped for d in dims) and not isinstance(axis.name, str):
        # The rule is also called when no operand is mapped; an answer with a batch axis breaks jacfwd(jacfwd).
        out = linear_map_p.bind(*args, fun=fun, fun_transpose=fun_transpose, n=n)
        return out, [not_mapped] * len(out)

    def to_front(a, d):
        if d is not_mapped:
            return jnp.broadcast_to(a, (axis.size, *a.shape))
        return jnp.moveaxis(a, d, 0)

    def batched(f):
        return lambda *a: jax.vmap(
            f,
            (*dims[:n], *[0] * (len(a) - n)),
            0,
            axis_size=axis.size,
            axis_name=axis.name,
            spmd_axis_name=axis.spmd_name,
        )(*a)

    x = map(to_front, args[n:], dims[n:])
    out = linear_map_p.bind(*args[:n], *x, fun=batched(fun), fun_transpose=batched(fun_transpose), n=n)
    return out, [0] * len(out)


ad.primitive_jvps[linear_map_p] = _jvp
ad.primitive_transposes[linear_map_p] = _transpose
batching.fancy_primitive_batchers[linear_map_p] = _batch
