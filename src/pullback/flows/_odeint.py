r"""`odeint`: solutions of dy/dt = f(t, y, params) at given times, with the derivatives of the steps that were taken.

The steps are chosen first, without derivatives: an adaptive method ends a step at each of the given times, and records
the accepted ones, t_0 < t_1 < … < t_N. The derivative is that of the map y_{n+1} = Φ(t_n, t_{n+1} − t_n, y_n) on these
times (`loops.counted_scan`): exact for the numbers that are returned, in every mode and order, whatever the error of
the method. How the sizes were chosen plays no part (their derivative is a multiple of the local error).

In the times themselves the derivative is that of the flow, ∂y(t_j)/∂t_j = f(t_j, y_j) and ∂y_j/∂t_0 = −(∂y_j/∂y_0) f_0;
with steps of one length it is that of the steps.

Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I (Springer 1993), II.4; the
derivative of the numerical solution: A. Walther, Comput. Optim. Appl. 36, 83 (2007).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from equinox.internal import unvmap_any
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    Checkpoint,
    InputError,
    Solution,
    TwoLevel,
    by_throw,
    error_if,
    hoist,
    instantiated,
    is_live,
    jvp_of_live,
    refuse_half,
    result_type,
    vary_like,
)
from pullback.flows._steppers import check, explicit_step, ready, step_of
from pullback.loops import counted_scan

_STORED = 4 * 2**20  # bytes of states that the default adjoint stores before it takes two levels
_NOT_MONOTONIC = "odeint: ts must increase, or decrease, from each time to the next, and be finite."
_LEAST = 8  # times eps |t|: the shortest step


class _Problem(NamedTuple):
    """What is static: f hoisted, (consts, t, y, params) -> dy/dt; the method; bounds."""

    field: Callable[[list, Any, PyTree, PyTree], PyTree]
    stepper: Any
    controller: diffrax.PIDController | None
    max_steps: int
    times: int
    block: int

    def at(self, p: tuple) -> Callable[[Any, PyTree], PyTree]:
        consts, params = p
        return lambda t, y: self.field(consts, t, y, params)


class _Grid(NamedTuple):
    """The steps: their starts and lengths, the row of the result to which the end of each belongs, their number."""

    t: Float[Array, " bound"]
    h: Float[Array, " bound"]
    row: Int[Array, " bound"]
    number: Int[Array, ""]


@by_throw
def odeint(
    f: Callable[[Any, PyTree, PyTree], PyTree],
    y0: PyTree,
    ts: Float[Array, " times"],
    params: PyTree = None,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    step_size: float | None = None,
    stepper: Any = diffrax.Tsit5(),  # noqa: B008
    adjoint: Adjoint | None = None,
    max_steps: int = 2**14,
    throw: bool = True,
) -> PyTree | Solution[PyTree]:
    """y at the times `ts` of dy/dt = f(t, y, params), y(ts[0]) = y0.

    Differentiable in every mode and order with respect to y0, params, ts and what `f` closes over.

    Args:
        f: (t, y, params) -> dy/dt, of the form of y.
        y0: state at ts[0], a pytree of real or complex arrays.
        ts: times, increasing or decreasing. The steps of an adaptive method end at each of them.
        params: any pytree.
        rtol: relative tolerance of the local error.
        atol: absolute tolerance of the local error.
        step_size: steps of this length (a little less, so that they end at ts) instead of adaptive ones.
        stepper: a Runge–Kutta method of diffrax: `Tsit5`, `Dopri5`, `Dopri8`, `Kvaerno5` (stiff problems), …; `RK4`.
        adjoint: what reverse mode stores. `Checkpoint()`: the state at each step. `Checkpoint(m)`: at every m-th step,
            and m of them again. `TwoLevel()`: the same with m ≈ √max_steps. None: `Checkpoint()` up to 4 MB, else
            `TwoLevel()`.
        max_steps: bound on accepted steps, and on rejected ones.
        throw: raise if ts[-1] was not reached; if False, return a `Solution`.

    Returns:
        The states, each leaf with an axis of length len(ts) in front. Or, if not `throw`, a `Solution` of these, with
        `residual` the largest local error relative to the tolerance (0 for fixed steps), `steps` the number of accepted
        steps and `stats["rejected"]` that of the others.

    Raises:
        ConvergenceError: more than max_steps steps; steps shorter than rounding; a state that is not finite
            (`EquinoxRuntimeError` in compiled programs).
        InputError: ts are not monotonic or not finite; f changes structure, shape or dtype; y0 is not finite;
            tolerances are not positive; an adjoint or stepper that is none.

    Examples:
        A pendulum, and how its angle after one period of small oscillations depends on the start.

        >>> def pendulum(t, y, g):
        ...     return jnp.stack([y[1], -g * jnp.sin(y[0])])
        >>> angle = lambda a: odeint(pendulum, jnp.stack([a, 0.0]), jnp.array([0.0, 2 * jnp.pi]), 1.0)[-1, 0]
        >>> f"{jax.grad(angle)(1e-4):.6f}"
        '1.000000'
    """
    y0, ts = _start(f, y0, ts, params)
    _positive(rtol=rtol, atol=atol, **({} if step_size is None else {"step_size": step_size}))
    if max_steps < 1:
        raise InputError(f"odeint: max_steps is {max_steps}; at least one step is needed.")
    check(stepper, adaptive=step_size is None)
    eps = float(jnp.finfo(ts.dtype).eps)
    rtol = max(rtol, 10 * eps)
    controller = None
    if step_size is None:
        order = stepper.order(diffrax.ODETerm(lambda t, y, args: y))
        controller = diffrax.PIDController(rtol, atol, error_order=order)
    closed, consts, _ = hoist(lambda t, y, p: f(t, y, p), ts[0], y0, params)
    size = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(y0))
    block = _block(adjoint, max_steps, size)
    bound = math.ceil(max_steps / block) * block
    problem = _Problem(closed, ready(stepper, rtol, atol), controller, bound, len(ts), block)
    p = consts, params
    y0, ts, p = vary_like((y0, ts, p))
    if controller is None:
        counts = _even_counts(ts, step_size)
        grid = _even_grid(ts, counts, bound)
        ys = _on_grid(problem, y0, p, grid, None)
        result = RESULTS.where(jnp.sum(counts) <= bound, RESULTS.successful, RESULTS.max_steps_reached)
        steps, largest, rejected = grid.number, jnp.zeros((), ts.dtype), jnp.zeros((), int)
    else:
        y_start = jax.tree.map(lambda a: a[0], _moved(problem, True, jax.tree.map(lambda a: a[None], y0), ts[:1], p))
        ys, (arrived, failed, steps, rejected, largest) = _adaptive(problem, y_start, jax.lax.stop_gradient(ts), p)
        result = RESULTS.where(arrived > 0, RESULTS.successful, RESULTS.max_steps_reached)
        result = RESULTS.where(failed > 0, RESULTS.stalled, result)
        steps, rejected = steps.astype(int), rejected.astype(int)
        ys = _moved(problem, False, ys, ts, p)
    finite = jnp.all(jnp.array([jnp.isfinite(a).all() for a in jax.tree.leaves((ys, ts))]))
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    if isinstance(ts, Tracer):
        steps_in_time = jnp.diff(ts)
        both = jnp.any(steps_in_time > 0) & jnp.any(steps_in_time < 0)
        ys = error_if(ys, both | jnp.any(steps_in_time == 0), _NOT_MONOTONIC)
    solution = Solution(ys, result, largest, steps, {"rejected": rejected})
    return solution.unwrap("odeint") if throw else solution


def _block(adjoint: Adjoint | None, max_steps: int, size: int) -> int:
    """Steps between stored states."""
    match adjoint:
        case None:
            return 1 if size * max_steps <= _STORED else math.isqrt(max_steps)
        case Checkpoint(every=every):
            return min(every, max_steps)
        case TwoLevel():
            return math.isqrt(max_steps)
    raise InputError(f"odeint: adjoint must be Checkpoint(m), TwoLevel() or None, got {adjoint!r}.")


def _on_grid(problem: _Problem, y0, p, grid: _Grid, known):
    """The states at `ts` by the steps of the grid: what is differentiated."""
    bound, block, times = problem.max_steps, problem.block, problem.times
    rows = (times, grid.row)

    def step(y, us, p):
        ((t, h),) = us
        y = step_of(problem.stepper, problem.at(p), t, h, y).y
        return y, (y,), ()

    if block == 1:
        inputs = (((grid.t, grid.h), None),)
        _, (ys,), _ = counted_scan(step, y0, p, grid.number, bound=bound, inputs=inputs, outputs=(rows,), known=known)
    else:

        def many(y, us, p):
            ((t, h, row, count),) = us
            inputs = (((t, h), None),)
            end, (ys,), _ = counted_scan(step, y, p, count, bound=block, inputs=inputs, outputs=((times, row),))
            return end, (), ys

        blocks = bound // block
        counts = jnp.clip(grid.number - block * jnp.arange(blocks), 0, block)
        whole = [a.reshape(blocks, block) for a in (grid.t, grid.h, grid.row)]
        inputs = (((*whole, counts), None),)
        count = -(-grid.number // block)
        _, _, ys = counted_scan(many, y0, p, count, bound=blocks, inputs=inputs, known=known)
    return jax.tree.map(lambda a, b: a.at[0].set(b), ys, y0)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _adaptive(problem: _Problem, y0, ts, p):
    """(states at ts, how it went), without a store of what only derivatives need.

    How it went in floating point: what is not inexact has no derivatives inside `shard_map`.
    """
    ys, _, _, outcome = _search(problem, y0, ts, p, store=False)
    return ys, outcome


@_adaptive.defjvp
def _adaptive_jvp(problem, primals, tangents):
    y0, _, p = primals
    ys, grid, known, outcome = _search(problem, *jax.lax.stop_gradient(primals), store=True)

    def of(y0, p):
        return _on_grid(problem, y0, p, grid, known)

    dy0, _, dp = tangents
    ys, dys = jax.jvp(of, (y0, p), (dy0, dp))
    return (ys, outcome), (dys, jax.tree.map(jnp.zeros_like, outcome))


class _Walk(NamedTuple):
    """Where a search is: state, f there, time, length of the next step, row that comes next, steps, trials."""

    y: PyTree
    first: PyTree
    t: Array
    h: Array
    row: Array
    steps: Array
    trials: Array
    controller: Any
    largest: Array
    failed: Array


class _Trail(NamedTuple):
    """Accepted steps: starts, lengths, rows; the states before and after."""

    t: Array
    h: Array
    row: Array
    before: PyTree
    after: PyTree


def _search(problem: _Problem, y0, ts, p, *, store: bool):
    """Steps by the estimated errors of the method: (states at ts, grid, known for `counted_scan`, outcome).

    A few trials at a time, whose results are small arrays: XLA compiles a loop on little data as one function. A member
    of a batch that has arrived stands still while others go on.
    """
    bound, block, times = problem.max_steps, problem.block, problem.times
    field, controller, stepper = problem.at(p), problem.controller, problem.stepper
    assert controller is not None
    order: Any = controller.error_order
    eps = jnp.finfo(ts.dtype).eps
    sign = jnp.where(ts[-1] < ts[0], -1, 1).astype(ts.dtype)
    size = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(y0))
    m = max(1, min(16, 1024 // (2 * size + 24)))

    def unfinished(walk: _Walk):
        return (walk.row < times) & (walk.steps < bound) & (walk.trials < 2 * bound) & ~walk.failed

    def trial(_, carry):
        walk, trail, n = carry
        active = unfinished(walk)
        target = ts[jnp.minimum(walk.row, times - 1)]
        left = jnp.abs(target - walk.t)
        ends = walk.h >= left * (1 - 4 * eps)
        length = jnp.where(active, sign * jnp.minimum(walk.h, left), 0)
        step = step_of(stepper, field, walk.t, length, walk.y, walk.first)
        to = jnp.where(active, walk.t + length, walk.t + sign)  # the controller divides by the length of a step
        keep, _, proposed, _, state, _ = controller.adapt_step_size(
            walk.t, to, walk.y, step.y, None, step.error, order, walk.controller
        )
        error = controller.norm(_scaled(controller, walk.y, step.y, step.error))
        keep &= active & jnp.isfinite(error)
        arrived = keep & ends
        h = jnp.abs(proposed - jnp.where(keep, to, walk.t))
        h = jnp.where(arrived, jnp.maximum(h, walk.h), h)  # a step that was cut says nothing of the next one
        h = jnp.where(jnp.isfinite(h), h, walk.h / 10)
        at = jnp.where(keep, n, m)
        done = walk.t, length, jnp.where(arrived, walk.row, times), walk.y, step.y
        trail = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), trail, _Trail(*done))
        walk = _Walk(
            _where(keep, step.y, walk.y),
            _where(keep, step.last, walk.first),
            jnp.where(arrived, target, jnp.where(keep, walk.t + length, walk.t)),
            jnp.where(active, h, walk.h),
            walk.row + arrived.astype(int),
            walk.steps + keep.astype(int),
            walk.trials + active.astype(int),
            _where(active, state, walk.controller),
            jnp.where(keep, jnp.maximum(walk.largest, error), walk.largest),
            walk.failed | (active & ~keep & (walk.h <= _LEAST * eps * jnp.maximum(jnp.abs(walk.t), left))),
        )
        return walk, trail, n + keep.astype(int)

    def several(carry):
        walk, ys, grid, states = carry
        n, nothing = walk.steps, jax.tree.map(lambda a: jnp.zeros((m, *a.shape), a.dtype), walk.y)
        trail = _Trail(jnp.full(m, ts[-1]), jnp.zeros(m, ts.dtype), jnp.full(m, times), nothing, nothing)
        begin = vary_like((walk, trail, jnp.asarray(0)), walk, ts, p)
        walk, trail, _ = jax.lax.fori_loop(0, m, trial, begin)
        ys = jax.tree.map(lambda a, b: a.at[trail.row].set(b, mode="drop"), ys, trail.after)
        grid = [jax.lax.dynamic_update_slice_in_dim(a, b, n, 0) for a, b in zip(grid, trail[:3])]
        if store:
            steps = n + jnp.arange(m)
            at = jnp.where((steps < walk.steps) & (steps % block == 0), steps // block, bound)
            states = jax.tree.map(lambda a, b: a.at[at].set(b, mode="drop"), states, trail.before)
        return walk, ys, grid, states

    h, kept = _first_step(controller, field, sign, y0, ts, order)
    none = jnp.asarray(0)
    fsal = stepper.tableau.fsal and not stepper.tableau.implicit
    first = field(ts[0], y0) if fsal else None
    walk = _Walk(y0, first, ts[0], h, none + 1, none, none, kept, jnp.zeros((), ts.dtype), jnp.asarray(False))
    ys = jax.tree.map(lambda a: jnp.zeros((times, *a.shape), a.dtype).at[0].set(a), y0)
    grid = [jnp.full(bound + m, ts[-1]), jnp.zeros(bound + m, ts.dtype), jnp.full(bound + m, times)]
    states = jax.tree.map(lambda a: jnp.broadcast_to(a, (bound // block, *a.shape)), y0) if store else ()
    begin = jax.tree.map(jnp.asarray, (walk, ys, grid, states))
    walk, ys, grid, states = jax.lax.while_loop(
        lambda carry: unvmap_any(unfinished(carry[0])), several, vary_like(begin, y0, ts, p)
    )
    known = (walk.y, (ys,), (), states) if block == 1 else (walk.y, (), ys, states)
    counts = walk.row >= times, walk.failed, walk.steps, walk.trials - walk.steps
    outcome = *(a.astype(ts.dtype) for a in counts), walk.largest
    t, h, row = (a[:bound] for a in grid)
    return ys, _Grid(t, h, row, walk.steps), known, outcome


def _first_step(controller, field, sign, y0, ts, order):
    """(length of the first trial, state of the controller).

    Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, II.4. (That of diffrax has
    branches, which the types of `shard_map` do not accept.)
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


