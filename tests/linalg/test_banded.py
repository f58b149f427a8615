"""Banded solvers: SciPy's values, all modes, pivoting, batches, O(n) derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg._banded import solve_banded, solve_tridiagonal
from pullback.trust import check_derivatives


def draw(*shape, dtype=float, seed=0):
    rng = np.random.default_rng([seed, *shape])
    z = rng.normal(size=shape)
    return jnp.asarray(z + 1j * rng.normal(size=shape) if dtype is complex else z)


SLOW = [pytest.param(bands, marks=pytest.mark.slow) for bands in ((0, 2), (2, 0), (0, 0), (4, 3))]


@pytest.mark.parametrize("bands", [(2, 1), *SLOW])
def test_values_are_those_of_scipy(bands):
    n = 5
    ab = draw(sum(bands) + 1, n, dtype=complex)
    b = draw(n, 2)
    np.testing.assert_allclose(solve_banded(bands, ab, b), scipy.linalg.solve_banded(bands, ab, b), rtol=1e-10)


def test_tridiagonal_is_scipys():
    dl, d, du, b = draw(2, 4), draw(5), draw(4, seed=1), draw(5, 1)
    ab = np.zeros((3, 5))
    x = solve_tridiagonal(dl, d, du, b)
    for row in range(2):
        ab[0, 1:], ab[1], ab[2, :-1] = du, d, dl[row]
        np.testing.assert_allclose(x[row], scipy.linalg.solve_banded((1, 1), ab, b), rtol=1e-12)


@pytest.mark.slow
def test_all_modes():
    def solutions(dl, d, du, ab, b):
        return solve_tridiagonal(dl, d, du, b), solve_banded((2, 1), ab, b)

    args = draw(3, dtype=complex), draw(4, dtype=complex), draw(3, dtype=complex, seed=1), draw(4, 4, dtype=complex)
    check_derivatives(solutions, *args, draw(4, dtype=complex, seed=1), samples=1, throw=True)


@pytest.mark.slow
def test_second_order():
    args = draw(4, 4), draw(4)
    check_derivatives(partial(solve_banded, (2, 1)), *args, modes=("fwd-rev",), samples=1, throw=True)


@pytest.mark.slow
def test_zero_pivots_need_a_swap():
    """A permutation matrix: every pivot on the diagonal is zero."""
    ab = jnp.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    np.testing.assert_allclose(solve_banded((1, 1), ab, jnp.arange(4.0)), [1, 0, 3, 2], atol=1e-15)


def test_long_chain_has_no_dense_matrix():
    """−x'' = f on 20 000 points: the gradient of Σ x is the parabola s (1 − s) / 2 (self-adjoint, same equation)."""
    n = 20_000
    s = np.arange(1, n + 1) / (n + 1)
    ab = jnp.stack([jnp.full(n, -1.0), jnp.full(n, 2.0), jnp.full(n, -1.0)]) * (n + 1) ** 2
    for solve in (
        lambda f: solve_banded((1, 1), ab, f),
        lambda f: solve_tridiagonal(ab[0, 1:], ab[1], ab[2, 1:], f),
    ):
        gradient = jax.jit(jax.grad(lambda f, solve=solve: jnp.sum(solve(f))))(jnp.ones(n))
        np.testing.assert_allclose(gradient, s * (1 - s) / 2, atol=1e-8)


@pytest.mark.slow
def test_single_row_and_float32():
    assert solve_tridiagonal(jnp.zeros(0), jnp.array([2.0]), jnp.zeros(0), jnp.array([4.0])) == 2
    x = solve_banded((1, 0), jnp.ones((2, 3), jnp.float32), jnp.ones(3, jnp.float32))
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, [1, 0, 1])


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_tridiagonal(jnp.ones(3), jnp.ones(3), jnp.ones(2), jnp.ones(3)), "n - 1"),
        (lambda: solve_tridiagonal(jnp.zeros(2), jnp.zeros(3), jnp.zeros(2), jnp.ones(3)), "singular"),
        (lambda: solve_banded((1, 1), jnp.ones((2, 3)), jnp.ones(3)), r"l \+ u \+ 1"),
        (lambda: solve_banded((1, 0), jnp.ones((2, 3)), jnp.ones(4)), "n = 3"),
        (lambda: solve_banded((0, 0), jnp.full((1, 3), jnp.nan), jnp.ones(3)), "NaN"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
