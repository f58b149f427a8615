"""The exponential and its action against SciPy, in all modes."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import expm, expm_multiply
from pullback.trust import check_derivatives

RNG = np.random.default_rng(1)
A, B = jnp.asarray(RNG.normal(size=(5, 5))), jnp.asarray(RNG.normal(size=(5, 2)))


def test_values():
    jordan = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(expm(jordan), np.e * jordan, rtol=1e-15)
    for scale in (0.0, 1e-8, 1.0, 20.0):
        want = scipy.linalg.expm(scale * A)
        np.testing.assert_allclose(expm(scale * A), want, atol=1e-12 * np.abs(want).max())
        np.testing.assert_allclose(expm_multiply(scale * A, B), want @ B, atol=1e-12 * np.abs(want).max())
    evolved = expm_multiply(-500j * (A + A.T), B[:, 0])  # unitary, of large norm
    assert float(jnp.linalg.norm(evolved)) == pytest.approx(float(jnp.linalg.norm(B[:, 0])), rel=1e-10)


@pytest.mark.parametrize("modes", [("vjp", "fwd-rev"), pytest.param(("rev-rev", "fwd-fwd"), marks=pytest.mark.slow)])
def test_derivatives(modes):
    f = lambda a, b: (expm(a), expm_multiply(1j * a, b))  # noqa: E731
    check_derivatives(f, A, B, modes=("jvp", *modes), samples=1, scale=0.03, throw=True)


def test_at_zero():
    check_derivatives(expm, jnp.zeros((3, 3), complex), modes=("vjp",), order=1, samples=1, throw=True)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_input():
    with pytest.raises(InputError, match="overflows"):
        expm(1e4 * jnp.eye(2))
    with pytest.raises(InputError, match="shapes"):
        expm_multiply(A, jnp.ones(3))
