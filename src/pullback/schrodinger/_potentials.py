"""Model potentials: immutable functions of x, with exact levels where they are known. Hartree atomic units.

Sources: P. M. Morse, Phys. Rev. 34, 57 (1929); G. Pöschl and E. Teller, Z. Phys. 83, 143 (1933).
"""

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from pullback.core import InputError


class Harmonic(eqx.Module):
    """V = ω² (x - x0)² / 2; E_n = ω (n + ½)."""

    omega: float | Float[Array, ""] = 1.0
    center: float | Float[Array, ""] = 0.0

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return (self.omega * (x - self.center)) ** 2 / 2

    def levels(self, k: int) -> Float[Array, " k"]:
        """The k lowest levels, in hartree."""
        return self.omega * (jnp.arange(k) + 0.5)


class Morse(eqx.Module):
    """V = D (1 - e^{-a (x - x0)})² - D; E_n = -D + ω (n + ½) - (a (n + ½))² / 2 with ω = a sqrt(2 D)."""

    depth: float | Float[Array, ""] = 10.0
    inverse_range: float | Float[Array, ""] = 1.0
    center: float | Float[Array, ""] = 0.0

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return self.depth * ((1 - jnp.exp(-self.inverse_range * (x - self.center))) ** 2 - 1)

    def levels(self, k: int) -> Float[Array, " k"]:
        """The k lowest levels, in hartree. Raises `InputError` where fewer are bound."""
        root = jnp.sqrt(2 * self.depth)
        _require_bound(k, root / self.inverse_range - 0.5)
        ladder = self.inverse_range * (jnp.arange(k) + 0.5)
        return -self.depth + root * ladder - ladder**2 / 2


class PoschlTeller(eqx.Module):
    """V = -λ (λ + 1) / 2 · sech² x; E_n = -(λ - n)² / 2 for n < λ."""

    strength: float | Float[Array, ""] = 3.0

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return -self.strength * (self.strength + 1) / 2 / jnp.cosh(x) ** 2

    def levels(self, k: int) -> Float[Array, " k"]:
        """The k lowest levels, in hartree. Raises `InputError` where fewer are bound."""
        _require_bound(k, self.strength)
        return -((self.strength - jnp.arange(k)) ** 2) / 2


class DoubleWell(eqx.Module):
    """V = quartic · x⁴ - quadratic · x², with minima at ±sqrt(quadratic / 2 quartic); no closed form for its levels."""

    quartic: float | Float[Array, ""] = 0.25
    quadratic: float | Float[Array, ""] = 2.0

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return self.quartic * x**4 - self.quadratic * x**2


def _require_bound(k: int, bound: float | Float[Array, ""]) -> None:
    """Checks k against `bound`, above which n is not a level; skipped for traced parameters."""
    if not isinstance(bound, Tracer) and not k - 1 < float(bound) - 1e-12:
        raise InputError(f"{k} levels were asked for, but only those with n < {float(bound):g} are bound")
