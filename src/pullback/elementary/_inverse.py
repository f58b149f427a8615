"""Inverse functions: their derivatives on the right branch, and at the ends of their interval.

arccosh. The principal branch is log(z + √(z+1) √(z−1)), so that d arccosh(z) = dz / (√(z−1) √(z+1)). The product of
roots is not the root of the product: with √(z² − 1), as JAX has it, the sign is wrong in the left half plane.

arcsin, arccos. d = ± dx / √((1−x)(1+x)), factored: 1 − x² has lost the digits of 1 − x next to x = 1.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Inexact

from pullback.elementary._inexact import inexact
from pullback.external import with_partials


def arccosh(z: ArrayLike) -> Inexact[Array, "..."]:
    """Inverse hyperbolic cosine, real (z ≥ 1) or complex (principal branch); infinite derivative at z = 1."""
    return _arccosh(inexact("arccosh", z))


def arcsin(x: ArrayLike) -> Inexact[Array, "..."]:
    """Inverse sine; at x = ±1 its derivatives, which are infinite, are defined as 0."""
    return _within(jnp.arcsin, _arcsin, inexact("arcsin", x))


def arccos(x: ArrayLike) -> Inexact[Array, "..."]:
    """Inverse cosine; at x = ±1 its derivatives, which are infinite, are defined as 0.

    So the gradient of an angle between vectors is 0, not NaN, where they are parallel: the angle has a kink there.
    """
    return _within(jnp.arccos, _arccos, inexact("arccos", x))


def _within(value, function, x):
    """`function` between the ends; at the ends a constant, so that every derivative of every order is 0."""
    end = jnp.abs(x) == 1 if not jnp.iscomplexobj(x) else (x == 1) | (x == -1)
    return jnp.where(end, jax.lax.stop_gradient(value(x)), function(jnp.where(end, 0, x)))


# The slopes are functions with a rule of their own, g' = ∓z g³, which is infinite, not NaN, at the ends.
_arccosh_slope = with_partials(
    lambda z: 1 / (jnp.sqrt(z - 1) * jnp.sqrt(z + 1)),
    lambda z: -z * _arccosh_slope(z) ** 3,
)
_arcsin_slope = with_partials(
    lambda x: 1 / (jnp.sqrt(1 - x) * jnp.sqrt(1 + x)),
    lambda x: x * _arcsin_slope(x) ** 3,
)
_arccosh = with_partials(jnp.arccosh, _arccosh_slope)
_arcsin = with_partials(jnp.arcsin, _arcsin_slope)
_arccos = with_partials(jnp.arccos, lambda x: -_arcsin_slope(x))
