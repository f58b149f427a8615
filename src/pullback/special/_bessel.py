"""Bessel, Hankel and modified Bessel functions of real order (DLMF chapter 10).

Derivatives by the recurrences that do not divide by the argument (DLMF 10.6.1, 10.29.1), so that the origin is an
ordinary point of J and I:

    C_v′ = (C_{v−1} − C_{v+1})/2  for J, Y, H⁽¹⁾, H⁽²⁾,
    I_v′ = (I_{v−1} + I_{v+1})/2,        K_v′ = −(K_{v−1} + K_{v+1})/2.

There is no rule for the derivative with respect to the order. At z = 0, where Y, K and H are infinite, derivatives
are infinite or NaN.
"""

import jax.numpy as jnp
import scipy.special
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback import elementary
from pullback.special._evaluate import evaluate


def jv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Bessel function of the first kind J_v(z), real order, real or complex z (DLMF 10.2.2)."""
    return evaluate(
        "jv", scipy.special.jv, {"v": v, "z": z}, {"z": lambda v, z: (jv(v - 1, z) - jv(v + 1, z)) / 2}, complex_in="z"
    )


def yv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Bessel function of the second kind Y_v(z), real order, z > 0 or complex (DLMF 10.2.3)."""
    return evaluate(
        "yv", scipy.special.yv, {"v": v, "z": z}, {"z": lambda v, z: (yv(v - 1, z) - yv(v + 1, z)) / 2}, complex_in="z"
    )


def iv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified Bessel function of the first kind I_v(z), real order, real or complex z (DLMF 10.25.2)."""
    return evaluate(
        "iv", scipy.special.iv, {"v": v, "z": z}, {"z": lambda v, z: (iv(v - 1, z) + iv(v + 1, z)) / 2}, complex_in="z"
    )


def kv(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified Bessel function of the second kind K_v(z), real order, z > 0 or complex (DLMF 10.25.3)."""
    return evaluate(
        "kv", scipy.special.kv, {"v": v, "z": z}, {"z": lambda v, z: -(kv(v - 1, z) + kv(v + 1, z)) / 2}, complex_in="z"
    )


def ive(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """exp(−|Re z|) I_v(z), which does not overflow; the derivative of |Re z| at Re z = 0 is taken as 0."""
    return _ive(v, z, elementary.abs(jnp.real(jnp.asarray(z))))


def _ive(v, z, r):
    """e^{−r} I_v(z) at r = |Re z|: holomorphic in z at fixed r."""
    return evaluate(
        "ive",
        lambda v, z, r: scipy.special.ive(v, z),
        {"v": v, "z": z, "r": r},
        {"z": lambda v, z, r: (_ive(v - 1, z, r) + _ive(v + 1, z, r)) / 2, "r": lambda v, z, r: -_ive(v, z, r)},
        complex_in="z",
    )


def kve(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """exp(z) K_v(z), which does not underflow."""
    return evaluate(
        "kve",
        scipy.special.kve,
        {"v": v, "z": z},
        {"z": lambda v, z: kve(v, z) - (kve(v - 1, z) + kve(v + 1, z)) / 2},
        complex_in="z",
    )


def hankel1(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Hankel function H⁽¹⁾_v(z) = J_v(z) + i Y_v(z), an outgoing wave (DLMF 10.4.3); complex for real z too."""
    return evaluate(
        "hankel1",
        scipy.special.hankel1,
        {"v": v, "z": z},
        {"z": lambda v, z: (hankel1(v - 1, z) - hankel1(v + 1, z)) / 2},
        complex_in="z",
        complex_result=True,
    )


def hankel2(v: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Hankel function H⁽²⁾_v(z) = J_v(z) − i Y_v(z), an incoming wave (DLMF 10.4.3); complex for real z too."""
    return evaluate(
        "hankel2",
        scipy.special.hankel2,
        {"v": v, "z": z},
        {"z": lambda v, z: (hankel2(v - 1, z) - hankel2(v + 1, z)) / 2},
        complex_in="z",
        complex_result=True,
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
