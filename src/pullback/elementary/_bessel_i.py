"""Modified Bessel functions I₀ and I₁ of a real argument, on the device, right at and near x = 0.

The functions Λ_n(x) = I_n(x)/xⁿ are even, entire and closed under differentiation: Λ_n′(x) = x Λ_{n+1}(x) (DLMF
10.29.4). I₀ = Λ₀ and I₁ = x Λ₁, and nothing is ever divided by x. Values of Λ_n, n ≥ 2: the power series, all of whose
terms are positive, for |x| < 12, where it needs 40 terms; the recurrence 2n Λ_n = Λ_{n−1} − x² Λ_{n+1} beyond.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pullback.elementary._inexact import inexact
from pullback.external import with_partials

_SERIES_BELOW = 12.0
_TERMS = 40


def i0(x: ArrayLike) -> Float[Array, "..."]:
    """Modified Bessel function of the first kind, I₀(x), real x (DLMF 10.25.2).

    The derivative of `jax.scipy.special.i0` at x = 0 is 1, where 0 is right.
    """
    return _scaled(0)(inexact("i0", x, real=True))


def i1(x: ArrayLike) -> Float[Array, "..."]:
    """Modified Bessel function of the first kind, I₁(x), real x (DLMF 10.25.2).

    The second derivative of `jax.scipy.special.i1` at x = 0 is 1, where 0 is right.
    """
    x = inexact("i1", x, real=True)
    return x * _scaled(1)(x)


@functools.cache
def _scaled(n):
    """Λ_n."""

    def value(x):
        if n == 0:
            return jax.scipy.special.i0(x)
        small = jnp.abs(x) < _SERIES_BELOW
        near, far = jnp.where(small, x, 0), jnp.where(small, _SERIES_BELOW, jnp.abs(x))
        if n == 1:
            large = jax.scipy.special.i1(far) / far
        else:
            large = (_scaled(n - 2)(far) - 2 * (n - 1) * _scaled(n - 1)(far)) / far**2
        return jnp.where(small, _series(n, near), large)

    return with_partials(value, lambda x: x * _scaled(n + 1)(x))


def _series(n, x):
    """Σ_k (x²/4)^k / (2ⁿ k! (n + k)!)."""
    y = x**2 / 4

    def horner(i, total):  # a loop, not unrolled: it is never differentiated
        k = jnp.asarray(_TERMS - i, x.dtype)
        return total * y / ((k + 1) * (n + k + 1)) + 1

    return jax.lax.fori_loop(0, _TERMS + 1, horner, jnp.zeros_like(y)) / np.float64(2.0**n * math.factorial(n)).astype(
        x.dtype
    )
