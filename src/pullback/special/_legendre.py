"""Associated Legendre functions P_v^m(x), in a form that is right at x = ±1.

For m ≥ 0, P_v^m = (1 − x²)^{m/2} R_m with R_m = (−1)^m d^m P_v/dx^m (Condon–Shortley phase), so that R_m′ = −R_{m+1},
and P^{−m} = (−1)^m Γ(v−m+1)/Γ(v+m+1) P^m (DLMF 14.7.11, 14.9.3). For whole v the R_m are polynomials (Gegenbauer's),
and the only singular factor is the power of 1 − x², whose derivatives `elementary.power` knows.
"""

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Float

from pullback.elementary import power
from pullback.external import host_elementwise
from pullback.special._evaluate import evaluate


def _slope(m, v, x):
    k = jnp.abs(m)
    root = 1 - x**2
    first = jnp.where(k == 0, 0, k * x * power(root, jnp.where(k == 0, 1, k / 2 - 1)) * _reduced(k, v, x))
    phase = jnp.where(k % 2 == 0, 1, -1)
    ratio = host_elementwise(_ratio, m, v, dtype=x.dtype)
    return jnp.where(m < 0, phase * ratio, 1) * (-first - power(root, k / 2) * _reduced(k + 1, v, x))


def lpmv(m: ArrayLike, v: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Associated Legendre function of whole order m and real degree v ≥ 0, |x| ≤ 1, Condon–Shortley phase (DLMF 14.3).

    Exact at x = ±1 for whole v, where derivatives may be infinite (the first for |m| = 1, the second for |m| = 3). For
    other v the function is singular at x = −1. For whole v and m < −v derivatives are NaN.
    """
    return evaluate("lpmv", scipy.special.lpmv, {"m": m, "v": v, "x": x}, {"x": _slope})


def _reduced(m, v, x):
    """R_m(x) = (−1)^m d^m P_v/dx^m."""
    return evaluate(
        "_reduced", _reduced_on_host, {"m": m, "v": v, "x": x}, {"x": lambda m, v, x: -_reduced(m + 1, v, x)}
    )


def _reduced_on_host(m, v, x):
    m, v, x = np.broadcast_arrays(m, v, x)
    whole = v == np.floor(v)
    degree = np.where(whole & (v >= m), v - m, 0).astype(np.int64)
    double_factorial = 2.0**m * scipy.special.poch(0.5, m)  # (2m − 1)!!
    polynomial = np.where(v >= m, double_factorial * scipy.special.eval_gegenbauer(degree, m + 0.5, x), 0.0)
    series = scipy.special.hyp2f1(m - v, v + m + 1, m + 1, (1 - x) / 2)
    general = scipy.special.poch(v - m + 1, 2 * m) / (2.0**m * scipy.special.gamma(m + 1)) * series
    return (-1.0) ** m * np.where(whole, polynomial, general)


def _ratio(m, v):
    """Γ(v−k+1)/Γ(v+k+1) with k = |m|; NaN for whole v < k, where P^{−k} is not a multiple of P^k."""
    k = np.abs(m)
    return np.where((v == np.floor(v)) & (v < k), np.nan, 1 / scipy.special.poch(v - k + 1, 2 * k))
