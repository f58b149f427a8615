"""Checks of the times at which solutions are wanted."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, error_if

Numbers = ArrayLike | Sequence[Any]  # an array, or a list that becomes one
_EITHER = {True: "", False: " or decrease"}


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
