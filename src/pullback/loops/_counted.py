r"""`counted_scan`: a scan whose number of steps is known only when it runs, with derivatives in every mode.

    x_{n+1}, y_n, s_n = step(x_n, u_n, p),      n = 0 … N−1,     N a traced number, at most a bound.

JAX differentiates loops of a fixed length only. Here tangent and adjoint are loops of the same kind, at the stored
states x_n:

    dx_{n+1}, dy_n, ds_n = D step(x_n, u_n, p) [dx_n, du_n, dp],
    λ_n, ū_n, p̄_n = D step(x_n, u_n, p)^T [λ_{n+1}, ȳ_n, s̄],       n = N−1 … 0,        p̄ = Σ p̄_n,

so the family is closed, and every order of every mode follows. `core.linear_map` makes the two each other's transpose.
The sums S = Σ s_n stand apart from the state, so that derivatives by the parameters are not stored for every step.

If the step has an inverse, the states are not stored but found again by it: the tangent loop carries x beside dx, the
adjoint loop x beside λ, and both have inverses themselves, x_n from x_{n+1} and

    λ_{n+1} = (D_x inverse)^T [λ_n − D step^T [0, ȳ_n, s̄]].

Where the adjoint loop arrives, x must be x_0 again: a program that misses it by more than half of the digits raises an
error.

Under `vmap` the loop is as long as that of the slowest member. The others stand still meanwhile, at their last state.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, PyTree

from pullback.core import RESULTS, distance, error_if, instantiated, is_live, linear_map, vary_like

_MOST, _SMALL = 16, 512  # steps, bytes: of what is compiled as one function

Step = Callable[[PyTree, tuple, PyTree], tuple[PyTree, tuple, PyTree]]  # (x, us, p) -> (x', ys, s)
Inverse = Callable[[PyTree, tuple, PyTree], PyTree]  # (x', us, p) -> x
Rows = Int[Array, " bound"] | None  # the row for each step; None: as many rows as steps, each its own


class _Shape(NamedTuple):
    """What is static: the bound, the direction, the number of rows of each output, whether states are returned."""

    bound: int
    reverse: bool
    sizes: tuple[int, ...]
    states: bool


def counted_scan(
    step: Step,
    init: PyTree,
    params: PyTree,
    count: Int[ArrayLike, ""],
    *,
    bound: int,
    inputs: tuple[tuple[PyTree, Rows], ...] = (),
    outputs: tuple[tuple[int, Rows], ...] = (),
    inverse: Inverse | None = None,
    known: tuple[PyTree, tuple[PyTree, ...], PyTree, PyTree] | None = None,
) -> tuple[PyTree, tuple[PyTree, ...], PyTree]:
    """(last state, outputs, sum) of the first `count` steps of a scan, as above.

    Memory in reverse mode is that of `bound` states, and of nothing inside a step. A step may be a block of steps, a
    `counted_scan` itself: it is recomputed in reverse mode. With an `inverse` no states are stored.

    Args:
        step: (x, us, p) -> (x', ys, s), of inexact arrays: one input for each of `inputs`, one output for each of
            `outputs`, and s, of which the sum is returned. It closes over nothing that is traced, and is harmless at
            the last state, where members of a batch wait for others.
        init: first state.
        params: shared by all steps; leaves that are not inexact are held fixed.
        count: number of steps, at most `bound`; not differentiated.
        bound: a Python integer.
        inputs: pairs of a pytree of arrays with rows, and the row that each step reads.
        outputs: pairs of a number of rows, and the row to which each step adds; one beyond the end takes nothing.
        inverse: (x', us, p) -> x, the inverse of `step` in the state; closes over nothing that is traced.
        known: (last state, outputs, sum, states before each step), if they have been computed already. With an
            inverse the states are not read.

    Raises:
        EquinoxRuntimeError: in reverse mode, if the way back by `inverse` misses the first state by more than half of
            the digits.
    """
    data, into = tuple(zip(*inputs)) if inputs else ((), ())
    sizes, out_of = tuple(zip(*outputs)) if outputs else ((), ())
    init, data, params = vary_like((init, data, params))
    end, ys, total, _ = _counted(
        step, inverse, _Shape(bound, False, sizes, False), init, data, params, (into, out_of), jnp.asarray(count), known
    )
    return end, ys, total


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _counted(step: Step, inverse: Inverse | None, shape: _Shape, x0, data, p, rows, count, known=None):
    del inverse
    if known is not None:
        return (*known[:3], known[3] if shape.states else ())
    into, out_of = rows
    first = tuple(jax.tree.map(lambda a: a[0], _read(group, row, 0, 1)) for group, row in zip(data, into, strict=True))
    _, ys, total = jax.eval_shape(step, x0, first, p)
    m = _chunk(shape, (first, ys, x0 if shape.states else ()))
    storage = tuple(_zeros(y, (size,)) for y, size in zip(ys, shape.sizes, strict=True))
    states = jax.tree.map(lambda a: jnp.broadcast_to(a, (shape.bound, *a.shape)), x0) if shape.states else ()
    chunks = -(-_of_all(count) // m)

    def several(i, carry):
        """m steps, whose inputs and outputs are small arrays: XLA compiles a loop on little data as one function."""
        x, storage, total, states = carry
        start = m * (chunks - 1 - i if shape.reverse else i)
        us = tuple(_read(group, row, start, m) for group, row in zip(data, into, strict=True))

        def one(j, carry):
            x, outs, total, seen = carry
            k = m - 1 - j if shape.reverse else j
            active = start + k < count
            new, y, s = step(x, jax.tree.map(lambda a: a[k], us), p)
            y, s = jax.tree.map(lambda a: jnp.where(active, a, 0), (y, s))
            outs = jax.tree.map(lambda a, b: a.at[k].set(b), outs, y)
            if shape.states:
                seen = jax.tree.map(lambda a, b: a.at[k].set(b), seen, x)
            x = jax.tree.map(lambda a, b: jnp.where(active, a, b), new, x)
            return x, outs, jax.tree.map(jnp.add, total, s), seen

        seen = jax.tree.map(lambda a: jnp.broadcast_to(a, (m, *a.shape)), x) if shape.states else ()
        begin = vary_like((x, _zeros(ys, (m,)), total, seen), x, data, p)
        x, outs, total, seen = one(0, begin) if m == 1 else jax.lax.fori_loop(0, m, one, begin)
        storage = tuple(_added(*at, start, m) for at in zip(storage, out_of, outs, strict=True))
        states = jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, 0), states, seen)
        return x, storage, total, states

    return jax.lax.fori_loop(0, chunks, several, vary_like((x0, storage, _zeros(total), states), x0, data, p))


@jax.custom_batching.custom_vmap
def _of_all(count):
    """The largest count of a batch, 0 of an empty one."""
    return count


@_of_all.def_vmap
def _(axis_size, batched, count):
    return _of_all(jnp.max(count, initial=0)), False


def _chunk(shape: _Shape, row) -> int:
    """How many steps are taken at a time: a few, where their inputs and outputs are small."""
    size = sum(math.prod(a.shape) * a.dtype.itemsize for a in jax.tree.leaves(row))
    m = 1
    while 2 * m <= _MOST and 2 * m * size <= _SMALL and shape.bound % (2 * m) == 0:
        m *= 2
    return m


@partial(_counted.defjvp, symbolic_zeros=True)
def _counted_jvp(step, inverse, shape, primals, tangents):
    x0, data, p, rows, count, known = primals
    stored = shape._replace(states=inverse is None or shape.states)
    end, ys, total, states = _counted(step, inverse, stored, x0, data, p, rows, count, known)
    live = _Live((p, *data), (tangents[2], *tangents[1]))
    m = len(data)

    def around(p, us):
        """The step as a function of the state and of what else is differentiated."""

        def of_live(x, values):
            p_whole, *us_whole = live.whole((p, *us), values)
            return step(x, tuple(us_whole), p_whole)

        return of_live

    def tangent(residuals, moving):
        states, data, p, (into, out_of), count = residuals
        dx0, (dp, *ddata) = moving

        def linear(dx, us, both):
            (x, *us), dus, (p, dp) = us[: 1 + m], us[1 + m :], both
            return jax.jvp(around(p, us), (x, live.of((p, *us))), (dx, [dp, *dus]))[1]

        rows = (None, *into, *into), out_of
        return _counted(linear, None, shape, dx0, (states, *data, *ddata), (p, dp), rows, count)

    def adjoint(residuals, cotangents):
        states, data, p, (into, out_of), count = residuals
        ct_end, ct_ys, ct_total, ct_states = cotangents
        ct_states = (ct_states,) if shape.states else ()

        def transposed(lam, us, both):
            (x, *us), ct_ys, (p, ct_s) = us[: 1 + m], us[1 + m :], both
            ct_ys, ct_x = ct_ys[: len(out_of)], ct_ys[len(out_of) :]
            _, pull = jax.vjp(around(p, us), x, live.of((p, *us)))
            lam, (ct_p, *ct_us) = pull((lam, ct_ys, ct_s))
            return jax.tree.map(lambda *a: sum(a), lam, *ct_x), tuple(ct_us), ct_p

        rows = (None, *into, *out_of, *[None] * len(ct_states)), into
        sizes = tuple(max((len(a) for a in jax.tree.leaves(group)), default=0) for group in data)
        backwards = _Shape(shape.bound, not shape.reverse, sizes, False)
        inputs = states, *data, *ct_ys, *ct_states
        lam, ct_data, ct_p, _ = _counted(transposed, None, backwards, ct_end, inputs, (p, ct_total), rows, count)
        return lam, [ct_p, *ct_data]

    moving = instantiated(tangents[0], x0), live.tangents
    if inverse is None:
        derivative = linear_map(tangent, adjoint, (states, data, p, rows, count), moving)
    else:
        programs = _uncomputed(step, inverse, shape, live, m)
        derivative = linear_map(*programs, ((x0, end), data, p, rows, count), moving)
    return (end, ys, total, states if shape.states else ()), derivative


def _uncomputed(step: Step, inverse: Inverse, shape: _Shape, live: "_Live", m: int):
    """(tangent, adjoint) that carry the state, by the step and by its inverse. `shape.states` is for neither."""

    def at(f, p, us):
        def of_live(x, values):
            p_whole, *us_whole = live.whole((p, *us), values)
            return f(x, tuple(us_whole), p_whole)

        return of_live

    def tangent(residuals, moving):
        (x0, _), data, p, (into, out_of), count = residuals
        dx0, (dp, *ddata) = moving

        def pushed(f, pair, us, both):
            us, dus, (p, dp) = us[:m], us[m:], both
            (x, dx), values = pair, live.of((p, *us))
            return jax.jvp(at(f, p, us), (x, values), (dx, [dp, *dus]))

        def both(pair, us, p):
            (x, _, _), (dx, dys, ds) = pushed(step, pair, us, p)
            return (x, dx), dys, ds

        def back(pair, us, p):
            return pushed(inverse, pair, us, p)

        inputs, rows = (*data, *ddata), ((*into, *into), out_of)
        (_, dx), dys, ds, _ = _counted(both, back, shape, (x0, dx0), inputs, (p, dp), rows, count)
        return dx, dys, ds, ()

    def adjoint(residuals, cotangents):
        (x0, end), data, p, (into, out_of), count = residuals
        ct_end, ct_ys, ct_total, _ = cotangents

        def split(us, both):
            return us[:m], us[m:], both

        def transposed(pair, us, both):
            (x1, lam), (us, ct_ys, (p, ct_s)) = pair, split(us, both)
            x = inverse(x1, us, p)
            _, pull = jax.vjp(at(step, p, us), x, live.of((p, *us)))
            lam, (ct_p, *ct_us) = pull((lam, ct_ys, ct_s))
            return (x, lam), tuple(ct_us), ct_p

        def back(pair, us, both):
            (x, lam), (us, ct_ys, (p, ct_s)) = pair, split(us, both)
            values = live.of((p, *us))
            (x1, *_), pull = jax.vjp(lambda x: at(step, p, us)(x, values), x)
            (direct,) = pull((jax.tree.map(jnp.zeros_like, x1), ct_ys, ct_s))
            _, pull_inverse = jax.vjp(lambda x1: at(inverse, p, us)(x1, values), x1)
            (lam,) = pull_inverse(jax.tree.map(jnp.subtract, lam, direct))
            return x1, lam

        rows = (*into, *out_of), into
        sizes = tuple(max((len(a) for a in jax.tree.leaves(group)), default=0) for group in data)
        backwards = _Shape(shape.bound, not shape.reverse, sizes, False)
        inputs = *data, *ct_ys
        (x, lam), ct_data, ct_p, _ = _counted(
            transposed, back, backwards, (end, ct_end), inputs, (p, ct_total), rows, count
        )
        eps = max(float(jnp.finfo(a.dtype).eps) for a in jax.tree.leaves(x0))
        lost = ~(distance(x, x0) <= eps**0.5)
        return error_if((lam, [ct_p, *ct_data]), lost, RESULTS[RESULTS.irreversible])

    return tangent, adjoint


class _Live:
    """The leaves of several pytrees that are differentiated, as a list of lists."""

    def __init__(self, trees: tuple, tangents: tuple):
        flat = [jax.tree.structure(tree).flatten_up_to(t) for tree, t in zip(trees, tangents, strict=True)]
        self.masks = [list(map(is_live, ts)) for ts in flat]
        self.tangents = [[t for t, m in zip(ts, mask) if m] for ts, mask in zip(flat, self.masks)]

    def of(self, trees: tuple) -> list[list]:
        return [[a for a, m in zip(jax.tree.leaves(tree), mask) if m] for tree, mask in zip(trees, self.masks)]

    def whole(self, trees: tuple, values: list[list]) -> list:
        """The trees with other values of these leaves."""
        out = []
        for tree, mask, live in zip(trees, self.masks, values, strict=True):
            leaves, treedef = jax.tree.flatten(tree)
            live = iter(live)
            out.append(jax.tree.unflatten(treedef, [next(live) if m else a for a, m in zip(leaves, mask)]))
        return out


def _read(group, rows, start, m):
    """The inputs of m steps."""
    if rows is None:
        return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, m), group)
    rows = jax.lax.dynamic_slice_in_dim(rows, start, m)
    return jax.tree.map(lambda a: a.at[rows].get(mode="fill", fill_value=0), group)


def _added(storage, rows, outs, start, m):
    if rows is None:  # no other step adds to this row
        return jax.tree.map(lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, start, 0), storage, outs)
    rows = jax.lax.dynamic_slice_in_dim(rows, start, m)
    return jax.tree.map(lambda a, b: a.at[rows].add(b, mode="drop"), storage, outs)


def _zeros(tree, leading=()):
    return jax.tree.map(lambda a: jnp.zeros((*leading, *a.shape), a.dtype), tree)
