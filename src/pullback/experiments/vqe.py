r"""The variational quantum eigensolver on circuits of any depth."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse.linalg
from jaxtyping import Array
from matplotlib.figure import Figure

from pullback.circuits import Circuit, PauliSum, expect, heisenberg, round_trip_error, variational_circuit
from pullback.core import InputError
from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Result, Run, option

_OPTIMISERS = {"gd": "gradient descent", "adam": "Adam", "lbfgs": "L-BFGS"}
_LARGEST = 20  # qubits up to which the exact ground energy is computed


@dataclasses.dataclass(frozen=True, kw_only=True)
class VQE(Experiment):
    r"""Minimises the energy ⟨ψ(θ)|H|ψ(θ)⟩ over the angles of a quantum circuit.

    By default H is the Heisenberg ring of ten spins,

        H = Σ_i X_i X_{i+1} + Y_i Y_{i+1} + Z_i Z_{i+1},

    and the circuit has 10 000 layers of rotations Rz Rx Rz on each qubit and a ring of CNOTs: 300 010 angles. Its
    gradient by all of them takes the memory of a few states, because the layers are undone in reverse. Gradient descent
    with the step 1e-3, Adam and L-BFGS start at the same random angles; the energies are compared with the exact one.

    The certificate of the gradients is how far the state that has run through the circuit and back is from |0…0⟩.

    Input: `--hamiltonian FILE` with one term in each line, a coefficient and a Pauli string, as in

        -1.0  Z0 Z1
         0.5  X0

    and `--qasm FILE` with a circuit in OpenQASM 2 or 3, whose angles are the start.

    Sources: A. Peruzzo et al., Nat. Commun. 5, 4213 (2014), arXiv:1304.3061; X.-Z. Luo, J.-G. Liu, P. Zhang, L. Wang,
    Quantum 4, 341 (2020), arXiv:1912.10877, whose run this is.
    """

    hamiltonian: Path | None = option(None, "file with the terms of a Hamiltonian (.txt)")
    qasm: Path | None = option(None, "file with a circuit (.qasm)")
    qubits: int = option(10, "number of qubits", ge=2, le=24)
    depth: int = option(10_000, "number of layers", ge=1)
    optimiser: tuple[str, ...] = option(("gd", "adam", "lbfgs"), "optimisers, of gd, adam and lbfgs")
    steps: int = option(100, "steps of each optimiser", ge=1)
    learning_rate: float = option(1e-3, "step of gradient descent and Adam", gt=0)
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
        circuit = None if self.qasm is None else Circuit.from_qasm(_text(self.qasm))
        n = self.qubits if circuit is None else circuit.n
        hamiltonian = heisenberg(n) if self.hamiltonian is None else PauliSum.from_file(self.hamiltonian, circuit and n)
        if circuit is None:
            circuit = variational_circuit(hamiltonian.n, self.depth)
            rng = np.random.default_rng(self.seed)
            circuit = circuit.with_parameters(rng.uniform(0, 2 * np.pi, circuit.n_parameters))
        if not circuit.n_parameters:
            raise InputError(f"{self.qasm}: the circuit has no angles")
        if not circuit.is_unitary:
            raise InputError(f"{self.qasm}: the circuit is not unitary")
        return circuit, hamiltonian

    def run(self, problem: "tuple[Circuit, PauliSum]", run: Run) -> Result:
        """All optimisers, one after the other; resumable after each step."""
        circuit, hamiltonian = problem
        run.log(f"{circuit!r}; {len(hamiltonian.strings)} Pauli strings")
        exact = _ground_energy(hamiltonian) if circuit.n <= _LARGEST else np.nan
        summary: dict[str, Any] = {"exact_energy": exact}
        arrays: dict[str, Any] = {}
        for name in self.optimiser:
            energies, norms, theta = self._descend(name, circuit, hamiltonian, exact, run)
            arrays |= {f"energy_{name}": energies, f"gradient_{name}": norms, f"parameters_{name}": theta}
            summary |= {f"energy_{name}": energies[-1], f"error_{name}": energies[-1] - exact}
            summary[f"certificate_{name}"] = float(jax.jit(round_trip_error)(circuit.with_parameters(theta)))
        worst = max(float(summary[f"certificate_{name}"]) for name in self.optimiser)
        message = f"The round trip through the circuit misses its start by {worst:.1e}." if worst > 1e-6 else ""
        return Result(arrays=arrays, summary=summary, converged=not message, message=message)

    def _descend(self, name: str, circuit: Circuit, hamiltonian: PauliSum, exact: float, run: Run):
        """Energies and gradient norms before each step, and the last energy; the last angles."""

        def energy(theta):
            return expect(hamiltonian, circuit.with_parameters(theta))

        optimiser: Any = {"gd": optax.sgd, "adam": optax.adam, "lbfgs": lambda _: optax.lbfgs()}[name](
            self.learning_rate
        )
        gradient = optax.value_and_grad_from_state(energy) if name == "lbfgs" else None

        def step(state):
            theta, memory = state["theta"], state["memory"]
            if gradient is not None:
                value, slope = gradient(theta, state=memory)
                update, memory = optimiser.update(slope, memory, theta, value=value, grad=slope, value_fn=energy)
            else:
                value, slope = jax.value_and_grad(energy)(theta)
                update, memory = optimiser.update(slope, memory, theta)
            k = state["step"]
            return {
                "theta": theta + update,
                "memory": memory,
                "energies": state["energies"].at[k].set(value),
                "norms": state["norms"].at[k].set(jnp.linalg.norm(slope)),
                "step": k + 1,
            }

        @jax.jit
        def advance(state: dict[str, Any], n: Array) -> dict[str, Any]:
            stop = jnp.minimum(state["step"] + n, self.steps)
            return jax.lax.while_loop(lambda state: state["step"] < stop, step, state)

        def report(state):
            k = max(int(state["step"]) - 1, 0)
            value = float(state["energies"][k])
            return {"energy": value, "error": value - exact, "gradient": float(state["norms"][k])}

        theta = circuit.parameters
        empty = jnp.full(self.steps, jnp.nan)
        start = {
            "theta": theta,
            "memory": optimiser.init(theta),
            "energies": empty,
            "norms": empty,
            "step": jnp.array(0),
        }
        state = run.loop(
            name, start, advance, max_steps=self.steps, report=report, done=lambda s: int(s["step"]) >= self.steps
        )
        last = float(jax.jit(energy)(state["theta"]))
        return np.append(state["energies"], last), np.asarray(state["norms"]), np.asarray(state["theta"])

    def plot(self, result: Result) -> Figure:
        """Energies, their errors and the gradients of all optimisers."""
        arrays, exact = result.arrays, float(result.summary["exact_energy"])
        names = self.optimiser
        figure, (left, middle, right) = new_figure(1, 3, width=13.0, height=3.8)
        energies = {_OPTIMISERS[name]: arrays[f"energy_{name}"] for name in names}
        steps = np.arange(len(arrays[f"energy_{names[0]}"]))
        known = np.isfinite(exact)
        line = {"exact": np.full(len(steps), exact)} if known else {}
        curves(left, steps, energies | line, xlabel="step", ylabel="energy", title="energy", dashed=tuple(line))
        if known:
            errors = {label: values - exact for label, values in energies.items()}
            title = "above the ground state"
            curves(middle, steps, errors, xlabel="step", ylabel=r"$E - E_0$", title=title, yscale="log")
        else:
            middle.set_axis_off()
        norms = {_OPTIMISERS[name]: arrays[f"gradient_{name}"] for name in names}
        curves(right, steps[:-1], norms, xlabel="step", ylabel=r"$|\nabla E|$", title="gradient", yscale="log")
        return figure


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


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
