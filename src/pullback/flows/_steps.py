"""Recorded steps, and the states at the given times by them: what is differentiated of a solution.

The steps are loops of `loops.counted_scan`, whose number is known only when they run. `Direct` is one of fixed length.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from pullback.core import distance, instantiated, is_live, jvp_of_live, vary_like
from pullback.flows._steppers import Coupled, explicit_step, step_of
from pullback.loops import counted_scan


class Problem(NamedTuple):
    """What is static: f hoisted, (consts, t, y, params) -> dy/dt; the method; bounds."""

    field: Callable[[list, Any, PyTree, PyTree], PyTree]
    stepper: Any
    controller: diffrax.PIDController | None
    max_steps: int
    times: int
    block: int | None  # steps between stored states; None: nothing is recomputed
    step_size: float | None = None
    certified: bool = False  # whether the way back is tried

    @property
    def in_one_loop(self) -> bool:
        return self.block in (None, 1) or (self.block == self.max_steps and isinstance(self.stepper, Coupled))

    def at(self, p: tuple) -> Callable[[Any, PyTree], PyTree]:
        consts, params = p
        return lambda t, y: self.field(consts, t, y, params)


class Grid(NamedTuple):
    """The steps: their starts and lengths, the row of the result to which the end of each belongs, their number."""

    t: Float[Array, " bound"]
    h: Float[Array, " bound"]
    row: Int[Array, " bound"]
    number: Int[Array, ""]


def on_grid(problem: Problem, y0: PyTree, p: tuple, grid: Grid, known: Any = None) -> PyTree:
    """The stepper's states at `ts` by the steps of the grid; `known` is that of `counted_scan`."""
    bound, block, times = problem.max_steps, problem.block, problem.times

    def step(y, us, p):
        ((t, h),) = us
        y = step_of(problem.stepper, problem.at(p), t, h, y).y
        return y, (y,), ()

    def undo(y, us, p):
        ((t, h),) = us
        return problem.stepper.inverse(problem.at(p), t, h, y)

    inverse = undo if isinstance(problem.stepper, Coupled) and block != 1 else None

    def many(y, us, p):
        assert block is not None
        ((t, h, row, count),) = us
        inputs, outputs = (((t, h), None),), ((times, row),)
        end, (ys,), _ = counted_scan(step, y, p, count, bound=block, inputs=inputs, outputs=outputs, inverse=inverse)
        return end, (), ys

    if block is None:
        ys = _stored(step, y0, p, grid, times)
    elif problem.in_one_loop:
        inputs, outputs = (((grid.t, grid.h), None),), ((times, grid.row),)
        _, (ys,), _ = counted_scan(
            step, y0, p, grid.number, bound=bound, inputs=inputs, outputs=outputs, inverse=inverse, known=known
        )
    else:
        blocks = bound // block
        counts = jnp.clip(grid.number - block * jnp.arange(blocks), 0, block)
        whole = [a.reshape(blocks, block) for a in (grid.t, grid.h, grid.row)]
        inputs = (((*whole, counts), None),)
        count = -(-grid.number // block)
        _, _, ys = counted_scan(many, y0, p, count, bound=blocks, inputs=inputs, known=known)
    return jax.tree.map(lambda a, b: a.at[0].set(b), ys, y0)


def round_trip(problem: Problem, y0: PyTree, p: tuple, grid: Grid) -> Array:
    """How far the states that inverse steps recover are from the true ones, relative to these, in the worst block."""
    method, field = problem.stepper, problem.at(p)
    block = problem.block or 1

    def steps(b, carry):
        state, worst = carry
        first, last = b * block, jnp.minimum((b + 1) * block, grid.number)
        end = jax.lax.fori_loop(first, last, lambda n, x: method.step(field, grid.t[n], grid.h[n], x).y, state)

        def undo(k, x):
            n = last - 1 - k
            return method.inverse(field, grid.t[n], grid.h[n], x)

        back = jax.lax.fori_loop(0, last - first, undo, end)
        return end, jnp.maximum(worst, distance(back, state).astype(worst.dtype))

    start = vary_like((y0, jnp.zeros((), grid.h.dtype)), y0, p, grid)
    return jax.lax.fori_loop(0, -(-grid.number // block), steps, start)[1]


def _stored(step, y0, p, grid: Grid, times: int):
    """All steps of the bound, those after the last of no length, as JAX differentiates them."""

    def one(carry, u):
        y, ys = carry
        t, h, row = u
        y, (out,), _ = step(y, ((t, h),), p)
        return (y, jax.tree.map(lambda a, b: a.at[row].set(b, mode="drop"), ys, out)), None

    ys = jax.tree.map(lambda a: jnp.zeros((times, *a.shape), a.dtype), y0)
    (_, ys), _ = jax.lax.scan(one, (y0, ys), (grid.t, grid.h, grid.row))
    return ys


def even_counts(ts: Float[Array, " times"], step_size: float) -> Int[Array, " intervals"]:
    """How many equal steps, none longer than `step_size`, lie between one time and the next."""
    lengths = jnp.abs(jax.lax.stop_gradient(jnp.diff(ts)))
    return jnp.maximum(jnp.ceil(lengths / step_size * (1 - 1e-12)), 1).astype(int)


def even_grid(ts: Float[Array, " times"], counts: Int[Array, " intervals"], bound: int) -> Grid:
    """Equal steps inside each interval, differentiable functions of its ends."""
    ends = jnp.cumsum(counts)
    n = jnp.arange(bound)
    i = jnp.minimum(jnp.searchsorted(ends, n, side="right"), len(counts) - 1)
    inside = n - (ends[i] - counts[i])
    there = n < ends[-1]
    h = jnp.where(there, (jnp.diff(ts) / counts.astype(ts.dtype))[i], 0)
    t = jnp.where(there, ts[i] + inside.astype(ts.dtype) * h, ts[-1])
    row = jnp.where(there & (inside == counts[i] - 1), i + 1, len(ts))
    return Grid(t, h, row, jnp.minimum(ends[-1], bound))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def moved(problem: Problem, start: bool, ys, ts, p):
    """ys as functions of their times, with the derivatives of the flow: by f, and higher ones by what follows from f.

    At the start the other way round: the state at the fixed time of the solution that starts at another one.
    """
    return ys


@partial(moved.defjvp, symbolic_zeros=True)
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


def moved_start(problem: Problem, y0, ts, p):
    """The first state as a function of the first time."""
    return jax.tree.map(lambda a: a[0], moved(problem, True, jax.tree.map(lambda a: a[None], y0), ts[:1], p))
