"""What the solvers of differential equations are given: checks, and the problem in its static form."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from pullback.core import (
    Adjoint,
    Backsolve,
    Checkpoint,
    Direct,
    InputError,
    Reversible,
    TwoLevel,
    error_if,
    hoist,
    inexact_arrays,
    is_varying,
    keeps_form,
    only_arrays,
    vary_like,
    whole_number,
)
from pullback.flows._steppers import Coupled, check, ready
from pullback.flows._steps import Problem
from pullback.flows._times import check_times

_STORED = 4 * 2**20  # bytes of states that the default adjoint stores before it takes two levels
_NOT_MONOTONIC = "ts must increase, or decrease, from each time to the next, and be finite."


class Method(NamedTuple):
    """The options that choose steps and derivatives; the name of the public function, for messages."""

    name: str
    rtol: float | None
    atol: float
    step_size: float | None
    stepper: Any
    adjoint: Adjoint | None
    max_steps: int


def prepare(
    f: Callable, y0: PyTree, ts: Array, params: PyTree, method: Method
) -> tuple[Problem, PyTree, Float[Array, " times"], tuple]:
    """(problem, start, times, what f is given and closes over), once all makes sense.

    Raises:
        InputError: it does not.
    """
    name = method.name
    y0 = inexact_arrays(name, "y0", y0)
    ts = _times(name, ts, y0)
    only_arrays(name, "params", params)
    found = jax.eval_shape(f, ts[0], y0, params)
    keeps_form(name, found, y0, "f(t, y, params)", "y0", promotes=True, hint="Pass a complex y0.")
    rtol = _tolerances(method, float(jnp.finfo(ts.dtype).eps))
    max_steps = whole_number(name, "max_steps", method.max_steps)
    if max_steps < 1:
        raise InputError(f"{name}: max_steps is {max_steps}; at least one step is needed.")
    adaptive = method.step_size is None
    check(method.stepper, adaptive=adaptive)
    controller = None
    if adaptive:
        order = method.stepper.order(diffrax.ODETerm(lambda t, y, args: y))
        controller = diffrax.PIDController(rtol, method.atol, error_order=order)

    def of_dtype(t, y, params):
        return jax.tree.map(lambda k, a: jnp.asarray(k, a.dtype), f(t, y, params), y)

    y0, ts, params = vary_like((y0, ts, params))
    closed, consts, _ = hoist(of_dtype, ts[0], y0, params)
    if is_varying(consts) and not is_varying(ts):  # inside shard_map f is traced again for what varies
        y0, ts, params = vary_like((y0, ts, params), consts)
        closed, consts, _ = hoist(of_dtype, ts[0], y0, params)
    size = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(y0))
    block = _stored_every(method, max_steps, size)
    bound = math.ceil(max_steps / (block or 1)) * (block or 1)
    stepper = ready(method.stepper, rtol, method.atol)
    if isinstance(method.adjoint, Reversible):
        stepper = _coupled(method, stepper, block or 1, float(jnp.finfo(ts.dtype).eps))
    problem = Problem(closed, stepper, controller, bound, len(ts), block, method.step_size)
    return problem, *vary_like((y0, ts, (consts, params)))


def checked_times(name: str, ys: PyTree, ts: Array) -> PyTree:
    """`ys`, in a program that raises an error if traced times are not monotonic."""
    if not isinstance(ts, Tracer):
        return ys
    steps = jnp.diff(ts)
    wrong = (jnp.any(steps > 0) & jnp.any(steps < 0)) | jnp.any(steps == 0)
    return error_if(ys, wrong, f"{name}: {_NOT_MONOTONIC}")


def _times(name: str, ts: Any, y0: PyTree[Array]) -> Array:
    real = jnp.result_type(*(a.real.dtype for a in jax.tree.leaves(y0)))
    ts = jnp.asarray(ts)
    if jnp.iscomplexobj(ts):
        raise InputError(f"{name}: ts must be real, got {ts.dtype}.")
    ts = ts.astype(real)
    check_times(name, ts)
    return ts


def _tolerances(method: Method, eps: float) -> float:
    """The relative tolerance; what is not given is 1e-8, or a little above rounding."""
    given = {"atol": method.atol, "rtol": method.rtol, "step_size": method.step_size}
    for what, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{method.name}: {what} must be positive, got {value}.")
    if method.rtol is not None and method.rtol < eps:
        raise InputError(
            f"{method.name}: rtol={method.rtol} is below rounding, {eps:.1e}; a few times that is the least that helps."
        )
    return max(1e-8 if method.rtol is None else method.rtol, 10 * eps)


def _stored_every(method: Method, max_steps: int, size: int) -> int | None:
    """Steps between stored states of `size` bytes; None: nothing is recomputed."""
    match method.adjoint:
        case None:
            return 1 if size * max_steps <= _STORED else math.isqrt(max_steps)
        case Checkpoint(every=every):
            return min(every, max_steps)
        case TwoLevel():
            return math.isqrt(max_steps)
        case Direct():
            return None
        case Reversible(checkpoint_every=every):
            return min(every or max_steps, max_steps)
        case Backsolve():
            if method.step_size is not None:
                raise InputError(
                    f"{method.name}: Backsolve chooses its own steps backwards: leave step_size out, or take another "
                    "adjoint."
                )
            return 1
    raise InputError(
        f"{method.name}: adjoint must be Checkpoint(m), TwoLevel(), Direct(), Reversible(), Backsolve() or None, got "
        f"{method.adjoint!r}."
    )


def _coupled(method: Method, stepper: Any, block: int, eps: float) -> Coupled:
    if stepper.tableau.implicit:
        raise InputError(
            f"{method.name}: Reversible is for explicit methods, {type(stepper).__name__} is implicit. Take "
            "adjoint=Checkpoint() or TwoLevel()."
        )
    coupling = method.adjoint.coupling  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    return Coupled(stepper, coupling or max(0.5, 1 - math.log(1 / eps) / (4 * block)))
