"""Arguments of a function that is checked."""

from typing import Any

import jax.numpy as jnp
import numpy as np


def as_array(a: Any) -> Any:
    """Numbers as arrays of JAX; everything else as it is."""
    return jnp.asarray(a) if isinstance(a, (bool, int, float, complex, np.ndarray, np.generic)) else a