def _even_counts(ts, step_size) -> Int[Array, " intervals"]:
    lengths = jnp.abs(jax.lax.stop_gradient(jnp.diff(ts)))
    return jnp.maximum(jnp.ceil(lengths / step_size * (1 - 1e-12)), 1).astype(int)


def _even_grid(ts, counts, bound) -> _Grid:
    """Equal steps inside each interval, differentiable functions of its ends."""
    ends = jnp.cumsum(counts)
    n = jnp.arange(bound)
    i = jnp.minimum(jnp.searchsorted(ends, n, side="right"), len(counts) - 1)
    inside = n - (ends[i] - counts[i])
    there = n < ends[-1]
    h = jnp.where(there, (jnp.diff(ts) / counts.astype(ts.dtype))[i], 0)
    t = jnp.where(there, ts[i] + inside.astype(ts.dtype) * h, ts[-1])
    row = jnp.where(there & (inside == counts[i] - 1), i + 1, len(ts))
    return _Grid(t, h, row, jnp.minimum(ends[-1], bound))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _moved(problem: _Problem, start: bool, ys, ts, p):
    """ys as functions of their times, with the derivatives of the flow: by f, and higher ones by what follows from f.

    At the start the other way round: the state at the fixed time of the solution that starts at another one.
    """
    return ys


