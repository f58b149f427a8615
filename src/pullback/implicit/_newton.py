r"""Newton's method on real vectors, with backtracking, for regular and singular Jacobians.

Uses the linear solver that the derivative will use, and the same zero modes: the step is the minimum-norm one. As a
last stage it brings what another method found to the residual that exact derivatives need.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.core import RESULTS, InputError, vary_like
from pullback.implicit import _linear
from pullback.implicit._modes import Find, find
from pullback.implicit._rule import Equation
from pullback.implicit._search import Found, max_abs


class Newton(eqx.Module):
    """Newton's method with backtracking on the norm of the residual, for `fixed_point` and `root`.

    Attributes:
        halvings: how often a step is halved before the search counts as stalled.
    """

    halvings: int = eqx.field(default=25, static=True)

    def __check_init__(self):
        if self.halvings < 0:
            raise InputError(f"Newton(halvings={self.halvings}): halvings must not be negative.")


def newton(
    method: Newton,
    equation: Equation,
    v: Float[Array, " n"],
    *,
    tol: Callable[[Array], Array],
    max_steps: int,
    modes: Find | None = None,
    energy: Callable[[Array], Array] | None = None,
) -> Found:
    """Runs until max|F(v)| ≤ tol(v). With `energy`, steps that raise it above rounding are refused."""

    rounding = 1e2 * jnp.finfo(v.dtype).eps

    def height(v):
        return vary_like(jnp.zeros((), v.dtype) if energy is None else energy(v), v)

    def unfinished(state):
        v, r, _, step, moved = state
        return moved & (step < max_steps) & (max_abs(r) > tol(v)) & jnp.isfinite(r).all()

    def improve(state):
        v, r, e, step, _ = state
        direction = _direction(equation, v, r, modes)
        direction = jnp.where(jnp.isfinite(direction).all(), direction, 0)

        def refused(trial):
            t, _, new_r, new_e = trial
            worse = ~(_linear.norm(new_r) < (1 - 1e-4 * t) * _linear.norm(r))
            return worse | ~(new_e <= e + rounding * (1e-3 + jnp.abs(e)))

        def halve(trial):
            t = trial[0] / 2
            new = v - t * direction
            return t, new, equation.residual(new), height(new)

        # Starts from a trial at t = 2 that is refused: the residual is then compiled once, not twice.
        first = vary_like((jnp.full((), 2, v.dtype), v, r, e))
        trial = jax.lax.while_loop(lambda trial: refused(trial) & (trial[0] > 0.5**method.halvings), halve, first)
        accepted = ~refused(trial)
        new = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), trial[1:], (v, r, e))
        return *new, step + 1, accepted

    v, r, _, steps, moved = jax.lax.while_loop(
        unfinished, improve, vary_like((v, equation.residual(v), height(v), jnp.array(0), jnp.array(True)))
    )
    result = RESULTS.where(moved, RESULTS.max_steps_reached, RESULTS.stalled)
    return Found(v, RESULTS.where(jnp.isfinite(r).all(), result, RESULTS.nonfinite), steps)


def _direction(equation, v, r, modes):
    if modes is None:
        matvec, project = equation.deflated(v)
        return project(_linear.solve(equation.linear, matvec, r))
    jacobian, _ = equation.deflated(v)
    a = _linear.materialise(jacobian, v)
    (left, right), _, _ = find(a, modes.rtol, equation.linear.symmetric)
    y = jnp.linalg.solve(a + _linear.scale(jacobian, v) * (left.T @ right), r)
    return y - right.T @ (right @ y)
