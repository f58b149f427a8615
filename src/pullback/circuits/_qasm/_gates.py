"""The gates of OpenQASM by name, and what a call of one becomes: blocks.

Sources: the standard libraries qelib1.inc (A. Cross et al., arXiv:1707.03429) and stdgates.inc (arXiv:2104.14722).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.linalg import schur

from pullback.circuits._blocks import Block, Gate, MatrixGate, control, daggered, put
from pullback.circuits._compile import compile_blocks
from pullback.circuits._engine import matrix
from pullback.circuits._gates import KINDS, Kind
from pullback.circuits._qasm._parse import Evaluate
from pullback.circuits._qasm._syntax import Call
from pullback.circuits._qasm._values import Affine, at_line, number, whole
from pullback.core import nearest


class Standard(NamedTuple):
    """A gate of the standard libraries: controls, kind, whether it is the adjoint, its angles from the given ones.

    `phases` are the global phases that OpenQASM 3 gives it, from its angles; they matter under control.
    """

    controls: int
    kind: str | None  # None: only phases
    adjoint: bool = False
    angles: Callable[..., tuple[Any, ...]] | None = None
    given: int | None = None  # number of angles, if it is not that of the kind
    phases: Callable[..., tuple[Any, ...]] | None = None

    @property
    def takes(self) -> tuple[int, int]:
        """The numbers of angles and qubits."""
        kind = KINDS[self.kind] if self.kind else Kind(0, 1, "negate")
        return kind.angles if self.given is None else self.given, self.controls + kind.qubits


class Definition(NamedTuple):
    """`gate name(parameters) qubits { body }`: calls, the gates that they mean, and on which of the qubits they act.

    `names` are the values of the global names where it stands.
    """

    parameters: tuple[str, ...]
    qubits: int
    body: tuple[tuple[Call, "Meaning", tuple[int, ...]], ...]
    names: dict[str, Any]

    @property
    def takes(self) -> tuple[int, int]:
        return len(self.parameters), self.qubits


Meaning = Standard | Definition | None  # None: opaque


def _u2(phi, lam):
    return math.pi / 2, phi, lam


def _phases_of_u3(theta, phi, lam):
    return phi * -0.5, lam * -0.5


STANDARD: dict[str, Meaning] = {
    "id": Standard(0, "I"),
    **{name: Standard(0, name.upper()) for name in ("x", "y", "z", "h", "s", "t", "sx")},
    **{name + "dg": Standard(0, name.upper(), True) for name in ("s", "t", "sx")},
    **{name: Standard(0, name.capitalize()) for name in ("rx", "ry", "rz", "rxx", "ryy", "rzz")},
    **{name: Standard(0, "P") for name in ("p", "u1", "phase")},
    "gphase": Standard(0, None, phases=lambda gamma: (gamma,)),
    "u": Standard(0, "U3"),
    "U": Standard(0, "U3", phases=lambda theta, phi, lam: (theta * 0.5,)),
    "u3": Standard(0, "U3", phases=_phases_of_u3),
    "u2": Standard(0, "U3", False, _u2, 2, _phases_of_u3),
    "u0": Standard(0, "I", False, lambda cycles: (), 1),  # waits
    **{name: Standard(1, "X") for name in ("cx", "CX", "cnot")},
    **{"c" + name: Standard(1, name.upper()) for name in ("y", "z", "h", "sx")},
    "csxdg": Standard(1, "SX", True),
    **{"c" + name: Standard(1, name.capitalize()) for name in ("rx", "ry", "rz")},
    **{name: Standard(1, "P") for name in ("cp", "cu1", "cphase")},
    "cu3": Standard(1, "U3"),
    "ccx": Standard(2, "X"),
    "ccz": Standard(2, "Z"),
    "c3x": Standard(3, "X"),
    "c4x": Standard(4, "X"),
    "c3sqrtx": Standard(3, "SX"),
    "swap": Standard(0, "SWAP"),
    "cswap": Standard(1, "SWAP"),
    "iswap": Standard(0, "iSWAP"),
}
DEFINED = """
gate cu(theta, phi, lambda, gamma) c, t { cu3(theta, phi, lambda) c, t; p(gamma) c; }
gate rccx a,b,c { u2(0,pi) c; p(pi/4) c; cx b,c; p(-pi/4) c; cx a,c; p(pi/4) c; cx b,c; p(-pi/4) c; u2(0,pi) c; }
gate rc3x a,b,c,d {
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
  cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d; cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d;
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
}
"""  # rccx and rc3x of qelib1.inc are Toffoli gates up to phases, D. Maslov, arXiv:1508.03273

_MOST_BLOCKS = 10_000_000  # of one power: some gigabytes
_MOST_QUBITS = 8  # of a gate whose root is a matrix


class Expansion:
    """The gates that a program knows, by name, and the blocks that its calls become."""

    def __init__(self, known: dict[str, Meaning]):
        self.known = dict(known)
        self.blocks: list[Block] = []

    def meaning(self, call: Call) -> Meaning:
        if call.name not in self.known:
            hint = nearest(call.name, list(self.known))
            raise at_line(call.line, f"unknown gate or statement {call.name!r}.{hint}")
        return self.known[call.name]

    def run(self, call: Call, meaning: Meaning, angles, operands: list[list[int]], names, controls=()) -> None:
        """Appends the blocks of a call on some qubits; operands of one qubit are used with every one of the others.

        Args:
            call: what is called, with its modifiers.
            meaning: the gate that its name means.
            angles: their values.
            operands: the qubits.
            names: the values of names in the modifiers.
            controls: (qubit, value), in addition.
        """
        if meaning is None:
            raise at_line(call.line, f"the gate {call.name!r} is opaque: what it does is not known.")
        modifiers = [(name, _power(call, name, argument, names)) for name, argument in call.modifiers]
        _count(call, meaning, modifiers, len(operands))
        widest = max(map(len, operands), default=1)
        if any(len(qubits) not in (1, widest) for qubits in operands):
            raise at_line(call.line, f"{call.name}: registers of different lengths.")
        for k in range(widest):
            qubits = [found[k if len(found) > 1 else 0] for found in operands]
            if len(set(qubits)) < len(qubits):
                raise at_line(call.line, f"{call.name}: a qubit occurs twice.")
            self.modified(call.line, meaning, modifiers, angles, qubits, controls)

    def modified(self, line, meaning, modifiers, angles, qubits, controls) -> None:
        if not modifiers:
            if isinstance(meaning, Standard):
                self.standard(meaning, angles, qubits, controls)
            else:
                self.defined(meaning, angles, qubits, controls)
            return
        (name, number), *rest = modifiers
        if name in ("ctrl", "negctrl"):
            new = tuple((q, int(name == "ctrl")) for q in qubits[:number])
            self.modified(line, meaning, rest, angles, qubits[number:], controls + new)
            return
        if isinstance(number, float):
            self.root(line, meaning, rest, angles, qubits, number, controls)
            return
        start = len(self.blocks)
        self.modified(line, meaning, rest, angles, qubits, controls)
        inner = self.blocks[start:]
        if name == "inv" or number < 0:
            inner = [daggered(b) for b in reversed(inner)]
        count = abs(number) if name == "pow" else 1
        if count * len(inner) > _MOST_BLOCKS:
            raise at_line(line, f"pow({number}): more than {_MOST_BLOCKS} gates.")
        self.blocks[start:] = inner * count

    def root(self, line, meaning, rest, angles, qubits, number: float, controls) -> None:
        """A power that is no integer: by the logarithm of the matrix with eigenvalues in (−iπ, iπ]."""
        if len(qubits) > _MOST_QUBITS:
            raise at_line(line, f"pow({number}): a gate on more than {_MOST_QUBITS} qubits.")
        if any(isinstance(a, Affine) for a in angles):
            raise at_line(line, f"pow({number}) of a gate with an input; only integer powers of it are possible.")
        k = len(qubits)
        inner = Expansion(self.known)
        # under a control, qubit 0, which keeps the global phase
        inner.modified(line, meaning, rest, angles, list(range(1, k + 1)), ((0, 1),))
        u = _power_of(_matrix(k + 1, inner.blocks)[1 << k :, 1 << k :], number)
        if k == 1:
            *turn, phase = u3_angles(u)
            self.put("U3", tuple(turn), qubits, controls)
            self.phase(phase, controls)
            return
        block = put(tuple(qubits), MatrixGate(u, True))
        where, values = zip(*controls) if controls else ((), ())
        self.blocks.append(control(where, block, values=values) if controls else block)

    def standard(self, gate: Standard, angles, qubits, controls) -> None:
        angles = gate.angles(*angles) if gate.angles else angles
        inside = controls + tuple((q, 1) for q in qubits[: gate.controls])
        if gate.kind not in (None, "I"):
            self.put(gate.kind, angles, qubits[gate.controls :], inside, gate.adjoint)
        for phase in gate.phases(*angles) if gate.phases else ():
            self.phase(phase, controls)

    def defined(self, gate: Definition, angles, qubits, controls) -> None:
        names = {**gate.names, **dict(zip(gate.parameters, angles))}
        for call, meaning, places in gate.body:
            given = tuple(number(angle(names), call.line) for angle in call.angles)
            self.run(call, meaning, given, [[qubits[k]] for k in places], names, controls)

    def put(self, kind: str, angles: tuple[Any, ...], qubits: list[int], controls: tuple, adjoint=False) -> None:
        if any(isinstance(a, Affine) for a in angles):
            self.put_sum(kind, angles, qubits, controls)
        else:
            self.put_angles(kind, tuple(map(float, angles)), qubits, controls, adjoint)

    def put_angles(self, kind, angles: tuple[Any, ...], qubits, controls, adjoint=False) -> None:
        block = put(tuple(qubits), Gate(kind, angles))
        if adjoint:
            block = daggered(block)
        if controls:
            where, values = zip(*controls)
            block = control(where, block, values=values)
        self.blocks.append(block)

    def put_sum(self, kind: str, angles: tuple[Any, ...], qubits: list[int], controls: tuple) -> None:
        """A gate whose angles are sums: rotations by each of the terms, U3(θ, φ, λ) = P(φ) Ry(θ) P(λ)."""
        parts = [a.parts if isinstance(a, Affine) else [a] for a in angles]
        if all(len(terms) == 1 for terms in parts):
            self.put_angles(kind, tuple(terms[0] for terms in parts), qubits, controls)
            return
        turns = [("P", parts[2]), ("Ry", parts[0]), ("P", parts[1])] if kind == "U3" else [(kind, parts[0])]
        for turn, terms in turns:
            for term in terms:
                self.put_angles(turn, (term,), qubits, controls)

    def phase(self, angle: Any, controls: tuple) -> None:
        """A global phase, which controls turn into a phase of the last of them."""
        if not controls:
            return
        *rest, (q, value) = controls
        if not value:
            self.put("X", (), [q], ())
        self.put("P", (angle,), [q], tuple(rest))
        if not value:
            self.put("X", (), [q], ())


def _power(call: Call, name: str, argument: Evaluate | None, names: Mapping[str, Any]) -> int | float:
    """The argument of a modifier."""
    value = 1 if argument is None else argument(names)
    if name == "pow" and isinstance(value, float) and value != int(value):
        return value
    number = whole(value, call.line, f"the argument of {name}")
    if number < 1 and name != "pow":
        raise at_line(call.line, f"{name}({number}): at least one control is needed.")
    return number


def _matrix(n: int, blocks: list[Block]) -> np.ndarray:
    with jax.ensure_compile_time_eval():
        return np.asarray(matrix(compile_blocks(n, blocks)))


def _power_of(u: np.ndarray, exponent: float) -> np.ndarray:
    """u^exponent of a unitary matrix; its eigenvalue −1 counts as exp(iπ)."""
    t, q = schur(u, output="complex")  # pyright: ignore[reportAssignmentType]
    phases = np.angle(np.diag(t))
    phases = np.where(phases < 1e-9 - np.pi, phases + 2 * np.pi, phases)
    return (q * np.exp(1j * exponent * phases)) @ q.conj().T


def u3_angles(u: np.ndarray) -> tuple[float, float, float, float]:
    """(θ, φ, λ, γ) with u = exp(iγ) U3(θ, φ, λ)."""
    theta = 2 * math.atan2(abs(u[1, 0]), abs(u[0, 0]))
    phase = float(np.angle(u[0, 0])) if abs(u[0, 0]) > abs(u[1, 0]) else None
    if phase is None:
        phi = 0.0 if abs(u[0, 0]) < 1e-15 else float(np.angle(u[1, 0]) - np.angle(u[0, 0]))
        phase = float(np.angle(u[1, 0])) - phi
        lam = float(np.angle(-u[0, 1])) - phase
    else:
        lam = float(np.angle(u[1, 1])) - phase if abs(u[1, 0]) < 1e-15 else float(np.angle(-u[0, 1])) - phase
        phi = 0.0 if abs(u[1, 0]) < 1e-15 else float(np.angle(u[1, 0])) - phase
    return theta, phi, lam, phase


def _count(call: Call, gate: Standard | Definition, modifiers: list[tuple[str, Any]], qubits: int) -> None:
    """Refuses a wrong number of angles or qubits."""
    controls = sum(number for name, number in modifiers if name in ("ctrl", "negctrl"))
    named = "".join(name + f"({number})" * (number != 1) + " @ " for name, number in modifiers) + call.name
    n_angles, n_qubits = gate.takes
    for what, found, wanted in (("angle", len(call.angles), n_angles), ("qubit", qubits, controls + n_qubits)):
        if found != wanted:
            raise at_line(call.line, f"{named} takes {wanted} {what}{'s' * (wanted != 1)}, not {found}.")
