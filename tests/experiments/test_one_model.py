"""One file of a model in every experiment that reads one: the same operator, and the same ground energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.fidelity_susceptibility import FidelitySusceptibility
from pullback.experiments.trotter_dynamics import TrotterDynamics
from pullback.experiments.vqe import VQE
from pullback.runs import Run
from tests.operators import dense

G = 0.8
MODEL = "-1.0 Z0 Z1 Z2\n0.5 Y1 X2\n0.3 g X0\n0.7 g X1\n-0.2 * z3 * x2\n0.6 X3\n0.35 Z2\n0.15 Z0\n0.4\n"
MODEL_TERMS = [(-1.0, "Z0 Z1 Z2"), (0.5, "Y1 X2"), (0.3 * G, "X0"), (0.7 * G, "X1"), (-0.2, "Z3 X2"), (0.6, "X3")]
MODEL_TERMS += [(0.35, "Z2"), (0.15, "Z0"), (0.4, "I")]
# As OpenFermion prints it, but for the letter g.
FERMIONS = """(0.25+0j) [] +
(-1+0j) [0^ 1] +
(-1+0j) [1^ 0] +
(-0.7+0.2j) [1^ 3] +
2.0 g [2^ 2 3^ 3] +
(0.5+0j) [2^ 3] +
(-0.7-0.2j) [3^ 1] +
(0.5+0j) [3^ 2] +
(-1.5+0j) [0^ 0]"""
FERMION_TERMS = [
    (0.25, ""), (-1, "0^ 1"), (-1, "1^ 0"), (-0.7 + 0.2j, "1^ 3"), (-0.7 - 0.2j, "3^ 1"), (2 * G, "2^ 2 3^ 3"),
    (0.5, "2^ 3"), (0.5, "3^ 2"), (-1.5, "0^ 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        pytest.param(MODEL, dense.words(4, MODEL_TERMS), marks=pytest.mark.slow),
        (FERMIONS, dense.fermions(4, FERMION_TERMS)),
    ],
    ids=["Pauli matrices", "OpenFermion"],
)
def test_equal_ground_energies(tmp_path, text, exact):
    file = tmp_path / "model.txt"
    file.write_text(text)
    ground = np.linalg.eigvalsh(exact)[0]

    lattice = FidelitySusceptibility(hamiltonian=file, start=G, stop=G + 0.1, points=2)
    (family,) = lattice.prepare()
    assert float(jax.jit(lambda g: family.ground(g).energy)(G)) == pytest.approx(ground, abs=1e-10)

    variational = VQE(hamiltonian=file, g=G, layers=1, max_steps=1, optimiser=("gd",))
    found = variational.run(variational.prepare(), Run.null())
    assert found.summary["exact_energy"] == pytest.approx(ground, abs=1e-10)
    np.testing.assert_allclose(variational.prepare()[1].matrix(), exact, atol=1e-14)

    dynamics = TrotterDynamics(hamiltonian=file, g=G, time=0.4, steps=2, orders=(2,))
    H = dynamics.prepare()
    assert float(jnp.linalg.eigvalsh(H.matrix())[0]) == pytest.approx(ground, abs=1e-10)
    energy = dynamics.run(H, Run.null()).arrays["energy"]
    np.testing.assert_allclose(energy, exact[0, 0].real, atol=0.05)  # all spins up, all modes empty: conserved
    np.testing.assert_allclose(energy[:, 0], exact[0, 0].real, atol=1e-12)


def test_what_no_experiment_on_qubits_can_take(tmp_path):
    file = tmp_path / "model.txt"
    for text, message in [
        ("# spin: 1\n1.0 X0 X1\n", "qubits are spins 1/2"),
        ("1.0 [0^ 1]\n", "line 1: the term has no Hermitian conjugate"),
        ("1.0 Z99\n", "acts on 100 qubits"),
    ]:
        file.write_text(text)
        for experiment in (VQE(hamiltonian=file), TrotterDynamics(hamiltonian=file)):
            with pytest.raises(InputError, match=message):
                experiment.prepare()
