"""vqe: optimisers reach the ground state of small rings, files are read, bad input is refused."""

import json

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.vqe import VQE
from pullback.runs import Run, execute


def test_four_spins():
    experiment = VQE(sites=4, layers=4, max_steps=60, learning_rate=0.05, optimiser=("adam", "lbfgs"))
    result = experiment.run(experiment.prepare(), Run.null())
    np.testing.assert_allclose(result.summary["exact_energy"], -8, atol=1e-12)
    assert result.summary["error_lbfgs"] < 1e-4
    assert 0 <= result.summary["error_adam"] < 1.0
    assert result.converged  # one optimiser got there
    assert len(experiment.plot(result).axes) == 3


def test_files(tmp_path):
    model, program = tmp_path / "model.txt", tmp_path / "circuit.qasm"
    model.write_text("# two spins\n-1.0 Z0 Z1\n0.5 * X0\n")
    program.write_text(
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nry(0.3) q[0];\ncx q[0],q[1];\nry(0.4) q[1];\n'
    )
    experiment = VQE(hamiltonian=model, circuit=program, max_steps=2, learning_rate=0.1, optimiser=("gd",))
    result = experiment.run(experiment.prepare(), Run.null())
    matrix = np.diag([-1.0, 1, 1, -1]) + 0.5 * np.array([[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_allclose(result.summary["exact_energy"], np.linalg.eigvalsh(matrix)[0], atol=1e-12)
    energies = result.arrays["energy_gd"]
    assert energies[2] < energies[1] < energies[0]


def test_a_stationary_point_above_the_ground_energy_has_not_converged(tmp_path):
    """All angles zero: a rotation of |0> has no first-order effect on -Z, and the ground energy of Z is -1."""
    model, program = tmp_path / "model.txt", tmp_path / "circuit.qasm"
    model.write_text("1.0 Z0\n1.0 Z1\n")
    program.write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nry(0) q[0];\nry(0) q[1];\n')
    experiment = VQE(hamiltonian=model, circuit=program, max_steps=5, optimiser=("adam",))
    result = execute(experiment, tmp_path / "run", quiet=True)
    progress = [json.loads(line)["E-E0"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert progress[-1] == 4
    assert not result.converged and result.summary["error_adam"] == 4
    assert "Adam 4 above it, gradient 0.0e+00, 5 steps" in result.message and "zeros are often" in result.message


def test_a_circuit_with_its_own_includes_resumes_elsewhere(tmp_path):
    """What the program includes is part of what the run reads: it is copied with it."""
    folder = tmp_path / "mine"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "words.inc").write_text('include "deeper.inc";\ngate turn(t) a { up(t) a; }\n')
    (folder / "lib" / "deeper.inc").write_text("gate up(t) a { ry(t) a; }\n")
    program = folder / "circuit.qasm"
    program.write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\ninclude "lib/words.inc";\nqubit q;\nturn(0.3) q;\n')
    (folder / "model.txt").write_text("1.0 Z0\n")
    experiment = VQE(hamiltonian=folder / "model.txt", circuit=program, max_steps=40, optimiser=("lbfgs",))
    result = execute(experiment, tmp_path / "run", quiet=True)
    assert result.converged
    assert sorted(p.name for p in (tmp_path / "run" / "files" / "circuit").rglob("*") if p.is_file()) == [
        "circuit.qasm", "deeper.inc", "words.inc",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        ({"optimiser": ("newton",)}, None, "--optimiser"),
        ({}, "1.0 Q0", "line 1"),
        ({}, "a Z0", "line 1: cannot read 'a'"),
        ({}, "nan Z0", "line 1: the coefficient nan is not finite"),
    ],
)
def test_bad_input(tmp_path, options, text, message):
    if text is not None:
        options = {"hamiltonian": tmp_path / "model.txt"}
        options["hamiltonian"].write_text(text)
    with pytest.raises(InputError, match=message):
        VQE(**options).prepare()
