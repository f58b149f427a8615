r"""Derivatives of Bessel functions in the order v, and of scaled ones in v and z, as NumPy functions.

Under an integral sign the derivatives are factors, and the contour is free: put through the saddle point, it leaves
nothing that cancels. Two integrals serve all functions (DLMF 10.32.9, 10.32.12; s is a constant, 0 for plain functions,
−1 for e^z K and 1 for e^{−z} I):

    e^{−sz} K_v(z) = ∫_0^∞ e^{−z (cosh t + s)} cosh(vt) dt,
    e^{−sz} I_v(z) = (1/2πi) ∫ e^{z (cosh w − s) − v w} dw     from ∞ − iπ to ∞ + iπ.

- K, as half the integral of e^{vt − z (cosh t + s)} over t = x − iφ tanh x with φ = arg z, |φ| ≤ π, bent to pass
  through the saddle point sinh t = v/z: the integrand falls doubly exponentially, and the trapezoidal rule converges as
  fast.
- I, Re z ≥ 0: along Im w = −π − φ from infinity to Re w = α = Re arsinh(v/z), up through the saddle point to
  Im w = π − φ, and back; panels of Gauss–Legendre nodes. At large |z|, from two K (DLMF 10.34.3); for v < 0, from
  I_{−v} = I_v + (2/π) sin(vπ) K_v (DLMF 10.27.2).
- J, H and Y by rotation of z (DLMF 10.27.6, 10.27.8), in each half plane from the functions that do not cancel.
"""

# pyright: reportAttributeAccessIssue=false
import math
from functools import partial

import numpy as np
import scipy.special
from jaxtyping import Float, Inexact

_DECAY = 45.0  # integrals end where their integrand has fallen by this exponent
_FAR, _CLOSE = 25.0, 4.0
_X, _W = np.polynomial.legendre.leggauss(32)


def order_derivative(
    name: str, m: int, v: Float[np.ndarray, "..."], z: Inexact[np.ndarray, "..."]
) -> Inexact[np.ndarray, "..."]:
    """∂_v^m, m > 0, of jv, yv, iv, kv, hankel1 or hankel2.

    Accurate to about 1e-12 of the function's own size (of |H| where J or Y oscillates, of |J| + |Y| for Y of negative
    order); 1e-9 for H and Y of orders near 100 at smaller |z|. NaN for real z < 0 (but hankel), where the derivative is
    not real; at z = 0 the limit for I and J of order v ≥ 0, else NaN.
    """
    v, z = np.broadcast_arrays(v, z)
    out = _on_plane(lambda v, z: _FUNCTIONS[name](m, v, z)[m], v, z)
    if name in ("iv", "jv"):  # z^v log(z)^m
        out = np.where((z == 0) & (v >= 0), np.where(v == 0, (-1.0) ** m * np.inf, 0.0), out)
    if np.iscomplexobj(z) or name.startswith("hankel"):
        return np.asarray(out)
    return np.where(z < 0, np.nan, out.real)


def scaled_k(m: int, n: int, v: Float[np.ndarray, "..."], z: Inexact[np.ndarray, "..."]) -> Inexact[np.ndarray, "..."]:
    """∂_v^m ∂_z^n of e^z K_v(z); NaN for real z < 0 and at z = 0."""
    out = _on_plane(lambda v, z: _k(m, n, v, np.abs(z), np.angle(z), -1)[m], v, z)
    return out if np.iscomplexobj(z) else np.where(z < 0, np.nan, out.real)


def scaled_i(m: int, n: int, v: Float[np.ndarray, "..."], z: Inexact[np.ndarray, "..."]) -> Inexact[np.ndarray, "..."]:
    """∂_v^m ∂_z^n of e^{−sz} I_v(z) with s = sign Re z held fixed; real z < 0 at m = 0 and whole v only."""
    v, z = np.broadcast_arrays(v, z)
    close = np.abs(z) < _CLOSE
    if close.all():
        return np.asarray(_by_recurrence(m, n, v, z))
    out = _on_plane(lambda v, z: _bessel_i(m, n, v, z, np.sign(z.real))[m], v, np.where(close, _CLOSE, z))
    if not np.iscomplexobj(z):
        out = np.where((z < 0) & ((m > 0) | (v != np.round(v))), np.nan, out.real)
    return np.where(close, _by_recurrence(m, n, v, np.where(close, z, 0)), out)


