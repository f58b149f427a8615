"""Rows of plain `jax.scipy.stats`: the t, normal and multivariate normal distributions."""

from functools import cache

import jax.numpy as jnp
import jax.scipy.stats  # noqa: F401  (jax.scipy loads its parts on demand)
import numpy as np
from jax.scipy.special import betainc

from pullback.trust._conformance._case import Case, generic_direction
from pullback.trust._conformance._matrices import hermitian_direction, rotated
from pullback.trust._conformance._plain import POSITIVE, ZERO, X, elementwise, on_arrays

TAIL = np.array([-38.0, -20.0, -6.0, 6.0])


@cache
def probability_rows() -> tuple[Case, ...]:
    """t.pdf … norm.logcdf."""
    t_points = {"regular": (X, POSITIVE + 1), "x = 0": (ZERO, POSITIVE + 1)}
    points = {"regular": X, "tails": TAIL}
    mean, covariance = np.array([0.2, -0.4, 0.9]), rotated([0.3, 1.0, 2.5])
    normal = {"regular": (np.array([0.3, -0.7, 1.2]), mean, covariance), "at the mean": (mean, mean, covariance)}

    def t_cdf_of(mp):
        def cdf(x):
            nu = mp.mpf(3)
            scale = mp.gamma((nu + 1) / 2) / (mp.sqrt(nu * mp.pi) * mp.gamma(nu / 2))
            return mp.mpf(1) / 2 + x * scale * mp.hyp2f1(mp.mpf(1) / 2, (nu + 1) / 2, mp.mpf(3) / 2, -(x**2) / nu)

        return cdf

    def upper(mp):
        return lambda x: mp.erfc(-x / mp.sqrt(2)) / 2

    return (
        *elementwise("scipy.stats.t.pdf", lambda mp: lambda x, nu: mp.exp(_t_log_density(mp, x, nu)), t_points),
        *elementwise("scipy.stats.t.logpdf", lambda mp: lambda x, nu: _t_log_density(mp, x, nu), t_points),
        *elementwise("scipy.stats.t.cdf", t_cdf_of, {"betainc, regular": X, "betainc, x = 0": ZERO}, theirs=_t_cdf),
        *elementwise("scipy.stats.t.logcdf", lambda mp: lambda x: mp.log(t_cdf_of(mp)(x)),
                     {"log betainc, regular": X, "log betainc, x = 0": ZERO}, theirs=_t_logcdf),
        *on_arrays("scipy.stats.multivariate_normal.logpdf", normal, exact=_mvn_log_density,
                   direction=_covariance_direction),
        *on_arrays("scipy.stats.multivariate_normal.pdf", normal, direction=_covariance_direction,
                   exact=lambda mp: lambda *a: mp.exp(_mvn_log_density(mp)(*a))),
        *on_arrays("scipy.stats.multivariate_normal.entropy", {"by slogdet": covariance}, theirs=_mvn_entropy,
                   direction=_covariance_direction,
                   exact=lambda mp: lambda c: mp.log(mp.det(mp.matrix((2 * mp.pi * mp.e * c).tolist()))) / 2),
        *elementwise("scipy.stats.norm.pdf", lambda mp: mp.npdf, points),
        *elementwise("scipy.stats.norm.logpdf", lambda mp: lambda x: mp.log(mp.npdf(x)), points),
        *elementwise("scipy.stats.norm.cdf", upper, points),
        *elementwise("scipy.stats.norm.logcdf", lambda mp: lambda x: mp.log(upper(mp)(x)), points),
    )  # fmt: skip


def _t_log_density(mp, x, nu):
    return (
        mp.loggamma((nu + 1) / 2) - mp.loggamma(nu / 2) - mp.log(nu * mp.pi) / 2 - (nu + 1) / 2 * mp.log(1 + x**2 / nu)
    )


def _t_cdf(x, nu=3.0):
    """Student's distribution function in a form that is smooth at x = 0."""
    r = jnp.sqrt(x**2 + nu)
    return betainc(nu / 2, nu / 2, (x + r) / (2 * r))


def _t_logcdf(x):
    return jnp.log(_t_cdf(x))


def _mvn_log_density(mp):
    def log_density(x, mean, covariance):
        c, d = mp.matrix(covariance.tolist()), mp.matrix((x - mean).tolist())
        return -((d.T * mp.inverse(c) * d)[0] + mp.log(mp.det(2 * mp.pi * c))) / 2

    return log_density


def _mvn_entropy(covariance):
    n = len(covariance)
    return (n * jnp.log(2 * jnp.pi * jnp.e) + jnp.linalg.slogdet(covariance)[1]) / 2


def _covariance_direction(x, position):
    return hermitian_direction(x) if x.ndim == 2 else generic_direction(x, position)
