"""Groups of close eigenvalues in the complex plane."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Int

from pullback.core import vary_like


def clusters(w: Complex[Array, " n"], distance: Array | float) -> Int[Array, " n"]:
    """For each point the index of the first one that a chain of steps up to `distance` leads to."""
    w = jax.lax.stop_gradient(w)
    near = jnp.abs(w[:, None] - w[None, :]) <= distance

    def spread(label):
        return jnp.min(jnp.where(near, label[None, :], w.size), axis=1)

    first = vary_like(jnp.arange(w.size), w)
    labels = (first, spread(first))
    return jax.lax.while_loop(lambda s: jnp.any(s[0] != s[1]), lambda s: (s[1], spread(s[1])), labels)[1]


def same_cluster(w: Complex[Array, " n"], tol: float | None) -> Array:
    """True where eigenvalues i and j belong together; `tol` defaults to sqrt(eps) * max|w|."""
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(w)))
    label = clusters(w, jnp.sqrt(jnp.finfo(w.dtype).eps) * size if tol is None else tol)
    return label[:, None] == label[None, :]
