"""Derivatives of Bessel functions in the order, and of the scaled ones at large arguments, against 40 digits."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback import special

FUNCTIONS = {
    "jv": mp.besselj,
    "yv": mp.bessely,
    "iv": mp.besseli,
    "kv": mp.besselk,
    "hankel1": mp.hankel1,
    "hankel2": mp.hankel2,
    "ive": lambda v, z: mp.exp(-abs(mp.re(z))) * mp.besseli(v, z),
    "kve": lambda v, z: mp.exp(z) * mp.besselk(v, z),
}
ORDERS = np.array([0.0, 0.5, 1.0, 2.5, 5.0, -0.4, -2.0])
REAL, COMPLEX = np.array([1e-3, 0.7, 6.0, 50.0]), np.array([0.5 + 1j, -3 + 2j, 30 - 20j])


def in_order(f):
    return lambda v, z: jax.jvp(lambda u: f(u, z), (v,), (jnp.ones_like(v),))[1]


def in_argument(f):
    return lambda v, z: jax.jvp(lambda y: f(v, y), (z,), (jnp.ones_like(z),))[1]


def exact(name, v, z, orders):
    with mp.workdps(40):
        z = mp.mpmathify(z)
        return complex(mp.diff(FUNCTIONS[name], (mp.mpf(v), z), orders, h=mp.mpf(10) ** -12))


def deviation(name, got, v, z, orders):
    """Relative to the derivative, or to the function itself where it is larger (the derivative has zeros)."""
    expected = exact(name, v, z, orders)
    size = abs(complex(FUNCTIONS[name](v, mp.mpmathify(z))))
    if name in ("jv", "yv") and not isinstance(z, complex) and z > abs(v):
        size = max(size, abs(complex(mp.hankel1(v, z))))
    return abs(got - expected) / max(abs(expected), size)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivative_in_the_order(name):
    f = getattr(special, name)
    v, z = (a.ravel() for a in np.meshgrid(ORDERS, REAL))
    both = jax.jit(lambda v, z: (in_order(f)(v, z), in_order(in_order(f))(v, z), in_order(in_argument(f))(v, z)))(v, z)
    for got, orders in zip(both, ((1, 0), (2, 0), (1, 1))):
        for i in range(0, v.size, 1 if orders == (1, 0) else 5):
            assert deviation(name, got[i], v[i], float(z[i]), orders) < 1e-11, (v[i], z[i], orders)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_complex_arguments_in_all_quadrants(name):
    got = np.asarray(in_order(getattr(special, name))(jnp.full(3, 0.7), COMPLEX))
    for g, z in zip(got, COMPLEX):
        assert deviation(name, g, 0.7, complex(z), (1, 0)) < 1e-11


def test_at_order_0_the_derivative_is_minus_k0():  # DLMF 10.38.4
    x = np.array([0.3, 8.0, 60.0])
    got = in_order(special.iv)(jnp.zeros(3), x)
    np.testing.assert_allclose(got, -special.k0(x), rtol=1e-13)


def test_smoothness_of_a_matern_kernel():
    """Gradient and curvature in ν of 2^{1−ν}/Γ(ν) (√(2ν) r)^ν K_ν(√(2ν) r), in reverse mode under vmap."""

    def kernel(nu, r):
        x = jnp.sqrt(2 * nu) * r
        return jnp.exp((1 - nu) * jnp.log(2.0) - special.loggamma(nu)) * x**nu * special.kv(nu, x)

    def in_digits(nu, r):
        x = mp.sqrt(2 * nu) * r
        return mp.mpf(2) ** (1 - nu) / mp.gamma(nu) * x**nu * mp.besselk(nu, x)

    r = np.array([0.01, 1.0, 4.0])
    for order, f in ((1, jax.grad(kernel)), (2, jax.grad(jax.grad(kernel)))):
        got = jax.jit(jax.vmap(f, (None, 0)))(1.5, r)
        expected = [float(mp.diff(in_digits, (mp.mpf(1.5), mp.mpf(x)), (order, 0))) for x in r]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", ["ive", "kve"])
def test_scaled_functions_keep_their_digits(name):
    f = getattr(special, name)
    v, z = (a.ravel() for a in np.meshgrid([0.0, 0.5, 2.5, 10.0], [1e-3, 1.0, 7.0, 30.0, 1e4, 1e8]))
    tower = [f]
    for _ in range(4):
        tower.append(in_argument(tower[-1]))
    got = jax.jit(lambda v, z: [g(v, z) for g in tower])(v, z)
    for i in range(v.size):
        with mp.workdps(120):
            h = mp.mpf(z[i]) * mp.mpf(10) ** -15
            y = [FUNCTIONS[name](mp.mpf(v[i]), mp.mpf(z[i]) + k * h) for k in (-2, -1, 0, 1, 2)]
            expected = [
                (y[3] - y[1]) / (2 * h),
                (y[3] - 2 * y[2] + y[1]) / h**2,
                (y[4] - 2 * y[3] + 2 * y[1] - y[0]) / (2 * h**3),
                (y[4] - 4 * y[3] + 6 * y[2] - 4 * y[1] + y[0]) / h**4,
            ]
        np.testing.assert_allclose([g[i] for g in got[1:]], [float(e) for e in expected], rtol=1e-11)


def test_scaled_function_at_complex_and_negative_arguments():
    z = 40.0 + 3j  # along the real axis e^{−Re z} I_v(z) varies slowly
    got = jax.jvp(lambda x: in_argument_real(x + 3j), (40.0,), (1.0,))[1]
    with mp.workdps(60):
        expected = mp.diff(lambda x: FUNCTIONS["ive"](mp.mpf(1), x + 3j), z.real, 2)
    assert abs(got - complex(expected)) < 1e-13 * abs(complex(expected)) + 1e-16
    assert jax.grad(special.ive, 1)(1.0, -2.0) == pytest.approx(float(jax.grad(special.ive, 1)(1.0, 2.0)), rel=1e-13)
    assert jax.grad(special.ive, 1)(0.0, 0.0) == 0


def in_argument_real(z):
    return jax.jvp(lambda x: special.ive(1.0, x + 1j * z.imag), (z.real,), (1.0,))[1]


def test_nothing_is_computed_for_an_order_that_is_held_fixed():
    text = str(jax.make_jaxpr(jax.grad(lambda z: special.kv(1.5, z)))(0.7))
    assert "order_derivative" not in text and text.count("pure_callback") <= 3


def test_where_the_derivative_in_the_order_is_not_real():
    assert jnp.isnan(jax.grad(special.jv)(2.0, -3.0))
    assert jax.grad(special.jv)(1.5, 0.0) == 0 and jax.grad(special.iv)(0.0, 0.0) == -jnp.inf
