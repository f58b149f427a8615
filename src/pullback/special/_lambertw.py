"""Lambert's W: W e^W = z, hence W′ = e^{−W}/(1 + W), which is regular at z = 0 where W/(z (1 + W)) is 0/0.

Next to the branch point z = −1/e SciPy's values lose their digits (the branch −1 altogether). There W is found again
from q = 1 + W, which solves

    1 + (q − 1) e^q = q²/2 + q³/3 + q⁴/8 + … = p²/2,        p² = 2 (e z + 1),

by Newton's method, from q = ±(p − p²/3 + 11 p³/72), with z + 1/e formed without rounding.
"""

import math

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Complex

from pullback.core import complex_dtype, whole_number
from pullback.external import host_elementwise, with_partials
from pullback.special._evaluate import promoted

_INVERSE_E = (0.36787944117144233, -1.2428753672788363e-17)  # 1/e as a sum of two doubles
_SERIES = np.array([(k - 1) / math.factorial(k) for k in range(2, 16)])
_NEAR = 1e-3


def lambertw(z: ArrayLike, k: int = 0) -> Complex[Array, "..."]:
    """Branch k of Lambert's W function, W e^W = z (DLMF 4.13); complex for real z too.

    Real for k = 0 and z ≥ −1/e, and for k = −1 and −1/e ≤ z < 0. Infinite derivative at z = −1/e.

    Raises:
        InputError: `k` is not a Python integer.
    """
    return _branch(whole_number("lambertw", "the branch k", k))(*promoted("lambertw", "z", {"z": z}))


def _branch(k):
    def value(z):
        return host_elementwise(lambda z: _on_host(z, k), z, dtype=complex_dtype(z.dtype))

    def derivative(z):
        w = _branch(k)(z)
        return jnp.exp(-w) / (1 + w)

    return with_partials(value, derivative)


def _on_host(z, k):
    w = scipy.special.lambertw(z, k)
    z = np.asarray(z, complex)
    distance = (z + _INVERSE_E[0]) + _INVERSE_E[1]
    # The three branches that meet at −1/e: 0; −1 from the closed upper half plane; 1 from the lower.
    meets = {0: np.ones(z.shape, bool), -1: np.imag(z) >= 0, 1: np.imag(z) < 0}.get(k)
    if meets is None:
        return w
    near = meets & (np.abs(distance) < _NEAR)
    p = np.sqrt(2 * math.e * np.where(near, distance, 0)) * (1 if k == 0 else -1)
    q = p - p**2 / 3 + 11 / 72 * p**3
    for _ in range(3):
        excess = np.polyval(_SERIES[::-1], q) * q**2 - p**2 / 2
        slope = q * np.exp(q)
        q = q - np.where(slope == 0, 0, excess / np.where(slope == 0, 1, slope))
    return np.where(near, q - 1, w)