def _by_recurrence(m, n, v, z):
    """`scaled_i` by I_v′ = (I_{v−1} + I_{v+1})/2, which keeps the digits of small z."""
    plain = partial(order_derivative, "iv", m) if m else scipy.special.iv
    s, out = np.sign(z.real), 0
    for k in range(n + 1):
        derivative = sum(math.comb(k, j) * plain(v - k + 2 * j, z) for j in range(k + 1)) / 2.0**k
        out = out + math.comb(n, k) * (-s) ** (n - k) * derivative
    return out * np.exp(-s * z)


def _on_plane(f, v, z):
    """f(v, z) where it may be evaluated, as complex numbers."""
    v, z = np.broadcast_arrays(v, z)
    ok = (z != 0) & np.isfinite(z) & np.isfinite(v)
    out = np.full(z.shape, np.nan, complex)
    if ok.any():
        out[ok] = f(v[ok], z[ok].astype(complex))
    return out


# Below, functions of m return the list of ∂_v^j, j = 0 … m, which share their exponentials.


def _bessel_i(m, n, v, z, s):
    """∂_z^n of e^{−sz} I_v(z) in both half planes, by I_v(y e^{±iπ}) = e^{±ivπ} I_v(y)."""
    left = z.real < 0
    right = _i(m, n, v, np.where(left, -z, z), np.abs(s))
    if not left.any():
        return right
    turned = _times_phase(v, np.where(z.imag < 0, -1, 1), right)
    return [np.where(left, (-1) ** n * x, y) for x, y in zip(turned, right)]


def _bessel_j(m, v, z):
    turn = np.where(z.imag < 0, -1, 1)
    return _times_phase(v, turn / 2, _i(m, 0, v, -1j * turn * z, 0))


def _decaying(m, v, z):
    """H⁽¹⁾ in the upper half plane and on the real axis, H⁽²⁾ in the lower one."""
    turn = np.where(z.imag < 0, -1, 1)
    k = _k(m, 0, v, np.abs(z), np.angle(-1j * turn * z), 0)
    return [-2j / math.pi * turn * h for h in _times_phase(v, -turn / 2, k)]


def _bessel_y(m, v, z):
    turn = np.where(z.imag < 0, -1, 1)
    return [-1j * turn * (h - j) for h, j in zip(_decaying(m, v, z), _bessel_j(m, v, z))]


def _hankel(kind):
    def of(m, v, z):
        given = (z.imag < 0) == (kind == 2)
        decaying = _decaying(m, v, z)
        if given.all():
            return decaying
        return [np.where(given, h, 2 * j - h) for h, j in zip(decaying, _bessel_j(m, v, z))]

    return of


_FUNCTIONS = {
    "jv": _bessel_j,
    "yv": _bessel_y,
    "iv": lambda m, v, z: _bessel_i(m, 0, v, z, np.zeros(z.shape)),
    "kv": lambda m, v, z: _k(m, 0, v, np.abs(z), np.angle(z), 0),
    "hankel1": _hankel(1),
    "hankel2": _hankel(2),
}


def _times_phase(v, turns, terms):
    """The derivatives of e^{iπ v turns} f from those of f; exact at whole and half turns."""
    phase = scipy.special.cosdg(180 * v * turns) + 1j * scipy.special.sindg(180 * v * turns)
    slope = 1j * math.pi * turns
    return [
        phase * sum(math.comb(m, j) * slope ** (m - j) * f for j, f in enumerate(terms[: m + 1]))
        for m in range(len(terms))
    ]


def _k(m, n, v, r, phi, s):
    """∂_z^n of e^{−sz} K_v(z) at z = r e^{iφ}, |φ| ≤ π: half the integral of e^{vt − z (cosh t + s)} over a line."""
    v, r, phi, s = np.broadcast_arrays(v, r, phi, s)
    order, real = np.abs(v), np.all(phi == 0)
    z = r if real else r * np.exp(1j * phi)
    exponent, right = _DECAY + 6 * n + 3 * m, np.zeros(r.shape)
    for _ in range(16):
        right = np.arccosh(1 + (exponent + order * right) / (r if real else r / 2))
    left = np.arccosh(1 + exponent / (r if real else r / 2))
    # At small z the integrand is one of the Gamma function, with a peak of the width v^{−1/2}; at large z a Gaussian.
    step = np.minimum(0.7 / np.sqrt(order + 4 * n + 20) / (1 if real else 2), np.sqrt(0.35 / (1 + phi**2) / r))
    count = int(np.ceil(np.max((left + right) / step)))
    step = (left + right) / count
    saddle = np.arcsinh(order / z)
    shift = saddle.imag + phi * np.tanh(saddle.real)
    totals = [0] * (m + 1)
    for i in range(count + 1):
        t, dt = i * step - left, step
        if not real:
            bump = shift / np.cosh(t - saddle.real)
            slope = -phi / np.cosh(t) ** 2 - bump * np.tanh(t - saddle.real)
            t, dt = t + 1j * (bump - phi * np.tanh(t)), step * (1 + 1j * slope)
        height = 2 * np.sinh(t / 2) ** 2 + (1 + s)  # cosh t + s
        terms = _moments(m, (-height) ** n * np.exp(order * t - z * height) * (dt / 2), t)
        totals = [total + term for total, term in zip(totals, terms)]
    # K is even in v.
    return [np.where(v < 0, -k, np.where(v == 0, 0, k)) if j % 2 else k for j, k in enumerate(totals)]


