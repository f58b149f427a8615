r"""The Gamma function at complex argument, and Riemann's and Hurwitz' zeta functions.

ζ(s, q) by Euler–Maclaurin summation (DLMF 25.11.28, with the remainder dropped),

    ζ(s, q) ≈ Σ_{k<N} (q+k)^{−s} + Q^{1−s}/(s−1) + Q^{−s}/2 + Σ_{j≤M} B_{2j}/(2j)! (s)_{2j−1} Q^{−s−2j+1},   Q = q + N,

an elementary function of both arguments, real or complex, that JAX differentiates; where Re s < 0, ζ(s) by the
reflection formula (DLMF 25.4.2). The polygamma functions at complex z are derivatives of ψ′(z) = ζ(2, z).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Inexact

from pullback.core import InputError, whole_number
from pullback.special._evaluate import evaluate, promoted

_SHIFT = 12
_BERNOULLI = [float(b) / math.factorial(2 * j) for j, b in enumerate(scipy.special.bernoulli(24)[2::2], start=1)]


def gamma(z: ArrayLike) -> Inexact[Array, "..."]:
    """Γ(z), real or complex (DLMF 5.2.1)."""
    return evaluate("gamma", scipy.special.gamma, {"z": z}, {"z": lambda z: gamma(z) * digamma(z)}, complex_in="z")


def loggamma(z: ArrayLike) -> Inexact[Array, "..."]:
    """log Γ(z), the branch that is analytic off the negative axis; NaN for real z < 0, where `gammaln` is meant."""
    return evaluate("loggamma", scipy.special.loggamma, {"z": z}, {"z": lambda z: digamma(z)}, complex_in="z")


def digamma(z: ArrayLike) -> Inexact[Array, "..."]:
    """ψ(z) = Γ′(z)/Γ(z), real or complex (DLMF 5.2.2)."""
    return evaluate("digamma", scipy.special.digamma, {"z": z}, {"z": lambda z: polygamma(1, z)}, complex_in="z")


def polygamma(n: int, z: ArrayLike) -> Inexact[Array, "..."]:
    """The n-th derivative of ψ(z), real or complex (DLMF 5.15).

    Raises:
        InputError: `n` is not a non-negative Python integer.
    """
    n = whole_number("polygamma", "n", n)
    if n < 0:
        raise InputError(f"polygamma: n must be a non-negative Python integer, got {n!r}.")
    (z,) = promoted("polygamma", "z", {"z": z})
    if n == 0:
        return digamma(z)
    function = _trigamma
    for _ in range(n - 1):
        function = _derivative(function)
    return function(z)


def zeta(x: ArrayLike, q: ArrayLike | None = None) -> Inexact[Array, "..."]:
    """Riemann's ζ(x), or Hurwitz' ζ(x, q) = Σ_k (q + k)^(−x), with derivatives in both (DLMF 25.2.1, 25.11.1).

    Args:
        x: real or complex; x = 1 is the pole. With `q`, accuracy is lost for Re x < −1.
        q: Re q > 0. Default 1, Riemann's function, which is accurate at every x.
    """
    if q is None:
        (x,) = promoted("zeta", "x", {"x": x})
        left = jnp.real(x) < 0
        s = jnp.where(left, x, -1)
        # sin(πs/2) by its period of 4, so that the zeros at negative even s are exact.
        turns = jax.lax.stop_gradient(jnp.round(jnp.real(s) / 2))
        sine = jnp.sin(jnp.pi / 2 * (s - 2 * turns)) * jnp.where(turns % 2 == 0, 1, -1)
        reflection = 2 * (2 * jnp.pi) ** (s - 1) * sine * gamma(1 - s)
        return jnp.where(left, reflection, 1) * _hurwitz(jnp.where(left, 1 - x, x), jnp.ones_like(x))
    x, q = promoted("zeta", "x q", {"x": x, "q": q})
    return _hurwitz(x, q)


def _hurwitz(s, q):
    s, q = (a.astype(np.promote_types(s.dtype, q.dtype)) for a in jnp.broadcast_arrays(s, q))
    top, shifts = q + _SHIFT, np.arange(_SHIFT, dtype=q.dtype).reshape((1,) * q.ndim + (-1,))
    near = jnp.sum((q[..., None] + shifts) ** -s[..., None], axis=-1)
    total = near + top ** (1 - s) / (s - 1) + top**-s / 2
    term = s * top ** (-s - 1)
    for j, b in enumerate(_BERNOULLI, start=1):
        total += b * term
        term = term * (s + 2 * j - 1) * (s + 2 * j) / top**2
    return total


def _trigamma(z):
    """ψ′(z) = ζ(2, z), and by reflection, (π/sin πz)² − ψ′(1 − z), in the left half plane (DLMF 5.15.6)."""
    left = jnp.real(z) < 0.5
    s = jnp.where(left, z, 0.5)
    s = s - jax.lax.stop_gradient(jnp.round(jnp.real(s))).astype(s.dtype)
    direct = _hurwitz(jnp.asarray(2, z.dtype), jnp.where(left, 1 - z, z))
    return jnp.where(left, (jnp.pi / jnp.sin(jnp.pi * s)) ** 2 - direct, direct)


def _derivative(f):
    return lambda z: jax.jvp(f, (z,), (jnp.ones_like(z),))[1]
