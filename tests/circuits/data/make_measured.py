"""Writes measured.json: programs with measurements in the middle, and the probabilities of their classical bits.

Qiskit 2.6 with qiskit-qasm3-import 0.6 reads the programs and has the matrices of the gates; here the branches of the
outcomes are listed. Run with the programs in measured.json; the results replace those that it has.
"""

import json
from pathlib import Path

import numpy as np
from qiskit import qasm2, qasm3
from qiskit.circuit.controlflow import IfElseOp
from qiskit.quantum_info import Operator

FILE = Path(__file__).parent / "measured.json"


def act(psi, u, qubits, n):
    k = len(qubits)
    axes = [n - 1 - q for q in reversed(qubits)]
    psi = np.moveaxis(psi.reshape((2,) * n), axes, range(k))
    return np.moveaxis((u @ psi.reshape(1 << k, -1)).reshape(psi.shape), range(k), axes).ravel()


def holds(condition, bits, places):
    target, value = condition
    found = [bits[places[b]] for b in target] if hasattr(target, "__len__") else [bits[places[target]]]
    return sum(b << i for i, b in enumerate(found)) == int(value)


def run(circuit, branches, qubits, places, n):
    for step in circuit.data:
        op, where = step.operation, [qubits[q] for q in step.qubits]
        cells = [places[c] for c in step.clbits]
        new = []
        for bits, psi in branches:
            if op.name in ("measure", "reset"):
                for v in (0, 1):
                    part = np.where(np.arange(1 << n) >> where[0] & 1 == v, psi, 0)
                    if np.vdot(part, part).real > 1e-14:
                        if op.name == "reset" and v:
                            part = act(part, np.array([[0, 1], [1, 0]]), where, n)
                        after = {**bits, cells[0]: v} if cells else bits
                        new.append((after, part))
            elif isinstance(op, IfElseOp):
                body = op.blocks[0] if holds(op.condition, bits, places) else (op.blocks[1:] or [None])[0]
                if body is None:
                    new.append((bits, psi))
                    continue
                inner = dict(zip(body.qubits, where)), {**places, **dict(zip(body.clbits, cells))}
                new += run(body, [(bits, psi)], *inner, n)
            elif op.name not in ("barrier", "delay"):
                new.append((bits, act(psi, Operator(op).data, where, n)))
            else:
                new.append((bits, psi))
        branches = new
    return branches


def probabilities(text):
    if "OPENQASM 3" in text:
        circuit = qasm3.loads(text)
    else:
        circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    n, psi = circuit.num_qubits, np.eye(1 << circuit.num_qubits)[0].astype(complex)
    places = {b: i for i, b in enumerate(circuit.clbits)}
    start = dict.fromkeys(range(len(places)), 0)
    out = {}
    for bits, part in run(circuit, [(start, psi)], {q: i for i, q in enumerate(circuit.qubits)}, places, n):
        key = str(sum(b << i for i, b in bits.items()))
        out[key] = out.get(key, 0) + np.vdot(part, part).real
    return out


if __name__ == "__main__":
    programs = json.loads(FILE.read_text())
    found = {name: {"text": p["text"], "probabilities": probabilities(p["text"])} for name, p in programs.items()}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
