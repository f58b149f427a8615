"""Rows of plain `jax.numpy`: operators, basic mathematics, complex numbers."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from pullback import elementary
from pullback.trust._conformance._case import Case, real_direction
from pullback.trust._conformance._plain import CUBE, POSITIVE, UNIT, ZERO, X, Y, Z, elementwise, on_arrays

BOTH = {"regular": X, "complex": Z}
PAIRS = {"regular": (X, Y), "complex": (Z, Z[::-1])}
SMALL = np.array([0.0, 1e-200, -1e-12, 1e-5])
TINY = np.array([1e-8, 1e-6, 0.5, 2.0])
LARGE = np.array([-400.0, -40.0, 40.0, 400.0])
NEGATIVE_AXIS = np.array([-0.3, -0.7, -1.2, -2.5]) + 0j


@cache
def operator_rows() -> tuple[Case, ...]:
    """+, −, *, /, %, **, <, ≤, ==, !=, ≥, >."""
    compare = {"regular": (X, Y)}

    def gate(f, x, y):
        return f(x, y) * (x + y**2)

    return (
        *elementwise("np.add", lambda mp: lambda x, y: x + y, PAIRS),
        *elementwise("np.subtract", lambda mp: lambda x, y: x - y, PAIRS),
        *elementwise("np.multiply", lambda mp: lambda x, y: x * y, PAIRS | {"0 · 0": (ZERO, ZERO)}),
        *elementwise("np.divide", lambda mp: lambda x, y: x / y, PAIRS | {"0 / y": (ZERO, Y)}),
        *elementwise("np.negative", lambda mp: lambda x: -x, BOTH),
        *elementwise("np.power", lambda mp: mp.power, {"regular": (POSITIVE, Y), "complex": (Z, Z[::-1])}),
        *elementwise("np.power", lambda mp: lambda x: x**3, {"x³ at 0": ZERO, "x³, x < 0": -POSITIVE},
                     call=lambda f, x: f(x, 3)),
        *elementwise("np.power", lambda mp: lambda x: x**2, {"x^2.0 at 0": ZERO, "x^2.0, x < 0": -POSITIVE},
                     call=lambda f, x: f(x, 2.0)),
        *elementwise("np.mod", lambda mp: lambda x, y: x - y * mp.floor(x / y), {"regular": (X, Y)}),
        *on_arrays("np.less", compare, gate),
        *on_arrays("np.less_equal", compare, gate),
        *on_arrays("np.equal", compare, gate),
        *on_arrays("np.equal", {"equal": (X, X)}, gate, exact=lambda mp: lambda x, y: True),
        *on_arrays("np.not_equal", compare, gate),
        *on_arrays("np.greater_equal", compare, gate),
        *on_arrays("np.greater", compare, gate),
    )  # fmt: skip


@cache
def basic_rows() -> tuple[Case, ...]:
    """Exponentials and logarithms, trigonometry, moduli."""
    log_cut = {"on the cut, from above": NEGATIVE_AXIS}
    near_one = 1 + np.array([1e-12, 1e-6, 0.5, 3.0])
    equal = {"regular": (X, Y), "equal": (X, X), "400 apart": (LARGE, LARGE[::-1])}
    degrees, radians = (lambda mp: mp.degrees), (lambda mp: mp.radians)
    return (
        *elementwise("np.exp", lambda mp: mp.exp, BOTH | {"large": LARGE / 4}),
        *elementwise("np.exp2", lambda mp: lambda x: mp.mpf(2) ** x, BOTH),
        *elementwise("np.expm1", lambda mp: mp.expm1, BOTH | {"near 0": SMALL}),
        *elementwise("np.log", lambda mp: mp.log, {"regular": POSITIVE, "complex": Z, "near 0": TINY}),
        *elementwise("np.log", lambda mp: mp.log, log_cut, direction=real_direction),
        *elementwise("np.log2", lambda mp: lambda x: mp.log(x) / mp.log(2), {"regular": POSITIVE, "complex": Z}),
        *elementwise("np.log10", lambda mp: lambda x: mp.log(x) / mp.log(10), {"regular": POSITIVE, "complex": Z}),
        *elementwise("np.log1p", lambda mp: mp.log1p,
                     {"regular": POSITIVE, "complex": Z, "near 0": SMALL, "near -1": near_one - 2 + 3e-12}),
        *elementwise("np.square", lambda mp: lambda x: x * x, BOTH | {"0": ZERO}),
        *elementwise("np.sqrt", lambda mp: mp.sqrt, {"regular": POSITIVE, "complex": Z, "near 0": TINY}),
        *elementwise("np.sqrt", lambda mp: mp.sqrt, log_cut, direction=real_direction),
        *elementwise("np.reciprocal", lambda mp: lambda x: 1 / x, BOTH),
        *elementwise("np.sin", lambda mp: mp.sin, BOTH | {"near 0": SMALL}),
        *elementwise("np.cos", lambda mp: mp.cos, BOTH | {"near 0": SMALL}),
        *elementwise("np.tan", lambda mp: mp.tan, BOTH | {"near 0": SMALL}),
        *elementwise("np.sinh", lambda mp: mp.sinh, BOTH | {"near 0": SMALL}),
        *elementwise("np.cosh", lambda mp: mp.cosh, BOTH | {"near 0": SMALL}),
        *elementwise("np.tanh", lambda mp: mp.tanh, BOTH | {"near 0": SMALL, "saturated": LARGE}),
        *elementwise("np.sinc", lambda mp: mp.sincpi, BOTH | {"0": ZERO, "near 0": SMALL}, ours=elementary.sinc),
        *elementwise("np.arcsin", lambda mp: mp.asin, {"regular": UNIT, "complex": Z, "near 0": SMALL}),
        *elementwise("np.arccos", lambda mp: mp.acos, {"regular": UNIT, "complex": Z, "near 0": SMALL}),
        *elementwise("np.arctan", lambda mp: mp.atan, BOTH | {"near 0": SMALL, "large": LARGE**5}),
        *elementwise("np.arcsinh", lambda mp: mp.asinh, BOTH | {"near 0": SMALL, "large": LARGE**5}),
        *elementwise("np.arccosh", lambda mp: mp.acosh, {"regular": POSITIVE + 1, "near 1": near_one, "complex": Z},
                     ours=elementary.arccosh),
        *elementwise("np.arctanh", lambda mp: mp.atanh, {"regular": UNIT, "complex": Z, "near 0": SMALL}),
        *elementwise("np.abs", lambda mp: mp.fabs, BOTH),
        *elementwise("np.absolute", lambda mp: mp.fabs, BOTH),
        *elementwise("np.fabs", lambda mp: mp.fabs, {"regular": X}),
        *elementwise("np.logaddexp", lambda mp: lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), equal),
        *elementwise("np.logaddexp2", lambda mp: lambda x, y: mp.log(2**x + 2**y, 2), equal),
        *elementwise("np.rad2deg", degrees, {"regular": X}),
        *elementwise("np.degrees", degrees, {"regular": X}),
        *elementwise("np.deg2rad", radians, {"regular": X}),
        *elementwise("np.radians", radians, {"regular": X}),
    )  # fmt: skip


@cache
def complex_rows() -> tuple[Case, ...]:
    """Parts, phases, Fourier transforms."""
    five = np.append(Z, 0.1 + 0.2j)

    def transform(mp):
        def fft(x):
            n, k = len(x), np.arange(len(x))
            return np.array([[mp.expjpi(mp.mpf(-2 * int(i * j)) / n) for j in k] for i in k], dtype=object) @ x

        return fft

    def angle(mp):
        return lambda z: mp.atan2(mp.im(z), mp.re(z))

    return (
        *elementwise("np.real", lambda mp: mp.re, BOTH),
        *elementwise("np.imag", lambda mp: mp.im, {"complex": Z}),
        *elementwise("np.conj", lambda mp: mp.conj, BOTH),
        *elementwise("np.angle", angle, {"complex": Z}),
        *elementwise("np.angle", angle, {"on the cut, from above": NEGATIVE_AXIS}, direction=real_direction),
        *on_arrays("np.fft.fft", BOTH | {"five points": five}, exact=transform),
        *on_arrays("np.fft.fftshift", {"regular": X, "three axes": CUBE}),
        *on_arrays("np.fft.ifftshift", {"regular": X, "three axes": CUBE}),
        *elementwise("np.real_if_close", lambda mp: mp.re, {"jnp.real, complex": Z}, theirs=jnp.real),
    )  # fmt: skip
