"""Matrices in units of their largest entry: LAPACK's eigenvalues of general matrices lose their scale beyond 1e±140."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact


def in_units(a: Inexact[Array, "m n"]) -> tuple[Inexact[Array, "m n"], Float[Array, ""]]:
    """(a / s, s) with a constant power of two s near the largest entry (nothing is rounded), 1 if there is none."""
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(a)))
    usable = (largest > 0) & jnp.isfinite(largest)
    s = jnp.exp2(jnp.floor(jnp.log2(jnp.where(usable, largest, 1))))
    return a / s.astype(a.dtype), s
