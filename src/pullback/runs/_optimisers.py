"""The optimisers of `minimise`: from one point to the next.

    L-BFGS:  x <- x - eta P g,   P the limited-memory inverse Hessian, eta from a zoom line search
    Adam:    x <- x - eta m / (sqrt(v) + eps),   m, v running means of g and g^2
    descent: x <- x - eta g

with g the gradient of the loss at the real vector x. All are optax's.

References: Liu and Nocedal, Math. Program. 45, 503 (1989); Nocedal and Wright, Numerical Optimization (2006),
algorithms 3.5, 3.6, 7.4; Kingma and Ba, arXiv:1412.6980.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Loss = Callable[[Float[Array, " n"]], Float[Array, ""]]


class Point(eqx.Module):
    """Where an optimiser stands.

    Attributes:
        x: the parameters.
        loss: the loss at `x`.
        gradient: its gradient at `x`.
        memory: what the optimiser remembers.
        stuck: number of steps in a row, up to here, that did not lower the loss although they should have.
    """

    x: Float[Array, " n"]
    loss: Float[Array, ""]
    gradient: Float[Array, " n"]
    memory: Any
    stuck: Int[Array, ""]


@runtime_checkable
class Optimiser(Protocol):
    """What `minimise` asks of an optimiser; immutable, and traceable by JAX."""

    def init(self, x: Float[Array, " n"]) -> Any:
        """The memory to begin with."""
        ...

    def step(self, loss_of: Loss, point: Point) -> Point:
        """The next point."""
        ...


@dataclasses.dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a line search for the strong Wolfe conditions.

    Where the search finds no lower loss, the memory is emptied, so that the next step is along steepest
    descent.

    Attributes:
        memory: number of past steps that make up the inverse Hessian.
        max_linesearch_steps: evaluations of the loss per step, at most.
    """

    memory: int = 20
    max_linesearch_steps: int = 30

    def init(self, x: Float[Array, " n"]) -> Any:
        return optax.scale_by_lbfgs(self.memory).init(x)

    def step(self, loss_of: Loss, point: Point) -> Point:
        # Any: optax's types do not tell its states apart.
        preconditioner: Any = optax.scale_by_lbfgs(self.memory)
        search: Any = optax.scale_by_zoom_linesearch(self.max_linesearch_steps, initial_guess_strategy="one")
        ascent, memory = preconditioner.update(point.gradient, point.memory, point.x)
        step, found = search.update(
            -ascent,
            search.init(point.x),  # a search that starts from a unit step needs nothing from the last one
            point.x,
            value=point.loss,
            grad=point.gradient,
            value_fn=loss_of,
        )
        x, loss, gradient = point.x + step, found.value, found.grad
        # The search may end higher than it began, or where it began.
        failed = ~(loss <= point.loss) | jnp.all(x == point.x)
        return Point(
            x=jnp.where(failed, point.x, x),
            loss=jnp.where(failed, point.loss, loss),
            gradient=jnp.where(failed, point.gradient, gradient),
            memory=memory._replace(  # pairs of weight 0 do not count
                count=jnp.where(failed, 0, memory.count),
                weights_memory=jnp.where(failed, 0, memory.weights_memory),
            ),
            stuck=jnp.where(failed | (loss == point.loss), point.stuck + 1, 0),
        )


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam, with the usual decay of the means (0.9, 0.999). The loss may rise from step to step.

    Attributes:
        learning_rate: size of a step, eta.
    """

    learning_rate: float = 1e-2

    def init(self, x: Float[Array, " n"]) -> Any:
        return optax.adam(self.learning_rate).init(x)

    def step(self, loss_of: Loss, point: Point) -> Point:
        return _along(optax.adam(self.learning_rate), loss_of, point)


@dataclasses.dataclass(frozen=True)
class GradientDescent:
    """Steepest descent with steps of a fixed multiple of the gradient. The loss may rise from step to step.

    Attributes:
        learning_rate: that multiple, eta.
    """

    learning_rate: float = 1e-2

    def init(self, x: Float[Array, " n"]) -> Any:
        return optax.sgd(self.learning_rate).init(x)

    def step(self, loss_of: Loss, point: Point) -> Point:
        return _along(optax.sgd(self.learning_rate), loss_of, point)


def _along(method: Any, loss_of: Loss, point: Point) -> Point:
    """The point after the step of an optimiser that does not look at losses."""
    step, memory = method.update(point.gradient, point.memory, point.x)
    x = point.x + step
    loss, gradient = jax.value_and_grad(loss_of)(x)
    return Point(x=x, loss=loss, gradient=gradient, memory=memory, stuck=point.stuck)
