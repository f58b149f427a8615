"""Special functions against 40-digit values and derivatives, in all modes; zero, large, complex and branch points."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.special

from pullback import special
from pullback.core import InputError, MissingDerivativeError
from pullback.trust import check_derivatives


def taylor(f, x, order):
    """f, f', f'', … elementwise at the array x, by nested forward mode."""
    functions = [f]
    for _ in range(order):
        functions.append(lambda y, g=functions[-1]: jax.jvp(g, (y,), (jnp.ones_like(y),))[1])
    return np.stack([jax.jit(g)(x) for g in functions])


def exact(f, x, order):
    with mp.workdps(50):
        x = mp.mpmathify(complex(x) if np.iscomplexobj(x) else float(x))
        h = mp.mpf(10) ** -14 * max(1e-12, abs(x))
        return [complex(mp.diff(f, x, k, h=h) if k else f(x)) for k in range(order + 1)]


def voigt(x, sigma, gamma):
    z = (x + 1j * gamma) / (sigma * mp.sqrt(2))
    return mp.re(mp.exp(-(z**2)) * mp.erfc(-1j * z)) / (sigma * mp.sqrt(2 * mp.pi))


# name -> (function, mpmath's function, points)
CASES = {
    "jv": (lambda z: special.jv(2, z), lambda z: mp.besselj(2, z), [0.3, 7.5, 40.0]),
    "jv, complex": (lambda z: special.jv(1.3, z), lambda z: mp.besselj(1.3, z), [0.3 + 0.2j, -3 + 0.5j]),
    "yv": (lambda z: special.yv(2.5, z), lambda z: mp.bessely(2.5, z), [0.3, 7.5]),
    "iv": (lambda z: special.iv(1, z), lambda z: mp.besseli(1, z), [0.3, 7.5]),
    "ive": (lambda z: special.ive(1, z), lambda z: mp.besseli(1, z) * mp.exp(-z), [0.3, 700.0]),
    "kv": (lambda z: special.kv(1, z), lambda z: mp.besselk(1, z), [0.3, 7.5]),
    "kve": (lambda z: special.kve(1, z), lambda z: mp.besselk(1, z) * mp.exp(z), [0.3, 700.0]),
    "hankel1": (lambda z: special.hankel1(0, z), lambda z: mp.hankel1(0, z), [0.3 + 0.2j, 9 + 4j]),
    "hankel2": (lambda z: special.hankel2(1, z), lambda z: mp.hankel2(1, z), [0.3, 7.5]),
    "j0": (special.j0, lambda x: mp.besselj(0, x), [0.3, -7.5]),
    "j1": (special.j1, lambda x: mp.besselj(1, x), [0.3, -7.5]),
    "y0": (special.y0, lambda x: mp.bessely(0, x), [0.3, 7.5]),
    "y1": (special.y1, lambda x: mp.bessely(1, x), [0.3, 7.5]),
    "k0": (special.k0, lambda x: mp.besselk(0, x), [0.3, 7.5]),
    "k1": (special.k1, lambda x: mp.besselk(1, x), [0.3, 7.5]),
    "spherical_yn": (
        lambda z: special.spherical_yn(2, z),
        lambda z: mp.sqrt(mp.pi / 2 / z) * mp.bessely(2.5, z),
        [0.3, 7.5],
    ),
    "spherical_kn": (
        lambda z: special.spherical_kn(2, z),
        lambda z: mp.sqrt(mp.pi / 2 / z) * mp.besselk(2.5, z),
        [0.3 + 1j, 7.5 + 0j],
    ),
    "airy": (lambda z: special.airy(z)[0], mp.airyai, [0.0, 10.0, -7.5]),
    "airy, Bi'": (lambda z: special.airy(z)[3], lambda z: mp.airybi(z, derivative=1), [0j, 0.3 + 2j]),
    "ellipk": (special.ellipk, mp.ellipk, [0.0, 1e-9, 0.999, -5.0]),
    "ellipe": (special.ellipe, mp.ellipe, [0.0, 1e-9, 0.999, -5.0]),
    "ellipkm1": (special.ellipkm1, lambda p: mp.ellipk(1 - p), [1e-12, 0.5, 3.0]),
    "ellipkinc, m": (lambda m: special.ellipkinc(4.0, m), lambda m: mp.ellipf(4, m), [0.0, 1e-9, 0.99, -5.0]),
    "ellipeinc, m": (lambda m: special.ellipeinc(-1.2, m), lambda m: mp.ellipe(-mp.mpf(1.2), m), [0.0, 0.3, 0.99]),
    "ellipkinc, phi": (lambda p: special.ellipkinc(p, 0.99), lambda p: mp.ellipf(p, 0.99), [0.0, 1.5, 4.0]),
    "ellipj, u": (lambda u: special.ellipj(u, 0.6)[2], lambda u: mp.ellipfun("dn", u, 0.6), [0.0, 2.0]),
    "ellipj, m": (lambda m: special.ellipj(3.5, m)[0], lambda m: mp.ellipfun("sn", 3.5, m), [1e-9, 0.5, 0.99]),
    "lambertw": (special.lambertw, mp.lambertw, [0.0, 1e5, -1.0, -1 / np.e + 1e-7]),
    "lambertw, k = -1": (lambda z: special.lambertw(z, -1), lambda z: mp.lambertw(z, -1), [-1e-9, -1 / np.e + 1e-9]),
    "lambertw, k = 1": (lambda z: special.lambertw(z, 1), lambda z: mp.lambertw(z, 1), [1 + 2j, -0.37 - 1e-4j]),
    "erfi": (special.erfi, mp.erfi, [0j, 0.5 + 1j]),
    "erfcx": (
        special.erfcx,
        lambda x: mp.exp(x**2) * mp.erfc(x) if x < 50 else mp.hyperu(0.5, 0.5, x**2) / mp.sqrt(mp.pi),
        [0.0, -2.0, 6.4, 6.6, 1e4],
    ),
    "dawsn": (
        special.dawsn,
        lambda z: mp.sqrt(mp.pi) / 2 * mp.exp(-(z**2)) * mp.erfi(z),
        [0.0, 6.4, 6.6, -20.0],
    ),
    "wofz": (special.wofz, lambda z: mp.exp(-(z**2)) * mp.erfc(-1j * z), [3 - 2j, 6.6 + 0j, 20 + 3j]),
    "voigt_profile, sigma": (
        lambda s: special.voigt_profile(0.3, s, 0.2),
        lambda s: voigt(mp.mpf(0.3), s, mp.mpf(0.2)),
        [0.01, 3.0],
    ),
    "hyperu": (lambda x: special.hyperu(1.3, 2.4, x), lambda x: mp.hyperu(1.3, 2.4, x), [0.1, 5.0]),
    "struve": (lambda x: special.struve(1, x), lambda x: mp.struveh(1, x), [1e-3, 1.99, 2.01, 20.0]),
    "zeta": (special.zeta, mp.zeta, [0.0, 0.5, -2.0, -7.3]),
    "zeta, complex": (special.zeta, mp.zeta, [0.5 + 14j, -3 + 2j]),
    "zeta, q": (lambda q: special.zeta(3.0, q), lambda q: mp.zeta(3, q), [0.1, 10.0]),
    "gamma": (special.gamma, mp.gamma, [1 + 2j, -2.5 + 0.3j]),
    "loggamma": (special.loggamma, mp.loggamma, [1 + 2j, -2.5 + 0.3j]),
    "digamma": (special.digamma, mp.digamma, [1 + 2j, -2.5 + 0.3j]),
    "polygamma": (lambda z: special.polygamma(2, z), lambda z: mp.polygamma(2, z), [0.5 + 0j, -2.5 + 0.3j]),
    "eval_hermite": (lambda x: special.eval_hermite(5, x), lambda x: mp.hermite(5, x), [0.0, -1.0]),
    "eval_laguerre": (lambda x: special.eval_laguerre(3, x), lambda x: mp.laguerre(3, 0, x), [0.0, 2.0]),
    "eval_genlaguerre": (lambda x: special.eval_genlaguerre(1, 1.5, x), lambda x: mp.laguerre(1, 1.5, x), [0.3]),
    "eval_legendre": (lambda x: special.eval_legendre(4, x), lambda x: mp.legendre(4, x), [0.0, 1.0]),
    "eval_chebyt": (lambda x: special.eval_chebyt(4, x), lambda x: mp.chebyt(4, x), [0.0, 1.0]),
    "eval_chebyu": (lambda x: special.eval_chebyu(4, x), lambda x: mp.chebyu(4, x), [0.0, 1.0]),
    "eval_jacobi": (lambda x: special.eval_jacobi(3, 0.5, 1.5, x), lambda x: mp.jacobi(3, 0.5, 1.5, x), [0.0, 1.0]),
    "eval_gegenbauer": (lambda x: special.eval_gegenbauer(3, 1.5, x), lambda x: mp.gegenbauer(3, 1.5, x), [0.3]),
    "lpmv": (lambda x: special.lpmv(-1, 3, x), lambda x: mp.legenp(3, -1, x), [0.1, 0.95]),
    "lpmv, v = 2.5": (lambda x: special.lpmv(2, 2.5, x), lambda x: mp.legenp(2.5, 2, x), [0.1, -0.4]),
}
FAST = {
    "jv, complex",
    "ellipkinc, m",
    "ellipkm1",
    "lambertw, k = -1",
    "dawsn",
    "voigt_profile, sigma",
    "struve",
    "zeta",
}


