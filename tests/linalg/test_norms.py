"""Matrix norms: values against NumPy, derivatives against 40 digits at equal and at zero singular values."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback import linalg
from pullback.core import InputError
from pullback.trust import check_derivatives
from pullback.trust._conformance._matrices import rectangle

NORMS = {
    "nuclear": (linalg.nuclear_norm, lambda s: sum(s)),
    "Ky Fan 2": (partial(linalg.ky_fan_norm, k=2), lambda s: s[0] + s[1]),
    "spectral": (linalg.spectral_norm, lambda s: s[0]),
    "Schatten 2": (partial(linalg.schatten_norm, p=2), lambda s: mp.sqrt(sum(x**2 for x in s))),
    "Schatten 4": (partial(linalg.schatten_norm, p=4), lambda s: mp.root(sum(x**4 for x in s), 4)),
    "Schatten 1.5": (partial(linalg.schatten_norm, p=1.5), lambda s: sum(x**1.5 for x in s) ** (1 / mp.mpf(1.5))),
    "Schatten 2.5": (partial(linalg.schatten_norm, p=2.5), lambda s: sum(x**2.5 for x in s) ** (1 / mp.mpf(2.5))),
}
EQUAL = rectangle(4, 3, [2.0, 2.0, 2.0], complex_=True)
TWO_EQUAL = rectangle(4, 3, [2.0, 2.0, 0.5], complex_=True)
TOP = rectangle(4, 3, [2.0, 1.0, 1.0], complex_=True)
DEFICIENT = rectangle(4, 3, [2.0, 2.0, 0.0], complex_=True)
LOW = rectangle(4, 3, [2.0, 0.0, 0.0], complex_=True)
rng = np.random.default_rng(3)
LEFT, RIGHT, FREE = (rng.normal(size=s) + 1j * rng.normal(size=s) for s in ((4, 4), (3, 3), (4, 3)))


@cache
def program(name):
    norm = NORMS[name][0]

    def modes(curve):
        def f(t):
            return norm(curve[0] + t * curve[1] + t**2 * curve[2])

        def slope(t):
            return jax.jvp(f, (t,), (1.0,))[1]

        return (f(0.0), *jax.value_and_grad(slope)(0.0))

    return jax.jit(modes)


def exact(name, curve):
    def f(t):
        a = mp.matrix(curve[0].tolist()) + t * mp.matrix(curve[1].tolist()) + t**2 * mp.matrix(curve[2].tolist())
        if np.linalg.matrix_rank(curve[0]) < 3 and np.any(curve[2]):  # within the matrices of this rank
            x, y = mp.eye(4) + t * mp.matrix(LEFT.tolist()), mp.eye(3) + t * mp.matrix(RIGHT.tolist())
            a = x * mp.matrix(curve[0].tolist()) * y
        s = sorted((mp.re(x) for x in mp.svd_c(a, compute_uv=False)), reverse=True)
        return NORMS[name][1]([x if x > mp.mpf(10) ** -15 else mp.mpf(0) for x in s])

    with mp.workdps(60):
        h = mp.mpf(10) ** (-14 if "2.5" in name else -12)
        below, here, above = f(-h), f(mp.mpf(0)), f(h)
        return [float(x) for x in (here, (above - below) / (2 * h), (above - 2 * here + below) / h**2)]


def free(a):
    return np.stack([a, FREE, 0 * FREE])


def of_one_rank(a):
    """(1 + t L) a (1 + t R)."""
    return np.stack([a, LEFT @ a + a @ RIGHT, LEFT @ a @ RIGHT])


POINTS = {
    "nuclear": [free(EQUAL), free(TWO_EQUAL), of_one_rank(DEFICIENT), of_one_rank(LOW)],
    "Ky Fan 2": [free(TWO_EQUAL), of_one_rank(DEFICIENT)],
    "spectral": [free(TOP), free(LOW)],
    "Schatten 2": [free(EQUAL), free(LOW)],
    "Schatten 4": [free(TWO_EQUAL), free(LOW)],
    "Schatten 1.5": [free(EQUAL), of_one_rank(DEFICIENT)],
    "Schatten 2.5": [free(EQUAL), free(DEFICIENT)],
}


@pytest.mark.parametrize("name", NORMS)
def test_value_and_two_derivatives(name):
    for curve in POINTS[name]:
        np.testing.assert_allclose(
            program(name)(jnp.array(curve)),
            exact(name, curve),
            rtol=1e-8 if "1.5" not in name and "2.5" not in name else 1e-6,
        )


def test_kinks():
    """Across ranks: the mean of both sides; at several largest values: their mean; at zero: 0."""
    a, e = jnp.diag(jnp.array([2.0, 0.0])), jnp.diag(jnp.array([0.0, 1.0]))
    assert jax.grad(lambda t: linalg.nuclear_norm(a + t * e))(0.0) == 0
    np.testing.assert_allclose(jax.grad(linalg.spectral_norm)(jnp.eye(3)), np.eye(3) / 3, atol=1e-15)
    for norm in (linalg.nuclear_norm, linalg.spectral_norm, NORMS["Schatten 1.5"][0], NORMS["Schatten 4"][0]):
        assert not jax.grad(norm)(jnp.zeros((3, 2))).any()


def test_values_batches_and_limits():
    batch = jnp.array(np.stack([EQUAL, TOP, LOW]).real)
    np.testing.assert_allclose(linalg.nuclear_norm(batch), [np.linalg.norm(a, "nuc") for a in batch], rtol=1e-13)
    np.testing.assert_allclose(linalg.spectral_norm(batch), [np.linalg.norm(a, 2) for a in batch], rtol=1e-13)
    np.testing.assert_allclose(linalg.schatten_norm(batch, 2), np.sqrt(np.sum(batch**2, axis=(1, 2))), rtol=1e-13)
    assert (linalg.schatten_norm(batch, 1) == linalg.nuclear_norm(batch)).all()
    assert (linalg.schatten_norm(batch, math.inf) == linalg.spectral_norm(batch)).all()
    with pytest.raises(InputError, match="from 1 to infinity"):
        linalg.schatten_norm(batch, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
def test_all_modes(name):
    check_derivatives(NORMS[name][0], jnp.array(rectangle(4, 3, [2.0, 1.3, 0.5], complex_=True)), order=2)
