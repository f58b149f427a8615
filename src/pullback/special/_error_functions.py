r"""Faddeeva's function and its relatives: erfcx, erfi, Dawson's integral, the Voigt profile.

w(z) = e^{−z²} erfc(−iz) solves w′ = −2 z w + 2i/√π, and Dawson's integral D′ = 1 − 2 z D. For large |z| both right-hand
sides are differences of nearly equal numbers (of 16 digits, D′(100) keeps 12 and D″(100) 8). So the derivatives y_n of
each order are functions of their own, ∂y_n = y_{n+1}, evaluated on the host:

- |z| < 6.5: upwards, by y_{n+2} = −2 z y_{n+1} − 2 (n+1) y_n;
- |z| ≥ 6.5, Im z ≥ 0: w^{(n)} is the minimal solution of this recurrence, so the ratios y_{n+1}/y_n come from its
  continued fraction, downwards;
- Im z < 0: from w(z) = 2 e^{−z²} − w(−z).

Source: W. Gautschi, SIAM J. Numer. Anal. 7, 187 (1970).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Complex, Float, Inexact

from pullback.core import complex_dtype
from pullback.external import host_elementwise, with_partials
from pullback.special._evaluate import evaluate, promoted

_FAR = 6.5
_DEPTH = 16


def wofz(z: ArrayLike) -> Complex[Array, "..."]:
    """Faddeeva's function w(z) = exp(−z²) erfc(−iz) (DLMF 7.2.3); complex for real z too."""
    (z,) = promoted("wofz", "z", {"z": z})
    return _wofz(0)(z)


def erfcx(z: ArrayLike) -> Inexact[Array, "..."]:
    """Scaled complementary error function exp(z²) erfc(z) = w(iz), real or complex; full accuracy at large z."""
    (z,) = promoted("erfcx", "z", {"z": z})
    return _erfcx(0)(z)


def dawsn(z: ArrayLike) -> Inexact[Array, "..."]:
    """Dawson's integral exp(−z²) ∫_0^z exp(t²) dt, real or complex (DLMF 7.2.5); full accuracy at large z."""
    (z,) = promoted("dawsn", "z", {"z": z})
    return _dawsn(0)(z)


def erfi(z: ArrayLike) -> Inexact[Array, "..."]:
    """Imaginary error function −i erf(iz) = (2/√π) ∫_0^z exp(t²) dt, real or complex."""
    return evaluate(
        "erfi", scipy.special.erfi, {"z": z}, {"z": lambda z: 2 / math.sqrt(math.pi) * jnp.exp(z**2)}, complex_in="z"
    )


def voigt_profile(x: ArrayLike, sigma: ArrayLike, gamma: ArrayLike) -> Float[Array, "..."]:
    """Voigt profile: a Gaussian of standard deviation sigma ≥ 0 convolved with a Lorentzian of half width gamma ≥ 0.

    Re f(x + i gamma, sigma), f(ζ, σ) = w(ζ/(σ√2))/(σ√(2π)) (DLMF 7.19). Derivatives in all three arguments; they are
    exact at sigma = 0, the Lorentzian, through ∂f/∂σ = σ ∂²f/∂ζ².
    """
    x, sigma, gamma = promoted("voigt_profile", "", {"x": x, "sigma": sigma, "gamma": gamma})
    return _voigt(0)(jax.lax.complex(x, gamma), sigma).real


@functools.cache
def _wofz(n):
    return with_partials(
        lambda z: host_elementwise(functools.partial(_faddeeva, n), z, dtype=complex_dtype(z.dtype)),
        lambda z: _wofz(n + 1)(z),
    )


@functools.cache
def _erfcx(n):
    def on_host(z):
        if n == 0:
            return scipy.special.erfcx(z)
        out = 1j**n * _faddeeva(n, 1j * z)
        return out if np.iscomplexobj(z) else out.real

    return with_partials(lambda z: host_elementwise(on_host, z, dtype=z.dtype), lambda z: _erfcx(n + 1)(z))


@functools.cache
def _dawsn(n):
    def on_host(z):
        out = _dawson(n, np.asarray(z, complex))
        return out if np.iscomplexobj(z) else out.real

    return with_partials(lambda z: host_elementwise(on_host, z, dtype=z.dtype), lambda z: _dawsn(n + 1)(z))


@functools.cache
def _voigt(n):
    """∂^n f/∂ζ^n."""

    def on_host(zeta, sigma):
        zeta, sigma = np.broadcast_arrays(zeta, sigma)
        width = np.sqrt(2) * np.where(sigma == 0, 1.0, sigma)
        voigt = _faddeeva(n, zeta / width) / (width ** (n + 1) * math.sqrt(math.pi))
        lorentz = 1j / math.pi * (-1) ** n * math.factorial(n) / zeta ** (n + 1)
        return np.where(sigma == 0, lorentz, voigt)

    return with_partials(
        lambda zeta, sigma: host_elementwise(on_host, zeta, sigma, dtype=zeta.dtype),
        lambda zeta, sigma: _voigt(n + 1)(zeta, sigma),
        lambda zeta, sigma: sigma.astype(zeta.dtype) * _voigt(n + 2)(zeta, sigma),
    )


def _faddeeva(n, z):
    """w^{(n)}(z)."""
    z = np.asarray(z, complex)
    lower = np.imag(z) < 0
    if n == 0:
        return scipy.special.wofz(z)
    up = np.where(lower, -z, z)
    far = np.abs(up) >= _FAR
    close = np.where(far, 0, up)
    near = _upwards(n, close, scipy.special.wofz(close), 2j / math.sqrt(math.pi))
    out = np.where(far, scipy.special.wofz(up) * _ratios(n, np.where(far, up, _FAR)), near)
    return np.where(lower, 2 * _gaussian(n, np.where(lower, z, 0)) - (-1) ** n * out, out)


def _dawson(n, z):
    """D^{(n)}(z)."""
    if n == 0:
        return scipy.special.dawsn(z)
    far = np.abs(z) >= _FAR
    close = np.where(far, 0, z)
    near = _upwards(n, close, scipy.special.dawsn(close), 1.0)
    # D is odd, and D = (i√π/2)(e^{−z²} − w) a good formula in the upper half plane.
    sign = np.where(z.imag < 0, -1, 1)
    up = np.where(far, sign * z, 1j * _FAR)
    distant = 0.5j * math.sqrt(math.pi) * (_gaussian(n, up) - _faddeeva(n, up))
    return np.where(far, np.where(sign < 0, (-1) ** (n + 1), 1) * distant, near)


def _upwards(n, z, y, constant):
    below, y = y, constant - 2 * z * y
    for k in range(n - 1):
        below, y = y, -2 * z * y - 2 * (k + 1) * below
    return y


def _ratios(n, z):
    """w^{(n)}/w by the continued fraction r_k = −2 (k+1)/(2z + r_{k+1}), r_k = w^{(k+1)}/w^{(k)}."""
    product, r = np.ones_like(z), np.zeros_like(z)
    for k in range(n + _DEPTH, -1, -1):
        r = -2 * (k + 1) / (2 * z + r)
        if k < n:
            product = product * r
    return product


def _gaussian(n, z):
    """The n-th derivative of e^{−z²}."""
    below, y = np.zeros_like(z), np.exp(-(z**2))
    for k in range(n):
        below, y = y, -2 * z * y - 2 * k * below
    return y
