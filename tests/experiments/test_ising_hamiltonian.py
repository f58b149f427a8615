"""ising-hamiltonian: known couplings found again, degenerate targets, bad input."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.ising_hamiltonian import IsingHamiltonian
from pullback.runs import Run
from tests.lattices.references import kronecker
from tests.spins import ising_ring_levels

CHAIN4 = [(0, 1), (1, 2), (2, 3)]
RING5 = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]


def solve(**options):
    experiment = IsingHamiltonian(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


def column(path, values):
    np.savetxt(path, values, fmt="%.17g", header="energy", comments="")
    return path


@pytest.fixture(scope="module")
def recovery():
    return solve(sites=5, seed=1)


def test_known_couplings_are_found_again(recovery):
    _, result = recovery
    assert result.converged and result.message == ""
    assert result.summary["max_level_error"] < 1e-6
    assert result.summary["max_coupling_error"] < 1e-6
    for kind in ("zz", "x", "z"):
        true = result.arrays[f"true_{kind}"]
        assert true.shape == (5,) and true.min() > 0.5 and true.max() < 1.5
        np.testing.assert_allclose(result.arrays[f"couplings_{kind}"], true, atol=1e-6)


def test_the_levels_reported_are_those_of_the_couplings_reported(recovery):
    _, result = recovery
    matrix = kronecker(5, RING5, {kind: -result.arrays[f"couplings_{kind}"] for kind in ("zz", "x", "z")})
    np.testing.assert_allclose(result.arrays["found"], np.linalg.eigvalsh(matrix), atol=1e-12)
    assert result.summary["E0"] == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-12)
    assert np.abs(result.arrays["initial"] - result.arrays["target"]).max() > 0.1


def test_figure_of_spectra(recovery):
    experiment, result = recovery
    left, middle, right = experiment.plot(result).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["target", "start", "found"]
    assert len(left.lines) == 3 * 32
    assert [text.get_text() for text in middle.get_legend().get_texts()] == ["zz", "x", "z", "true", "start"]
    np.testing.assert_array_equal(middle.lines[0].get_ydata(), result.arrays["couplings_zz"])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), result.arrays["history"])


@pytest.mark.slow
def test_a_degenerate_target_from_free_fermions(tmp_path):
    target = column(tmp_path / "ring.csv", ising_ring_levels(5, 0.8)[::-1])
    _, result = solve(sites=5, terms=("zz", "x"), uniform=True, input=target, starts=4)
    assert result.converged and result.summary["max_level_error"] < 1e-6
    np.testing.assert_allclose(result.arrays["couplings_zz"], 1.0, atol=1e-6)
    np.testing.assert_allclose(np.abs(result.arrays["couplings_x"]), 0.8, atol=1e-6)


@pytest.mark.slow
def test_another_zero_of_energy_and_few_levels(tmp_path):
    """The lowest levels of an antiferromagnetic Heisenberg chain with J = 1, and 100 more."""
    matrix = kronecker(4, CHAIN4, {"xx+yy+zz": np.array([0.25, 0.25, 0.25])})
    target = column(tmp_path / "chain.csv", np.linalg.eigvalsh(matrix) + 100)
    options = {"sites": 4, "boundary": "open", "terms": ("xx+yy+zz",), "uniform": True, "input": target}
    _, result = solve(**options, shift=True, levels=9, starts=8)
    assert result.converged
    assert result.summary["shift"] == pytest.approx(100, abs=1e-6)
    np.testing.assert_allclose(result.arrays["couplings_xx+yy+zz"], -0.25, atol=1e-6)


def test_what_cannot_be_matched_is_said():
    """Adam, and far too few steps of it."""
    _, result = solve(sites=3, starts=2, max_steps=3, optimiser="adam")
    assert not result.converged
    assert "above --tol 1e-16 (starts tried: 2)" in result.message and "--shift" in result.message
    assert result.summary["loss"] == result.arrays["start_losses"].min() > 1e-6


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({}, "1\n2\nx\n", "not a number"),
        ({"sites": 2}, "1\n2\n3\n4\n5\n", "5 levels, but 2 spins have 4"),
        ({"levels": 4}, "1\n2\n3\n", "--levels: the target has 3 levels, got 4"),
        ({"levels": 2}, "1\n1\n3\n", "lowest 2 levels of the target are all 1"),
        ({"terms": ()}, "1\n2\n", "--terms"),
        ({"terms": ("x", "x")}, "1\n2\n", "--terms"),
    ],
)
def test_bad_input(tmp_path, options, content, message):
    path = tmp_path / "target.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        IsingHamiltonian(input=path, **options).prepare()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"sites": 11}, {"sites": 1}, {"starts": 0}, {"terms": ("zw",)}, {"tol": -1.0}])
@pytest.mark.usefixtures("no_type_checks")
def test_options_out_of_range(options):
    with pytest.raises(InputError, match="--"):
        IsingHamiltonian(**options)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        IsingHamiltonian(input=tmp_path / "none.csv").prepare()
