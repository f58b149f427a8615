"""The elementary gates: their matrices, and what they are made of.

Every gate but a dense matrix on several qubits is a product of *pair* operations: a 2x2 matrix u that mixes each
amplitude with one partner,

    ψ'_i = u_{bb} ψ_i + σ_i u_{b,1−b} ψ_{i ^ x},     b = parity(i & m),   σ_i = (−1)^{parity(i & s)},

where i carries the control bits, and ψ'_i = ψ_i elsewhere. parity(m & x) is odd and parity(s & x) even, so that pair
operations with the same masks multiply as their 2x2 matrices do; with x = 0 the operation is diagonal. A gate on
bit b of the index has m = x = 2^b; a rotation about a Pauli string has the masks of the string.

The 2x2 matrices are handled as tuples (u00, u01, u10, u11) of arrays; None is a zero that costs nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Entries = tuple[Any, Any, Any, Any]


class Kind(NamedTuple):
    """An elementary gate: the number of qubits and angles, and how it is adjoined.

    adjoint: "self"; "negate" (all angles change sign); or "flag" (the operation is marked as adjoined).
    """

    qubits: int
    angles: int
    adjoint: str


class Masks(NamedTuple):
    """Where a pair operation acts; see the module's docstring."""

    m: int
    x: int
    s: int = 0
    controls: int = 0
    values: int = 0


class Matrix(NamedTuple):
    """A matrix by its name: of those below; "given", "evolution" or "channel", of what a circuit has beside them."""

    name: str
    adjoint: bool = False
    conjugate: bool = False

    @property
    def is_given(self) -> bool:
        return self.name == "given"


class Pair(NamedTuple):
    """One pair operation of a gate: its masks, its 2x2 matrix, the factor of each of its angles.

    `angles` are the positions among the gate's angles.
    """

    masks: Masks
    matrix: Matrix
    angles: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()


KINDS: dict[str, Kind] = {
    **{name: Kind(1, 0, "self") for name in ("I", "X", "Y", "Z", "H")},
    **{name: Kind(1, 0, "flag") for name in ("S", "T", "SX")},
    **{name: Kind(1, 1, "negate") for name in ("Rx", "Ry", "Rz", "P")},
    "U3": Kind(1, 3, "negate"),  # and its last two angles change places
    "SWAP": Kind(2, 0, "self"),
    "iSWAP": Kind(2, 0, "flag"),
    **{name: Kind(2, 1, "negate") for name in ("Rxx", "Ryy", "Rzz")},
    "fSim": Kind(2, 2, "negate"),
}
PERMUTATIONS = frozenset({"X", "SWAP", "I"})
DIAGONAL = frozenset({"Z", "S", "T", "Rz", "P"})  # of the gates on one qubit
_HALF = float(np.sqrt(0.5))
_CONSTANT: dict[str, tuple[complex | None, ...]] = {
    "I": (1, None, None, 1),
    "X": (None, 1, 1, None),
    "Y": (None, -1j, 1j, None),
    "Z": (1, None, None, -1),
    "H": (_HALF, _HALF, _HALF, -_HALF),
    "S": (1, None, None, 1j),
    "T": (1, None, None, complex(_HALF, _HALF)),
    "SX": (0.5 + 0.5j, 0.5 - 0.5j, 0.5 - 0.5j, 0.5 + 0.5j),
    "Rx(-pi/2)": (_HALF, 1j * _HALF, 1j * _HALF, _HALF),
}


