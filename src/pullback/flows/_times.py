"""Checks of the times at which solutions are wanted, and of the arrays that they start from."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, complex_dtype, error_if, refuse_half

Numbers = ArrayLike | Sequence[Any]  # an array, or a list that becomes one
_EITHER = {True: "", False: " or decrease"}


def state_and_times(
    name: str, what: str, state: Any, ts: Any, *, forward: bool = False, to_complex: bool = True
) -> tuple[Array, Array]:
    """The first state, called `what`, and the times as arrays of one precision.

    Raises:
        InputError: they are no arrays of numbers, or not finite, or no times (see `check_times`).
    """
    try:
        state, ts = jnp.asarray(state), jnp.asarray(ts)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {what} and ts must be arrays of numbers: {error}") from error
    if not jnp.issubdtype(state.dtype, jnp.number) or state.size == 0:
        raise InputError(f"{name}: {what} must be an array of numbers, got {state.dtype}{list(state.shape)}.")
    state = state if jnp.issubdtype(state.dtype, jnp.inexact) else state.astype(float)
    refuse_half(name, state.dtype, what)
    if to_complex:
        state = state.astype(complex_dtype(state.dtype))
    check_times(name, ts, forward=forward)
    if not isinstance(state, Tracer) and not np.isfinite(np.asarray(state)).all():
        raise InputError(f"{name}: {what} contains NaN or infinite entries.")
    return state, ts.astype(state.real.dtype)


def check_times(name: str, ts: Array, *, forward: bool = False) -> None:
    """Refuses what are no times.

    Raises:
        InputError: fewer than two, not in one axis; not monotonic (not increasing, if `forward`) or not finite, where
            they can be seen.
    """
    if ts.ndim != 1 or len(ts) < 2:
        raise InputError(f"{name}: ts must be two times or more in one axis, got the shape {ts.shape}.")
    if not isinstance(ts, Tracer):
        steps = np.diff(np.asarray(ts))
        right = np.all(steps > 0) or (np.all(steps < 0) and not forward)
        if not right or not np.isfinite(steps).all():
            raise InputError(f"{name}: ts must increase{_EITHER[forward]} from each time to the next, and be finite.")


def monotonic(name: str, state: Array, ts: Array, *, forward: bool = False) -> Array:
    """The state, in a program that raises an error where the times it is given are not monotonic."""
    if not isinstance(ts, Tracer):
        return state
    steps = jnp.diff(ts)
    right = jnp.all(steps > 0) | (jnp.all(steps < 0) & (not forward))
    return error_if(state, ~right, f"{name}: ts must increase{_EITHER[forward]}, and be finite.")