@pytest.mark.parametrize("case", [c if c in FAST else pytest.param(c, marks=pytest.mark.slow) for c in CASES])
def test_value_and_two_derivatives(case):
    function, reference, points = CASES[case]
    got = taylor(function, jnp.asarray(points), 2)
    for i, x in enumerate(points):
        for value, want, rel in zip(got[:, i], exact(reference, x, 2), (1e-11, 1e-9, 1e-7)):
            assert abs(value - want) <= rel * max(abs(want), 1e-4), (x, value, want)


# Exact derivatives at the origin: first, second.
AT_ZERO = {
    "jv(0)": (lambda x: special.jv(0, x), (0, -1 / 2)),
    "jv(1)": (lambda x: special.jv(1, x), (1 / 2, 0)),
    "jv(2)": (lambda x: special.jv(2, x), (0, 1 / 4)),
    "j1": (special.j1, (1 / 2, 0)),
    "iv(2)": (lambda x: special.iv(2, x), (0, 1 / 4)),
    "i0": (special.i0, (0, 1 / 2)),
    "i1": (special.i1, (1 / 2, 0)),
    "spherical_jn(0)": (lambda x: special.spherical_jn(0, x), (0, -1 / 3)),
    "spherical_jn(1)": (lambda x: special.spherical_jn(1, x), (1 / 3, 0)),
    "spherical_in(2)": (lambda x: special.spherical_in(2, x), (0, 2 / 15)),
    "struve(0)": (lambda x: special.struve(0, x), (2 / np.pi, 0)),
    "lambertw": (lambda x: special.lambertw(x).real, (1, -2)),
    "dawsn": (special.dawsn, (1, 0)),
    "ellipkinc": (lambda m: special.ellipkinc(np.pi / 2, m), (np.pi / 8, 9 * np.pi / 64)),
    "voigt_profile": (lambda s: special.voigt_profile(0.3, s, 0.2), (0, 0.2 / np.pi * (6 * 0.09 - 2 * 0.04) / 0.13**3)),
    "lpmv(0, 2) at 1": (lambda x: special.lpmv(0, 2, 1 + x), (3, 3)),
    "lpmv(2, 3) at 1": (lambda x: special.lpmv(2, 3, 1 + x), (-30, -90)),
}


