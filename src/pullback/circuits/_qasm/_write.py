"""Circuits to OpenQASM 2 and 3.

Source: A. Cross et al., arXiv:1707.03429 (OpenQASM 2), arXiv:2104.14722 (OpenQASM 3); controls in version 2 by
A. Barenco et al., Phys. Rev. A 52, 3457 (1995), arXiv:quant-ph/9503016.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.circuits._qasm._gates import u3_angles
from pullback.core import InputError

_PLAIN = {
    "I": "id", "X": "x", "Y": "y", "Z": "z", "H": "h", "S": "s", "T": "t", "SX": "sx", "Rx": "rx", "Ry": "ry",
    "Rz": "rz", "U3": "u3", "SWAP": "swap",
}  # fmt: skip
# The gates of the libraries that are written, and their adjoints.
QELIB = frozenset(["sdg", "tdg", "sxdg"])
STDGATES = frozenset(["sdg", "tdg"])
_CONTROLLED = {"X": "cx", "Y": "cy", "Z": "cz", "H": "ch", "Rx": "crx", "Ry": "cry", "Rz": "crz", "SWAP": "cswap"}


def write_qasm(circuit: Any, version: int = 2) -> str:
    """The program of a circuit, up to a global phase; angles have all their digits.

    Pauli rotations and evolutions with commuting strings become basis changes, CNOTs and Rz; iSWAP and fSim, CNOTs and
    a controlled Rx; matrices on one qubit, u3.

    Raises:
        InputError: another version; a matrix on several qubits, a matrix that is not unitary, an evolution with
            strings that do not commute, or, in version 2, controls for which it has no gate.
    """
    if version not in (2, 3):
        raise InputError(f"to_qasm: version must be 2 or 3, not {version}.")
    writer = _Writer(version, circuit.n)
    head = ['OPENQASM 2.0;\ninclude "qelib1.inc";', f"qreg q[{circuit.n}];"]
    if version == 3:
        head = ['OPENQASM 3.0;\ninclude "stdgates.inc";', f"qubit[{circuit.n}] q;"]
    angles, couplings = np.asarray(circuit.angles).tolist(), np.asarray(circuit.couplings).tolist()
    program = circuit.program
    at = matrix = 0
    for k in program.word.tolist():
        operation = program.alphabet[k]
        own = angles[at : at + operation.angles]
        at += operation.angles
        given = None
        if operation.kind == "matrix":
            stack = circuit.matrices[len(operation.qubits)]
            given = np.asarray(stack[program.matrices[matrix]])
            matrix += 1
        writer.operation(operation, own, couplings, given)
    return "\n".join([*head, *writer.lines]) + "\n"


class _Writer:
    def __init__(self, version: int, n: int):
        self.version, self.n = version, n
        self.library = STDGATES if version == 3 else QELIB
        self.lines: list[str] = []

    def operation(self, operation, angles, couplings, given) -> None:
        controls = tuple(zip(operation.controls, operation.values))
        kind, qubits = operation.kind, operation.qubits
        if kind == "rotor":
            self.rotor(operation.strings[0], angles[0], controls)
        elif kind == "evolution":
            strings = operation.strings
            if not all(a.commutes_with(b) for i, a in enumerate(strings) for b in strings[:i]):
                raise InputError("to_qasm: an evolution has strings that do not commute; write it as Trotter steps.")
            for k, string in enumerate(strings):
                self.rotor(string, 2 * angles[0] * couplings[operation.first + k], controls)
        elif kind == "matrix":
            self.matrix(operation, given, controls)
        elif kind == "channel":
            raise InputError("to_qasm: OpenQASM has no channels; write the circuit without noise.")
        elif kind in ("Rxx", "Ryy", "Rzz"):
            self.rotation(kind[1:].upper(), qubits, angles[0], controls)
        elif kind == "fSim":
            self.exchange(qubits, angles[0], controls)
            self.gate("P", [-angles[1]], qubits[1:], (*controls, (qubits[0], 1)))
        elif kind == "iSWAP":
            self.exchange(qubits, math.pi / 2 if operation.adjoint else -math.pi / 2, controls)
        else:
            self.gate(kind, angles, qubits, controls, operation.adjoint)

    def rotor(self, string, angle, controls) -> None:
        if string.sites:
            self.rotation(string.letters, string.sites, angle, controls)
        elif controls:  # a phase
            *rest, (q, value) = controls
            self.gate("P", [-angle / 2 if value else angle / 2], (q,), tuple(rest))
            if not value and rest:
                self.gate("P", [-angle / 2], rest[-1][:1], tuple(rest[:-1]))

    def rotation(self, letters, qubits, angle, controls) -> None:
        """exp(-i angle/2 P): to the Z basis, parity into the last qubit, Rz, and back."""
        there = [(q, letter) for letter, q in zip(letters, qubits) if letter != "Z"]
        for q, letter in there:
            self.gate("H" if letter == "X" else "Rx", [] if letter == "X" else [math.pi / 2], (q,), ())
        pairs = list(pairwise(qubits))
        for a, b in pairs:
            self.gate("X", [], (b,), ((a, 1),))
        self.gate("Rz", [angle], qubits[-1:], controls)
        for a, b in reversed(pairs):
            self.gate("X", [], (b,), ((a, 1),))
        for q, letter in there:
            self.gate("H" if letter == "X" else "Rx", [] if letter == "X" else [-math.pi / 2], (q,), ())

    def exchange(self, qubits, angle, controls) -> None:
        """exp(-i angle/2 (XX + YY)): where the qubits differ, it turns one of them about X, and the other follows."""
        a, b = qubits
        self.gate("X", [], (b,), ((a, 1),))
        self.gate("Rx", [2 * angle], (a,), (*controls, (b, 1)))
        self.gate("X", [], (b,), ((a, 1),))

    def matrix(self, operation, given, controls) -> None:
        if len(operation.qubits) > 1 or not operation.unitary:
            raise InputError(
                "to_qasm: OpenQASM has no gate for a matrix on several qubits, or one that is not unitary; write it as "
                "elementary gates."
            )
        u = given.conj().T if operation.adjoint else given
        theta, phi, lam, phase = u3_angles(u)
        self.gate("U3", [theta, phi, lam], operation.qubits, controls)
        if controls:
            *rest, (q, value) = controls
            if not value:
                self.gate("X", [], (q,), ())
            self.gate("P", [phase], (q,), tuple(rest))
            if not value:
                self.gate("X", [], (q,), ())

    def gate(self, kind, angles, qubits, controls, adjoint=False) -> None:
        open_controls = [q for q, value in controls if not value]
        for q in open_controls:
            self.lines.append(f"x q[{q}];")
        inside = tuple(q for q, _ in controls)
        if self.version == 3 or self.is_standard(kind, len(inside)):
            self.lines.append(self.line(kind, angles, qubits, inside, adjoint))
        else:
            self.with_fewer(kind, angles, qubits, inside, -1.0 if adjoint else 1.0)
        for q in open_controls:
            self.lines.append(f"x q[{q}];")

    def is_standard(self, kind, controls) -> bool:
        """Whether OpenQASM 2 has the gate with so many controls."""
        return (
            not controls
            or (controls == 1 and (kind in ("P", "U3") or kind in _CONTROLLED))
            or (kind, controls) == ("X", 2)
        )

    def with_fewer(self, kind, angles, qubits, controls, sign) -> None:
        """A gate with controls by gates with fewer (Barenco et al., 1995): turns by CNOTs, the others by phases."""
        t, inside = qubits[-1:], tuple((q, 1) for q in controls)
        rest, last = inside[:-1], controls[-1:]

        def between(before, *gates):
            """Gates between V and V†, where V is the gates `before`, without controls."""
            for name, values in before:
                self.gate(name, values, t, ())
            for gate in gates:
                self.gate(*gate)
            for name, values in reversed(before):
                self.gate(name, [-v for v in values], t, ())

        def turned(*gates):
            """Gates whose product is 1, under the last control, and X after each but the last under the others."""
            for k, (name, values) in enumerate(gates):
                if k:
                    self.gate("X", [], t, rest)
                self.gate(name, values, t, inside[-1:])

        match kind:
            case "P":
                half = sign * angles[0] / 2
                self.gate("P", [half], t, inside[-1:])
                self.gate("X", [], last, rest)
                self.gate("P", [-half], t, inside[-1:])
                self.gate("X", [], last, rest)
                self.gate("P", [half], t, rest)
            case "Z" if self.idle(controls, t):
                between([("H", [])], ("X", [], t, inside))
            case "Z" | "S" | "T":
                self.gate("P", [sign * math.pi / {"Z": 1, "S": 2, "T": 4}[kind]], t, inside)
            case "X" if self.idle(controls, t):
                self.many_controls(controls, t[0])
            case "X" | "SX":
                between([("H", [])], ("P", [sign * math.pi / (1 if kind == "X" else 2)], t, inside))
            case "Y":
                between([("P", [-math.pi / 2])], ("X", [], t, inside))
            case "H":
                between([("Ry", [-math.pi / 4])], ("Z", [], t, inside))
            case "Rx":
                between([("H", [])], ("Rz", angles, t, inside))
            case "Ry" | "Rz":
                half = angles[0] / 2
                turned((kind, [half]), (kind, [-half]))
                self.gate("X", [], t, rest)
            case "U3":
                theta, phi, lam = angles
                mean = (phi + lam) / 2
                turned(("P", [(lam - phi) / 2]), ("U3", [-theta / 2, 0.0, -mean]), ("U3", [theta / 2, phi, 0.0]))
                self.gate("P", [mean], last, rest)
            case "SWAP":
                a, b = qubits
                self.gate("X", [], (a,), ((b, 1),))
                self.gate("X", [], (b,), (*inside, (a, 1)))
                self.gate("X", [], (a,), ((b, 1),))

    def idle(self, *used) -> list[int]:
        return [q for q in range(self.n) if not any(q in qubits for qubits in used)]

    def many_controls(self, controls: tuple[int, ...], target: int) -> None:
        """X with k controls by some 8k Toffoli gates, which borrow idle qubits (Barenco, lemmas 7.2, 7.3)."""

        def toffoli(a, b, c):
            self.gate("X", [], (c,), ((a, 1), (b, 1)))

        k, idle = len(controls), self.idle(controls, (target,))
        if k < 3:
            self.gate("X", [], (target,), tuple((q, 1) for q in controls))
        elif len(idle) >= k - 2:
            ladder = [*idle[: k - 2], target]
            steps = [(controls[j + 1], ladder[j - 1], ladder[j]) for j in range(1, k - 1)]
            inner = [*steps[-2::-1], (*controls[:2], ladder[0]), *steps[:-1]]
            for step in (steps[-1], *inner) * 2:
                toffoli(*step)
        else:
            half = (k + 1) // 2
            for _ in range(2):
                self.many_controls(controls[:half], idle[0])
                self.many_controls((*controls[half:], idle[0]), target)

    def line(self, kind, angles, qubits, controls, adjoint) -> str:
        phase_gate = ("p" if self.version == 3 else "u1") if kind == "P" else None
        prefix, used = "", len(controls)
        if not controls:
            name = phase_gate or _PLAIN[kind]
        elif kind == "X" and used == 2:
            name = "ccx"
        else:
            name = ("c" + phase_gate) if phase_gate else "cu3" if kind == "U3" else _CONTROLLED.get(kind, "")
            if kind == "U3" and self.version == 3:
                name, angles = "cu", [*angles, 0.0]
            extra = used - 1
            if not name:  # S, T and SX have no controlled form in the libraries
                name, extra = _PLAIN[kind], used
            prefix = "ctrl @ " * extra
        if adjoint and name + "dg" in self.library:
            name += "dg"
        elif adjoint:
            prefix += "inv @ "
        if angles:
            name += "(" + ",".join(map(repr, map(float, angles))) + ")"
        return f"{prefix}{name} " + ",".join(f"q[{q}]" for q in (*controls, *qubits)) + ";"
