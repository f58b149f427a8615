"""Special functions with SciPy's names and argument order, differentiable in every mode and order.

Values come from SciPy on the host; derivatives are functions of the same family, so that they need no differences, no
series of their own and no division that is 0/0 at the origin. Bessel functions are differentiable in the order, too.
Other orders, degrees and parameters that no docstring names as differentiable have no derivative: asking for one raises
`pullback.core.MissingDerivativeError`.
"""

from pullback.elementary import i0, i1
from pullback.special._airy import airy
from pullback.special._bessel import hankel1, hankel2, iv, ive, j0, j1, jv, k0, k1, kv, kve, y0, y1, yv
from pullback.special._elliptic import ellipe, ellipeinc, ellipj, ellipk, ellipkinc, ellipkm1
from pullback.special._error_functions import dawsn, erfcx, erfi, voigt_profile, wofz
from pullback.special._gamma import digamma, gamma, loggamma, polygamma, zeta
from pullback.special._hypergeometric import hyperu, struve
from pullback.special._lambertw import lambertw
from pullback.special._legendre import lpmv
from pullback.special._polynomials import (
    eval_chebyt,
    eval_chebyu,
    eval_gegenbauer,
    eval_genlaguerre,
    eval_hermite,
    eval_hermitenorm,
    eval_jacobi,
    eval_laguerre,
    eval_legendre,
)
from pullback.special._spherical import spherical_in, spherical_jn, spherical_kn, spherical_yn

__all__ = [
    # Bessel functions
    "hankel1",
    "hankel2",
    "i0",
    "i1",
    "iv",
    "ive",
    "j0",
    "j1",
    "jv",
    "k0",
    "k1",
    "kv",
    "kve",
    "y0",
    "y1",
    "yv",
    # spherical Bessel functions
    "spherical_in",
    "spherical_jn",
    "spherical_kn",
    "spherical_yn",
    # Airy functions
    "airy",
    # elliptic integrals and functions
    "ellipe",
    "ellipeinc",
    "ellipj",
    "ellipk",
    "ellipkinc",
    "ellipkm1",
    # error functions
    "dawsn",
    "erfcx",
    "erfi",
    "voigt_profile",
    "wofz",
    # Gamma and zeta functions
    "digamma",
    "gamma",
    "loggamma",
    "polygamma",
    "zeta",
    # orthogonal polynomials and Legendre functions
    "eval_chebyt",
    "eval_chebyu",
    "eval_gegenbauer",
    "eval_genlaguerre",
    "eval_hermite",
    "eval_hermitenorm",
    "eval_jacobi",
    "eval_laguerre",
    "eval_legendre",
    "lpmv",
    # others
    "hyperu",
    "lambertw",
    "struve",
]
