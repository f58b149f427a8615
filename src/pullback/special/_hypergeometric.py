"""Tricomi's confluent hypergeometric function and Struve's function."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Float

from pullback.elementary import power
from pullback.external import host_elementwise
from pullback.special._evaluate import evaluate

_TERMS = 16


def hyperu(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Tricomi's confluent hypergeometric function U(a, b, x), real, x > 0 (DLMF 13.2.6; derivative 13.3.22)."""
    return evaluate(
        "hyperu", scipy.special.hyperu, {"a": a, "b": b, "x": x}, {"x": lambda a, b, x: -a * hyperu(a + 1, b + 1, x)}
    )


def _struve_slope(v, x):
    """H_v′ = [H_{v−1} − H_{v+1} + (x/2)^v / (√π Γ(v + 3/2))]/2 (DLMF 11.4.23–24); ∞ − ∞ at x = 0, hence the series."""
    small = jnp.abs(x) < 2
    near, far = jnp.where(small, x, 0), jnp.where(small, 2, x)
    extra = power(far / 2, v) * _reciprocal_gamma(v + 1.5) / jnp.sqrt(jnp.asarray(jnp.pi, x.dtype))
    recurrence = (struve(v - 1, far) - struve(v + 1, far) + extra) / 2
    series = jax.jvp(lambda y: _struve_series(v, y), (near,), (jnp.ones_like(near),))[1]
    return jnp.where(small, series, recurrence)


def struve(v: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Struve's function H_v(x), real order, x ≥ 0 or whole order and any real x (DLMF 11.2.1)."""
    return evaluate("struve", scipy.special.struve, {"v": v, "x": x}, {"x": _struve_slope})


def _struve_series(v, x):
    """(x/2)^{v+1} Σ_k (−x²/4)^k / (Γ(k + 3/2) Γ(k + v + 3/2))."""
    y, k = -(x**2) / 4, np.arange(_TERMS)
    coefficients = _reciprocal_gamma(v[..., None] + (k + 1.5).astype(v.dtype)) * scipy.special.rgamma(k + 1.5).astype(
        x.dtype
    )
    total = jnp.zeros_like(y)
    for i in k[::-1]:
        total = total * y + coefficients[..., i]
    return power(x / 2, v + 1) * total


def _reciprocal_gamma(x):
    return host_elementwise(scipy.special.rgamma, x, dtype=x.dtype)
