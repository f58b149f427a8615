"""Elementary functions at the points where JAX's rules are wrong or NaN: exact derivatives or the stated convention."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback import elementary as el
from pullback.core import InputError
from pullback.elementary._moduli import _scale
from pullback.trust import MODES, check_derivatives, directional_derivative

INF = np.inf
V = jnp.array([1.0, 2.0, 2.0])
PI2 = np.pi**2


def mix(z):
    return z.real + 2 * z.imag


def exact(f):
    """First and second derivative of f at 0 in 40 digits."""
    with mp.workdps(40):
        return tuple(float(mp.re(mp.diff(f, 0, k, h=mp.mpf("1e-12")))) for k in (1, 2))


# name, point -> (function of one real t, its first and second derivative at t = 0)
ROWS = {
    "norm, 0": (lambda t: el.norm(t * V), (0, 0)),
    "norm, complex 0": (lambda t: el.norm(t * V * (1 + 1j)), (0, 0)),
    "norm, 1e200": (lambda t: el.norm(1e200 * (V + t * jnp.array([1.0, 0, 0]))) * 1e-200, (1 / 3, 8 / 27)),
    "norm, 1e-200": (lambda t: el.norm(1e-200 * (V + t * jnp.array([1.0, 0, 0]))) * 1e200, (1 / 3, 8 / 27)),
    "hypot, 0": (lambda t: el.hypot(t, 0 * t), (0, 0)),
    "hypot, 1e-200": (lambda t: el.hypot(1e-200 * (3 + t), 4e-200) * 1e200, (0.6, 0.128)),
    "safe_sqrt, 0": (lambda t: el.safe_sqrt(t) + el.safe_sqrt(t**2), (0, 0)),
    "safe_divide, 0": (lambda t: el.safe_divide(1 + t, t) + el.safe_divide(t, 2 + t), (1 / 2, -1 / 2)),
    "abs, 0": (lambda t: el.abs(t) + el.abs(t * (1 + 2j)), (0, 0)),
    "abs2, 0": (lambda t: el.abs2(t * (1 + 2j)), (0, 10)),
    "sign, 3 + 4i": (lambda t: mix(el.sign(3 + 4j + t * (1 + 2j))), (0.032, -0.04224)),
    "sign, 0": (lambda t: mix(el.sign(t * (1 + 2j))), (0, 0)),
    "angle, 0": (lambda t: el.angle(t * (1 + 2j)), (0, 0)),
    "arctan2, 0": (lambda t: el.arctan2(t, 2 * t), (0, 0)),
    "arctan2, 1e-200": (lambda t: el.arctan2(1e-200 * (1 + t), 1e-200), (1 / 2, -1 / 2)),
    "arctan2, 1e200": (lambda t: el.arctan2(1e200 * (1 + t), 1e200), (1 / 2, -1 / 2)),
    "std, constant": (lambda t: el.std(1 + t * V) + el.std((1 + t * V) * 1j), (0, 0)),
    "arccosh, left half plane": (
        lambda t: mix(el.arccosh(-2 + 0.5j + t * (1 + 0.5j))),
        exact(lambda t: (lambda z: mp.re(z) + 2 * mp.im(z))(mp.acosh(mp.mpc(-2, 0.5) + t * mp.mpc(1, 0.5)))),
    ),
    "arcsin, arccos, 1": (lambda t: el.arcsin(1 + t) + 2 * el.arccos(jnp.cos(t)), (0, 0)),
    "sinc, 0": (lambda t: el.sinc(t), (0, -PI2 / 3)),
    "sinc, 1e-8": (lambda t: el.sinc(1e-8 + t), (-PI2 / 3 * 1e-8, -PI2 / 3)),
    "sinc, 4th at 0": (
        lambda t: directional_derivative(el.sinc, t, [1.0, 1.0], "fwd-fwd"),
        (0, PI2**2 / 5),
    ),
    "logaddexp, -inf -inf": (lambda t: jnp.exp(el.logaddexp(-INF + t, -INF + t)), (0, 0)),
    "logaddexp, -inf 0": (lambda t: el.logaddexp(-INF + t, 2 * t), (2, 0)),
    "logaddexp, inf 0": (lambda t: el.logaddexp(INF + t, 2 * t), (1, 0)),
    "logaddexp, inf inf": (lambda t: el.logaddexp(INF + t, INF + 2 * t), (3 / 2, 1 / 4)),
    "logaddexp2, 0 0": (lambda t: el.logaddexp2(t, 2 * t), (3 / 2, np.log(2) / 4)),
    "logsumexp, all -inf": (lambda t: jnp.exp(el.logsumexp(jnp.full(3, -INF) + t * V)), (0, 0)),
    "logsumexp, inf": (lambda t: el.logsumexp(jnp.array([INF, 0, 0]) + t * V), (1, 0)),
    "logsumexp, weight 0": (lambda t: el.logsumexp(jnp.zeros(3), b=jnp.array([0.0, 1, 1]) + t * V), (5 / 2, -25 / 4)),
    "logsumexp, weight 0 of 1000": (
        lambda t: el.logsumexp(jnp.array([1000.0, 0, 0]) + t * V, b=jnp.array([0.0, 1, 1])),
        (2, 0),
    ),
    "xlogy, 0 0": (lambda t: el.xlogy(0.0, t), (0, 0)),
    "xlogy, 0 1": (lambda t: el.xlogy(t, 1 + t), (0, 2)),
    "logcosh, 1000": (lambda t: el.logcosh(1000 + t), (1, 0)),
    "logcosh, 0": (lambda t: el.logcosh(t), (0, 1)),
    "power, t**0": (lambda t: el.power(t, 0.0), (0, 0)),
    "power, t**1": (lambda t: el.power(t, 1.0), (1, 0)),
    "power, t**2": (lambda t: el.power(t, 2.0), (0, 2)),
    "power, t**(2 + t)": (lambda t: el.power(t, 2 + t), (0, 2)),
    "power, 0**(2 + t)": (lambda t: el.power(0.0, 2 + t), (0, 0)),
    "power, (-2 + t)**3": (lambda t: el.power(-2 + t, 3), (12, -12)),
    "i0, 0": (el.i0, (0, 1 / 2)),
    "i1, 0": (el.i1, (1 / 2, 0)),
    "spence, 1": (lambda t: el.spence(1 + t), (-1, 1 / 2)),
    "spence, 1.0001": (lambda t: el.spence(1.0001 + t), exact(lambda t: mp.polylog(2, -mp.mpf(1.0001) + 1 - t))),
    "spence, 2": (lambda t: el.spence(2 + t), (-np.log(2), np.log(2) - 1 / 2)),
    "gammainc, a = 1": (lambda t: el.gammainc(1.0, t), (1, -1)),
    "gammaincc, a = 2": (lambda t: el.gammaincc(2.0, t), (0, -1)),
    "gammainc, a = 3": (lambda t: el.gammainc(3.0, t), (0, 0)),
    "gammainc, a, at 0": (lambda t: el.gammainc(2 + t, 0.0), (0, 0)),
    "gammainc, a and x": (
        lambda t: el.gammainc(2 + t, 3 + t),
        exact(lambda t: mp.gammainc(2 + t, 0, 3 + t, regularized=True)),
    ),
}
INFINITE = {
    "arccosh, 1": (lambda t: el.arccosh(1 + t), (INF, -INF)),
    "power, t**1.5": (lambda t: el.power(t, 1.5), (0, INF)),
    "power, t**0.5": (lambda t: el.power(t, 0.5), (INF, -INF)),
    "spence, 0": (lambda t: el.spence(t), (-INF, INF)),
    "gammainc, a = 1.5": (lambda t: el.gammainc(1.5, t), (0, INF)),
    "xlogy, x at y = 0": (lambda t: el.xlogy(t, 0.0), (-INF, 0)),
}


FAST = (
    "norm, 0", "hypot, 1e-200", "abs2, 0", "sign, 3 + 4i", "arctan2, 0", "std, constant", "arccosh, left half plane",
    "arcsin, arccos, 1", "sinc, 1e-8", "logsumexp, all -inf", "logsumexp, weight 0", "xlogy, 0 0", "power, t**1",
    "power, t**(2 + t)", "i0, 0", "spence, 1", "gammainc, a = 1",
)  # fmt: skip


@pytest.mark.optimised
@pytest.mark.parametrize("names", [FAST, pytest.param(tuple(ROWS), marks=pytest.mark.slow)], ids=["hardest", "all"])
def test_hard_points_together(names):
    """Forward mode row by row; reverse modes of a weighted sum, which a single NaN would spoil."""
    functions, want = zip(*(ROWS[name] for name in names))
    weights = jnp.linspace(1, 2, len(functions))

    def rows(t):
        return jnp.stack([f(t) for f in functions])

    def forward(f):
        return lambda t: jax.jvp(f, (t,), (1.0,))[1]

    gradient = jax.grad(lambda t: weights @ rows(t))
    got = jax.jit(lambda t: (forward(rows)(t), gradient(t), forward(gradient)(t)))(0.0)
    first, second = np.array(want).T
    np.testing.assert_allclose(got[0], first, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[1:], [weights @ first, weights @ second], rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("row", [*ROWS, *INFINITE])
@pytest.mark.parametrize("mode", MODES)
def test_hard_points(row, mode):
    function, derivatives = {**ROWS, **INFINITE}[row]
    order = 1 + mode.count("-")
    got = jax.jit(lambda t: directional_derivative(function, t, [1.0] * order, mode))(0.0)
    assert float(got) == pytest.approx(derivatives[order - 1], rel=1e-9, abs=1e-12)


JAX_FAILS = {
    "norm": (lambda t: jnp.linalg.norm(t * V), 0),
    "sign": (lambda t: mix(jnp.sign(3 + 4j + t * (1 + 2j))), 0.032),
    "i0": (jax.scipy.special.i0, 0),
    "spence": (lambda t: jax.scipy.special.spence(1 + t), -1),
    "logsumexp": (lambda t: jax.scipy.special.logsumexp(jnp.zeros(3), b=jnp.array([0.0, 1, 1]) + t * V), 5 / 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", JAX_FAILS)
def test_what_plain_jax_gives(name):
    function, right = JAX_FAILS[name]
    assert jax.grad(function)(0.0) != pytest.approx(right)


def test_values():
    z, a = np.array([0.3 + 0.4j, 0, -2]), np.random.default_rng(0).normal(size=(3, 4))
    x, zero = np.array([1e-5, 0.9, 1.1, -40]), np.array([0.0, -0.0])

    @jax.jit
    def ours(z, a, x, zero):
        return (
            el.abs(z), el.sign(z), el.norm(a, axis=1, keepdims=True), el.std(a, axis=0, ddof=1),
            el.logsumexp(a, axis=(0, 1)), el.arctan2(zero, -0.0), el.logcosh(x),
        )  # fmt: skip

    with mp.workdps(30):
        logcosh = [float(mp.log(mp.cosh(float(y)))) for y in x]
    want = (
        np.abs(z), np.sign(z), np.linalg.norm(a, axis=1, keepdims=True), np.std(a, axis=0, ddof=1),
        np.log(np.sum(np.exp(a))), [np.pi, -np.pi], logcosh,
    )  # fmt: skip
    for got, right in zip(ours(z, a, x, zero), want, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-14)


def test_single_precision_is_kept():
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    for name in ("norm", "sinc", "i1", "spence", "logcosh", "arccosh", "safe_sqrt"):
        assert jax.eval_shape(getattr(el, name), x).dtype == jnp.float32, name
    for name in ("hypot", "power", "gammainc", "logaddexp", "xlogy", "safe_divide"):
        assert jax.eval_shape(jax.jit(getattr(el, name)), x, x).dtype == jnp.float32, name
    assert jax.eval_shape(lambda: el.sinc(1)).dtype == jnp.float64


@pytest.mark.slow
def test_incomplete_gamma_derivatives_in_the_parameter():
    a, x = jnp.array([1e-3, 0.5, 2.0, 20.0, 1e4]), jnp.array([0.3, 30.0, 1e-3, 15.0, 1.01e4])
    total = jax.grad(lambda a: jnp.sum(el.gammainc(a, x)))
    first, second = jax.jit(lambda a: (total(a), jax.jvp(total, (a,), (jnp.ones_like(a),))[1]))(a)
    for i in range(len(a)):
        with mp.workdps(40):
            aa, xx = mp.mpf(float(a[i])), mp.mpf(float(x[i]))
            # Q: no cancellation where P is nearly 1.
            want = [-mp.diff(lambda s, xx=xx: mp.gammainc(s, xx, mp.inf, regularized=True), aa, k, h=mp.mpf(10) ** -10)
                    for k in (1, 2)]  # fmt: skip
        np.testing.assert_allclose([first[i], second[i]], [float(w) for w in want], rtol=1e-9)


@pytest.mark.slow
def test_regular_points():
    def real(x):
        return el.sinc(x), el.i1(12 * x), el.spence(x), el.logcosh(x), el.power(x, 1 + x), el.std(x), el.hypot(x, 1 - x)

    check_derivatives(real, jnp.array([0.3, 0.95, 1.2]), samples=1, throw=True)
    check_derivatives(lambda z: (el.arccosh(z), el.arccos(z), el.sign(z), el.norm(z)), jnp.array([0.3 - 0.4j, -2 + 1j]),
                      samples=1, throw=True)  # fmt: skip


@pytest.mark.usefixtures("no_type_checks")
def test_bad_input():
    with pytest.raises(InputError, match="real arguments only"):
        el.hypot(1j, 2.0)
    with pytest.raises(InputError, match="at least one entry"):
        el.logsumexp(jnp.zeros((2, 0)), axis=1)


def test_axes_of_logsumexp():
    x = np.arange(6.0).reshape(2, 3)
    for axis in (0, -1, np.int64(1), (0, -1), [1], (np.int32(-2),), ()):
        right = jax.scipy.special.logsumexp(x, axis=tuple(axis) if isinstance(axis, list) else axis)
        np.testing.assert_allclose(el.logsumexp(x, axis=axis), right, rtol=1e-15)
    for a, axis in ((x, 2), (x, -3), (x, (0, -2)), (1.0, 0), (x, (0, 5))):
        with pytest.raises(InputError, match="axis"):
            el.logsumexp(a, axis=axis)


def test_values_of_spence():
    """Against 40 digits, on both sides of each of its reflections, and at the ends."""
    x = np.array([0.0, 1e-300, 1e-5, 0.3, 0.4999, 0.5, 0.9, 1.0, 1.4999, 1.5, 1.6, 2.0, 2.1, 7.0, 1e10])
    with mp.workdps(40):
        right = [float(mp.polylog(2, 1 - mp.mpf(t)).real) for t in x]
    np.testing.assert_allclose(el.spence(x), right, rtol=1e-14)
    assert np.isnan(el.spence(-1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_argument_that_is_computed_twice(dtype):
    """XLA may round it differently for the scale and for what is scaled: neighbours, and zero, have one scale."""
    unit = np.finfo(dtype).eps
    for x in (0.1 * unit, unit, 1.0 - unit, 1.0, 2.0, 1e4):
        near = np.array([x * (1 - unit), x, x * (1 + unit), 0.0], dtype)
        assert len(set(np.asarray(_scale(near)).tolist())) == 1
    sizes = np.array([4 * np.finfo(dtype).tiny, 1e-30, 1.0, 1e30, np.finfo(dtype).max / 8], dtype)
    assert np.allclose(el.norm(np.stack([3 * sizes / 5, 4 * sizes / 5]), axis=0) / sizes, 1, rtol=8 * unit)