def _i(m, n, v, z, s):
    """∂_z^n of e^{−sz} I_v(z), Re z ≥ 0."""
    v, z, s = np.broadcast_arrays(v, z, s)
    order, real = np.abs(v), np.all(z.imag == 0)
    far = (np.abs(z) > np.maximum(_FAR, order)) & (not real)
    out = np.zeros((m + 1, *z.shape), complex)
    for part, f in ((far, _i_far), (~far, _i_near)):
        if part.any():
            out[:, part] = f(m, n, order[part], z[part], s[part])
    # The part of I that is odd in v is −sin(vπ) K_v/π: exact at v = 0, where it is small.
    out = [np.where(v < 0, -i, np.where(v == 0, 0, i)) if j % 2 else i for j, i in enumerate(out)]
    below = (v < 0) | ((v == 0) & (m > 0))
    if below.any():
        u, y = v[below], z[below]
        k = _k(m, n, u, np.abs(y), np.angle(y), s[below])
        for j, (plus, minus) in enumerate(zip(_times_phase(u, 1, k), _times_phase(u, -1, k))):
            weight = np.where(u < 0, 2, j % 2) / math.pi
            out[j][below] -= weight * (plus - minus) / 2j
    return out


def _i_far(m, n, v, z, s):
    r, phi = np.abs(z), np.angle(z)
    turn = np.where(phi > 0, -1, 1)
    opposite = _k(m, n, v, r, phi + turn * math.pi, -s)
    here = _times_phase(v, -turn, _k(m, n, v, r, phi, s))
    return [1j / math.pi * turn * ((-1) ** n * x - y) for x, y in zip(opposite, here)]


def _i_near(m, n, v, z, s):
    r, phi = np.abs(z), np.angle(z)
    exponent = _DECAY + 6 * (m + n)
    saddle = np.abs(np.arcsinh(v / z).real)
    real = np.all(phi == 0)

    def integrand(w):
        height = 2 * np.sinh(w / 2) ** 2 + (1 - s)  # cosh w − s
        return np.stack(_moments(m, height**n * np.exp(z * height - v * w), -w))

    def upwards(x):
        return integrand(saddle + 1j * (x - phi))

    def outwards(u):
        above = integrand(u + 1j * (math.pi - phi))
        return above - (above.conj() if real else integrand(u - 1j * (math.pi + phi)))

    # Through the saddle point. For real z the integrand falls from there like exp(−r cosh α (1 − cos θ)).
    stiffness = r * np.cosh(saddle)
    top = np.where(phi == 0, np.arccos(np.maximum(-1, 1 - exponent / stiffness)), math.pi)
    panels = int(np.ceil(1 + np.max(top * np.where(phi == 0, np.sqrt(stiffness), stiffness + v)) / 12))
    across = 2 * _panels(upwards, 0, top, panels).real if real else _panels(upwards, -top, top, 2 * panels)
    # Out to infinity and back.
    end = np.arccosh(np.cosh(saddle) + exponent / r)
    end = np.where(v > n + 1, np.minimum(end, saddle + exponent / np.maximum(v - n, 1)), end)
    outside = _panels(outwards, saddle, end, int(np.ceil(np.max(end - saddle))))
    return (across - 1j * outside) / (2 * math.pi)


def _moments(m, weight, x):
    """weight · x^j for j = 0 … m."""
    out = [weight]
    for _ in range(m):
        out.append(out[-1] * x)
    return out


def _panels(f, low, high, count):
    total, half = 0, (high - low) / (2 * count)
    for k in range(count):
        for x, weight in zip(_X, _W):
            total = total + weight * f(low + half * (2 * k + 1 + x))
    return total * half
