"""Functions of one matrix, for a batch of them."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def over_batch(fun: Callable[[Array], Any], a: Array, signature: str) -> Any:
    """`fun` of the matrix `a`, or of each matrix along its leading axes; signature as for `jnp.vectorize`."""
    return fun(a) if a.ndim == 2 else jnp.vectorize(fun, signature=signature)(a)
