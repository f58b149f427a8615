r"""Regularised incomplete gamma functions P(a, x) and Q(a, x), with derivatives of all orders in both arguments.

In x: ∂P/∂x = x^{a−1} e^{−x} / Γ(a), with the powers of `_power` at x = 0. In a: with s^{a−1} e^{−s} / Γ(a) = ρ,

    ∂^k P/∂a^k = ∫_0^x ρ(s) B_k(log s − ψ(a), −ψ′(a), −ψ″(a), …) ds,

B_k the complete Bell polynomials (B_1 = y_1, B_2 = y_1² + y_2, …): the moments of log s about its mean ψ(a), so that
large terms do not cancel. They are evaluated on the host by Gauss–Legendre panels in log s, from the side of x that
has less weight (for k > 0 the integral over all s vanishes). Closed under differentiation:
∂_a P_k = P_{k+1}, and ∂_x P_k is the k-th derivative of the density in a, which JAX takes.

Source: R. J. Moore, Appl. Stat. 31, 330 (1982), for the problem.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy.special import comb, digamma, gammaln, polygamma

from pullback.elementary._inexact import inexacts
from pullback.elementary._power import power
from pullback.external import host_elementwise, with_partials

_PANELS = 48
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def gammainc(a: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Regularised lower incomplete gamma function P(a, x), a > 0, x ≥ 0 (DLMF 8.2.4).

    Derivatives in `a` and `x` to every order, also at x = 0 (one-sided; infinite where they are).
    """
    a, x = inexacts("gammainc", a, x, real=True)
    return _lower(0)(a, x)


def gammaincc(a: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Regularised upper incomplete gamma function Q(a, x) = 1 − P(a, x) (DLMF 8.2.4); derivatives as of `gammainc`."""
    a, x = inexacts("gammaincc", a, x, real=True)
    return _upper(a, x)


@functools.cache
def _lower(k):
    """P_k = ∂^k P/∂a^k."""

    def value(a, x):
        if k == 0:
            return jax.scipy.special.gammainc(a, x)
        return host_elementwise(functools.partial(_moment, k), a, x, dtype=jnp.result_type(a, x))

    return with_partials(value, lambda a, x: _lower(k + 1)(a, x), functools.partial(_density, k))


_upper = with_partials(
    jax.scipy.special.gammaincc,
    lambda a, x: -_lower(1)(a, x),
    lambda a, x: -_density(0, a, x),
)


def _density(k, a, x):
    """The k-th derivative of x^{a−1} e^{−x} / Γ(a) in a."""

    def density(a):
        zero = x == 0
        positive = jnp.where(zero, 1, x)
        log_gamma = jax.scipy.special.gammaln(a)
        regular = jnp.exp((a - 1) * jnp.log(positive) - positive - log_gamma)
        return jnp.where(zero, power(jnp.where(zero, x, 0), a - 1) * jnp.exp(-x - log_gamma), regular)

    for _ in range(k):
        density = _derivative(density)
    return density(a)


def _derivative(f):
    return lambda a: jax.jvp(f, (a,), (jnp.ones_like(a),))[1]


def _moment(k, a, x):
    """P_k on the host; k > 0."""
    a, x = np.broadcast_arrays(a, x)
    log_x = np.log(np.where(x > 0, x, 1.0))
    # The integrand in u = log s is e^{a u − s} times a polynomial in u. Both ways it is followed down to e^{−45} of its
    # largest value, on a grid that stretches as u leaves x: below, it may reach as far as 45/a.
    below = 45 / a + 1.2 * np.sqrt(90 / a)
    above = np.log(np.maximum(x, a) + 45 + 10 * np.sqrt(a)) - log_x
    side = np.where(x <= a, -1.0, 1.0)
    tau = ((np.arange(_PANELS)[:, None] + (_NODES + 1) / 2) / _PANELS).ravel()
    stretch = np.log1p(np.where(x <= a, below, above))[..., None]
    u = log_x[..., None] + side[..., None] * np.expm1(stretch * tau)
    weights = np.tile(_WEIGHTS / 2 / _PANELS, _PANELS) * stretch * np.exp(stretch * tau)
    mean, rest = a[..., None], [-polygamma(j, a)[..., None] for j in range(1, k)]
    bell = _bell(k, [u - digamma(mean), *rest])
    density = np.exp(mean * u - np.exp(u) - gammaln(mean))
    # Above x the sign changes: the integral over all s is zero.
    total = -side * np.sum(weights * density * bell, axis=-1)
    return np.where(x > 0, total, 0.0)


def _bell(k, y):
    """Complete Bell polynomial B_k(y_1, …, y_k): B_{n+1} = Σ_i C(n, i) B_{n−i} y_{i+1}."""
    b = [np.ones_like(y[0])]
    for n in range(k):
        b.append(sum(comb(n, i) * b[n - i] * y[i] for i in range(n + 1)))
    return b[k]
