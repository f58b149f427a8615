"""The gates of OpenQASM by name, and what a call of one becomes: blocks.

Sources: the standard libraries qelib1.inc (A. Cross et al., arXiv:1707.03429) and stdgates.inc (arXiv:2104.14722).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pullback.circuits._blocks import Block, Gate, Shared, control, daggered, put
from pullback.circuits._gates import KINDS
from pullback.circuits._qasm_parse import CONSTANTS, Call, at_line
from pullback.core import nearest


class Definition(NamedTuple):
    """`gate name(parameters) qubits { body }`."""

    parameters: tuple[str, ...]
    qubits: tuple[str, ...]
    body: tuple[Call, ...]


class Standard(NamedTuple):
    """A gate of the standard libraries: controls, kind, whether it is the adjoint, its angles from the given ones."""

    controls: int
    kind: str
    adjoint: bool = False
    angles: Callable[..., tuple[Any, ...]] | None = None
    given: int | None = None  # number of angles, if it is not that of the kind


def _u2(phi: Any, lam: Any) -> tuple[Any, ...]:
    return math.pi / 2, phi, lam


_STANDARD: dict[str, Standard] = {
    "id": Standard(0, "I"),
    **{name: Standard(0, name.upper()) for name in ("x", "y", "z", "h", "s", "t", "sx")},
    **{name + "dg": Standard(0, name.upper(), True) for name in ("s", "t", "sx")},
    **{name: Standard(0, name.capitalize()) for name in ("rx", "ry", "rz", "rxx", "ryy", "rzz")},
    **{name: Standard(0, "P") for name in ("p", "u1", "phase")},
    **{name: Standard(0, "U3") for name in ("u3", "u", "U")},
    "u2": Standard(0, "U3", False, _u2, 2),
    "u0": Standard(0, "I", False, lambda cycles: (), 1),  # waits
    **{name: Standard(1, "X") for name in ("cx", "CX", "cnot")},
    **{"c" + name: Standard(1, name.upper()) for name in ("y", "z", "h", "sx")},
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
gate rccx a,b,c { u2(0,pi) c; p(pi/4) c; cx b,c; p(-pi/4) c; cx a,c; p(pi/4) c; cx b,c; p(-pi/4) c; u2(0,pi) c; }
gate rc3x a,b,c,d {
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
  cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d; cx a,d; p(pi/4) d; cx b,d; p(-pi/4) d;
  u2(0,pi) d; p(pi/4) d; cx c,d; p(-pi/4) d; u2(0,pi) d;
}
"""  # of qelib1.inc; Toffoli gates up to phases, D. Maslov, arXiv:1508.03273