@partial(_moved.defjvp, symbolic_zeros=True)
def _moved_jvp(problem, start, primals, tangents):
    ys = primals[0]
    if not is_live(tangents[1]):
        return ys, instantiated(tangents[0], ys)

    def of(ys, ts, p):
        """A step of no length, whose derivatives by its length are those of the flow up to the order of the method."""
        fixed = jax.lax.stop_gradient(ts)
        t, h = (ts, fixed - ts) if start else (fixed, ts - fixed)
        return jax.vmap(lambda t, h, y: explicit_step(diffrax.Tsit5.tableau, problem.at(p), t, h, y).y)(t, h, ys)

    return jvp_of_live(of, primals, tangents)


def _where(condition, a, b):
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def _start(f, y0, ts, params):
    """The start and the times as arrays of one precision, once they and `f` make sense."""
    y0 = jax.tree.map(lambda a: jnp.asarray(a, result_type(a)) if not _inexact(a) else jnp.asarray(a), y0)
    leaves = jax.tree.leaves(y0)
    if not leaves or sum(a.size for a in leaves) == 0:
        raise InputError("odeint: y0 holds no numbers.")
    for a in leaves:
        refuse_half("odeint", a.dtype, "y0")
        if not isinstance(a, Tracer) and not np.isfinite(np.asarray(a)).all():
            raise InputError("odeint: y0 contains NaN or infinite entries.")
    real = jnp.result_type(*(a.real.dtype for a in leaves))
    ts = jnp.asarray(ts).astype(real)
    if ts.ndim != 1 or len(ts) < 2:
        raise InputError(f"odeint: ts must be two times or more in one axis, got the shape {ts.shape}.")
    if not isinstance(ts, Tracer):
        steps = np.diff(np.asarray(ts))
        if not (np.all(steps > 0) or np.all(steps < 0)):
            raise InputError(_NOT_MONOTONIC)
    out = jax.eval_shape(f, ts[0], y0, params)
    if jax.tree.structure(out) != jax.tree.structure(y0):
        raise InputError(
            f"odeint: f must return the structure of y0, {jax.tree.structure(y0)}, not {jax.tree.structure(out)}."
        )
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(y0), jax.tree.leaves(out)):
        if a.shape != b.shape or jnp.result_type(a, b.dtype) != a.dtype:
            hint = " Pass a complex y0." if jnp.issubdtype(b.dtype, jnp.complexfloating) else ""
            raise InputError(
                f"odeint: f(t, y, params){jax.tree_util.keystr(path)} must be {a.dtype}{list(a.shape)} as y is; it is "
                f"{b.dtype}{list(b.shape)}.{hint}"
            )
    return y0, ts


def _inexact(a) -> bool:
    return jnp.issubdtype(jnp.result_type(a), jnp.inexact)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"odeint: {name} must be positive, got {value}.")
