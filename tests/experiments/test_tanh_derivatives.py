"""tanh-derivatives against the known derivatives at 0 and against 40-digit arithmetic."""

import mpmath
import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.tanh_derivatives import TanhDerivatives, tanh_polynomials
from pullback.runs import Run


def solve(**options):
    experiment = TanhDerivatives(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


def test_derivatives_at_zero():
    _, result = solve(points=3, order=7)
    np.testing.assert_allclose(result.arrays["derivatives"][:, 1], [0, 1, 0, -2, 0, 16, 0, -272], atol=1e-12)


def test_derivatives_in_forty_digits():
    _, result = solve(points=5, half_width=2.0)
    with mpmath.workdps(40):
        for k, row in enumerate(result.arrays["derivatives"]):
            exact = [float(mpmath.diff(mpmath.tanh, x, k)) for x in result.arrays["x"]]
            np.testing.assert_allclose(row, exact, rtol=1e-12, atol=1e-13)


def test_the_lectures_figure():
    """Six derivatives on [-7, 7], exact to rounding."""
    experiment, result = solve()
    assert result.arrays["derivatives"].shape == (7, 1000)
    assert (result.arrays["x"][0], result.arrays["x"][-1]) == (-7, 7)
    assert result.converged and 0 < result.summary["max_error"] < 1e-13
    figure = experiment.plot(result)
    assert len(figure.axes[0].lines) == 7
    assert all(np.abs(line.get_ydata()).max() == 1 for line in figure.axes[0].lines)


def test_the_reference_is_independent_of_the_experiment():
    np.testing.assert_array_equal(tanh_polynomials(8, np.zeros(1))[:, 0], [0, 1, 0, -2, 0, 16, 0, -272, 0])


@pytest.mark.parametrize("options", [{"points": 1}, {"order": 0}, {"order": 9}, {"half_width": 0.0}])
def test_options_out_of_range(options):
    with pytest.raises(InputError, match="must be"):
        TanhDerivatives(**options)