class Gates:
    """The gates that a program knows, and the blocks that its calls become.

    `defined` are the gates with a definition, `opaque` those without; `values` are those of the global names.
    """

    def __init__(self, defined: dict[str, Definition]):
        self.version = 2
        self.defined, self.opaque = dict(defined), set[str]()
        self.values: dict[str, Any] = dict(CONSTANTS)
        self.blocks: list[Block] = []

    def run(self, call: Call, operands: list[list[int]], names: dict[str, Any], controls: tuple = ()) -> None:
        """Appends the blocks of a call on some qubits; operands of one qubit are used with every one of the others."""
        widest = max(map(len, operands), default=1)
        if any(len(qubits) not in (1, widest) for qubits in operands):
            raise at_line(call.line, f"{call.name}: registers of different lengths.")
        angles = [angle(names) for angle in call.angles]
        for k in range(widest):
            qubits = [found[k if len(found) > 1 else 0] for found in operands]
            if len(set(qubits)) < len(qubits):
                raise at_line(call.line, f"{call.name}: a qubit occurs twice.")
            self.modified(call, list(call.modifiers), names, angles, qubits, controls)

    def modified(self, call, modifiers, names, angles, qubits, controls) -> None:
        if not modifiers:
            self.gate(call, angles, qubits, controls)
            return
        (name, argument), *rest = modifiers
        number = 1 if argument is None else argument(names)
        if number != int(number):
            raise at_line(call.line, f"{name}({number}): only integers are supported.")
        if name in ("ctrl", "negctrl"):
            count = int(number)
            if not 1 <= count <= len(qubits):
                raise at_line(call.line, f"{name}({count}): there are {len(qubits)} qubits.")
            new = tuple((q, int(name == "ctrl")) for q in qubits[:count])
            self.modified(call, rest, names, angles, qubits[count:], controls + new)
            return
        start = len(self.blocks)
        self.modified(call, rest, names, angles, qubits, controls)
        inner = self.blocks[start:]
        if name == "inv" or number < 0:
            inner = [daggered(b) for b in reversed(inner)]
        self.blocks[start:] = inner * (abs(int(number)) if name == "pow" else 1)

    def gate(self, call: Call, angles: list[Any], qubits: list[int], controls: tuple) -> None:
        definition = self.defined.get(call.name)
        if definition is not None:
            self.body(call, definition, angles, qubits, controls)
            return
        if call.name == "gphase":
            counted(call, len(angles), 1, len(qubits), 0)
            self.phase(angles[0], controls)
            return
        if call.name == "cu":
            counted(call, len(angles), 4, len(qubits), 2)
            inside = (*controls, (qubits[0], 1))
            self.put("U3", tuple(angles[:3]), qubits[1:], inside)
            self.phase(angles[3], inside)
            return
        standard = _STANDARD.get(call.name)
        if call.name in self.opaque:
            raise at_line(call.line, f"the gate {call.name!r} is opaque: what it does is not known.")
        if standard is None:
            hint = nearest(call.name, [*_STANDARD, *self.defined])
            raise at_line(call.line, f"unknown gate or statement {call.name!r}.{hint}")
        kind = KINDS[standard.kind]
        given = kind.angles if standard.given is None else standard.given
        counted(call, len(angles), given, len(qubits), standard.controls + kind.qubits)
        values = standard.angles(*angles) if standard.angles else tuple(angles)
        inside = controls + tuple((q, 1) for q in qubits[: standard.controls])
        self.put(standard.kind, values, qubits[standard.controls :], inside, standard.adjoint)
        if controls and self.version == 3 and standard.kind == "U3" and not standard.controls:
            theta, phi, lam = values  # the phases that the standard gives them matter under control
            if call.name == "U":
                self.phase(theta * 0.5, controls)
            elif call.name in ("u2", "u3"):
                self.phase(phi * -0.5, controls)
                self.phase(lam * -0.5, controls)

    def body(self, call: Call, definition: Definition, angles, qubits, controls) -> None:
        counted(call, len(angles), len(definition.parameters), len(qubits), len(definition.qubits))
        names = {**self.values, **dict(zip(definition.parameters, angles))}
        places = dict(zip(definition.qubits, qubits))
        for inner in definition.body:
            for name, index in inner.operands:
                if name not in places or index is not None:
                    raise at_line(inner.line, f"unknown qubit {name!r} in a gate's body.")
            self.run(inner, [[places[name]] for name, _ in inner.operands], names, controls)

    def put(self, kind: str, angles: tuple[Any, ...], qubits: list[int], controls: tuple, adjoint=False) -> None:
        if kind == "I":
            return
        angles = tuple(a if isinstance(a, Shared) else float(a) for a in angles)
        if not all(isinstance(a, Shared) or math.isfinite(a) for a in angles):
            raise ValueError("an angle is not finite")
        block = put(tuple(qubits), Gate(kind, angles))
        if adjoint:
            block = daggered(block)
        if controls:
            where, values = zip(*controls)
            block = control(where, block, values=values)
        self.blocks.append(block)

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


def counted(call: Call, angles: int, wanted_angles: int, qubits: int, wanted_qubits: int) -> None:
    for what, found, wanted in (("angles", angles, wanted_angles), ("qubits", qubits, wanted_qubits)):
        if found != wanted:
            raise at_line(call.line, f"{call.name} takes {wanted} {what}, not {found}.")
