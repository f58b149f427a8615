"""Circuits that other packages wrote or compute: files in data/, and, where they are installed, Qiskit and qulacs."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback import circuits as qc
from tests.circuits import dense
from tests.memory import give_back

# Others have qubit 0 as the least significant bit: see `dense.turned`.
DATA = Path(__file__).parent / "data"


def overlap(a, b):
    """1 for states that are equal up to a phase."""
    return abs(np.vdot(a, b))


@pytest.mark.parametrize("name", [*(pytest.param(f"qiskit{v}", marks=pytest.mark.slow) for v in (2, 3)), "qulacs"])
def test_files_of_others(name):
    """Read, and written and read again, they give the state that their authors computed."""
    circuit = qc.Circuit.from_qasm((DATA / f"{name}.qasm").read_text())
    exact = dense.turned(np.loadtxt(DATA / f"{name}.csv", delimiter=",") @ [1, 1j])
    psi = np.asarray(jax.jit(qc.state)(circuit))
    phase = np.vdot(exact, psi)
    np.testing.assert_allclose(psi * phase.conj() / abs(phase), exact, atol=1e-12)
    for version in (2, 3):
        again = qc.Circuit.from_qasm(circuit.to_qasm(version))
        np.testing.assert_allclose(overlap(np.asarray(qc.state(again)), psi), 1, atol=1e-12)


KINDS = {**dict.fromkeys(dense.CONSTANT, 0), **{name: k for name, (_, k, _) in dense.ROTATION.items()}}
GATES = st.lists(
    st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.lists(st.floats(-7, 7), min_size=3, max_size=3),
        st.permutations(range(4)),
        st.lists(st.integers(0, 1), max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@given(GATES)
@settings(max_examples=3, deadline=None, derandomize=True)
def test_random_circuits(gates):
    check(gates)


@pytest.mark.slow
@given(GATES)
@settings(max_examples=25, deadline=None)
def test_many_random_circuits(gates):
    check(gates)


def check(gates, n=4):
    """Gates of all kinds, adjoined and controlled, on any qubits, against dense matrices."""
    give_back()
    blocks, psi = [], np.eye(1 << n)[0]
    for name, angles, where, values, adjoined in gates:
        angles = angles[: KINDS[name]]
        u = dense.ROTATION[name][2](*angles) if angles else dense.CONSTANT[name]
        k = len(u).bit_length() - 1
        values = values[: n - k]
        controls = where[k : k + len(values)]
        gate = getattr(qc, name)(*angles) if angles else getattr(qc, name)
        block = qc.put(where[:k], qc.daggered(gate) if adjoined else gate)
        blocks.append(qc.control(controls, block, values=values) if values else block)
        psi = dense.embed(u.conj().T if adjoined else u, where[:k], n, controls, values) @ psi
    circuit = qc.Circuit(n, blocks)
    np.testing.assert_allclose(qc.state(circuit), psi, atol=1e-11)
    assert qc.round_trip_error(circuit) < 1e-11
    start = np.random.default_rng(0).normal(size=1 << n) / 4
    start = jnp.asarray(start / np.linalg.norm(start))
    written = qc.Circuit.from_qasm(circuit.to_qasm(2))
    np.testing.assert_allclose(overlap(qc.state(written, start), qc.state(circuit, start)), 1, atol=1e-12)


def some_circuit(seed, n=5, gates=80):
    """(circuit, its gates as (name, angles, qubits)), without controls but CNOT, CZ and Toffoli."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(gates):
        name = str(rng.choice([*dense.CONSTANT, *dense.ROTATION, "CNOT", "CZ", "Toffoli"]))
        k = getattr(qc, name).n if name not in dense.ROTATION else dense.ROTATION[name][0]
        angles = rng.uniform(-6, 6, dense.ROTATION[name][1]).tolist() if name in dense.ROTATION else []
        found.append((name, angles, rng.permutation(n)[:k].tolist()))
    blocks = [qc.put(q, getattr(qc, name)(*a) if a else getattr(qc, name)) for name, a, q in found]
    return qc.Circuit(n, blocks), found


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(3))
def test_qulacs(seed):
    """The state, and the gradient of the energy by all rotations, against qulacs' own."""
    qulacs = pytest.importorskip("qulacs")
    circuit, gates = some_circuit(seed)
    other = qulacs.QuantumCircuit(5)
    for name, angles, qubits in gates:
        if name in ("CNOT", "Toffoli", "CZ"):
            u = dense.X if name != "CZ" else dense.Z
            gate = qulacs.gate.DenseMatrix(qubits[-1], u)
            for q in qubits[:-1]:
                gate.add_control_qubit(q, 1)
        else:
            u = dense.ROTATION[name][2](*angles) if angles else dense.CONSTANT[name]
            gate = qulacs.gate.DenseMatrix(qubits[::-1], u)
        other.add_gate(gate)
    psi = qulacs.QuantumState(5)
    other.update_quantum_state(psi)
    np.testing.assert_allclose(qc.state(circuit), dense.turned(psi.get_vector()), atol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(3))
def test_qiskit_reads_ours(seed):
    qiskit = pytest.importorskip("qiskit")
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import Statevector

    circuit, _ = some_circuit(seed)
    psi = np.asarray(qc.state(circuit))
    for text, load in ((circuit.to_qasm(2), qasm2.loads), (circuit.to_qasm(3), qasm3.loads)):
        read = load(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS) if load is qasm2.loads else load(text)
        np.testing.assert_allclose(overlap(dense.turned(Statevector(read).data), psi), 1, atol=1e-11)
    assert qiskit
