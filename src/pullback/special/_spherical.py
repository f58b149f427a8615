"""Spherical Bessel functions of whole order n ≥ 0, real or complex argument (DLMF 10.47).

Derivatives by the recurrences that do not divide by the argument (DLMF 10.51.2, 10.51.5):

    (2n+1) f_n′ = n f_{n−1} − (n+1) f_{n+1}  for j, y;    n f_{n−1} + (n+1) f_{n+1}  for i;    −(…)  for k.

j and i are entire: the origin is an ordinary point. At z = 0, where y and k are infinite, derivatives are infinite or
NaN.
"""

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Inexact

from pullback.special._evaluate import evaluate


def _neighbours(f, n, z, sign):
    below, above = f(jnp.maximum(n - 1, 0), z), f(n + 1, z)
    n = n.astype(above.dtype)
    return (n * below + sign * (n + 1) * above) / (2 * n + 1)  # f_{−1} has the factor n = 0, and may be infinite


def _whole(function):
    """`function` with the order as an integer, as SciPy wants it."""
    return lambda n, z: function(n.astype(np.int64), z)


def spherical_jn(n: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Spherical Bessel function of the first kind j_n(z) (DLMF 10.47.3)."""
    return evaluate(
        "spherical_jn",
        _whole(scipy.special.spherical_jn),
        {"n": n, "z": z},
        {"z": lambda n, z: _neighbours(spherical_jn, n, z, -1)},
        complex_in="z",
    )


def spherical_yn(n: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Spherical Bessel function of the second kind y_n(z) (DLMF 10.47.4)."""
    return evaluate(
        "spherical_yn",
        _whole(scipy.special.spherical_yn),
        {"n": n, "z": z},
        {"z": lambda n, z: _neighbours(spherical_yn, n, z, -1)},
        complex_in="z",
    )


def spherical_in(n: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified spherical Bessel function of the first kind i_n(z) (DLMF 10.47.7)."""
    return evaluate(
        "spherical_in",
        _whole(scipy.special.spherical_in),
        {"n": n, "z": z},
        {"z": lambda n, z: _neighbours(spherical_in, n, z, 1)},
        complex_in="z",
    )


def spherical_kn(n: ArrayLike, z: ArrayLike) -> Inexact[Array, "..."]:
    """Modified spherical Bessel function of the second kind k_n(z) (DLMF 10.47.9)."""
    return evaluate(
        "spherical_kn",
        _whole(scipy.special.spherical_kn),
        {"n": n, "z": z},
        {"z": lambda n, z: -_neighbours(spherical_kn, n, z, 1)},
        complex_in="z",
    )
