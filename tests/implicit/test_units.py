"""Equations in small and large units, whose squares are no numbers: the same solutions and derivatives as in others."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest

from pullback.core import RESULTS, Implicit
from pullback.implicit import Find, Newton, argmin, fixed_point, root
from pullback.implicit._linear import norm

A = np.array([2.0, 3.0])
START = jnp.array([1.0, 2.5])
GMRES = Implicit(linear_solver=lx.GMRES(1e-12, 1e-12))
CG = Implicit(linear_solver=lx.CG(1e-12, 1e-12))


def squares(unit, **options):
    """(solution, derivative by b) of unit · (x² − b a) = 0 at b = 1, and the exact ones."""
    found = jax.jit(lambda b: root(lambda x: unit * (x**2 - b * A), START, throw=False, tol=1e-12 * unit, **options))
    return found, np.sqrt(A), np.sqrt(A) / 2


def quartic(unit, **options):
    """The minimum of unit · Σ (x − b a)² + (x − b a)⁴."""

    def energy(b):
        return lambda x: unit * jnp.sum((x - b * A) ** 2 + (x - b * A) ** 4)

    return jax.jit(lambda b: argmin(energy(b), START, throw=False, tol=1e-11 * unit, solver=Newton(), **options)), A, A


def pair(unit):
    """The distance of two particles on a line, unit · (x₀ − x₁ − b)², which may move together."""
    modes = np.ones((1, 2))

    def found(b):
        options = {"tol": 1e-11 * unit, "solver": Newton(), "zero_modes": modes, "throw": False}
        return argmin(lambda x: unit * (x[0] - x[1] - b) ** 2, START, **options)

    return jax.jit(found), START.mean() + np.array([0.5, -0.5]), np.array([0.5, -0.5])


def contraction(unit):
    """x = (x + b unit a) / 2, a solution that is itself small or large."""

    def found(b):
        return fixed_point(lambda x: (x + b * unit * A) / 2, unit * START, tol=min(1e-12, 1e-12 * unit), throw=False)

    return jax.jit(found), unit * A, unit * A


CASES = {
    "root": squares,
    "root, Find": lambda unit: squares(unit, zero_modes=Find()),
    "root, GMRES": lambda unit: squares(unit, adjoint=GMRES),
    "root, Levenberg": lambda unit: squares(unit, solver=optx.LevenbergMarquardt(1e-6, 1e-6)),
    "argmin": quartic,
    "argmin, CG": lambda unit: quartic(unit, adjoint=CG),
    "argmin, zero modes": pair,
    "fixed_point": contraction,
}
IN_SLOW = {"root, Find", "root, Levenberg", "argmin, CG", "fixed_point"}


@pytest.mark.parametrize(
    ("case", "unit"),
    [
        pytest.param(case, unit, marks=pytest.mark.slow if case in IN_SLOW or unit != 1e-200 else ())
        for case in CASES
        for unit in (1e-200, 1e-160, 1e160)
        if (case, unit) != ("root, Levenberg", 1e160)  # it has its own norms, which overflow, and does not start
    ],
)
def test_solutions_and_derivatives(case, unit):
    solve, exact, slope = CASES[case](unit)
    solution, tangent = jax.jvp(solve, (1.0,), (1.0,))
    assert solution.result == RESULTS.successful
    np.testing.assert_allclose(solution.value, exact, rtol=1e-10)
    np.testing.assert_allclose(tangent.value, slope, rtol=1e-10)
    assert solution.stats["linear_residual"] < 1e-12


@pytest.mark.parametrize("unit", [1e-200, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_start_is_no_success(unit):
    """The default tolerance is in the equation's own units, too."""

    def equation(x):
        return unit * (x**2 - A)

    assert root(equation, START, throw=False, max_steps=1).result == RESULTS.max_steps_reached
    np.testing.assert_allclose(root(equation, START), np.sqrt(A), rtol=1e-10)


@pytest.mark.parametrize(("dtype", "sizes"), [(np.float64, (-307, 308)), (np.float32, (-37, 38))])
def test_norms_of_all_sizes(dtype, sizes):
    lengths = np.array([10.0**k for k in range(*sizes)] + [0, np.inf, np.nan])
    vectors = (np.array([0.6, 0.8]) * lengths[:, None]).astype(dtype)
    np.testing.assert_allclose(jax.jit(norm, static_argnames="axis")(vectors, axis=1), lengths, rtol=1e-6)
