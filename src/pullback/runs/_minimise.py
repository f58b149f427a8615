"""Minimisation: the one optimisation loop of all experiments, resumable.

The parameters (any pytree, real or complex) are laid out as one real vector x, so that the optimisers work
with a plain inner product and complex gradients need no convention. Steps run inside one compiled
`while_loop` with a traced bound; the state holds everything the next step depends on, so an interrupted
minimisation continues through the same points, bit for bit.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from pullback.core import RESULTS, InputError
from pullback.runs._optimisers import LBFGS, Optimiser, Point
from pullback.runs._run import Run

_STUCK_STEPS = 2  # the second one starts from an empty memory: if that does not help, nothing will


@dataclasses.dataclass(frozen=True, eq=False)
class Minimum:
    """Where `minimise` stopped.

    Attributes:
        x: the parameters, in the structure of `x0`.
        loss: the loss there.
        gradient_norm: 2-norm of its gradient there.
        steps: number of steps taken.
        result: why it stopped, a member of `pullback.core.RESULTS`.
        history: the loss at the start and after every step, shape (steps + 1,).
        gradient_history: the norm of its gradient there.
    """

    x: Any
    loss: float
    gradient_norm: float
    steps: int
    result: RESULTS
    history: Float[np.ndarray, " steps_and_one"]
    gradient_history: Float[np.ndarray, " steps_and_one"]

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached."""
        return bool(self.result == RESULTS.successful)

    @property
    def message(self) -> str:
        """Why not, and the remedy; empty if it converged."""
        return RESULTS[self.result]


def minimise(
    run: Run,
    name: str,
    fun: Callable[[Any], Any],
    x0: Any,
    *,
    optimiser: Optimiser = LBFGS(),  # noqa: B008  (immutable)
    tol: float,
    gtol: float = 0.0,
    max_steps: int,
    above: Mapping[str, float] | None = None,
) -> Minimum:
    """Minimises `fun` from `x0`, as a loop of `run`: with progress, metrics, checkpoints, Ctrl-C and resume.

    Stops when the loss is at most `tol`, or its gradient norm at most `gtol` (`successful`), or no further
    progress is possible (`stalled`), or the loss or its gradient is not finite (`nonfinite`; the last finite
    point is returned), or after `max_steps`. It does not raise when it stops short: see `Minimum.converged`.

    Args:
        run: of the experiment; `Run.null()` in a notebook.
        name: of the loop.
        fun: `fun(x)` is the loss, a real scalar, or `(loss, aux)` with a dict of scalars to report.
        x0: pytree. Its floating-point arrays, real or complex, are the parameters; the rest is passed on.
        optimiser: `LBFGS()`, `Adam()`, `GradientDescent()`; `GaussNewton(…)`, `Newton(…)` with hooks into the problem.
        tol: the loss to reach.
        gtol: the gradient norm to reach; 0 asks for the loss alone.
        max_steps: bound on the number of steps. The histories take 16 bytes for each.
        above: name -> a value that is known, as that of the minimum; the loss above it is reported under the name.

    Returns:
        A `Minimum`.

    Raises:
        InputError: `x0` holds no parameters, or `fun` does not return a real scalar.

    Examples:
        >>> bowl = lambda x: jnp.sum((x - 1) ** 2)
        >>> found = minimise(Run.null(), "fit", bowl, jnp.zeros(3), tol=1e-12, max_steps=50)
        >>> found.converged, found.x.round(6).tolist()
        (True, [1.0, 1.0, 1.0])
    """
    vector, rebuild = _as_vector(x0)
    loss_of, aux_of = _split(name, lambda v: fun(rebuild(v)), vector)

    @jax.jit
    def start(x: Array) -> _State:
        loss, gradient = jax.value_and_grad(loss_of)(x)
        finished, result = _judge(loss, gradient, tol, gtol)
        return _State(
            point=Point(x=x, loss=loss, gradient=gradient, memory=optimiser.init(x), stuck=jnp.asarray(0)),
            step=jnp.asarray(0),
            finished=finished,
            result=result,
            histories=jnp.full((max_steps + 1, 2), jnp.nan, x.dtype).at[0].set(_entry(loss, gradient)),
        )

    def step(state: _State) -> _State:
        old, new = state.point, optimiser.step(loss_of, state.point)
        finished, result = _judge(new.loss, new.gradient, tol, gtol)
        stalled = ~finished & (new.stuck >= _STUCK_STEPS)
        broken = result == RESULTS.nonfinite
        return _State(
            point=Point(
                x=jnp.where(broken, old.x, new.x),
                loss=jnp.where(broken, old.loss, new.loss),
                gradient=jnp.where(broken, old.gradient, new.gradient),
                memory=new.memory,
                stuck=new.stuck,
            ),
            step=state.step + 1,
            finished=finished | stalled,
            result=RESULTS.where(stalled, RESULTS.stalled, result),
            histories=state.histories.at[state.step + 1].set(_entry(new.loss, new.gradient)),
        )

    @jax.jit
    def advance(state: _State, n: Array) -> _State:
        last = jnp.minimum(state.step + n, max_steps)
        return jax.lax.while_loop(lambda state: (state.step < last) & ~state.finished, step, state)

    def report(state: _State) -> dict[str, Any]:
        return {
            "loss": state.point.loss,
            "gradient_norm": _norm(state.point.gradient),
            **{name: state.point.loss - value for name, value in (above or {}).items()},
            **aux_of(state.point.x),
        }

    state = run.loop(
        name,
        start(vector),
        advance,
        max_steps=max_steps,
        report=report,
        done=lambda state: bool(state.finished),
    )
    steps = int(state.step)
    losses, norms = np.asarray(state.histories)[: steps + 1].T
    return Minimum(
        x=rebuild(state.point.x),
        loss=float(state.point.loss),
        gradient_norm=float(_norm(state.point.gradient)),
        steps=steps,
        result=state.result,
        history=losses,
        gradient_history=norms,
    )


