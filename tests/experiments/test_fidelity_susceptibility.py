"""Derivatives across the transition: the exact Ising ring, and a model from a file against a dense matrix."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.fidelity_susceptibility import FidelitySusceptibility
from pullback.runs import Run

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


def test_model_from_a_file(tmp_path):
    file = tmp_path / "model.txt"
    file.write_text(FILE)
    _, result = run(hamiltonian=file, start=0.4, stop=0.8, points=2)
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])

    def at(**factors):
        out = np.eye(1)
        for i in range(3):
            out = np.kron(out, factors.get(f"s{i}", np.eye(2)))
        return out

    fixed = at(s0=x, s1=x) + at(s0=y, s1=y) + 0.5 * at(s0=z, s1=z) + 0.7 * at(s1=x, s2=x) - 0.3 * at(s2=z)
    driven = -at(s0=x) - 0.5 * at(s2=x)
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
