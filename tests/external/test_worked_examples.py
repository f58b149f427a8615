"""The programs of examples/external_programs.py, in every mode."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from scipy.interpolate import CubicSpline

from pullback.trust import check_derivatives

EXAMPLES = runpy.run_path(str(Path(__file__).parents[2] / "examples/external_programs.py"))


def test_spline():
    knots = np.linspace(0, 3, 10)
    curve = CubicSpline(knots, np.exp(-knots))
    f = EXAMPLES["spline"](curve)
    check_derivatives(f, jnp.array([0.5, 1.2]), samples=1, throw=True)
    assert jax.grad(jax.grad(jax.grad(f)))(0.5) == pytest.approx(float(curve(0.5, 3)), rel=1e-13)


def test_compiled_function():
    check_derivatives(EXAMPLES["j0"], 1.3, samples=1, throw=True)
    third = jax.grad(jax.grad(jax.grad(EXAMPLES["j0"])))(1.3)
    assert third == pytest.approx(scipy.special.jvp(0, 1.3, 3), rel=1e-12)


def test_quantum_processor():
    check_derivatives(EXAMPLES["measured"], jnp.linspace(0.1, 0.9, 6), samples=1, throw=True)
