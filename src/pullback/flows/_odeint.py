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

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    Backsolve,
    Checkpoint,
    InputError,
    Solution,
    all_finite,
    by_throw,
    distance,
    instantiated,
    jvp_of_live,
)
from pullback.flows._backsolve import backsolved, way_back
from pullback.flows._events import Event, solve_with_events
from pullback.flows._inputs import Method, checked_times, prepare
from pullback.flows._search import how_it_went, search
from pullback.flows._steppers import Coupled, principal
from pullback.flows._steps import Problem, even_counts, even_grid, moved, moved_start, on_grid, round_trip

_APART = 1e3  # times the tolerance: more than this between the two copies of a reversible method is no longer error
_APART_OF_FIXED = 0.1  # of the largest entry, for steps of one length


@by_throw
def odeint(
    f: Callable[[Any, PyTree, PyTree], PyTree],
    y0: PyTree,
    ts: Float[Array, " times"],
    params: PyTree = None,
    *,
    rtol: float | None = None,
    atol: float = 1e-10,
    step_size: float | None = None,
    stepper: Any = diffrax.Tsit5(),  # noqa: B008
    adjoint: Adjoint | None = None,
    max_steps: int = 2**14,
    events: Event | Sequence[Event] | None = None,
    max_events: int = 16,
    throw: bool = True,
) -> PyTree | Solution[PyTree]:
    """y at the times `ts` of dy/dt = f(t, y, params), y(ts[0]) = y0; with `events`, a `Path`.

    Differentiable in every mode and order with respect to y0, params, ts and what `f` closes over.

    Args:
        f: (t, y, params) -> dy/dt, of the form of y.
        y0: state at ts[0], a pytree of real or complex arrays.
        ts: times, increasing or decreasing. The steps of an adaptive method end at each of them.
        params: any pytree.
        rtol: relative tolerance of the local error. None: 1e-8, in single precision 1.2e-6.
        atol: absolute tolerance of the local error.
        step_size: steps of this length (a little less, so that they end at ts) instead of adaptive ones.
        stepper: a Runge–Kutta method of diffrax: `Tsit5`, `Dopri5`, `Dopri8`, `Kvaerno5` (stiff problems), …; `RK4`.
        adjoint: what reverse mode stores. `Checkpoint()`: the state at each step. `Checkpoint(m)`: at every m-th step,
            and m of them again. `TwoLevel()`: the same with m ≈ √max_steps. None: `Checkpoint()` up to 4 MB, else
            `TwoLevel()`. `Direct()`: all that is computed within max_steps steps. `Reversible()`: nothing, the steps
            are those of a reversible method and are undone. `Backsolve()`: nothing, the equation is solved backwards.
            The last two compare the state that they find at the start with the true one, and raise an error if half
            of the digits are lost.
        max_steps: bound on accepted steps, and on rejected ones.
        events: an `Event` or several: where functions of the state cross zero, the solution ends or jumps. Reverse mode
            then stores the states between two events, `adjoint` must be None or `Checkpoint()`.
        max_events: bound on the number of events.
        throw: raise if ts[-1] was not reached; if False, return a `Solution`.

    Returns:
        The states, each leaf with an axis of length len(ts) in front. Or, if not `throw`, a `Solution` of these, with
        `residual` the largest local error relative to the tolerance (0 for fixed steps), `steps` the number of accepted
        steps and `stats["rejected"]` that of the others. With `Reversible` and `Backsolve` it makes the way back once,
        and `stats["round_trip"]` is how far that misses the states, relative to the largest entry.

    Raises:
        ConvergenceError: more than max_steps steps; steps shorter than rounding; a state that is not finite; a terminal
            event that does not happen, more than max_events events, or one that is grazed
            (`EquinoxRuntimeError` in compiled programs, and where reverse mode has lost its digits).
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
    method = Method("odeint", rtol, atol, step_size, stepper, adjoint, max_steps)
    problem, y0, ts, p = prepare(f, y0, ts, params, method)
    if events is not None:
        return _with_events(problem, events, max_events, adjoint, y0, ts, p, throw)
    problem = problem._replace(certified=not throw and isinstance(problem.stepper, Coupled))
    backsolve = isinstance(adjoint, Backsolve)
    ys, outcome = _fixed(problem, y0, ts, p) if step_size else _adaptive(problem, backsolve, y0, ts, p)
    arrived, failed, steps, rejected, largest, apart, missed = outcome
    result = how_it_went(arrived, failed)
    result = RESULTS.where(apart <= _APART, result, RESULTS.parted)
    stats: dict[str, Any] = {"rejected": rejected.astype(int)}
    if problem.certified:
        stats["round_trip"] = missed
        result = RESULTS.where(missed <= jnp.finfo(ts.dtype).eps ** 0.5, result, RESULTS.irreversible)
    elif backsolve and not throw:
        stats["round_trip"], lost = way_back(problem, ys, ts, p)
        result = RESULTS.where(lost, RESULTS.irreversible, result)
    result = RESULTS.where(all_finite((ys, ts)), result, RESULTS.nonfinite)
    solution = Solution(checked_times("odeint", ys, ts), result, largest, steps.astype(int), stats)
    return solution.unwrap("odeint") if throw else solution


def _with_events(problem: Problem, events, max_events: int, adjoint, y0, ts, p, throw: bool):
    if not (adjoint is None or (isinstance(adjoint, Checkpoint) and adjoint.every == 1)):
        raise InputError(f"odeint: with events adjoint must be None or Checkpoint(), got {adjoint!r}.")
    path, outcome, of_events = solve_with_events(problem, events, max_events, y0, ts, p)
    arrived, failed, steps, rejected, largest, _ = outcome
    result = RESULTS.where(of_events == RESULTS.no_event, RESULTS.successful, of_events)
    result = RESULTS.where(result == RESULTS.successful, how_it_went(arrived, failed), result)
    result = RESULTS.where(result == RESULTS.successful, of_events, result)
    result = RESULTS.where(all_finite((path.end, path.end_time)), result, RESULTS.nonfinite)
    solution = Solution(checked_times("odeint", path, ts), result, largest, steps.astype(int), {"rejected": rejected})
    return solution.unwrap("odeint") if throw else solution


def _fixed(problem: Problem, y0, ts, p):
    assert problem.step_size is not None
    counts = even_counts(ts, problem.step_size)
    grid = even_grid(ts, counts, problem.max_steps)
    none = apart = jnp.zeros((), ts.dtype)
    y0 = (y0, y0) if isinstance(problem.stepper, Coupled) else y0
    ys = on_grid(problem, y0, p, grid)
    if isinstance(problem.stepper, Coupled):
        ys, zs = ys
        apart = distance(zs, ys).astype(ts.dtype) * (_APART / _APART_OF_FIXED)
    missed = round_trip(problem, *jax.lax.stop_gradient((y0, p, grid))) if problem.certified else none
    arrived = jnp.sum(counts) <= problem.max_steps
    return ys, (*(a.astype(ts.dtype) for a in (arrived, none, grid.number)), none, none, apart, missed)


def _adaptive(problem: Problem, backsolve: bool, y0, ts, p):
    y0 = moved_start(problem, y0, ts, p)
    fixed = jax.lax.stop_gradient(ts)
    if backsolve:
        ys, outcome = backsolved(problem, y0, fixed, p)
        outcome = *outcome, jnp.zeros((), ts.dtype)
    else:
        y0 = (y0, y0) if isinstance(problem.stepper, Coupled) else y0
        ys, outcome = _recorded(problem, y0, fixed, p)
        ys = principal(problem.stepper, ys)
    return moved(problem, False, ys, ts, p), outcome


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _recorded(problem: Problem, y0, ts, p):
    """(states at ts, how it went), without a store of what only derivatives need."""
    ys, grid, _, outcome = search(problem, y0, ts, p, store=False)
    return ys, (*outcome, _missed(problem, y0, p, grid))


@partial(_recorded.defjvp, symbolic_zeros=True)
def _recorded_jvp(problem, primals, tangents):
    y0, _, p = primals
    ys, grid, known, outcome = search(problem, *jax.lax.stop_gradient(primals), store=problem.block is not None)
    outcome = *outcome, _missed(problem, y0, p, grid)

    def of(y0, p):
        return on_grid(problem, y0, p, grid, known)

    ys, dys = jvp_of_live(of, (y0, p), (instantiated(tangents[0], y0), tangents[2]))
    return (ys, outcome), (dys, jax.tree.map(jnp.zeros_like, outcome))


def _missed(problem: Problem, y0, p, grid):
    if not problem.certified:
        return jnp.zeros((), grid.t.dtype)
    return round_trip(problem, *jax.lax.stop_gradient((y0, p, grid)))
