"""Bessel, Hankel and modified Bessel functions of real order (DLMF chapter 10).

Derivatives in z by the recurrences that do not divide by the argument (DLMF 10.6.1, 10.29.1), so that the origin is an
ordinary point of J and I:

    C_v′ = (C_{v−1} − C_{v+1})/2  for J, Y, H⁽¹⁾, H⁽²⁾,
    I_v′ = (I_{v−1} + I_{v+1})/2,        K_v′ = −(K_{v−1} + K_{v+1})/2.

They are linear with constant coefficients, so the derivatives ∂_v^m C_v in the order, which are integrals evaluated on
the host (`_bessel_integrals.py`), obey them too: every order and every mixed order follows. For the scaled functions
the recurrences would subtract nearly equal numbers at large z; their derivatives in z are integrals as well.

At z = 0, where Y, K and H are infinite, derivatives are infinite or NaN. Derivatives in the order are NaN where they
are not real, at real z < 0.
"""

from functools import cache, partial

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.external import host_elementwise, with_partials
from pullback.special._bessel_integrals import order_derivative, scaled_i, scaled_k
from pullback.special._evaluate import evaluate, promoted


def jv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Bessel function of the first kind J_v(z), real order, real or complex z (DLMF 10.2.2)."""
    return _plain("jv", 0)(v, z)


def yv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Bessel function of the second kind Y_v(z), real order, z > 0 or complex (DLMF 10.2.3)."""
    return _plain("yv", 0)(v, z)


def iv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified Bessel function of the first kind I_v(z), real order, real or complex z (DLMF 10.25.2)."""
    return _plain("iv", 0)(v, z)


def kv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified Bessel function of the second kind K_v(z), real order, z > 0 or complex (DLMF 10.25.3).

    Derivatives in the order too, as the smoothness of a Matérn kernel needs.
    """
    return _plain("kv", 0)(v, z)


def hankel1(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Hankel function H⁽¹⁾_v(z) = J_v(z) + i Y_v(z), an outgoing wave (DLMF 10.4.3); complex for real z too."""
    return _plain("hankel1", 0)(v, z)


def hankel2(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Hankel function H⁽²⁾_v(z) = J_v(z) − i Y_v(z), an incoming wave (DLMF 10.4.3); complex for real z too."""
    return _plain("hankel2", 0)(v, z)


def ive(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """exp(−|Re z|) I_v(z), which does not overflow; the derivative of |Re z| at Re z = 0 is taken as 0."""
    v, z = promoted("ive", "z", {"v": v, "z": z})
    if not jnp.iscomplexobj(z):
        return _ive(0, 0)(v, z)
    # e^{−sz} I_v(z), s = sign Re z, is holomorphic and has small derivatives; the rest is a phase.
    sign = jnp.sign(z.real)
    return _ive(0, 0)(v, z) * jnp.exp(1j * sign * z.imag)


def kve(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """exp(z) K_v(z), which does not underflow."""
    return _kve(0, 0)(*promoted("kve", "z", {"v": v, "z": z}))


@cache
def _plain(name, m):
    """∂_v^m of one of the functions that are not scaled."""
    below, above = {"iv": (1, 1), "kv": (-1, -1)}.get(name, (1, -1))

    def in_z(v, z):
        function = _plain(name, m)
        return (below * function(v - 1, z) + above * function(v + 1, z)) / 2

    return partial(
        _evaluated,
        name,
        partial(order_derivative, name, m) if m else getattr(scipy.special, name),
        {"v": lambda v, z: _plain(name, m + 1)(v, z), "z": in_z},
    )


def _evaluated(name, values, derivatives, v, z):
    hankel = name.startswith("hankel")
    return evaluate(name, values, {"v": v, "z": z}, derivatives, complex_in="z", complex_result=hankel)


@cache
def _kve(m, n):
    values = partial(scaled_k, m, n) if m or n else scipy.special.kve
    return _scaled(_kve, m, n, values)


@cache
def _ive(m, n):
    def values(v, z):
        if m or n:
            return scaled_i(m, n, v, z)
        scaled = scipy.special.ive(v, z)
        return scaled * np.exp(-1j * np.sign(z.real) * z.imag) if np.iscomplexobj(z) else scaled

    return _scaled(_ive, m, n, values)


def _scaled(family, m, n, values):
    return with_partials(
        lambda v, z: host_elementwise(values, v, z, dtype=z.dtype),
        lambda v, z: family(m + 1, n)(v, z),
        lambda v, z: family(m, n + 1)(v, z),
    )


def j0(x: ArrayLike) -> Float[Array, "..."]:
    """Bessel function of the first kind J_0(x), real x."""
    return evaluate("j0", scipy.special.j0, {"x": x}, {"x": lambda x: -j1(x)})


def j1(x: ArrayLike) -> Float[Array, "..."]:
    """Bessel function of the first kind J_1(x), real x."""
    return evaluate("j1", scipy.special.j1, {"x": x}, {"x": lambda x: (j0(x) - jv(2, x)) / 2})


def y0(x: ArrayLike) -> Float[Array, "..."]:
    """Bessel function of the second kind Y_0(x), x > 0."""
    return evaluate("y0", scipy.special.y0, {"x": x}, {"x": lambda x: -y1(x)})


def y1(x: ArrayLike) -> Float[Array, "..."]:
    """Bessel function of the second kind Y_1(x), x > 0."""
    return evaluate("y1", scipy.special.y1, {"x": x}, {"x": lambda x: (y0(x) - yv(2, x)) / 2})


def k0(x: ArrayLike) -> Float[Array, "..."]:
    """Modified Bessel function of the second kind K_0(x), x > 0."""
    return evaluate("k0", scipy.special.k0, {"x": x}, {"x": lambda x: -k1(x)})


def k1(x: ArrayLike) -> Float[Array, "..."]:
    """Modified Bessel function of the second kind K_1(x), x > 0."""
    return evaluate("k1", scipy.special.k1, {"x": x}, {"x": lambda x: -(k0(x) + kv(2, x)) / 2})
