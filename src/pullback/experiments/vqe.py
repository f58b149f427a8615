r"""The variational quantum eigensolver on circuits of any depth."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.sparse.linalg
from matplotlib.figure import Figure

from pullback.circuits import Circuit, expect, qasm_includes, round_trip_error, variational_circuit
from pullback.core import RESULTS, InputError
from pullback.experiments._hamiltonian_file import read_paulis
from pullback.operators import PauliSum, heisenberg
from pullback.plots import curves, new_figure
from pullback.runs import LBFGS, Adam, Experiment, GradientDescent, Quantity, Result, Run, minimise, option

_OPTIMISERS = {"gd": "gradient descent", "adam": "Adam", "lbfgs": "L-BFGS"}
_MOST = 24  # qubits of a run
_LARGEST = 20  # qubits up to which the exact ground energy is computed
_LARGEST_ERROR = 1e-6  # of the certificate


@dataclasses.dataclass(frozen=True, kw_only=True)
class VQE(Experiment):
    r"""Minimises the energy ⟨ψ(θ)|H|ψ(θ)⟩ over the angles of a quantum circuit.

    By default H is the Heisenberg ring of ten spins,

        H = Σ_i X_i X_{i+1} + Y_i Y_{i+1} + Z_i Z_{i+1},

    and the circuit has 10 000 layers of rotations Rz Rx Rz on each qubit and a ring of CNOTs: 300 010 angles. Its
    gradient by all of them takes the memory of a few states, because the layers are undone in reverse. Gradient descent
    with the step 1e-3, Adam and L-BFGS start at the same random angles; the energies are compared with the exact one.
    The largest curvature at the minimum is about 2100, slightly above 2 / 1e-3: gradient descent comes within 3e-3 of
    the ground energy after 37 steps and then drifts away again; `--learning-rate 5e-4` is stable.

    The run has converged if an optimiser comes within `--tol` of the exact ground energy, which is known up to 20
    qubits; beyond, if its gradient falls below `--tol`, as it does at any stationary point.

    The certificate of the gradients is how far the state that has run through the circuit and back is from |0…0⟩.

    Input: `--hamiltonian FILE` with one term in each line, a coefficient and a Pauli string, as in

        -1.0  Z0 Z1
         0.5  X0

    or fermions, or as OpenFermion and Qiskit print them (`operators.read_hamiltonian`); terms with the letter g are
    multiplied by `--g`. And `--circuit FILE` with a circuit in OpenQASM 2 or 3, whose angles are the start.

    Sources: A. Peruzzo et al., Nat. Commun. 5, 4213 (2014), arXiv:1304.3061; X.-Z. Luo, J.-G. Liu, P. Zhang, L. Wang,
    Quantum 4, 341 (2020), arXiv:1912.10877, whose run this is.
    """

    hamiltonian: Path | None = option(None, "file with the terms of a Hamiltonian (.txt)")
    circuit: Path | None = option(None, "file with a circuit (.qasm)", also=qasm_includes)
    g: float = option(1.0, "the parameter g of the file, if it has one")
    sites: int = option(10, "number of qubits", ge=2, le=_MOST)
    layers: int = option(10_000, "number of layers", ge=1)
    optimiser: tuple[str, ...] = option(("gd", "adam", "lbfgs"), "optimisers, of gd, adam and lbfgs")
    max_steps: int = option(100, "bound on the steps of each optimiser", ge=1)
    learning_rate: float = option(1e-3, "step of gradient descent and Adam", gt=0)
    tol: float = option(1e-2, "energy above the ground state that counts as reached", gt=0)
    seed: int = option(0, "seed of the random angles")

    citation = (
        "X.-Z. Luo, J.-G. Liu, P. Zhang, L. Wang, Quantum 4, 341 (2020), arXiv:1912.10877; "
        "A. Peruzzo et al., Nat. Commun. 5, 4213 (2014)"
    )

    def prepare(self) -> "tuple[Circuit, PauliSum]":
        """The circuit with its first angles, and the Hamiltonian."""
        unknown = [name for name in self.optimiser if name not in _OPTIMISERS]
        if unknown or not self.optimiser or len(set(self.optimiser)) < len(self.optimiser):
            raise InputError(f"--optimiser: needs different ones of {', '.join(_OPTIMISERS)}; got {self.optimiser}")
        circuit = None if self.circuit is None else Circuit.from_qasm(self.circuit)
        n = self.sites if circuit is None else circuit.n
        if n > _MOST:
            raise InputError(f"{self.circuit}: acts on {n} qubits; up to {_MOST} are possible")
        if self.hamiltonian is None:
            hamiltonian = heisenberg(n, 4.0)
        else:
            hamiltonian = read_paulis(self.hamiltonian, self.g, circuit and n, _MOST)
        if circuit is None:
            circuit = variational_circuit(hamiltonian.n, self.layers)
            rng = np.random.default_rng(self.seed)
            circuit = circuit.with_parameters(rng.uniform(0, 2 * np.pi, circuit.n_parameters))
        if not circuit.n_parameters:
            raise InputError(f"{self.circuit}: the circuit has no angles")
        if not circuit.is_unitary:
            raise InputError(f"{self.circuit}: the circuit is not unitary")
        return circuit, hamiltonian

    def run(self, problem: "tuple[Circuit, PauliSum]", run: Run) -> Result:
        """All optimisers, one after the other; resumable after each step."""
        circuit, hamiltonian = problem
        exact = _ground_energy(hamiltonian) if circuit.n <= _LARGEST else np.nan
        run.log(f"{circuit!r}; {len(hamiltonian.words)} Pauli strings; exact ground energy {exact:.10g}")

        def energy(theta):
            return expect(hamiltonian, circuit.with_parameters(theta))

        certificate = jax.jit(lambda theta: round_trip_error(circuit.with_parameters(theta)))
        heights: dict[str, Any] = {}
        energies: dict[str, Any] = {}
        certificates: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        failures, misses = [], []
        for name in self.optimiser:
            optimiser = {"gd": GradientDescent, "adam": Adam}[name](self.learning_rate) if name != "lbfgs" else LBFGS()
            found = minimise(
                run,
                name,
                energy,
                circuit.parameters,
                optimiser=optimiser,
                tol=-np.inf,
                max_steps=self.max_steps,
                above={"E-E0": exact} if np.isfinite(exact) else None,
            )
            missed = float(certificate(found.x))
            arrays |= {f"energy_{name}": found.history, f"gradient_{name}": found.gradient_history}
            arrays[f"parameters_{name}"] = np.asarray(found.x)
            of = _OPTIMISERS[name]
            if np.isfinite(exact):
                heights[f"error_{name}"] = Quantity(found.loss - exact, f"E − E0 by {of}", digits=3)
            energies[f"energy_{name}"] = Quantity(found.loss, f"energy by {of}, after {found.steps} steps", digits=9)
            if not (found.loss - exact if np.isfinite(exact) else found.gradient_norm) <= self.tol:
                height = f"{found.loss - exact:.3g} above it, " if np.isfinite(exact) else ""
                misses.append(f"{_OPTIMISERS[name]} {height}gradient {found.gradient_norm:.1e}, {found.steps} steps")
            certificates[f"certificate_{name}"] = Quantity(missed, "round trip through its circuit", digits=2)
            if found.result == RESULTS.nonfinite:
                failures.append(f"{_OPTIMISERS[name]}: {found.message}")
            if missed > _LARGEST_ERROR:
                failures.append(
                    f"{_OPTIMISERS[name]}: the round trip through the circuit misses its start by {missed:.1e}."
                )
        for miss in misses:
            run.log(f"ground energy not reached: {miss}")
        if len(misses) == len(self.optimiser):
            failures.append(
                f"No optimiser came within --tol {self.tol:g} of the ground energy: {'; '.join(misses)}. Try more "
                "--max-steps, another --learning-rate or --optimiser, other first angles (--seed, or those of "
                "--circuit: zeros are often a stationary point), or a circuit that reaches more states (--layers)."
            )
        ground = {"exact_energy": Quantity(exact, "ground energy E0, by Lanczos", digits=9)}
        summary = heights | ground | energies | certificates
        return Result(arrays=arrays, summary=summary, converged=not failures, message=" ".join(failures))

    def plot(self, result: Result) -> Figure:
        """Energies, their errors and the gradients of all optimisers."""
        arrays, exact = result.arrays, float(result.summary["exact_energy"])
        names = self.optimiser
        figure, (left, middle, right) = new_figure(1, 3, width=13.0, height=3.8)
        energies = {_OPTIMISERS[name]: arrays[f"energy_{name}"] for name in names}
        longest = max(map(len, energies.values()))
        steps = np.arange(longest)
        energies = {label: _padded(values, longest) for label, values in energies.items()}
        known = np.isfinite(exact)
        line = {"exact": np.full(len(steps), exact)} if known else {}
        curves(
            left,
            steps,
            energies | line,
            xlabel="step",
            ylabel="energy",
            title="energy",
            dashed=tuple(line),
            colours=dict.fromkeys(line, "black"),
        )
        if known:
            errors = {label: np.where(v > exact, v - exact, np.nan) for label, v in energies.items()}  # else rounding
            title = "above the ground state"
            curves(middle, steps, errors, xlabel="step", ylabel=r"$E - E_0$", title=title, yscale="log")
        else:
            middle.set_axis_off()
        norms = {_OPTIMISERS[name]: _padded(arrays[f"gradient_{name}"], longest) for name in names}
        curves(right, steps, norms, xlabel="step", ylabel=r"$|\nabla E|$", title="gradient", yscale="log")
        return figure


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    """An optimiser that cannot go lower stops before the others."""
    return np.append(values, np.full(length - len(values), np.nan))


def _ground_energy(hamiltonian: PauliSum) -> float:
    size = 1 << hamiltonian.n
    if size <= 64:
        return float(np.linalg.eigvalsh(hamiltonian.matrix())[0])
    product = jax.jit(hamiltonian.__call__)
    operator = scipy.sparse.linalg.LinearOperator(
        shape=(size, size),
        matvec=lambda v: np.asarray(product(v.ravel())),  # pyright: ignore[reportCallIssue]
        dtype=np.dtype(complex),
    )
    start = np.random.default_rng(0).normal(size=size)
    return float(scipy.sparse.linalg.eigsh(operator, 1, which="SA", v0=start, return_eigenvectors=False)[0])
