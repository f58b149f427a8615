"""Arguments of a function that is checked."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pullback.core import InputError


def as_array(a: Any) -> Any:
    """Numbers as arrays of JAX; everything else as it is."""
    return jnp.asarray(a) if isinstance(a, (bool, int, float, complex, np.ndarray, np.generic)) else a


def flat_reals(name: str, tree: PyTree) -> tuple[Float[Array, " n"], Callable[[Array], PyTree]]:
    """A pytree of real arrays as one vector, and the way back.

    Raises:
        InputError: on behalf of the function `name`, if it is none.
    """
    leaves = jax.tree.leaves(tree)
    if not leaves or any(not jnp.issubdtype(jnp.result_type(a), jnp.floating) for a in leaves):
        raise InputError(f"{name}: needs a pytree of real numbers in floating point, got {tree!r}.")
    return ravel_pytree(jax.tree.map(jnp.asarray, tree))
