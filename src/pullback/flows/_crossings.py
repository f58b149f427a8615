r"""Where event functions cross zero along a solution: steps are searched, cut at crossings, and recorded.

In each step the event functions and their slopes are looked at in nine places of a cubic Hermite interpolation, and at
the extrema between these, which secants of the slope lead to: two crossings within a step are seen if they are of the
interpolation. A step
within which a sign changes is not taken. The crossing is found by steps of the method itself, as the root of

    G(s) = g(t + s, Φ(t, s, y)),

by regula falsi (Illinois) with bisections between, and the step ends there. Several functions together are one, the
least of σ_j G_j, where σ_j is the sign before. What crosses without speed, or stays at zero, is grazing: the solution
ends there, and it is said.

After an event its function is zero up to rounding. What counts then is the sign of dg/dt; and G(s)/s is looked at for
the next root, so that a short flight is not lost. Functions that cross at the same time have their events one after
the other.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from equinox.internal import unvmap_any
from jaxtyping import Array, Bool, Float, Int, PyTree

from pullback.core import vary_like
from pullback.flows._search import Record, Walk, direction, explorer, grid_of, next_length, outcome_of, where
from pullback.flows._steppers import step_of
from pullback.flows._steps import Problem

_NEAR = 0.02  # of the largest |g| in a step: where the interpolation is as close to zero as this, a step is taken to it
_SAMPLES = 8


class System(NamedTuple):
    """What is static of several events; the functions are hoisted, and `at` binds what they close over."""

    conditions: tuple
    jumps: tuple
    terminal: tuple[bool, ...]
    directions: tuple[int, ...]
    most: int

    def values(self, pe: tuple, t: Any, y: PyTree) -> Float[Array, " events"]:
        (_, params), consts, _ = pe
        return jnp.stack([g(c, t, y, params) for g, c in zip(self.conditions, consts, strict=True)])

    def value(self, pe: tuple, which: Any, t: Any, y: PyTree) -> Float[Array, ""]:
        (_, params), consts, _ = pe
        branches = [lambda t, y, c=c, g=g: g(c, t, y, params) for g, c in zip(self.conditions, consts, strict=True)]
        return _of(which, branches, t, y)

    def jump(self, pe: tuple, which: Any, t: Any, y: PyTree) -> PyTree:
        (_, params), _, consts = pe
        branches = [lambda t, y, c=c, j=j: j(c, t, y, params) for j, c in zip(self.jumps, consts, strict=True)]
        return _of(which, branches, t, y)


def _of(which, branches, *args):
    return branches[0](*args) if len(branches) == 1 else jax.lax.switch(which, branches, *args)


class Found(NamedTuple):
    """The events: their times, which they are, the step with which each ends, how many; what went wrong."""

    times: Float[Array, " most"]
    which: Int[Array, " most"]
    ends: Int[Array, " most"]
    before: PyTree
    after: PyTree
    number: Int[Array, ""]
    ended: Bool[Array, ""]  # by a terminal event
    reached: Int[Array, ""]  # rows of the times
    too_many: Bool[Array, ""]
    grazing: Bool[Array, ""]


class _Marks(NamedTuple):
    """Of each event function: its value, its sign before the next crossing, whether it is zero but for rounding."""

    values: Float[Array, " events"]
    signs: Float[Array, " events"]
    zero: Bool[Array, " events"]
    finite: Bool[Array, ""]


def crossings(problem: Problem, system: System, y0: PyTree, ts: Array, pe: tuple):
    """(states at ts, state at the end, grid, events, outcome of the search)."""
    p = pe[0]
    field, sign, eps = problem.at(p), direction(ts), jnp.finfo(ts.dtype).eps
    begin, go_on = explorer(problem, ts, p, store=False, watch=lambda *step: _watch(problem, system, pe, *step))

    def rate(t, y):
        """dg/dt along the solution, times the direction of time."""
        one = jnp.ones((), ts.dtype)
        return sign * jax.jvp(lambda t, y: system.values(pe, t, y), (t, y), (one, field(t, y)))[1]

    def marked(t, y, noise):
        """The marks at a point, where `noise` says how large a function may be that is zero."""
        values, slopes = system.values(pe, t, y), rate(t, y)
        zero = jnp.abs(values) <= noise(slopes)
        signs = jnp.sign(jnp.where(zero, slopes, values))
        return _Marks(values, signs, zero, jnp.isfinite(values).all()), slopes

    def cut(carry):
        """The caught step is taken up to the first crossing, and the event happens."""
        walk, record, found = carry
        marks, caught = walk.marks, walk.caught
        length, ends = next_length(problem, walk, ts)
        length = jnp.where(caught, length, 0)
        seen = _look(problem, system, pe, walk, sign * length)
        top = seen.first * length

        def at(s):
            return step_of(problem.stepper, field, walk.t, sign * s, walk.y, walk.first).y

        def least(s):
            """The least of the functions, and which it is; those that start at zero divided by the time."""
            values = marks.signs * system.values(pe, walk.t + sign * s, at(s)) / seen.size
            share = s / jnp.where(top > 0, top, 1)
            values = jnp.where(marks.zero, values / jnp.where(share > 0, share, 1), values)
            values = jnp.where(marks.zero & (share == 0), 1, values)
            return jnp.min(values), jnp.argmin(values)

        s, crossed = _first_root(lambda s: least(s)[0], top, eps * jnp.maximum(jnp.abs(walk.t), top))
        lowest, which = least(s)
        y, t = at(s), walk.t + sign * s
        arrived = caught & ends & (s >= length * (1 - 4 * eps))
        t = jnp.where(arrived, ts[jnp.minimum(walk.row, problem.times - 1)], t)
        sigma, wanted = marks.signs[which], jnp.asarray(system.directions, ts.dtype)[which]
        happens = caught & crossed & ((wanted == 0) | (wanted == -sigma))
        too_many = happens & (found.number >= system.most)
        happens &= ~too_many
        after = where(happens, system.jump(pe, which, t, y), y)
        left = 100 * jnp.abs(system.values(pe, t, y))  # what is left of a root, or a multiple of it by a jump
        own = jnp.arange(len(system.conditions)) == which
        noise = jnp.maximum(eps ** (2 / 3) * seen.size, jnp.where(own, left, 0))
        new, slopes = marked(t, after, lambda _: noise)
        kept = jnp.where(own | ~new.zero, new.signs, marks.signs)  # others that are zero now are to cross next
        new = new._replace(
            signs=jnp.where(crossed, kept, marks.signs),
            zero=new.zero & (own | marks.zero) & crossed,
            finite=new.finite & marks.finite,
        )
        # A function is grazed if its roots on both sides of an extremum are one to within the tolerance.
        flat = _flat(problem)
        touches = ~crossed & (lowest <= flat**2)
        speed = jnp.abs(rate(t, y)[which])
        middle = system.values(pe, walk.t + sign * s / 2, at(s / 2))
        height = jnp.maximum(jnp.abs(marks.values), jnp.abs(middle))[which]
        slow = crossed & (speed * s <= flat * height) & (s > 0)
        stuck = new.zero[which] & (jnp.abs(slopes[which]) <= flat * speed) & ~jnp.asarray(system.terminal)[which]
        lost = caught & (slow | (happens & stuck))  # the sign from here on is that of rounding
        grazing = found.grazing | lost | (caught & touches)

        n = walk.steps
        step_at = jnp.where(caught, n, len(record.grid[0]))
        row = jnp.where(arrived, walk.row, problem.times)
        step = walk.t, sign * s, row
        grid = tuple(a.at[step_at].set(b, mode="drop") for a, b in zip(record.grid, step, strict=True))
        ys = jax.tree.map(lambda a, b: a.at[row].set(b, mode="drop"), record.ys, y)
        ended = happens & jnp.asarray(system.terminal)[which]
        stops = ended | too_many | lost
        reached = walk.row + arrived.astype(int)
        k = jnp.where(happens, found.number, system.most)
        put = lambda a, b: a.at[k].set(b, mode="drop")  # noqa: E731
        found = Found(
            put(found.times, t),
            put(found.which, which),
            put(found.ends, n + 1),
            jax.tree.map(put, found.before, y),
            jax.tree.map(put, found.after, after),
            found.number + happens.astype(int),
            found.ended | ended,
            jnp.where(stops, reached, found.reached),
            found.too_many | too_many,
            grazing,
        )
        walk = walk._replace(
            y=where(caught, after, walk.y),
            t=jnp.where(caught, t, walk.t),
            row=jnp.where(stops, problem.times, reached),
            steps=n + caught.astype(int),
            trials=walk.trials + caught.astype(int),
            marks=where(caught, new, marks),
            caught=jnp.asarray(False) & caught,
        )
        if walk.first is not None:
            walk = walk._replace(first=where(caught, field(t, after), walk.first))
        return walk, Record(ys, grid, record.states), found

    def goes_on(walk: Walk):
        return (walk.row < problem.times) & (walk.steps < problem.max_steps) & ~walk.failed & ~_spent(problem, walk)

    def body(carry):
        walk, record, found = carry
        return cut((*go_on((walk, record)), found))

    walk, record = begin(y0)
    marks, _ = marked(ts[0], y0, lambda slopes: eps ** (2 / 3) * jnp.abs(slopes) * walk.h)
    rests = jnp.any(marks.signs == 0)
    marks = marks._replace(signs=jnp.where(marks.signs == 0, 1, marks.signs))
    walk = walk._replace(marks=marks)
    most = system.most
    rows = jax.tree.map(lambda a: jnp.full((most, *a.shape), jnp.inf, a.dtype), y0)
    no, none = jnp.asarray(False), jnp.asarray(0)
    found = Found(
        jnp.full(most, jnp.inf, ts.dtype), jnp.full(most, -1), jnp.zeros(most, int), rows, rows, none, no,
        jnp.asarray(problem.times), no, rests,
    )  # fmt: skip
    start = vary_like((walk, record, found), y0, ts, pe)
    walk, record, found = jax.lax.while_loop(lambda c: unvmap_any(goes_on(c[0])), body, start)
    found = found._replace(reached=jnp.minimum(found.reached, walk.row))
    finite = walk.marks.finite
    return record.ys, walk.y, grid_of(problem, walk, record), found, (*outcome_of(problem, walk), finite)


def _spent(problem: Problem, walk: Walk):
    return walk.trials >= 2 * problem.max_steps


def _flat(problem: Problem) -> float:
    """The share of its size below which a function that is quadratic in time is zero within the tolerance."""
    rtol = 1e-8 if problem.controller is None else float(problem.controller.rtol)
    return (10 * rtol) ** 0.5


class _Seen(NamedTuple):
    """Of a step: the first place at which a sign has changed, as a part of it (2: none), and the largest |g|."""

    first: Float[Array, ""]
    size: Float[Array, " events"]
    last: Float[Array, " events"]
    finite: Bool[Array, ""]


def _watch(problem: Problem, system: System, pe: tuple, walk: Walk, length: Array, y1: PyTree, last: PyTree):
    seen = _look(problem, system, pe, walk, length, y1, last)
    zero = jnp.zeros_like(walk.marks.zero)
    return seen.first <= 1, _Marks(seen.last, walk.marks.signs, zero, walk.marks.finite & seen.finite)


def _look(problem: Problem, system: System, pe: tuple, walk: Walk, length, y1=None, last=None) -> _Seen:
    field, marks, y0 = problem.at(pe[0]), walk.marks, walk.y
    if y1 is None:
        y1, _, last = step_of(problem.stepper, field, walk.t, length, y0, walk.first)
    k0 = field(walk.t, y0) if walk.first is None else walk.first
    k1 = field(walk.t + length, y1) if last is None else last

    def values(theta):
        def hermite(a, b, ka, kb):
            x, h = theta.astype(a.real.dtype), length.astype(a.real.dtype)
            slope = x * (x - 1) * ((1 - 2 * x) * (b - a) + (x - 1) * h * ka + x * h * kb)
            return jnp.where(x == 1, b, (1 - x) * a + x * b + slope)

        return system.values(pe, walk.t + theta * length, jax.tree.map(hermite, y0, y1, k0, k1))

    def both(theta):
        """Values and slopes; signs are such that the values begin above zero."""
        pair = jax.jvp(values, (theta,), (jnp.ones_like(theta),))
        return jax.tree.map(lambda a: marks.signs * a, pair)

    places = jnp.arange(_SAMPLES + 1).astype(walk.t.dtype) / _SAMPLES
    samples, slopes = jax.vmap(both)(places)
    size = jnp.max(jnp.abs(samples), 0)
    size = jnp.where(size > 0, size, 1)
    first = jnp.min(jnp.where(jnp.any(samples[1:] <= 0, 1), places[1:], 2))

    # The lowest points between samples, where the slope changes its sign: by the secant, and two more.
    ends = jnp.broadcast_to(places[:, None], slopes.shape)
    state = ends[:-1], ends[1:], slopes[:-1], slopes[1:]
    turns = (state[2] < 0) & (state[3] > 0)
    for _ in range(2):
        lowest = _secant(*state, turns)
        slope = jnp.diagonal(jax.vmap(jax.vmap(both))(lowest)[1], axis1=1, axis2=2)
        left = where(slope < 0, (lowest, slope), (state[0], state[2]))
        right = where(slope < 0, (state[1], state[3]), (lowest, slope))
        state = left[0], right[0], left[1], right[1]
    lowest = _secant(*state, turns)
    dip = jnp.diagonal(jax.vmap(jax.vmap(both))(lowest)[0], axis1=1, axis2=2)
    first = jnp.minimum(first, jnp.min(jnp.where(turns & (dip <= _NEAR * size[None]), lowest, 2)))
    return _Seen(first, size, marks.signs * samples[-1], jnp.isfinite(samples).all())


def _secant(a, b, fa, fb, there):
    """Where a line through two points is zero; the middle where it is not asked for."""
    return jnp.where(there, a - fa * (b - a) / jnp.where(there & (fa != fb), fb - fa, 1), (a + b) / 2)


def _first_root(f, top, tolerance):
    """(root of f in [0, top], whether there is one), where f(0) > 0; 0 if f(0) is not. Values of f near 1 are large."""
    least = 4 * jnp.finfo(top.dtype).eps

    def is_open(state):
        a, b, fa, fb, *_ = state
        return (b - a > tolerance) & (fa > 0) & (fb < 0)

    def shrink(state):
        a, b, fa, fb, side, n = state
        c = jnp.where(n % 3 == 2, (a + b) / 2, (a * fb - b * fa) / jnp.where(fb == fa, 1, fb - fa))
        c = jnp.clip(c, a, b)
        fc = f(c)
        left = fc > least
        fc = jnp.where(left | (fc < -least), fc, 0)
        # The value at an end that stays twice is halved, so that it does not stay for ever.
        right = a, c, jnp.where(side < 0, fa / 2, fa), fc, jnp.full_like(side, -1)
        new = where(left, (c, b, fc, jnp.where(side > 0, fb / 2, fb), jnp.ones_like(side)), right)
        return *where(is_open(state), new, (a, b, fa, fb, side)), n + 1

    zero = jnp.zeros_like(top)
    start = vary_like((zero, top, f(zero), f(top), zero, jnp.asarray(0)), top, f(top))
    _, b, fa, fb, *_ = jax.lax.while_loop(lambda s: unvmap_any(is_open(s) & (s[-1] < 100)), shrink, start)
    return jnp.where(fa > 0, b, zero), (fb <= 0) | (fa <= 0)
