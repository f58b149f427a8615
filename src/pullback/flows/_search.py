"""The search for steps: an adaptive method whose accepted steps are recorded. Nothing here is differentiated.

Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I (Springer 1993), II.4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from equinox.internal import unvmap_any
from jaxtyping import Array, PyTree

from pullback.core import RESULTS, vary_like
from pullback.flows._steppers import Coupled, is_fsal, principal, step_of
from pullback.flows._steps import Grid, Problem

_LEAST = 8  # times eps |t|: the shortest step


class Walk(NamedTuple):
    """Where a search is: state, f there, time, length of the next step, row that comes next, steps, trials.

    `marks` are what an observer of the steps keeps, `caught` says that it wants to look at the next step.
    """

    y: PyTree
    first: PyTree
    t: Array
    h: Array
    row: Array
    steps: Array
    trials: Array
    controller: Any
    largest: Array
    apart: Array
    failed: Array
    marks: PyTree = ()
    caught: Any = False


class Record(NamedTuple):
    """What a search has found: states at the times; starts, lengths and rows of the steps; states between blocks."""

    ys: PyTree
    grid: tuple[Array, ...]
    states: PyTree


class _Trail(NamedTuple):
    """A few accepted steps: starts, lengths, rows; the states before and after."""

    t: Array
    h: Array
    row: Array
    before: PyTree
    after: PyTree


# (walk, length, state at the end of the step, f there) -> (whether to stop before this step, marks after it)
Watch = Callable[[Walk, Array, PyTree, PyTree], tuple[Array, PyTree]]


def search(problem: Problem, y0: PyTree, ts: Array, p: tuple, *, store: bool):
    """Steps by the estimated errors of the method: (states at ts, grid, known for `counted_scan`, outcome)."""
    begin, go_on = explorer(problem, ts, p, store=store)
    walk, record = go_on(begin(y0))
    known = (walk.y, (record.ys,), (), record.states)
    if not problem.in_one_loop:
        known = (walk.y, (), record.ys, record.states)
    return record.ys, grid_of(problem, walk, record), known, outcome_of(problem, walk)


def grid_of(problem: Problem, walk: Walk, record: Record) -> Grid:
    t, h, row = (a[: problem.max_steps] for a in record.grid)
    return Grid(t, h, row, walk.steps)


def outcome_of(problem: Problem, walk: Walk) -> tuple:
    """(arrived, failed, steps, rejected, largest error, largest difference of a pair), in floating point.

    The last two are relative to the tolerances. What is not inexact has no derivatives inside `shard_map`.
    """
    counts = walk.row >= problem.times, walk.failed, walk.steps, walk.trials - walk.steps
    return *(a.astype(walk.t.dtype) for a in counts), walk.largest, walk.apart


def next_length(problem: Problem, walk: Walk, ts: Array) -> tuple[Array, Array]:
    """(length of the next step without its sign, whether it ends at the next of the times)."""
    eps = jnp.finfo(ts.dtype).eps
    left = jnp.abs(ts[jnp.minimum(walk.row, problem.times - 1)] - walk.t)
    if problem.step_size is not None:
        left_steps = jnp.ceil(left / problem.step_size * (1 - 1e-12))
        return left / jnp.maximum(left_steps, 1), left_steps <= 1
    return jnp.minimum(walk.h, left), walk.h >= left * (1 - 4 * eps)


def direction(ts: Array) -> Array:
    return jnp.where(ts[-1] < ts[0], -1, 1).astype(ts.dtype)


def explorer(problem: Problem, ts: Array, p: tuple, *, store: bool, watch: Watch | None = None):
    """(begin, go_on): begin(y0) -> (walk, record), and go_on of these, until it has arrived, failed or been caught.

    A few trials at a time, whose results are small arrays: XLA compiles a loop on little data as one function. A member
    of a batch that has arrived stands still while others go on.
    """
    bound, times = problem.max_steps, problem.times
    block = problem.block or 1
    field, controller, stepper = problem.at(p), problem.controller, problem.stepper
    order: Any = None if controller is None else controller.error_order
    eps = jnp.finfo(ts.dtype).eps
    sign = direction(ts)

    def unfinished(walk: Walk):
        return (walk.row < times) & (walk.steps < bound) & (walk.trials < 2 * bound) & ~walk.failed & ~walk.caught

    def apart(state):
        if controller is None or not isinstance(stepper, Coupled):
            return jnp.zeros((), ts.dtype)
        y, z = state
        return controller.norm(_scaled(controller, y, z, jax.tree.map(jnp.subtract, y, z)))

    def trial(_, carry):
        walk, trail, n = carry
        active = unfinished(walk)
        target = ts[jnp.minimum(walk.row, times - 1)]
        length, ends = next_length(problem, walk, ts)
        length = jnp.where(active, sign * length, 0)
        step = step_of(stepper, field, walk.t, length, walk.y, walk.first)
        to = jnp.where(active, walk.t + length, walk.t + sign)  # the controller divides by the length of a step
        if controller is None:
            keep, h, state, error = active, walk.h, (), jnp.zeros((), ts.dtype)
        else:
            keep, _, proposed, _, state, _ = controller.adapt_step_size(
                walk.t, to, walk.y, step.y, None, step.error, order, walk.controller
            )
            error = controller.norm(_scaled(controller, walk.y, step.y, step.error))
            keep &= active & jnp.isfinite(error)
            h = jnp.abs(proposed - jnp.where(keep, to, walk.t))
        caught, marks = jnp.asarray(False), walk.marks
        if watch is not None:
            caught, marks = watch(walk, length, step.y, step.last)
            caught &= keep
            keep &= ~caught
        arrived = keep & ends
        h = jnp.where(arrived, jnp.maximum(h, walk.h), h)  # a step that was cut says nothing of the next one
        h = jnp.where(jnp.isfinite(h), h, walk.h / 10)
        at = jnp.where(keep, n, len(trail.t))
        done = walk.t, length, jnp.where(arrived, walk.row, times), walk.y, step.y
        trail = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), trail, _Trail(*done))
        moves = active & ~caught
        shortest = _LEAST * eps * jnp.maximum(jnp.abs(walk.t), jnp.abs(target - walk.t))
        walk = Walk(
            where(keep, step.y, walk.y),
            where(keep, step.last, walk.first),
            jnp.where(arrived, target, jnp.where(keep, walk.t + length, walk.t)),
            jnp.where(moves, h, walk.h),
            walk.row + arrived.astype(int),
            walk.steps + keep.astype(int),
            walk.trials + moves.astype(int),
            where(moves, state, walk.controller),
            jnp.where(keep, jnp.maximum(walk.largest, error), walk.largest),
            jnp.where(keep, jnp.maximum(walk.apart, apart(step.y)), walk.apart),
            walk.failed | (moves & ~keep & (walk.h <= shortest)),
            where(keep, marks, walk.marks),
            walk.caught | caught,
        )
        return walk, trail, n + keep.astype(int)

    def several(carry):
        walk, (ys, grid, states) = carry
        m = len(grid[0]) - bound
        n, nothing = walk.steps, jax.tree.map(lambda a: jnp.zeros((m, *a.shape), a.dtype), walk.y)
        trail = _Trail(jnp.full(m, ts[-1]), jnp.zeros(m, ts.dtype), jnp.full(m, times), nothing, nothing)
        start = vary_like((walk, trail, jnp.asarray(0)), walk, ts, p)
        walk, trail, _ = jax.lax.fori_loop(0, m, trial, start)
        ys = jax.tree.map(lambda a, b: a.at[trail.row].set(b, mode="drop"), ys, trail.after)
        grid = tuple(jax.lax.dynamic_update_slice_in_dim(a, b, n, 0) for a, b in zip(grid, trail[:3]))
        if store:
            steps = n + jnp.arange(m)
            at = jnp.where((steps < walk.steps) & (steps % block == 0), steps // block, bound)
            states = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), states, trail.before)
        return walk, Record(ys, grid, states)

    def begin(y0):
        size = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(y0))
        m = max(1, min(16, 1024 // (2 * size + 24)))
        none, zero = jnp.asarray(0), jnp.zeros((), ts.dtype)
        h, kept = jnp.abs(ts[-1] - ts[0]), ()
        if controller is not None:
            h, kept = _first_step(controller, field, sign, principal(stepper, y0), ts, order)
        first = field(ts[0], y0) if is_fsal(stepper) else None
        walk = Walk(
            y0, first, ts[0], h, none + 1, none, none, kept, zero, zero, jnp.asarray(False), (), jnp.asarray(False)
        )
        ys = jax.tree.map(lambda a: jnp.zeros((times, *a.shape), a.dtype).at[0].set(a), y0)
        grid = jnp.full(bound + m, ts[-1]), jnp.zeros(bound + m, ts.dtype), jnp.full(bound + m, times)
        states = jax.tree.map(lambda a: jnp.broadcast_to(a, (bound // block, *a.shape)), y0) if store else ()
        return jax.tree.map(jnp.asarray, (walk, Record(ys, grid, states)))

    def go_on(carry):
        return jax.lax.while_loop(lambda c: unvmap_any(unfinished(c[0])), several, vary_like(carry, carry, ts, p))

    return begin, go_on


def _first_step(controller, field, sign, y0, ts, order):
    """(length of the first trial, state of the controller).

    (That of diffrax has branches, which the types of `shard_map` do not accept.)
    """

    def size(a):
        return controller.norm(_scaled(controller, y0, y0, a))

    def moved(h):
        return jax.tree.map(lambda y, k: y + (sign * h).astype(y.real.dtype) * k, y0, slope)

    span = jnp.abs(ts[-1] - ts[0])
    slope = field(ts[0], y0)
    d0, d1 = size(y0), size(slope)
    small = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = jnp.minimum(jnp.where(small, 1e-6, 0.01 * d0 / jnp.where(small, 1, d1)).astype(ts.dtype), span)
    change = jax.tree.map(jnp.subtract, field(ts[0] + sign * h0, moved(h0)), slope)
    largest = jnp.maximum(d1, size(change) / h0)
    h1 = jnp.where(largest <= 1e-15, jnp.maximum(1e-6, h0 * 1e-3), (0.01 / largest) ** (1 / order)).astype(ts.dtype)
    h = jnp.minimum(jnp.minimum(100 * h0, h1), span)
    h = jnp.where(jnp.isfinite(h) & (h > 0), h, span / 1000)
    _, kept = controller.init(None, ts[0], ts[0] + span, y0, h, None, None, order)
    return h, kept


def _scaled(controller, y, new, error):
    def of(a, b, e):
        return e / (controller.atol + jnp.maximum(jnp.abs(a), jnp.abs(b)) * controller.rtol)

    return jax.tree.map(of, y, new, error)


def how_it_went(arrived, failed) -> RESULTS:
    """What is said of a search: whether the last time was reached, and if not, why."""
    result = RESULTS.where(arrived > 0, RESULTS.successful, RESULTS.max_steps_reached)
    return RESULTS.where(failed > 0, RESULTS.stalled, result)


def where(condition: Array, a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
