"""Couplings from a ground state: known ones are found, from a file too; bad input is refused."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.hamiltonian_from_groundstate import HamiltonianFromGroundstate
from pullback.runs import Run
from tests.spins import pauli_sum


def run(**options):
    experiment = HamiltonianFromGroundstate(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


def test_couplings_are_found():
    experiment, result = run(sites=6)
    assert result.converged
    assert result.summary["max_coupling_error"] < 1e-6
    assert len(experiment.plot(result).axes) == 2


@pytest.mark.slow
def test_twelve_sites():
    _, result = run()
    assert result.converged
    assert result.summary["max_coupling_error"] < 1e-6


def test_state_from_a_file(tmp_path):
    """The ground state of a dense matrix made here: a chain of 4 spins, zz and x only."""
    rng = np.random.default_rng(3)
    bonds, fields = -rng.uniform(0.5, 1.5, 3), -rng.uniform(0.5, 1.5, 4)
    terms = [(b, {i: "Z", i + 1: "Z"}) for i, b in enumerate(bonds)] + [(f, {i: "X"}) for i, f in enumerate(fields)]
    matrix = pauli_sum(4, terms)
    file = tmp_path / "state.npz"
    np.savez(file, state=np.linalg.eigh(matrix)[1][:, 0])
    _, result = run(input=file, sites=4, terms=("zz", "x"))
    scale = np.sqrt(np.mean(np.concatenate([bonds, fields]) ** 2))
    np.testing.assert_allclose(result.arrays["couplings_zz"], bonds / scale, atol=1e-7)
    np.testing.assert_allclose(result.arrays["couplings_x"], fields / scale, atol=1e-7)
    with pytest.raises(InputError, match="--sites 4"):
        HamiltonianFromGroundstate(input=file, sites=5).prepare()


def test_a_target_that_symmetry_forbids(tmp_path):
    """With zz and x the ground state is even under a flip of all spins; this target is odd."""
    np.savez(tmp_path / "odd.npz", state=[1, 2, 3, 4, -4, -3, -2, -1])
    _, result = run(input=tmp_path / "odd.npz", sites=3, terms=("zz", "x"), max_steps=3)
    assert not result.converged and "no overlap" in result.message


def test_bad_options():
    with pytest.raises(InputError, match="--terms"):
        HamiltonianFromGroundstate(terms=("x", "x")).prepare()
