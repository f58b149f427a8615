"""Checks of the times at which solutions are wanted."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from pullback.core import InputError, error_if


def check_times(name: str, ts: Array) -> None:
    """Refuses what are no times.

    Raises:
        InputError: fewer than two, not in one axis; not monotonic or not finite, where they can be seen.
    """
    if ts.ndim != 1 or len(ts) < 2:
        raise InputError(f"{name}: ts must be two times or more in one axis, got the shape {ts.shape}.")
    if not isinstance(ts, Tracer):
        steps = np.diff(np.asarray(ts))
        if not (np.all(steps > 0) or np.all(steps < 0)) or not np.isfinite(steps).all():
            raise InputError(f"{name}: ts must increase, or decrease, from each time to the next, and be finite.")


def monotonic(name: str, state: Array, ts: Array, *, forward: bool = False) -> Array:
    """The state, in a program that raises an error where the times it is given are not monotonic."""
    if not isinstance(ts, Tracer):
        return state
    steps = jnp.diff(ts)
    right = jnp.all(steps > 0) | (jnp.all(steps < 0) & (not forward))
    return error_if(state, ~right, f"{name}: ts must increase{'' if forward else ' or decrease'}, and be finite.")
