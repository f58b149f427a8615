r"""Elliptic integrals and Jacobi's elliptic functions, with derivatives in amplitude, argument and parameter m.

Textbook derivatives (DLMF 19.4) divide by m and by 1 − m, and are 0/0 at m = 0. Here instead

    I_{jk}(φ, m) = ∫_0^φ sin^{2j}θ (1 − m sin²θ)^{−k−1/2} dθ,        C_{jk}(p) = I_{jk}(π/2, 1 − p),

closed under differentiation without any division,

    ∂I_{jk}/∂φ = sin^{2j}φ (1 − m sin²φ)^{−k−1/2},
    ∂I_{jk}/∂m = (k + ½) I_{j+1,k+1},        dC_{jk}/dp = −(k + ½) C_{j+1,k+1},

with F = I_00, E = I_{0,−1}, K(m) = C_00(1 − m). SciPy has F, E, K and, as Carlson's R_D (DLMF 19.25), the first
derivatives I_11 and I_10; higher ones are integrated on the host in x = tan θ, by Gauss–Legendre panels in log x.

Jacobi's functions at parameter m are those of the amplitude φ(u, m), with u = I_00(φ, m): dφ = dn (du − ½ I_11 dm).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Float

from pullback.external import host_elementwise, with_partials
from pullback.special._evaluate import promoted

_Four = tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def ellipk(m: ArrayLike) -> Float[Array, "..."]:
    """Complete elliptic integral of the first kind K(m), m < 1, with m = k² (DLMF 19.2.8). Near m = 1: `ellipkm1`."""
    (m,) = promoted("ellipk", "", {"m": m})
    return _complete(0, 0)(1 - m)


def ellipkm1(p: ArrayLike) -> Float[Array, "..."]:
    """K(1 − p), accurate for small p > 0, where it diverges as −log(p)/2."""
    (p,) = promoted("ellipkm1", "", {"p": p})
    return _complete(0, 0)(p)


def ellipe(m: ArrayLike) -> Float[Array, "..."]:
    """Complete elliptic integral of the second kind E(m), m ≤ 1 (DLMF 19.2.8); at m = 1 its derivative is −∞."""
    (m,) = promoted("ellipe", "", {"m": m})
    return _complete(0, -1)(1 - m)


def ellipkinc(phi: ArrayLike, m: ArrayLike) -> Float[Array, "..."]:
    """Incomplete elliptic integral of the first kind F(phi, m), m ≤ 1 (DLMF 19.2.4); amplitude in radians."""
    return _incomplete(0, 0)(*promoted("ellipkinc", "", {"phi": phi, "m": m}))


def ellipeinc(phi: ArrayLike, m: ArrayLike) -> Float[Array, "..."]:
    """Incomplete elliptic integral of the second kind E(phi, m), m ≤ 1 (DLMF 19.2.5); amplitude in radians."""
    return _incomplete(0, -1)(*promoted("ellipeinc", "", {"phi": phi, "m": m}))


def ellipj(u: ArrayLike, m: ArrayLike) -> _Four:
    """Jacobi's elliptic functions of argument u and parameter 0 ≤ m ≤ 1 (DLMF 22.2, 22.16).

    Returns:
        (sn, cn, dn, ph), ph the amplitude: sn = sin(ph), cn = cos(ph), dn² = 1 − m sn².
    """
    return _ellipj(*promoted("ellipj", "", {"u": u, "m": m}))


@functools.cache
def _complete(j, k):
    """C_jk as a function of p = 1 − m."""

    def on_host(p):
        if (j, k) == (0, 0):
            return scipy.special.ellipkm1(p)
        if (j, k) == (0, -1):
            return scipy.special.ellipe(1 - p)
        if (j, k) == (1, 1):
            return scipy.special.elliprd(0, 1, p) / 3
        if (j, k) == (1, 0):
            return scipy.special.elliprd(0, p, 1) / 3
        # Beyond x = 1/√p the integrand falls off as 1/x.
        return _integral(j, k, np.full_like(p, 39.0) - np.log(np.clip(p, 1e-300, None)) / 2, p)

    return with_partials(
        lambda p: host_elementwise(on_host, p, dtype=p.dtype),
        lambda p: -(k + 0.5) * _complete(j + 1, k + 1)(p),
    )


@functools.cache
def _incomplete(j, k):
    """I_jk as a function of φ and m."""

    def on_host(phi, m):
        if (j, k) == (0, 0):
            return scipy.special.ellipkinc(phi, m)
        if (j, k) == (0, -1):
            return scipy.special.ellipeinc(phi, m)
        phi, m = np.broadcast_arrays(phi, m)
        turns = np.round(phi / np.pi)
        rest = phi - turns * np.pi
        p = 1 - m
        if k in (0, 1) and j == 1:
            s2, c2, root = np.sin(rest) ** 2, np.cos(rest) ** 2, 1 - m * np.sin(rest) ** 2
            points = (c2, 1.0, root) if k == 1 else (c2, root, 1.0)
            inside = np.abs(np.sin(rest)) * s2 * scipy.special.elliprd(*points) / 3
            whole = scipy.special.elliprd(0, *((1.0, p) if k == 1 else (p, 1.0))) / 3
        else:
            with np.errstate(divide="ignore"):
                inside = _integral(j, k, np.log(np.tan(np.abs(rest))), p)
            whole = _integral(j, k, 39.0 - np.log(np.clip(p, 1e-300, None)) / 2, p)
        return np.sign(rest) * inside + np.where(turns == 0, 0.0, 2 * turns * whole)

    def in_amplitude(phi, m):
        s2 = jnp.sin(phi) ** 2
        return s2**j * (1 - m * s2) ** (-k - 0.5)

    return with_partials(
        lambda phi, m: host_elementwise(on_host, phi, m, dtype=phi.dtype),
        in_amplitude,
        lambda phi, m: (k + 0.5) * _incomplete(j + 1, k + 1)(phi, m),
    )


def _integral(j, k, top, p):
    """∫_0^{e^top} x^{2j} (1 + x²)^{k−j−1/2} (1 + p x²)^{−k−1/2} dx; j > 0.

    In w = log x the integrand is regular within π/2 of the real axis, so that 12 points on panels of length 1 resolve
    it to rounding; from below it rises as e^{(2j+1) w}.
    """
    top, p = np.broadcast_arrays(np.where(np.isfinite(top), top, -50.0), p)
    bottom = np.minimum(top, np.minimum(0.0, -np.log(np.clip(p, 1e-300, None)) / 2)) - 40.0 / (2 * j + 1)
    panels = max(1, int(np.ceil(np.max(top - bottom, initial=1.0))))
    unit = ((np.arange(panels)[:, None] + (_NODES + 1) / 2) / panels).ravel()
    weights = np.tile(_WEIGHTS / 2 / panels, panels)
    length = (top - bottom)[..., None]
    w = bottom[..., None] + length * unit
    log_p = np.log(np.clip(p, 1e-300, None))[..., None]
    exponent = (2 * j + 1) * w + (k - j - 0.5) * np.logaddexp(0, 2 * w) - (k + 0.5) * np.logaddexp(0, 2 * w + log_p)
    return np.where(p > 0, np.sum(np.exp(exponent) * weights, axis=-1) * length[..., 0], np.inf)


@jax.custom_jvp
def _ellipj(u, m):
    return host_elementwise(scipy.special.ellipj, u, m, dtype=(jnp.result_type(u),) * 4)


@_ellipj.defjvp
def _ellipj_jvp(primals, tangents):
    (u, m), (du, dm) = primals, tangents
    sn, cn, dn, ph = out = _ellipj(u, m)
    dph_over_dn = du - _incomplete(1, 1)(ph, m) * dm / 2
    dph = dn * dph_over_dn
    return out, (cn * dph, -sn * dph, -m * sn * cn * dph_over_dn - sn**2 * dm / (2 * dn), dph)
