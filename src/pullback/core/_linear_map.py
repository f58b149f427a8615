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
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from pullback.core._checked import are_checked_under_jit
from pullback.core._compat import (
    Primitive,
    ad,
    batching,
    mlir,
    not_mapped,
    sum_to_type,
    vary_like,
)
from pullback.core._error_if import error_if
from pullback.core._errors import InputError
from pullback.core._hoist import hoist
from pullback.core._live import is_live, jvp_of_live

linear_map_p = Primitive("linear_map")  # operands: n flat residuals, then flat x
linear_map_p.multiple_results = True


def linear_map(
    fun: Callable[[PyTree, PyTree], PyTree],
    fun_transpose: Callable[[PyTree, PyTree], PyTree],
    residuals: PyTree,
    x: PyTree,
    *,
    check: bool | None = None,
    joint: bool = False,
) -> PyTree:
    """Evaluates `fun(residuals, x)`, linear in `x`, whose transpose in `x` is `fun_transpose(residuals, ct)`.

    Args:
        fun: (residuals, x) -> y, linear in x. May close over traced values.
        fun_transpose: (residuals, ct) -> x-like, the transpose of `fun` in x (no conjugation). May close over
            traced values, but not over `x`.
        residuals: pytree of arrays that both functions need, of any dtype; the inexact ones are differentiated.
        x: pytree of inexact arrays, the linear argument. Leaves of dtype float0, JAX's tangents of integers, are
            handed through: both functions see them, and may return them, as zeros of that dtype.
        check: compare Σ ct·fun(x) with Σ fun_transpose(ct)·x at random ct and x, at the cost of one call of each.
            Under `jit` the compiled program makes the comparison. None: within `checks_under_jit` only.
        joint: differentiate both functions in residuals and linear argument at once, one program instead of two. For
            functions whose own derivatives have the transposes that they need.

    Raises:
        InputError: a leaf of `x` is neither inexact nor float0; `fun_transpose` does not return the structure, shapes
            and dtypes of `x`; with `check`, `fun_transpose` is not the transpose of `fun` (`EquinoxRuntimeError` when
            the operands are traced).
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        dtype = _dtype(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact) and dtype != jax.dtypes.float0:
            raise InputError(
                f"linear_map: x{jax.tree_util.keystr(path)} has dtype {dtype}; the linear argument must be floating "
                "point or complex. Pass integers as residuals."
            )
    flat_residuals, residuals_tree = jax.tree.flatten(jax.tree.map(jnp.asarray, residuals))
    flat_x, unflatten_x = _flatten(x)
    residuals = jax.tree.unflatten(residuals_tree, flat_residuals)
    flat_fun, consts, flat_y, unflatten_y = _flat_program(fun, residuals, flat_x, unflatten_x)

    def typed_transpose(residuals, ct):
        back = fun_transpose(residuals, ct)
        _check_back(back, x)
        return unflatten_x(list(map(sum_to_type, _flatten(back)[0], flat_x)))

    flat_transpose, consts_t, _, _ = _flat_program(typed_transpose, residuals, flat_y, unflatten_y)
    operands = [*consts, *consts_t, *flat_residuals]
    sizes = len(consts), len(consts_t)

    def program(flat, which):
        first = which * sizes[0]

        def of_operands(*args):
            return flat(args[first : first + sizes[which]], [*args[sum(sizes) :]])

        return of_operands

    programs = program(flat_fun, 0), program(flat_transpose, 1)
    if check or (check is None and are_checked_under_jit()):
        operands, flat_x = _checked(*programs, operands, flat_x)
    params = {"fun": programs[0], "fun_transpose": programs[1], "n": len(operands), "joint": joint}
    outs = linear_map_p.bind(*operands, *flat_x, **params)
    return unflatten_y(outs)


def _flat_program(fun, residuals, flat_x, unflatten_x):
    """(flat, consts, outs, unflatten) with flat(consts, residuals + x) the leaves of fun(residuals, x) but float0."""
    ways_back = []

    def leaves_of_fun(residuals, flat_x):
        outs, unflatten = _flatten(fun(residuals, unflatten_x(flat_x)))
        ways_back.append(unflatten)
        return outs

    closed, consts, outs = hoist(leaves_of_fun, residuals, flat_x)
    return closed, consts, outs, ways_back[-1]


def _flatten(tree):
    """The leaves that are not float0, and the way back."""
    leaves, treedef = jax.tree.flatten(tree)
    empty = [_dtype(leaf) == jax.dtypes.float0 for leaf in leaves]
    shapes = [np.shape(leaf) for leaf in leaves]

    def unflatten(live):
        rest = iter(live)
        return jax.tree.unflatten(
            treedef, [np.zeros(s, jax.dtypes.float0) if e else next(rest) for e, s in zip(empty, shapes)]
        )

    return [leaf for leaf, e in zip(leaves, empty) if not e], unflatten


def _dtype(a):
    return a.dtype if hasattr(a, "dtype") else jnp.result_type(a)  # the latter does not know float0


def _check_back(back, x):
    def describe(tree):
        return jax.tree.map(lambda a: f"{_dtype(a)}{list(np.shape(a))}", tree)

    if describe(back) != describe(x):
        raise InputError(
            f"linear_map: fun_transpose returns {describe(back)}, but the linear argument is {describe(x)}; the "
            "transpose must return what fun takes."
        )


def _checked(fun, fun_transpose, operands, flat_x):
    """The operands, carrying the comparison of Σ ct·fun(x) with Σ fun_transpose(ct)·x if they are traced."""
    frozen = jax.lax.stop_gradient(operands)
    keys = iter(jax.random.split(jax.random.key(0), 2 * len(flat_x) + 64))

    def draw(like):
        return [vary_like(jax.random.normal(next(keys), jnp.shape(a), jnp.result_type(a)), a) for a in like]

    x = draw(flat_x)
    y = fun(*frozen, *x)
    ct = draw(y)
    back = fun_transpose(*frozen, *ct)
    forward, size = _product(ct, y)
    backward, size_back = _product(back, x)
    tolerance = max(float(jnp.finfo(a.dtype).eps) for a in (*x, *y)) ** 0.5
    wrong = ~(jnp.abs(forward - backward) <= tolerance * (size + size_back))
    message = (
        "linear_map: fun_transpose is not the transpose of fun: sum(ct * fun(x)) and sum(fun_transpose(ct) * x) differ "
        "at random ct and x. The transpose takes no complex conjugate, and fun must be linear in x."
    )
    if isinstance(wrong, Tracer):
        if operands:
            return error_if(operands, wrong, message), flat_x
        return operands, error_if(flat_x, wrong, message)
    if wrong:
        raise InputError(f"{message} Found {forward} and {backward}.")
    return operands, flat_x


def _product(xs, ys):
    """Σ x·y, and the product of the norms."""
    total = sum(jnp.sum(x * y) for x, y in zip(xs, ys))
    norms = [jnp.sqrt(sum(jnp.sum(jnp.abs(z) ** 2) for z in zs)) for zs in (xs, ys)]
    return total, norms[0] * norms[1]


@linear_map_p.def_impl
def _impl(*args, fun, fun_transpose, n, joint):
    del fun_transpose, n, joint
    return fun(*args)  # not under jit: each call of linear_map makes new functions, which would be compiled anew


@linear_map_p.def_abstract_eval
def _abstract_eval(*avals, fun, fun_transpose, n, joint):
    return jax.make_jaxpr(fun)(*avals).out_avals


mlir.register_lowering(
    linear_map_p, mlir.lower_fun(lambda *args, fun, fun_transpose, n, joint: fun(*args), multiple_results=True)
)


def _jvp(primals, tangents, *, fun, fun_transpose, n, joint):
    bind = partial(linear_map_p.bind, fun=fun, fun_transpose=fun_transpose, n=n, joint=joint)
    residuals, x = primals[:n], primals[n:]
    of_x = any(map(is_live, tangents[n:]))
    if any(map(is_live, tangents[:n])):
        m = len(primals) if joint else n
        out, dout = jvp_of_live(lambda *moving: fun(*moving, *primals[m:]), (*primals[:m],), (*tangents[:m],))
        if joint or not of_x:
            return out, dout
    else:
        out, dout = bind(*residuals, *x), None
    if of_x:
        linear = bind(*residuals, *map(ad.instantiate_zeros, tangents[n:]))
        dout = linear if dout is None else [a + b for a, b in zip(dout, linear)]
    return out, dout


def _transpose(cts, *args, fun, fun_transpose, n, joint):
    residuals, x = args[:n], args[n:]
    if any(map(ad.is_undefined_primal, residuals)):
        raise NotImplementedError("linear_map is linear in x only; it cannot be transposed in its residuals.")
    cts = map(ad.instantiate_zeros, cts)
    outs = linear_map_p.bind(*residuals, *cts, fun=fun_transpose, fun_transpose=fun, n=n, joint=joint)
    return [None] * n + [c if ad.is_undefined_primal(a) else None for a, c in zip(x, outs)]


def _batch(axis, args, dims, *, fun, fun_transpose, n, joint):
    if all(d is not_mapped for d in dims) and not isinstance(axis.name, str):
        # The rule is also called when no operand is mapped; an answer with a batch axis breaks jacfwd(jacfwd).
        out = linear_map_p.bind(*args, fun=fun, fun_transpose=fun_transpose, n=n, joint=joint)
        return out, [not_mapped] * len(out)

    def to_front(a, d):
        if d is not_mapped:
            return jnp.broadcast_to(a, (axis.size, *jnp.shape(a)))  # a may be a Python number
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
    programs = {"fun": batched(fun), "fun_transpose": batched(fun_transpose)}
    out = linear_map_p.bind(*args[:n], *x, **programs, n=n, joint=joint)
    return out, [0] * len(out)


ad.primitive_jvps[linear_map_p] = _jvp
ad.primitive_transposes[linear_map_p] = _transpose
batching.fancy_primitive_batchers[linear_map_p] = _batch
