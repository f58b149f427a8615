"""Rows of `pullback.special`: SciPy's special functions that JAX does not have, at regular points and at the origin."""

from functools import cache, partial

import numpy as np

from pullback import special
from pullback.trust._conformance._case import Case, rows
from pullback.trust._conformance._exact import each
from pullback.trust._conformance._plain import POSITIVE, UNIT, ZERO, X, Z

MODULUS = np.array([0.1, -0.7, 0.5, 0.9])


@cache
def special_rows() -> tuple[Case, ...]:
    """Bessel functions, elliptic integrals, error functions, polynomials and others."""

    def row(name, exact, points, *parameters):
        """`parameters`: orders and degrees, which come first."""
        inputs = {point: x if isinstance(x, tuple) else (x,) for point, x in points.items()}
        ours = partial(getattr(special, name), *parameters)
        return rows(name, inputs, each(exact, len(next(iter(inputs.values())))), ours=ours, theirs=None)

    anywhere, positive = {"regular": X, "0": ZERO, "complex": Z}, {"regular": POSITIVE}
    return (
        *row("jv", lambda mp: partial(mp.besselj, 2), anywhere, 2.0),
        *row("yv", lambda mp: partial(mp.bessely, 1), positive, 1.0),
        *row("iv", lambda mp: partial(mp.besseli, 1), anywhere, 1.0),
        *row("kv", lambda mp: partial(mp.besselk, mp.mpf("0.5")), positive, 0.5),
        *row("hankel1", lambda mp: partial(mp.hankel1, 1), positive, 1.0),
        *row("j0", lambda mp: partial(mp.besselj, 0), {"regular": X, "0": ZERO}),
        *row("k1", lambda mp: partial(mp.besselk, 1), positive),
        *row("spherical_jn", _spherical_bessel, {"regular": POSITIVE}, 1),
        *row("ellipk", lambda mp: mp.ellipk, {"regular": MODULUS, "0": ZERO}),
        *row("ellipe", lambda mp: mp.ellipe, {"regular": MODULUS, "0": ZERO}),
        *row("ellipkinc", lambda mp: mp.ellipf, {"regular": (X / 2, MODULUS), "m = 0": (X / 2, ZERO)}),
        *row("ellipeinc", lambda mp: mp.ellipe, {"regular": (X / 2, MODULUS), "m = 0": (X / 2, ZERO)}),
        *row("erfi", lambda mp: mp.erfi, {"regular": X, "0": ZERO, "complex": Z}),
        *row("dawsn", _dawson, {"regular": X, "0": ZERO, "large": 20 * POSITIVE}),
        *row("wofz", _faddeeva, {"complex": Z}),
        *row("lambertw", lambda mp: mp.lambertw, {"regular": (POSITIVE + 0j), "0": ZERO + 0j}),
        *row("hyperu", lambda mp: partial(mp.hyperu, 1, 2), positive, 1.0, 2.0),
        *row("eval_legendre", lambda mp: partial(mp.legendre, 3), {"regular": UNIT, "0": ZERO}, 3),
        *row("eval_hermite", lambda mp: partial(mp.hermite, 4), {"regular": X, "0": ZERO}, 4),
        *row("eval_genlaguerre", lambda mp: lambda x: mp.laguerre(3, mp.mpf("0.5"), x), {"regular": X}, 3, 0.5),
        *row("eval_chebyt", lambda mp: partial(mp.chebyt, 5), {"regular": UNIT}, 5),
        *row("eval_jacobi", lambda mp: lambda x: mp.jacobi(3, mp.mpf("0.5"), 1, x), {"regular": UNIT}, 3, 0.5, 1.0),
        *row("struve", lambda mp: partial(mp.struveh, 1), positive, 1.0),
        *row("zeta", lambda mp: mp.zeta, {"s and q": (POSITIVE + 2, POSITIVE)}),
        *row("loggamma", lambda mp: mp.loggamma, {"complex": Z}),
        *row("digamma", lambda mp: mp.digamma, {"complex": Z}),
    )  # fmt: skip


def _spherical_bessel(mp):
    return lambda x: mp.sqrt(mp.pi / (2 * x)) * mp.besselj(mp.mpf("1.5"), x)


def _dawson(mp):
    return lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-(x**2)) * mp.erfi(x)


def _faddeeva(mp):
    return lambda z: mp.exp(-(z**2)) * mp.erfc(-1j * z)