@pytest.mark.optimised
def test_at_the_origin():
    def all_of_them(x):
        return jnp.stack([function(x) for function, _ in AT_ZERO.values()])

    def forward(f):
        return lambda x: jax.jvp(f, (x,), (1.0,))[1]

    weights = np.arange(1.0, len(AT_ZERO) + 1)
    gradient = jax.grad(lambda x: weights @ all_of_them(x))  # one number, all rows: a single NaN would spoil it
    first, vjp, reverse_reverse = jax.jit(lambda x: (forward(all_of_them)(x), gradient(x), jax.grad(gradient)(x)))(0.0)
    want = np.array([d for _, d in AT_ZERO.values()]).T
    np.testing.assert_allclose(first, want[0], atol=1e-13)
    np.testing.assert_allclose([vjp, reverse_reverse], want @ weights, rtol=1e-13)


def test_all_modes_of_several_arguments():
    check_derivatives(lambda x: special.voigt_profile(x, x**2, 1 - x), 0.3, samples=1, throw=True)


@pytest.mark.slow
def test_all_modes_against_differences():
    """Complex, several arguments and several results, batched."""

    def some(x, z):
        return (
            special.airy(z)[1],
            special.ive(1.3, z),
            special.ellipj(x, x**2),
            special.voigt_profile(x, x, 1 - x),
            special.zeta(2 + x, x),
        )

    check_derivatives(some, jnp.array([0.3, 0.6]), jnp.array([0.3 + 0.2j, -1.5 + 1j]), samples=1, throw=True)


