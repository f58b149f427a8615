r"""Newton's method and Gauss and Newton's, as optimisers of `minimise`. What is special to a problem are hooks.

    Newton:        x <- x + eta p,      p the step that the problem gives, eta halved until (Armijo)
                                        f(x + eta p) <= f(x) + 1e-4 eta p.f'(x)
    Gauss-Newton:  x <- x + p(d),       p(d) = argmin |r + J p|^2 + d |p|^2 in the problem's own metric, with the
                                        damping d raised until the sum of squares falls (Levenberg, Marquardt)

The solvers of optimistix take residuals alone: they know neither a closed inverse Hessian, nor a metric, nor directions
without curvature, which a state cannot determine.

References: Nocedal and Wright, Numerical Optimization (2006), algorithm 3.1 and section 10.3.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.runs._optimisers import Loss, Point

_DESCENT = 1e-4  # part of the slope that a step of Newton's has to win
_TRIALS = 40  # shorter or more damped steps tried before giving up
_EASED, _RAISED = 30.0, 5.0  # what the damping is divided by after a success, multiplied by after a failure
_LEAST = 1e-30  # damping
_NO_CURVATURE = 1e-12  # singular values below, relative to the largest, belong to directions that change nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Newton:
    """Newton's method on a convex function f with a minimum where the loss has one. The loss is only measured.

    Attributes:
        value: x -> f(x).
        direction: x -> (f(x), Newton's step p, slope of f along p).
    """

    value: Loss
    direction: Callable[[Float[Array, " n"]], tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]]

    def init(self, x: Float[Array, " n"]) -> Any:
        del x
        return ()

    def step(self, loss_of: Loss, point: Point) -> Point:
        value, step, slope = self.direction(point.x)

        def too_long(state):
            size, trials = state
            return ~(self.value(point.x + size * step) <= value + _DESCENT * size * slope) & (trials < _TRIALS)

        size, trials = jax.lax.while_loop(too_long, lambda state: (state[0] / 2, state[1] + 1), (1.0, 0))
        lower = jnp.asarray(trials < _TRIALS)
        return _moved(point, loss_of, jnp.where(lower, point.x + size * step, point.x), (), lower)


@runtime_checkable
class DampedEquations(Protocol):
    """The linear equations of a Gauss-Newton step at one point."""

    def step(self, damping: Float[Array, ""]) -> Float[Array, " n"]:
        """The step with a damping relative to the size of JᵀJ."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class GaussNewton:
    """Damped Gauss-Newton steps on a sum of squares.

    Attributes:
        equations: x -> the equations there, as `LeastSquares`.
        value: x -> the sum of squares; None: the loss is one.
        damping: to begin with.
        progress: a step that lowers the sum by less than this part of it counts as a failure; after two the search
            has stalled.
    """

    equations: Callable[[Float[Array, " n"]], DampedEquations]
    value: Loss | None = None
    damping: float = 1e-2
    progress: float = 1e-4

    def init(self, x: Float[Array, " n"]) -> Any:
        return jnp.asarray(self.damping, x.dtype)

    def step(self, loss_of: Loss, point: Point) -> Point:
        value = loss_of if self.value is None else self.value
        here = point.loss if self.value is None else value(point.x)
        equations = self.equations(point.x)

        def trial(state):
            _, damping, trials, _ = state
            x = point.x + equations.step(damping)
            there = value(x)
            return x, jnp.where(there < here, damping / _EASED, damping * _RAISED), trials + 1, there

        start = point.x, point.memory, 0, jnp.inf * here
        x, damping, _, there = jax.lax.while_loop(lambda state: ~(state[3] < here) & (state[2] < _TRIALS), trial, start)
        x = jnp.where(there < here, x, point.x)
        return _moved(point, loss_of, x, jnp.maximum(damping, _LEAST), there < (1 - self.progress) * here)


class LeastSquares(eqx.Module):
    """min |r + J p|² + damping s² |p|², with the largest singular value s of J, by its singular values.

    Directions in which J vanishes are left alone, as the scale of a Hamiltonian that a state does not know.
    """

    pull: Float[Array, " rank"]  # −Uᵀ r
    s: Float[Array, " rank"]
    vt: Float[Array, "rank n"]

    def __init__(self, residual: Float[Array, " m"], jacobian: Float[Array, "m n"]):
        u, self.s, self.vt = jnp.linalg.svd(jacobian, full_matrices=False)
        self.pull = -(u.T @ residual)

    def step(self, damping: Float[Array, ""]) -> Float[Array, " n"]:
        kept = self.s > _NO_CURVATURE * self.s[0]
        shrunk = self.s * self.pull / jnp.where(kept, self.s**2 + damping * self.s[0] ** 2, 1)
        return self.vt.T @ jnp.where(kept, shrunk, 0)


def _moved(point: Point, loss_of: Loss, x: Float[Array, " n"], memory: Any, lower: Array) -> Point:
    loss, gradient = jax.value_and_grad(loss_of)(x)
    return Point(x=x, loss=loss, gradient=gradient, memory=memory, stuck=jnp.where(lower, 0, point.stuck + 1))
