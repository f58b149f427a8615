"""Powers at base 0.

The functions G_k(x, p) = x^p (log x)^k are closed under differentiation,

    ∂G_k/∂x = p G_k(x, p − 1) + k G_{k−1}(x, p − 1),        ∂G_k/∂p = G_{k+1}(x, p),

and at x = 0 their values are limits: 0 for p > 0, ±∞ for p < 0 or (k > 0, p = 0), and 0⁰ = 1. So x^p has its exact
derivatives there. Terms with a vanishing factor p are dropped before they multiply an infinity.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Inexact

from pullback.elementary._inexact import inexacts
from pullback.external import with_partials


def power(x: ArrayLike, p: ArrayLike) -> Inexact[Array, "..."]:
    """x**p with exact derivatives in base and exponent, also at x = 0 and whole or fractional p, to every order.

    Where a derivative is infinite (x**1.5, second order at 0) infinity is returned. 0**p jumps at p = 0: its derivative
    in p is defined as 0 there. For a negative real base the derivative in p is not real: NaN, if asked for.

    Args:
        x: base. p: exponent; whole numbers may be of integer type.
    """
    x, p = inexacts("power", x, p)
    return _logarithmic_power(0)(x, p)


@functools.cache
def _logarithmic_power(k):
    """G_k."""

    def value(x, p):
        if k == 0:
            return jnp.power(x, p)
        zero = x == 0
        regular = jnp.power(x, p) * jnp.log(jnp.where(zero, 1, x)) ** k
        at_zero = jnp.where(jnp.real(p) > 0, 0, (-1.0) ** k * jnp.inf)
        return jnp.where(zero, at_zero.astype(regular.dtype), regular)

    def in_base(x, p):
        out = jnp.where(p == 0, 0, p * _logarithmic_power(k)(x, jnp.where(p == 0, 1, p - 1)))
        return out + k * _logarithmic_power(k - 1)(x, p - 1) if k else out

    def in_exponent(x, p):
        jump = (x == 0) & (p == 0)
        return jnp.where(jump, 0, _logarithmic_power(k + 1)(jnp.where(jump, 1, x), p))

    return with_partials(value, in_base, in_exponent)
