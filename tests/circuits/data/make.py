"""Writes the files of this folder: random circuits by Qiskit and by qulacs, with the states that they compute.

    python make.py        needs qiskit, or qulacs; each writes its own files. Made with qiskit 2.6.2, qulacs 0.6.14.

NAME.qasm is the circuit, NAME.csv its state from |0…0⟩: real and imaginary part of each amplitude.
"""

import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def save(name, text, psi):
    (HERE / f"{name}.qasm").write_text(text)
    np.savetxt(HERE / f"{name}.csv", np.stack([psi.real, psi.imag], 1), delimiter=",", fmt="%.17g")


def by_qiskit():
    import qiskit.qasm2
    import qiskit.qasm3
    from qiskit import QuantumCircuit
    from qiskit.circuit import library as lib
    from qiskit.quantum_info import Statevector

    kinds = [
        lib.XGate, lib.YGate, lib.ZGate, lib.HGate, lib.SGate, lib.SdgGate, lib.TGate, lib.TdgGate, lib.SXGate,
        lib.SXdgGate, lib.RXGate, lib.RYGate, lib.RZGate, lib.PhaseGate, lib.UGate, lib.CXGate, lib.CYGate, lib.CZGate,
        lib.CHGate, lib.CSXGate, lib.CRXGate, lib.CRYGate, lib.CRZGate, lib.CPhaseGate, lib.CUGate, lib.SwapGate,
        lib.iSwapGate, lib.RXXGate, lib.RYYGate, lib.RZZGate, lib.RZXGate, lib.CCXGate, lib.CSwapGate, lib.ECRGate,
        lib.C3XGate, lib.U1Gate, lib.U2Gate, lib.U3Gate, lib.RCCXGate, lib.DCXGate,
    ]  # fmt: skip
    numbers = {lib.UGate: 3, lib.CUGate: 4, lib.U2Gate: 2, lib.U3Gate: 3}
    one = {lib.RXGate, lib.RYGate, lib.RZGate, lib.PhaseGate, lib.CRXGate, lib.CRYGate, lib.CRZGate, lib.CPhaseGate}
    one |= {lib.RXXGate, lib.RYYGate, lib.RZZGate, lib.RZXGate, lib.U1Gate}
    for version, seed in ((2, 0), (3, 1)):
        rng = np.random.default_rng(seed)
        circuit = QuantumCircuit(5)
        for q in range(5):
            circuit.h(q)
        for kind in rng.permutation(np.array(kinds * 2, object)):
            gate = kind(*rng.uniform(0, 2 * math.pi, numbers.get(kind, int(kind in one))).tolist())
            circuit.append(gate, rng.permutation(5)[: gate.num_qubits].tolist())
        if version == 3:  # modifiers
            circuit.append(lib.RYGate(0.3).control(2, ctrl_state=1), [0, 3, 1])
            circuit.append(lib.XGate().control(2, ctrl_state=0), [4, 2, 0])
        text = qiskit.qasm2.dumps(circuit) if version == 2 else qiskit.qasm3.dumps(circuit)
        save(f"qiskit{version}", text, Statevector(circuit).data)


def by_qulacs():
    from qulacs import QuantumCircuit, QuantumState
    from qulacs.converter import convert_qulacs_circuit_to_QASM

    rng = np.random.default_rng(2)
    circuit = QuantumCircuit(4)
    for _ in range(60):
        a, b = rng.permutation(4)[:2].tolist()
        angle = float(rng.uniform(0, 6))
        kind = ["H", "X", "Y", "Z", "S", "Sdag", "T", "Tdag", "sqrtX", "sqrtXdag"][rng.integers(10)]
        getattr(circuit, f"add_{kind}_gate")(a)
        getattr(circuit, f"add_{['RX', 'RY', 'RZ'][rng.integers(3)]}_gate")(a, angle)
        getattr(circuit, f"add_{['CNOT', 'CZ', 'SWAP'][rng.integers(3)]}_gate")(a, b)
    state = QuantumState(4)
    circuit.update_quantum_state(state)
    save("qulacs", "\n".join(convert_qulacs_circuit_to_QASM(circuit)) + "\n", state.get_vector())


if __name__ == "__main__":
    for make in (by_qiskit, by_qulacs):
        try:
            make()
        except ImportError as error:
            print(error)
