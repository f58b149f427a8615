"""det at every rank: derivatives to third order against exact arithmetic (det is a polynomial); slogdet."""

import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._det import det, slogdet
from pullback.trust import check_derivatives, directional_derivative

MODES = ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd", "fwd-fwd-rev", "fwd-rev-rev")


def integers(n, rank, seed=0):
    """An integer matrix of exactly this rank, and an integer direction."""
    rng = np.random.default_rng([seed, n, rank])
    a = rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, n))
    return a, rng.integers(-3, 4, (n, n))


def taylor(value, degree):
    """Derivatives at 0 of a polynomial with rational values, exactly: by Lagrange interpolation."""
    points = [fractions.Fraction(k) for k in range(degree + 1)]
    coefficients = [fractions.Fraction(0)] * (degree + 1)
    for p in points:
        basis = [value(p)]
        for q in points:
            if q != p:
                basis = [(s - q * c) / (p - q) for c, s in zip([*basis, 0], [0, *basis])]
        coefficients = [c + b for c, b in zip(coefficients, basis)]
    return [float(c * math.factorial(m)) for m, c in enumerate(coefficients)]


def exact_det(a):
    """Laplace expansion in rational arithmetic."""
    if len(a) == 1:
        return a[0][0]
    minors = ([row[:j] + row[j + 1 :] for row in a[1:]] for j in range(len(a)))
    return sum((-1) ** j * a[0][j] * exact_det(minor) for j, minor in enumerate(minors))


def line_derivatives(exact, a, da, degree):
    def value(t):
        return exact([[fractions.Fraction(int(x)) + t * int(d) for x, d in zip(*rows)] for rows in zip(a, da)])

    return taylor(value, degree)


def check_line(fun, exact, a, da, degree, modes, rtol=1e-10):
    """Derivatives along a line; errors relative to the largest of any order."""
    want = line_derivatives(exact, a, da, degree)
    want += [0.0] * (4 - len(want))
    size = max(map(abs, want))
    for mode in modes:
        order = 1 + mode.count("-")
        got = jax.jit(lambda t, m=mode, k=order: directional_derivative(lambda t: fun(a + t * da), t, [1.0] * k, m))(
            0.0
        )
        assert float(got) == pytest.approx(want[order], rel=rtol, abs=rtol * size), mode


RANKS = [(5, 5), (5, 4), (5, 3), (5, 2), (5, 1), (4, 0), (3, 1), (2, 0), (1, 0)]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rank"), RANKS)
def test_derivatives_at_every_rank(n, rank):
    check_line(det, exact_det, *integers(n, rank), n, MODES)


@pytest.mark.parametrize(("n", "rank", "mode"), [(5, 2, "fwd-fwd-rev")])
def test_first_derivative_that_does_not_vanish(n, rank, mode):
    check_line(det, exact_det, *integers(n, rank), n, (mode,))


@pytest.mark.slow
def test_jnp_det_fails_at_the_same_points():
    """Wrong at third order at rank n − 1; NaN in reverse over reverse at low rank."""
    with pytest.raises(AssertionError, match="fwd-fwd-fwd"):
        check_line(jnp.linalg.det, exact_det, *integers(5, 4), 5, ("fwd-fwd-fwd",))
    with pytest.raises(AssertionError, match="rev-rev"):
        check_line(jnp.linalg.det, exact_det, np.zeros((4, 4), int), integers(4, 1)[1], 4, ("rev-rev",))


@pytest.mark.slow
def test_complex_and_slogdet_all_modes():
    rng = np.random.default_rng(0)
    a = jnp.asarray(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))
    singular = a.at[3].set(2j * a[0])
    check_derivatives(lambda a, b: (det(a), slogdet(b)), singular, a, samples=1, throw=True)


@pytest.mark.slow
def test_the_gradient_is_the_adjugate():
    """Of a matrix with null vectors x and y: adj(a) is a multiple of x y^T."""
    a, _ = integers(4, 3)
    adjugate = jax.jit(jax.grad(det))(jnp.asarray(a, float)).T
    np.testing.assert_allclose(a @ adjugate, 0, atol=1e-11)
    np.testing.assert_allclose(adjugate @ a, 0, atol=1e-11)
    minor = exact_det([[int(x) for x in row[1:]] for row in a[1:]])
    assert adjugate[0, 0] == pytest.approx(minor, rel=1e-12)


def test_graded_matrices_keep_their_digits():
    """No threshold hides small but honest singular values."""
    d = np.array([1.0, 1e-30, 1e-40, 1e-50, 1e-60])
    np.testing.assert_allclose(jnp.diagonal(jax.jit(jax.grad(det))(jnp.diag(d))), np.prod(d) / d, rtol=1e-12)


def test_slogdet_at_a_singular_matrix():
    assert slogdet(jnp.zeros((2, 2))) == (0, -np.inf)


@pytest.mark.slow
def test_batch_and_float32():
    a = jnp.stack([jnp.eye(3), 2 * jnp.eye(3)]).astype(jnp.float32)
    assert det(a).dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(jax.grad(lambda a: det(a).sum()))(a), jnp.stack([a[0], 2 * a[1]]), rtol=1e-6)
    np.testing.assert_allclose(slogdet(a)[1], [0, 3 * np.log(2)], rtol=1e-6)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("function", [det, slogdet])
@pytest.mark.parametrize(("a", "message"), [(np.ones((2, 3)), "square"), (np.full((2, 2), np.nan), "NaN")])
def test_bad_input(function, a, message):
    with pytest.raises(InputError, match=message):
        function(jnp.asarray(a))
