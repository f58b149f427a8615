"""Derivatives across the transition: the exact Ising ring, and a model from a file against a dense matrix."""

import numpy as np
import pytest
import scipy.optimize

from pullback.core import InputError
from pullback.experiments.fidelity_susceptibility import FidelitySusceptibility
from pullback.runs import Run
from tests.spins import ising_ring_ground, pauli_sum

FILE = """# two exchange terms and a field
1.0 X0 X1
1.0 * Y0 * Y1
0.5 Z1 Z0
0.7 X1 X2
-0.3 Z2
-1.0 g X0
-0.5 g X2
"""


def run(**options):
    experiment = FidelitySusceptibility(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


def test_ising_ring_against_free_fermions():
    experiment, result = run(sites=(6,), points=3)
    assert result.converged
    assert max(result.summary[f"error_{name}"] for name in ("energy", "first", "second", "chi")) < 1e-10
    np.testing.assert_allclose(result.arrays["chi"][0, 1], 6 * 5 / 32, rtol=1e-10)
    assert len(experiment.plot(result).axes) == 4


def slope(g, sites):
    """dχ_F/dg of the Ising ring, from χ_F = ⅛ Σ sin²k / (1 + g² − 2g cos k)²."""
    k = (2 * np.arange(sites) + 1) * np.pi / sites
    return -0.5 * (np.sin(k) ** 2 * (g - np.cos(k)) / (1 + g * g - 2 * g * np.cos(k)) ** 3).sum()


@pytest.mark.parametrize("sites", [6, pytest.param(16, marks=pytest.mark.slow)])
def test_the_peak_is_that_of_the_exact_curve(sites):
    """Not the largest point of a grid: at 16 sites g = 0.97784, χ_F = 7.66861, and the grid says 1.0 and 7.5."""
    _, result = run(sites=(sites,), start=0.6, stop=1.4, points=3)
    g = scipy.optimize.brentq(slope, 0.7, 1.0, args=(sites,), xtol=1e-15)
    *_, chi = ising_ring_ground(sites, g)
    found = result.summary[f"peak_g_{sites}"], result.summary[f"peak_chi_{sites}"]
    np.testing.assert_allclose(found, (g, chi), rtol=1e-9)
    if sites == 16:
        np.testing.assert_allclose(found, (0.97784, 7.66861), rtol=1e-5)


def test_a_peak_beyond_the_grid_is_said():
    _, result = run(sites=(6,), start=1.2, stop=1.5, points=2)
    assert "peak_g_6" not in result.summary
    assert result.summary["peak_6"] == "no maximum between --start and --stop: the largest chi is that of g = 1.2"


def test_model_from_a_file(tmp_path):
    file = tmp_path / "model.txt"
    file.write_text(FILE)
    _, result = run(hamiltonian=file, start=0.4, stop=0.8, points=2)
    fixed = pauli_sum(3, [(1.0, "XXI"), (1.0, "YYI"), (0.5, "ZZI"), (0.7, "IXX"), (-0.3, "IIZ")])
    driven = pauli_sum(3, [(-1.0, "XII"), (-0.5, "IIX")])
    w, v = np.linalg.eigh(fixed + 0.4 * driven)
    elements = v.conj().T @ driven @ v[:, 0]
    across, gaps = np.abs(elements[1:]) ** 2, w[1:] - w[0]
    expected = w[0], elements[0].real, -2 * (across / gaps).sum(), (across / gaps**2).sum()
    found = [result.arrays[name][0, 0] for name in ("energy", "first", "second", "chi")]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("text", "told"),
    [("1.0 X0 Q1", "line 1"), ("1.0 X0 X0", "different sites"), ("", "empty"), ("1.0 X0\n", "parameter g")],
)
def test_bad_files(tmp_path, text, told):
    file = tmp_path / "model.txt"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        FidelitySusceptibility(hamiltonian=file).prepare()


def test_bad_options():
    with pytest.raises(InputError, match="--stop"):
        FidelitySusceptibility(start=1.0, stop=0.5).prepare()
    with pytest.raises(InputError, match="different numbers"):
        FidelitySusceptibility(sites=(8, 8)).prepare()
