"""Functions of general matrices at regular, degenerate and defective points, against SciPy and differences."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import cosm, fractional_power, funm, logm, signm, sinm, sqrtm
from pullback.trust import check_derivatives

RNG = np.random.default_rng(0)
V = RNG.normal(size=(4, 4))
V_INVERSE = np.linalg.inv(V)
DIRECTION = jnp.asarray(RNG.normal(size=(4, 4)))
POINTS = {
    "regular": RNG.normal(size=(4, 4)) + 3 * np.eye(4),
    "degenerate": V @ np.diag([1.0, 1.0, 2.0, 2.0]) @ V_INVERSE,
    "jordan": V @ (np.diag([1.0, 1.0, 2.0, 2.0]) + np.diag([1.0, 0.0, 1.0], 1)) @ V_INVERSE,
    "complex": RNG.normal(size=(4, 4)) + 1j * V + 3 * np.eye(4),
}
FUNCTIONS = {
    "exp": (lambda a: funm(a, jnp.exp), scipy.linalg.expm),
    "log": (logm, scipy.linalg.logm),
    "sqrt": (sqrtm, scipy.linalg.sqrtm),
    "sign": (signm, scipy.linalg.signm),
    "cos": (cosm, scipy.linalg.cosm),
    "sin": (sinm, scipy.linalg.sinm),
    "power": (lambda a: fractional_power(a, 0.3), lambda a: scipy.linalg.fractional_matrix_power(a, 0.3)),
}


@pytest.mark.parametrize(
    "name", [n if n in ("log", "power") else pytest.param(n, marks=pytest.mark.slow) for n in FUNCTIONS]
)
def test_values_and_first_derivatives(name):
    """The derivative is the corner of the function of a block matrix (Mathias), here by SciPy."""
    ours, theirs = FUNCTIONS[name]
    for point in POINTS if name in ("exp", "log") else ("jordan",):
        a = jnp.asarray(POINTS[point])
        value, derivative = jax.jvp(ours, (a,), (DIRECTION.astype(a.dtype),))
        assert value.dtype == a.dtype
        np.testing.assert_allclose(value, theirs(np.asarray(a)), atol=1e-12)
        if name != "sign":  # SciPy's Newton iteration does not converge at the defective block matrix
            block = theirs(np.block([[a, DIRECTION], [np.zeros((4, 4)), a]]))
            np.testing.assert_allclose(derivative, block[:4, 4:], atol=1e-11)


FAR_FROM_NORMAL = {
    "coupled": [[1.0, 1e6], [0.0, 2.0]],
    "small": [[1e-3, 1.0], [0.0, 1e-3]],
    "three": [[0.01, 1.0, 0.0], [0.0, 0.01, 1.0], [0.0, 0.0, 1.0]],
    "graded": [[1e-4, 1.0, 1.0], [0.0, 1e-3, 1.0], [0.0, 0.0, 1e-2]],
}


@pytest.mark.parametrize(
    "name", [n if n == "small" else pytest.param(n, marks=pytest.mark.slow) for n in FAR_FROM_NORMAL]
)
def test_small_eigenvalues_of_matrices_far_from_normal(name):
    """The circles must not reach over the branch point; values and differences by mpmath at 60 digits."""
    a = np.array(FAR_FROM_NORMAL[name])
    direction = np.triu(DIRECTION[: len(a), : len(a)]) * a  # keeps the eigenvalues where they are, relatively
    with mpmath.workdps(60):
        for ours, theirs in (sqrtm, mpmath.sqrtm), (logm, mpmath.logm):
            value, derivative = jax.jvp(ours, (jnp.asarray(a),), (jnp.asarray(direction),))
            exact = theirs(mpmath.matrix(a.tolist()))
            step = mpmath.mpf("1e-20")
            plus, minus = (theirs(mpmath.matrix(a) + s * step * mpmath.matrix(direction)) for s in (1, -1))
            for found, reference in (value, exact), (derivative, (plus - minus) / (2 * step)):
                reference = np.array(reference.apply(mpmath.re).tolist(), float)
                assert np.abs(found - reference).max() < 1e-8 * np.abs(reference).max()


def test_sign_across_a_small_gap_of_a_matrix_far_from_normal():
    np.testing.assert_allclose(signm(jnp.array([[1e-3, 1e3], [0.0, -1e-3]])), [[1, 1e6], [0, -1]], atol=1e-6)


@pytest.mark.parametrize("point", ["degenerate", pytest.param("regular", marks=pytest.mark.slow), "jordan"])
def test_all_modes(point):
    a = jnp.asarray(POINTS[point])
    modes = ("vjp", "fwd-rev") if point == "jordan" else ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd")
    f = lambda t: sqrtm(a + t * DIRECTION)  # noqa: E731
    check_derivatives(f, 0.0, modes=modes, samples=1, scale=0.02, rtol=(1e-8, 1e-6), throw=True)


@pytest.mark.slow
def test_parameters():
    a = jnp.asarray(POINTS["degenerate"])
    f = lambda t, p: fractional_power(a + t * DIRECTION, p)  # noqa: E731
    check_derivatives(f, 0.0, 0.3, samples=1, scale=0.02, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5])
def test_a_full_jordan_block(size):
    a = jnp.diag(jnp.full(size, 0.7)) + jnp.diag(jnp.ones(size - 1), 1)
    c = jnp.asarray(RNG.normal(size=(size, size)))
    check_derivatives(lambda t: funm(a + t * c, jnp.exp), 0.0, samples=1, throw=True)
    np.testing.assert_allclose(funm(a, jnp.exp), scipy.linalg.expm(a), atol=1e-13)


def test_exceptional_point_of_a_non_hermitian_hamiltonian():
    """H = [[i g, 1], [1, −i g]] has H² = k² = 1 − g², and exp(−iH) = cos k − i H sin(k)/k, at k = 0 too."""

    def survival(g):
        h = jnp.array([[1j * g, 1], [1, -1j * g]])
        return jnp.abs(funm(h, lambda x: jnp.exp(-1j * x))[0, 0]) ** 2

    # With y = k²: cos k = 1 − y/2, sin k / k = 1 − y/6; amplitude 1 − y/2 + g (1 − y/6), y = 1 − g².
    assert survival(1.0) == pytest.approx(4, abs=1e-13)
    assert jax.grad(survival)(1.0) == pytest.approx(2 * 2 * (1 + 1 + 1 / 3), abs=1e-11)


def test_batch_vmap_and_float32():
    a = jnp.asarray([POINTS["regular"], POINTS["jordan"]], jnp.float32)
    assert logm(a).dtype == jnp.float32
    np.testing.assert_allclose(logm(a), jax.vmap(logm)(a), atol=1e-5)
    np.testing.assert_allclose(logm(a)[1], scipy.linalg.logm(POINTS["jordan"]), atol=2e-3)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logm(-jnp.eye(2)), "astype"),
        (lambda: sqrtm(jnp.diag(jnp.array([1.0, -4.0]))), "astype"),
        (lambda: logm(jnp.ones((2, 2))), "not finite at the eigenvalues"),
        (lambda: signm(jnp.array([[0.0, 1.0], [-1.0, 0.0]])), "imaginary axis"),
        (lambda: sqrtm(jnp.ones((2, 3))), "square"),
        (lambda: funm(jnp.full((2, 2), jnp.nan), jnp.exp), "NaN"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_negative_eigenvalues_of_complex_matrices_are_principal_values():
    np.testing.assert_allclose(logm(-jnp.eye(2, dtype=complex)), 1j * np.pi * np.eye(2), atol=1e-15)
    np.testing.assert_allclose(sqrtm(jnp.diag(jnp.array([1.0, -4.0 + 0j]))), np.diag([1, 2j]), atol=1e-15)
