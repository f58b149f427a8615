r"""Events: where a function g(t, y, params) crosses zero along a solution, and what it does to the state there.

Let y(t) arrive at the surface g = 0 at the time τ. By the implicit function theorem,

    dτ = −∂g/∂y · δy / ġ,      ġ = ∂g/∂t + ∂g/∂y · f,

where δy is the change of the state at the time that is held fixed; the state at the event changes by δy + f dτ, the
jump y⁺ = J(τ, y) by its own derivative, and what goes on from y⁺ starts dτ later: at the fixed time it is
y⁺ − f⁺ dτ. Together this is the saltation matrix. Here nothing of it is written down. The steps between events are
recorded and held fixed. At each event, G(s) = g(τ + s, flow_s y) has the root s = 0; two steps of Newton's method from
there leave it at zero and have its derivatives to third order; the flow over s, and back over −s after the jump, is a
step of no length. What JAX differentiates of this is exact.

Source: P. C. Müller, Chaos, Solitons & Fractals 5, 1671 (1995).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from pullback.core import RESULTS, InputError, error_if, hoist, instantiated, jvp_of_live, keeps_form, whole_number
from pullback.flows._crossings import Found, System, crossings
from pullback.flows._search import where
from pullback.flows._steppers import RK4, explicit_step, step_of
from pullback.flows._steps import Grid, Problem, moved, moved_start
from pullback.loops import counted_scan


class Event(eqx.Module):
    """What happens where `condition` crosses zero.

    Attributes:
        condition: (t, y, params) -> a real number. May close over traced values.
        jump: (t, y, params) -> the state after the event; None: it stays what it is.
        terminal: the solution ends there.
        direction: 1: where the condition rises along the way; -1: where it falls; 0: both.
    """

    condition: Callable[[Any, PyTree, PyTree], Any] = eqx.field(static=True)
    jump: Callable[[Any, PyTree, PyTree], PyTree] | None = eqx.field(default=None, static=True)
    terminal: bool = eqx.field(default=False, static=True)
    direction: int = eqx.field(default=0, static=True)

    def __check_init__(self):
        if not callable(self.condition) or not (self.jump is None or callable(self.jump)):
            raise InputError("Event: condition and jump must be functions of (t, y, params).")
        if self.direction not in (-1, 0, 1):
            raise InputError(f"Event: direction must be 1 (rising), -1 (falling) or 0 (both), got {self.direction!r}.")


class Path(eqx.Module):
    """A solution with events. Rows that were not reached, and of events that did not happen, are infinite.

    Attributes:
        ys: states at the times; before the jump where an event falls on one.
        times: when the events happened, in their order.
        which: the number of the event in the sequence that was given; -1 where there was none.
        before: states when they happened.
        after: states after the jumps.
        number: how many happened.
        end_time: where the solution ends: at a terminal event, or at the last time.
        end: the state there.
    """

    ys: PyTree
    times: Float[Array, " most"]
    which: Int[Array, " most"]
    before: PyTree
    after: PyTree
    number: Int[Array, ""]
    end_time: Float[Array, ""]
    end: PyTree


def solve_with_events(
    problem: Problem, events: Event | Sequence[Event], most: int, y0: PyTree, ts: Array, p: tuple
) -> tuple[Path, tuple, RESULTS]:
    """(path, outcome of the search, what went wrong with the events)."""
    system, consts = _system(events, most, y0, ts, p)
    start = moved_start(problem, y0, ts, p)
    (ys, times, before, after, end), found, outcome = _path(
        problem, system, start, jax.lax.stop_gradient(ts), (p, *consts)
    )
    reached = jnp.arange(len(ts)) < found.reached.astype(int)
    ys = _rows(reached, ys, jax.tree.map(lambda a: jnp.broadcast_to(a, (len(ts), *a.shape)), end))
    ys = _rows(reached, moved(problem, False, ys, ts, p), jnp.inf)
    ended = found.ended > 0
    last = jnp.maximum(found.number.astype(int) - 1, 0)
    end_time = jnp.where(ended, jnp.where(ended, times, 0)[last], ts[-1])
    path = Path(ys, times, found.which.astype(int), before, after, found.number.astype(int), end_time, end)
    result = RESULTS.where(found.grazing > 0, RESULTS.grazing, RESULTS.successful)
    if any(system.terminal):
        result = RESULTS.where(ended, result, RESULTS.no_event)
    result = RESULTS.where(found.too_many > 0, RESULTS.too_many_events, result)
    *outcome, finite = outcome
    return path, tuple(outcome), RESULTS.where(finite > 0, result, RESULTS.nonfinite)


def _rows(there, ys, other):
    """The rows of ys that are there, the other's where they are not."""

    def of(a, b):
        return jnp.where(there.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    if isinstance(other, float):
        return jax.tree.map(lambda a: of(a, jnp.asarray(other, a.dtype)), ys)
    return jax.tree.map(of, ys, other)


def _system(events, most, y0, ts, p) -> tuple[System, tuple]:
    """The functions, hoisted, and what they close over."""
    events = [events] if isinstance(events, Event) else events
    most = whole_number("odeint", "max_events", most)
    if not isinstance(events, Sequence) or not events or not all(isinstance(e, Event) for e in events):
        raise InputError(f"odeint: events must be an Event or a sequence of these, got {events!r}.")
    if most < 1:
        raise InputError(f"odeint: max_events is {most}; it must be positive.")
    _, params = p

    def condition(event, t, y, params):
        return jnp.asarray(event.condition(t, y, params)).astype(ts.dtype)

    def jump(event, t, y, params):
        new = y if event.jump is None else event.jump(t, y, params)
        return jax.tree.map(lambda k, a: jnp.asarray(k).astype(a.dtype), new, y)

    for k, event in enumerate(events):
        value = jax.eval_shape(lambda t, y, p, e=event: jnp.asarray(e.condition(t, y, p)), ts[0], y0, params)
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
            raise InputError(
                f"odeint: the condition of event {k} must be one real number, not {value.dtype}{list(value.shape)}."
            )
        if event.jump is not None:
            new = jax.eval_shape(event.jump, ts[0], y0, params)
            keeps_form("odeint", new, y0, f"the jump of event {k}", "y0", promotes=True, hint="Pass a complex y0.")
    conditions, of_conditions = zip(*(hoist(partial(condition, e), ts[0], y0, params)[:2] for e in events))
    jumps, of_jumps = zip(*(hoist(partial(jump, e), ts[0], y0, params)[:2] for e in events))
    terminal, directions = (tuple(getattr(e, name) for e in events) for name in ("terminal", "direction"))
    return System(conditions, jumps, terminal, directions, most), (of_conditions, of_jumps)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _path(problem: Problem, system: System, y0, ts, pe):
    """((ys, event times, states before and after, end), events, outcome); the latter two in floating point."""
    ys, end, _, found, outcome = crossings(problem, system, y0, ts, pe)
    return (ys, found.times, found.before, found.after, end), *_floating(ts, found, outcome)


@partial(_path.defjvp, symbolic_zeros=True)
def _path_jvp(problem, system, primals, tangents):
    y0, _, pe = primals
    frozen = jax.lax.stop_gradient(primals)
    _, _, grid, found, outcome = crossings(problem, system, *frozen)
    y0, pe = error_if((y0, pe), found.grazing, RESULTS[RESULTS.grazing])

    def of(y0, pe):
        ys, *events, end = _replayed(problem, system, grid, found, y0, pe)
        return ys, *_rows(jnp.arange(system.most) < found.number, tuple(events), jnp.inf), end

    values, dvalues = jvp_of_live(of, (y0, pe), (instantiated(tangents[0], y0), tangents[2]))
    rest = _floating(frozen[1], found, outcome)
    return (values, *rest), (dvalues, *jax.tree.map(jnp.zeros_like, rest))


def _floating(ts, found: Found, outcome):
    """What is not inexact has no derivatives inside `shard_map`."""
    return jax.tree.map(lambda a: a.astype(ts.dtype), (found._replace(before=(), after=()), outcome))


def _replayed(problem: Problem, system: System, grid: Grid, found: Found, y0, pe):
    """The recorded steps, stretch by stretch from event to event: what is differentiated."""
    bound, most, times = problem.max_steps, system.most, problem.times

    @jax.jit
    def one(y, us, pe):
        ((t, h),) = us
        y = step_of(problem.stepper, problem.at(pe[0]), t, h, y).y
        return y, (y,), ()

    def stretch(y, us, both):
        ((first, count, time, which, happens),), (pe, grid) = us, both
        steps = first + jnp.arange(bound)
        rows = grid.row.at[steps].get(mode="fill", fill_value=times)
        inputs, outputs = (((grid.t, grid.h), steps),), ((times, rows),)
        y, (ys,), _ = counted_scan(one, y, pe, count, bound=bound, inputs=inputs, outputs=outputs)
        event, following = at_event(pe, time, which, happens, y)
        return where(happens, following, y), (where(happens, event, jax.tree.map(jnp.zeros_like, event)),), ys

    at_event = jax.jit(partial(_event, problem, system))
    k = jnp.arange(most + 1)
    happens = k < found.number
    ends = jnp.where(happens, jnp.append(found.ends, 0), grid.number)
    firsts = jnp.concatenate([jnp.zeros(1, int), ends[:-1]])
    at = jnp.where(happens, jnp.append(found.times, 0), 0), jnp.maximum(jnp.append(found.which, 0), 0), happens
    stretches = found.number + (~found.ended).astype(int)
    end, (events,), ys = counted_scan(
        stretch, y0, (pe, grid), stretches, bound=most + 1,
        inputs=(((firsts, ends - firsts, *at), None),), outputs=((most + 1, None),),
    )  # fmt: skip
    ys = jax.tree.map(lambda a, b: a.at[0].set(b), ys, y0)
    return ys, *jax.tree.map(lambda a: a[:most], events), end


def _event(problem: Problem, system: System, pe, time, which, happens, y):
    """((time, state before, state after), state from which the solution goes on at the time that is held fixed)."""
    field = problem.at(pe[0])

    def flow(t, s, y):
        return explicit_step(RK4.tableau, field, t, s, y).y

    def residual(s):
        return jnp.where(happens, system.value(pe, which, time + s, flow(time, s, y)), s)

    s = jnp.zeros_like(time)
    for _ in range(2):
        value, slope = jax.jvp(residual, (s,), (jnp.ones_like(s),))
        s = s - value / slope
    t, before = time + s, flow(time, s, y)
    after = system.jump(pe, which, t, before)
    terminal = jnp.asarray(system.terminal)[which]
    return (t, before, after), where(terminal, after, flow(t, time - t, after))
