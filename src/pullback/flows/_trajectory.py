"""`trajectory`: the solution of a differential equation as a function of time, between the steps as exact as at them.

The steps are recorded with the states before them. At a time between, the state is that of one shorter step of the same
method from the last of these, so that its error is that of the method, and all derivatives exist as for `odeint`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from pullback.core import RESULTS, Solution, all_finite, by_throw, error_if, instantiated, jvp_of_live
from pullback.flows._inputs import Method, checked_times, prepare
from pullback.flows._search import how_it_went, search
from pullback.flows._steppers import step_of
from pullback.flows._steps import Problem, moved_start
from pullback.loops import counted_scan


class Trajectory(eqx.Module):
    """A solution that can be called: `path(t)` is the state at the time t, or at each of an array of times.

    Attributes:
        times: starts of the steps, then the end of the last; its value is repeated in the rows that are left.
        states: states at the starts of the steps.
        number: of steps.
    """

    times: Float[Array, " bound"]
    states: PyTree
    number: Int[Array, ""]
    _problem: Problem = eqx.field(static=True)
    _p: tuple

    def __call__(self, t: Float[ArrayLike, "..."]) -> PyTree:
        """The state at t, each leaf with the axes of t in front.

        Raises:
            EquinoxRuntimeError: t lies outside.
        """
        t = jnp.asarray(t, self.times.dtype)
        sign = jnp.where(self.times[-1] < self.times[0], -1, 1).astype(t.dtype)

        def at(t):
            n = jnp.searchsorted(sign * self.times, sign * jax.lax.stop_gradient(t), side="right") - 1
            n = jnp.clip(n.astype(self.number.dtype), 0, self.number - 1)
            start, y = self.times[n], jax.tree.map(lambda a: a[n], self.states)
            return step_of(self._problem.stepper, self._problem.at(self._p), start, t - start, y).y

        states = jax.vmap(at)(t.ravel())
        states = jax.tree.map(lambda a: a.reshape(*t.shape, *a.shape[1:]), states)
        outside = ~((sign * t >= sign * self.times[0]) & (sign * t <= sign * self.times[-1]))
        return error_if(states, outside, "trajectory: the time lies outside of the span that was solved.")


@by_throw
def trajectory(
    f: Callable[[Any, PyTree, PyTree], PyTree],
    y0: PyTree,
    span: Float[Array, "2"],
    params: PyTree = None,
    *,
    rtol: float | None = None,
    atol: float = 1e-10,
    step_size: float | None = None,
    stepper: Any = diffrax.Tsit5(),  # noqa: B008
    max_steps: int = 2**12,
    throw: bool = True,
) -> Trajectory | Solution[Trajectory]:
    """The solution of dy/dt = f(t, y, params), y(span[0]) = y0, as a function of time.

    Its values are differentiable in every mode and order with respect to time, y0, span[0], params and what `f` closes
    over. The states at all steps are stored. Where the times are known, `odeint` is quicker.

    Args:
        f, y0, params, rtol, atol, step_size, stepper: as for `odeint`.
        span: the first and the last time.
        max_steps: bound on the number of steps, and of the states that are stored.
        throw: raise if span[1] was not reached; if False, return a `Solution`.

    Returns:
        A `Trajectory`; or, if not `throw`, a `Solution` of it, as of `odeint`.

    Raises:
        ConvergenceError: the end was not reached, as for `odeint`.
        InputError: the input or an option makes no sense, as for `odeint`.

    Examples:
        >>> path = trajectory(lambda t, y, p: -y, jnp.asarray(1.0), jnp.array([0.0, 2.0]))
        >>> bool(jnp.allclose(path(jnp.array([0.3, 1.7])), jnp.exp(jnp.array([-0.3, -1.7]))))
        True
        >>> f"{jax.grad(path)(0.3):.6f}"  # -exp(-0.3)
        '-0.740818'
    """
    method = Method("trajectory", rtol, atol, step_size, stepper, None, max_steps)
    problem, y0, ts, p = prepare(f, y0, span, params, method)
    problem = problem._replace(block=1, max_steps=max_steps)
    y0 = moved_start(problem, y0, ts, p)
    fixed = jax.lax.stop_gradient(ts)
    (states, times), (arrived, failed, steps, rejected, largest, _) = _recorded(problem, y0, fixed, p)
    result = RESULTS.where(all_finite(states), how_it_went(arrived, failed), RESULTS.nonfinite)
    path = Trajectory(times, checked_times("trajectory", states, ts), steps.astype(int), problem, p)
    solution = Solution(path, result, largest, path.number, {"rejected": rejected.astype(int)})
    return solution.unwrap("trajectory") if throw else solution


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _recorded(problem: Problem, y0, ts, p):
    """((states before the steps, starts), how it went)."""
    _, grid, known, outcome = search(problem, y0, ts, p, store=True)
    return (known[3], jnp.append(grid.t, ts[-1])), outcome


@partial(_recorded.defjvp, symbolic_zeros=True)
def _recorded_jvp(problem, primals, tangents):
    y0, ts, p = primals
    _, grid, known, outcome = search(problem, *jax.lax.stop_gradient(primals), store=True)
    states = known[3]

    def step(y, us, p):
        ((t, h),) = us
        return step_of(problem.stepper, problem.at(p), t, h, y).y, (y,), ()

    def of(y0, p):
        bound = problem.max_steps
        return counted_scan(
            step, y0, p, grid.number, bound=bound, inputs=(((grid.t, grid.h), None),), outputs=((bound, None),),
            known=(known[0], (states,), (), states),
        )[1][0]  # fmt: skip

    states, dstates = jvp_of_live(of, (y0, p), (instantiated(tangents[0], y0), tangents[2]))
    out = (states, jnp.append(grid.t, jax.lax.stop_gradient(ts[-1]))), outcome
    return out, ((dstates, jnp.zeros_like(out[0][1])), jax.tree.map(jnp.zeros_like, outcome))
