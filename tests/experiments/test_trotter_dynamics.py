"""trotter-dynamics against free fermions, dense matrices and the orders of the formulas."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.circuits import Circuit, TimeEvolution, commuting_sets, state
from pullback.core import InputError
from pullback.experiments.trotter_dynamics import TrotterDynamics
from pullback.operators import PauliSum
from pullback.runs import Run
from tests.spins import pauli_sum


def transverse(n, g, t):
    """⟨X⟩ per site of the Ising ring after a quench from all spins along x: each pair of modes ±k is a spin 1/2 that
    turns about the axis of its Hamiltonian, H_k = 2 (g − cos k) τ_z + 2 sin k τ_x, from τ_z = 1; k = (2j − 1)π/n.
    Barouch, McCoy, Dresden, Phys. Rev. A 2, 1075 (1970); Calabrese, Essler, Fagotti, arXiv:1204.3911."""
    k = (2 * np.arange(1, n // 2 + 1) - 1) * np.pi / n
    e2 = 1 + g * g - 2 * g * np.cos(k)
    tilt = (g - np.cos(k)) ** 2 / e2
    return (tilt + (1 - tilt) * np.cos(4 * np.sqrt(e2) * t)).mean()


@pytest.mark.slow
def test_ising_ring():
    """The reference agrees with free fermions, and errors have the orders of the formulas."""
    n, g, T = 8, 0.7, 1.5
    experiment = TrotterDynamics(sites=n, g=g, initial="plus", time=T, steps=16, orders=(1, 4))
    H = experiment.prepare()
    result = experiment.run(H, Run.null())
    energy = result.arrays["energy"]
    np.testing.assert_allclose(energy[:, 0], energy[0, 0], atol=1e-9)  # conserved
    for k in (1, 4):
        assert abs(result.summary[f"fitted_order_{k}"] - k) < 0.2
    assert result.summary["sensitivity_error_4"] < 1e-3
    assert len(experiment.plot(result).axes) == 6
    psi = state(Circuit(n, [TimeEvolution(H, T)]), jnp.full(1 << n, 2 ** (-n / 2), complex))
    X = PauliSum(n, {f"X{q}": 1 / n for q in range(n)})
    np.testing.assert_allclose(np.vdot(psi, X(psi)).real, transverse(n, g, T), atol=1e-9)


def test_file_and_sensitivities(tmp_path):
    """A chain from a file: magnetisation and its derivatives by the strengths, against matrix exponentials."""
    file = tmp_path / "model.txt"
    file.write_text("1.0 X0 X1\n0.8 Y0 Y1  # exchange\n0.3 Z1 Z2\n-0.4 X2\n")
    experiment = TrotterDynamics(hamiltonian=file, initial="neel", time=0.9, steps=3, orders=(2,))
    H = experiment.prepare()
    sets = commuting_sets(H)
    assert [[str(p) for p in s.words] for s in sets] == [["X0 X1", "Y0 Y1", "X2"], ["Z1 Z2"]]
    result = experiment.run(H, Run.null())
    parts = [pauli_sum(3, [(1.0, "XXI"), (0.8, "YYI"), (-0.4, "IIX")]), pauli_sum(3, [(0.3, "IZZ")])]
    M = pauli_sum(3, [(1 / 3, {q: "Z"}) for q in range(3)])
    neel = np.eye(8)[0b010]

    def magnetisation(strengths, t):
        psi = scipy.linalg.expm(-1j * t * sum(s * p for s, p in zip(strengths, parts))) @ neel
        return (psi.conj() @ M @ psi).real

    for i, t in enumerate(result.arrays["t"]):
        np.testing.assert_allclose(result.arrays["magnetisation"][i, 0], magnetisation(np.ones(2), t), atol=1e-10)
        for k, d in enumerate(1e-4 * np.eye(2)):
            slope = (magnetisation(1 + d, t) - magnetisation(1 - d, t)) / 2e-4
            np.testing.assert_allclose(result.arrays["sensitivity"][i, 0, k], slope, atol=1e-7)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="needs different ones of 1, 2, 4"):
        TrotterDynamics(orders=(3,)).prepare()
    file = tmp_path / "model.txt"
    file.write_text("1.0 Z0 Z30\n")
    with pytest.raises(InputError, match="31 qubits; up to 18"):
        TrotterDynamics(hamiltonian=file).prepare()