class _State(eqx.Module):
    """The loop's state. While it runs, its result is `max_steps_reached`."""

    point: Point
    step: Int[Array, ""]
    finished: Bool[Array, ""]
    result: RESULTS
    histories: Float[Array, "max_steps_and_one 2"]  # losses and gradient norms


def _judge(loss: Array, gradient: Array, tol: float, gtol: float) -> tuple[Array, RESULTS]:
    """Whether to stop at a point, and as what."""
    reached = (loss <= tol) | ((gtol > 0) & (_norm(gradient) <= gtol))
    broken = ~(jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient)))
    result = RESULTS.where(reached, RESULTS.successful, RESULTS.max_steps_reached)
    return reached | broken, RESULTS.where(broken, RESULTS.nonfinite, result)


def _norm(gradient: Array) -> Array:
    return jnp.linalg.norm(gradient)


def _entry(loss: Array, gradient: Array) -> Array:
    return jnp.stack([loss, _norm(gradient)])


def _split(
    name: str, fun: Callable[[Array], Any], x: Array
) -> tuple[Callable[[Array], Array], Callable[[Array], dict[str, Any]]]:
    """The loss, and the compiled function of the numbers to report beside it."""
    returned = jax.eval_shape(fun, x)
    has_aux = isinstance(returned, tuple)
    loss = returned[0] if has_aux else returned
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise InputError(f"the loss of {name!r} must be a real scalar, got {loss}")
    if not has_aux:
        return lambda x: fun(x).astype(x.dtype), lambda _x: {}
    return lambda x: fun(x)[0].astype(x.dtype), jax.jit(lambda x: fun(x)[1])


def _as_vector(x0: Any) -> tuple[Array, Callable[[Array], Any]]:
    """The parameters in `x0` as one real vector, and the map from such a vector to a pytree like `x0`."""
    x0 = jax.tree.map(lambda leaf: jnp.asarray(leaf) if eqx.is_inexact_array_like(leaf) else leaf, x0)
    parameters, rest = eqx.partition(x0, eqx.is_inexact_array)
    if not jax.tree.leaves(parameters):
        raise InputError("x0 holds no floating-point array to optimise")
    vector, unravel = ravel_pytree(
        jax.tree.map(lambda leaf: (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else leaf, parameters)
    )

    def rebuild(v: Array) -> Any:
        values = jax.tree.map(
            lambda leaf, value: jax.lax.complex(*value) if jnp.iscomplexobj(leaf) else value,
            parameters,
            unravel(v),
        )
        return eqx.combine(values, rest)

    return vector, rebuild