def pairs_of(kind: str, bits: tuple[int, ...]) -> list[Pair]:
    """The pair operations of a gate on bits of the index, in the order in which they act."""
    ones = [1 << b for b in bits]
    if len(ones) == 1:
        k = KINDS[kind].angles
        return [Pair(Masks(ones[0], ones[0]), Matrix(kind), tuple(range(k)), (1.0,) * k)]
    both = ones[0] | ones[1]
    xx, yy = Masks(ones[0], both), Masks(ones[0], both, both)
    match kind:
        case "Rxx":
            return [Pair(xx, Matrix("Rx"), (0,), (1.0,))]
        case "Ryy":
            return [Pair(yy, Matrix("Rx"), (0,), (-1.0,))]
        case "Rzz":
            return [Pair(Masks(both, 0), Matrix("Rz"), (0,), (1.0,))]
        case "iSWAP":
            return [Pair(xx, Matrix("Rx(-pi/2)")), Pair(yy, Matrix("Rx(-pi/2)", adjoint=True))]
        case "fSim":
            phase = Masks(ones[1], 0, 0, ones[0], ones[0])
            turns = [Pair(xx, Matrix("Rx"), (0,), (1.0,)), Pair(yy, Matrix("Rx"), (0,), (-1.0,))]
            return [*turns, Pair(phase, Matrix("P"), (1,), (-1.0,))]
        case "SWAP":
            there, back = (Masks(b, b, 0, a, a) for a, b in (ones, ones[::-1]))
            return [Pair(m, Matrix("X")) for m in (there, back, there)]
    raise KeyError(kind)


def pair_of_rotor(x: int, z: int) -> Pair:
    """exp(−iθ/2 P) by P's masks: a rotation about X, or about Y if P has an odd number of Y; about Z if diagonal."""
    if x == 0:
        return Pair(Masks(z, 0), Matrix("Rz"), (0,), (1.0,))
    m = (x & z).bit_count()
    sign = (1.0, 1.0, -1.0, -1.0)[m % 4]
    if m % 2:
        return Pair(Masks(z, x), Matrix("Ry"), (0,), (sign,))
    return Pair(Masks(x & -x, x, z), Matrix("Rx"), (0,), (sign,))


def is_constant(matrix: Matrix) -> bool:
    return matrix.name in _CONSTANT


def entries_of(matrix: Matrix, *angles: Any) -> Entries:
    """The entries of a matrix, whose angles are arrays of one shape."""
    found = _CONSTANT[matrix.name] if is_constant(matrix) else _ROTATIONS[matrix.name](*angles)
    return marked(matrix, found)  # pyright: ignore[reportArgumentType]


def marked(matrix: Matrix, entries: Entries) -> Entries:
    """The adjoint or conjugate of these entries, if the matrix is."""
    entries = adjoint(entries) if matrix.adjoint else entries
    return conjugate(entries) if matrix.conjugate else entries


def _rx(t):
    c, s = jnp.cos(t / 2), -1j * jnp.sin(t / 2)
    return c, s, s, c


def _ry(t):
    c, s = jnp.cos(t / 2), jnp.sin(t / 2)
    return c, -s, s, c


def _rz(t):
    c, s = jnp.cos(t / 2), jnp.sin(t / 2)
    return c - 1j * s, None, None, c + 1j * s


def _p(t):
    return 1.0, None, None, jnp.cos(t) + 1j * jnp.sin(t)


def _u3(theta, phi, lam):
    c, s = jnp.cos(theta / 2), jnp.sin(theta / 2)
    return c, -_cis(lam) * s, _cis(phi) * s, _cis(phi + lam) * c


def _cis(t):
    return jnp.cos(t) + 1j * jnp.sin(t)


_ROTATIONS: dict[str, Callable[..., Entries]] = {"Rx": _rx, "Ry": _ry, "Rz": _rz, "P": _p, "U3": _u3}


def product(a: Entries, b: Entries) -> Entries:
    """The entries of a b."""

    def entry(i, j):
        terms = [a[2 * i + k] * b[2 * k + j] for k in (0, 1) if a[2 * i + k] is not None and b[2 * k + j] is not None]
        return sum(terms[1:], terms[0]) if terms else None

    return entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)


def conjugate(a: Entries) -> Entries:
    conj = [None if z is None else (jnp.conj(z) if hasattr(z, "dtype") else np.conj(z)) for z in a]
    return conj[0], conj[1], conj[2], conj[3]


def adjoint(a: Entries) -> Entries:
    conj = conjugate(a)
    return conj[0], conj[2], conj[1], conj[3]
