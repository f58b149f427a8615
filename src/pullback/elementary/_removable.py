"""Quotients of the form 0/0, written so that nothing singular is left to differentiate.

Near the removable singularity the function is its Taylor polynomial, elsewhere the quotient; each branch sees only
arguments at which it is regular, so that JAX's own differentiation is exact in every mode and order. The polynomials
carry more terms than the value needs: each derivative uses one up.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.elementary._inexact import inexact
from pullback.elementary._logarithms import xlogy
from pullback.external import with_partials

_SINC = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(14)]  # in (πx)², for |x| < 1/2
_SPENCE_UP = [
    1.00000000000000000126, 3.29771340985225106936, 4.25697156008121755724, 2.71149851196553469920,
    8.79691311754530315341e-1, 1.33847639578309018650e-1, 7.31589045238094711071e-3, 4.65128586073990045278e-5,
]  # fmt: skip
_SPENCE_DOWN = [
    9.99999999999999998740e-1, 3.54771340985225096217, 5.03278880143316990390, 3.63800533345137075418,
    1.41172597751831069617, 2.82974860602568089943e-1, 2.54043763932544379113e-2, 6.90990488912553276999e-4,
]  # fmt: skip
_LOG1P = [(-1.0) ** k / (k + 1) for k in range(20)]  # log(1 + y)/y in y, for |y| < 1/16


def sinc(x: ArrayLike) -> Inexact[Array, "..."]:
    """sin(πx)/(πx), real or complex; 1 at x = 0, where all derivatives are exact.

    `jnp.sinc` is exact at 0 itself, and loses its derivatives to cancellation next to it: its second derivative at
    1e-8 is −1.6, −4.7 or −6.0, depending on the mode, where −π²/3 = −3.29 is right.
    """
    x = inexact("sinc", x)
    small = jnp.abs(x) < 0.5
    near, far = jnp.pi * jnp.where(small, x, 0), jnp.pi * jnp.where(small, 1, x)
    return jnp.where(small, _polynomial(_SINC, near**2), jnp.sin(far) / far)


def spence(x: ArrayLike) -> Float[Array, "..."]:
    """Spence's function, the dilogarithm of 1 − x: ∫_1^x log(t)/(1 − t) dt for real x ≥ 0 (DLMF 25.12).

    Its derivative, log(x)/(1 − x), is exact at x = 1 and 2; at x = 0 it is −∞, which is right. The derivative of
    `jax.scipy.special.spence` is 0 at x = 1, and NaN in reverse mode at x = 1.0001 and x = 2.
    """
    return _spence(inexact("spence", x, real=True))


def _spence_slope(x):
    small = jnp.abs(x - 1) < 0.0625
    near, far = jnp.where(small, x - 1, 0), jnp.where(small, 2, x)
    return -jnp.where(small, _polynomial(_LOG1P, near), _log_quotient(far))


def _spence_value(x):
    """The rational function of Cephes on [1/2, 3/2], and the reflections of x to 1/x and 1 − x (DLMF 25.12.4, 25.12.6).

    `jax.scipy.special.spence` is this too, in `lax.switch`, which fails inside `jax.shard_map`.
    """
    inverted = x > 1.5
    z = jnp.where(inverted, 1 / jnp.where(inverted, x, 1), x)
    small = z < 0.5
    w = jnp.where(small, -z, z - 1)
    y = -w * _polynomial(_SPENCE_UP, w) / _polynomial(_SPENCE_DOWN, w)
    inside = small & (z > 0)
    y = jnp.where(small, jnp.pi**2 / 6 - jnp.log(jnp.where(inside, z, 1)) * jnp.log1p(-jnp.where(inside, z, 0)) - y, y)
    y = jnp.where(inverted, -(jnp.log(jnp.where(inverted, x, 1)) ** 2) / 2 - y, y)
    return jnp.where(x < 0, jnp.nan, y)


_spence = with_partials(_spence_value, _spence_slope)
# log(x)/(x − 1), with x log x taken as 0 at x = 0: a derivative that is infinite there, not ∞ − ∞.
_log_quotient = with_partials(
    lambda x: jnp.log(x) / (x - 1),
    lambda x: (1 - xlogy(x, x) / (x - 1)) / (x * (x - 1)),
)


def _polynomial(coefficients, y):
    total = jnp.zeros_like(y)
    for c in coefficients[::-1]:
        total = total * y + c
    return total