def example(name):
    """Arguments at which the function `name` is regular, the last one differentiable."""
    arguments = {
        "voigt_profile": (0.3, 0.2, 0.1), "hyperu": (0.3, 1.2, 0.7), "lpmv": (1, 2, 0.3), "zeta": (2.5, 0.3),
        "eval_genlaguerre": (2, 0.5, 0.3), "eval_jacobi": (2, 0.5, 0.3, 0.2), "eval_gegenbauer": (2, 0.5, 0.3),
    }  # fmt: skip
    one = {"j0", "j1", "y0", "y1", "i0", "i1", "k0", "k1", "airy", "ellipk", "ellipe", "ellipkm1", "lambertw", "erfi",
           "erfcx", "dawsn", "wofz", "gamma", "loggamma", "digamma"}  # fmt: skip
    return arguments.get(name, (0.3,) if name in one else (2, 0.3))


@pytest.mark.slow
@pytest.mark.parametrize("name", special.__all__)
def test_values_are_those_of_scipy(name):
    args = example(name)
    np.testing.assert_allclose(getattr(special, name)(*args), getattr(scipy.special, name)(*args), rtol=1e-13)


@pytest.mark.parametrize("name", special.__all__)
def test_single_precision_is_kept(name):
    head = example(name)[:-1]

    def last(x):
        return getattr(special, name)(*head, x)

    f32 = jax.ShapeDtypeStruct((), jnp.float32)
    out, dout = jax.eval_shape(lambda x: jax.jvp(last, (x,), (x,)), f32)
    assert {a.dtype for a in jax.tree.leaves((out, dout))} <= {jnp.dtype("float32"), jnp.dtype("complex64")}


def test_vmap_broadcasting_and_single_precision():
    n, x = jnp.arange(3), jnp.linspace(0.1, 2, 4, dtype=jnp.float32)
    table = jax.vmap(lambda n: jax.vmap(lambda x: special.spherical_jn(n, x))(x))(n)
    np.testing.assert_allclose(table, scipy.special.spherical_jn(n[:, None], np.asarray(x)), rtol=1e-6)
    np.testing.assert_allclose(special.spherical_jn(n[:, None], x), table)
    assert table.dtype == special.jv(1, x).dtype == jax.grad(special.dawsn)(x[0]).dtype == jnp.float32
    assert special.hankel1(0, x).dtype == special.lambertw(x).dtype == jnp.complex64
    assert special.jv(1.5, 2).dtype == jnp.float64


def test_no_derivative_in_a_parameter():
    with pytest.raises(MissingDerivativeError, match=r"struve: .* respect to 'v'"):
        jax.grad(special.struve)(1.0, 0.5)
    held = jax.grad(lambda x: special.struve(jax.lax.stop_gradient(x), x))(1.0)
    assert held == pytest.approx(float(jax.grad(special.struve, 1)(1.0, 1.0)), rel=1e-14)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_input():
    with pytest.raises(InputError, match="'v' is complex"):
        special.jv(1j, 0.3)
    with pytest.raises(InputError, match="Python integer"):
        special.lambertw(0.3, 0.5)
    with pytest.raises(InputError, match="Python integer"):
        special.polygamma(-1, 0.3)
