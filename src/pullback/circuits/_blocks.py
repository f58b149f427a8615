"""Blocks: the trees that circuits are written as. Immutable pytrees whose leaves are parameters and matrices.

A block acts on qubits 0, 1, … of its own; `put` moves it. They are frozen dataclasses with slots, not
`equinox.Module`s, because circuits of a million gates are written as a million blocks.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field
from typing import Any, SupportsIndex, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Num

from pullback.circuits._gates import KINDS
from pullback.circuits._input import hermitian_sum, integers, is_numeric
from pullback.core import InputError
from pullback.operators import PauliString, PauliSum

_UNITARY_TOLERANCE = 1e-6


def _fixed(*, default: Any = MISSING) -> Any:
    """A field that is no child of its node."""
    return field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(_fixed,))
def _node(cls):
    """A frozen dataclass with slots, and a node of pytrees."""
    made = dataclass(frozen=True, slots=True, eq=False)(cls)
    made.__setattr__ = made.__delattr__ = _refuse  # those of dataclasses with slots fail where there is no such field
    return jax.tree_util.register_dataclass(made)


def _refuse(node, name, *_):
    raise AttributeError(f"{type(node).__name__} is immutable.")


class Block:
    """Base of the blocks. `n` is the number of qubits that a block spans."""

    __slots__ = ()

    @property
    def n(self) -> int:
        raise NotImplementedError


@_node
class Shared:
    """A parameter that occurs in several gates under one name; see `shared`."""

    name: str = _fixed()
    value: Any
    factor: float = _fixed(default=1.0)

    def __mul__(self, factor: float | int) -> "Shared":
        return Shared(self.name, self.value, self.factor * float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | int) -> "Shared":
        return Shared(self.name, self.value, self.factor / float(divisor))

    def __neg__(self) -> "Shared":
        return self * -1.0


@_node
class Gate(Block):
    """An elementary gate by its kind, with its angles."""

    kind: str = _fixed()
    angles: tuple[Any, ...] = ()

    @property
    def n(self) -> int:
        return KINDS[self.kind].qubits


@_node
class MatrixGate(Block):
    """A gate given by its matrix."""

    matrix: Any
    unitary: bool = _fixed()

    @property
    def n(self) -> int:
        return int(self.matrix.shape[-1]).bit_length() - 1


@_node
class Channel(Block):
    """ρ → Σ_m w_m A_m ρ A_m†."""

    weights: Any
    operators: Any

    @property
    def n(self) -> int:
        return int(self.operators.shape[-1]).bit_length() - 1


@_node
class Rotor(Block):
    """exp(−iθ/2 P)."""

    string: PauliString = _fixed()
    angle: Any

    @property
    def n(self) -> int:
        return self.string.extent or 1


@_node
class Evolution(Block):
    """exp(−i t H)."""

    hamiltonian: PauliSum
    time: Any

    @property
    def n(self) -> int:
        return self.hamiltonian.n


@_node
class Placed(Block):
    """A block on chosen qubits."""

    qubits: tuple[int, ...] = _fixed()
    block: Block

    @property
    def n(self) -> int:
        return max(self.qubits) + 1


@_node
class Controlled(Block):
    """A block that acts where the control qubits have the given values."""

    controls: tuple[int, ...] = _fixed()
    values: tuple[int, ...] = _fixed()
    block: Block

    @property
    def n(self) -> int:
        return max(*self.controls, self.block.n - 1) + 1


@_node
class Chain(Block):
    """Blocks one after the other."""

    blocks: tuple[Block, ...]

    @property
    def n(self) -> int:
        return max((b.n for b in self.blocks), default=1)


@_node
class Layers(Block):
    """A block `count` times: with the same parameters, or with row l of `parameters` in repetition l."""

    block: Block
    count: int = _fixed()
    parameters: Any

    @property
    def n(self) -> int:
        return self.block.n


@_node
class Daggered(Block):
    """The adjoint of a block."""

    block: Block

    @property
    def n(self) -> int:
        return self.block.n


def put(qubits: SupportsIndex | Iterable[SupportsIndex], block: Block | Iterable[Block]) -> Block:
    """The block with its qubit i on qubits[i]: `put(3, X)`, `put((0, 4), SWAP)`.

    Here and in `control`, `repeat`, `layers` and `daggered`, an iterable of blocks stands for their `chain`.

    Raises:
        InputError: as many qubits as the block has are needed, all different; what is put is not a block.
    """
    if not isinstance(block, Block):
        block = _one_block("put", block)
    where = integers("put", qubits)
    if len(where) != block.n or len(set(where)) != len(where) or min(where) < 0:
        raise InputError(
            f"put({qubits}, …): the block acts on {block.n} qubits; give as many different, non-negative ones."
        )
    return Placed(where, block)


def control(
    controls: SupportsIndex | Iterable[SupportsIndex],
    block: Block | Iterable[Block],
    *,
    values: SupportsIndex | Iterable[SupportsIndex] | None = None,
) -> Block:
    """The block where the control qubits are 1, or have the given values: `control((0, 1), put(2, X))`.

    Raises:
        InputError: a control is among the qubits of the block or occurs twice; values are not 0 or 1; what is
            controlled is not a block.
    """
    block = _one_block("control", block)
    where = integers("control", controls)
    bits = (1,) * len(where) if values is None else integers("control", values)
    if not where or len(bits) != len(where) or not set(bits) <= {0, 1}:
        raise InputError(f"control({controls}, …, values={values}): needs one value, 0 or 1, for each control.")
    if len(set(where)) != len(where) or min(where) < 0 or set(where) & qubits_of(block):
        raise InputError(f"control({controls}, …): the controls must differ, and the block must not act on them.")
    return Controlled(where, bits, block)


def chain(*blocks: Block | Iterable[Block]) -> Block:
    """The blocks one after the other; the first acts first. Takes blocks and iterables of blocks."""
    flat: list[Block] = []
    for block in blocks:
        if isinstance(block, Iterable):
            flat += block
        else:
            flat.append(block)
    return Chain(_blocks("chain", flat))


def kron(*blocks: Block) -> Block:
    """The blocks side by side, on consecutive qubits: `kron(X, CNOT)` has X on qubit 0 and CNOT on (1, 2)."""
    placed, first = [], 0
    for block in _blocks("kron", blocks):
        placed.append(Placed(tuple(range(first, first + block.n)), block))
        first += block.n
    return Chain(tuple(placed))


def repeat(count: int, block: Block | Iterable[Block]) -> Block:
    """The block `count` times, each time with the same parameters.

    Raises:
        InputError: the count is not an integer, or negative; what is repeated is not a block.
    """
    return Layers(_one_block("repeat", block), _count("repeat", count), None)


def layers(block: Block | Iterable[Block], parameters: ArrayLike) -> Block:
    """The block once for each row of `parameters`, whose columns are its parameters in gate order.

    Named (`shared`) parameters of the block are not among the columns; they are common to all layers.

    Raises:
        InputError: the parameters are not rows of numbers; what is repeated is not a block.
    """
    block = _one_block("layers", block)
    rows = _array("layers", parameters)
    if rows.ndim != 2:
        raise InputError(f"layers: parameters have shape {rows.shape}; a row for each layer is needed.")
    return Layers(block, rows.shape[0], rows)


def daggered(block: Block | Iterable[Block]) -> Block:
    """The adjoint of the block.

    Raises:
        InputError: what is adjoined is not a block.
    """
    return Daggered(_one_block("daggered", block))


def shared(name: str, value: ArrayLike) -> Any:
    """A parameter for several gates: one entry of `circuit.parameters`, wherever it occurs under this name.

    Multiples are allowed: with a = shared("a", 0.3), `Rx(a)`, `Rzz(2 * a)` and `Ry(a / 2)` turn by 0.3, 0.6 and 0.15.
    """
    return Shared(name, value)


def rotor(string: str, angle: Any) -> Block:
    """exp(−iθ/2 P) with the Pauli string P, as `rotor("X0 Z2", 0.3)`."""
    return Rotor(PauliString.parse(string), angle)


def TimeEvolution(hamiltonian: PauliSum, time: Any) -> Block:
    """exp(−i t H); t is a parameter, and the coefficients of H are differentiable too.

    Commuting strings become rotors. Otherwise up to six qubits become a matrix, and more a Chebyshev series in H.

    Raises:
        InputError: the Hamiltonian is not a `PauliSum` with real coefficients.
    """
    return Evolution(hermitian_sum("TimeEvolution", hamiltonian), time)


def matrix_gate(matrix: Num[ArrayLike, "d d"], *, unitary: bool = True) -> Block:
    """The gate of a 2^k x 2^k matrix; qubit 0 of the block is the most significant bit of the row index.

    Args:
        matrix: entries are differentiable; integers become floating-point numbers.
        unitary: set False for other matrices, as projectors; derivatives then need checkpoints.

    Raises:
        InputError: the matrix is not one of numbers, not square with a power of two, or not unitary although it should
            be.
    """
    array = _array("matrix_gate", matrix)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        array = array.astype(float)
    d = array.shape[0] if array.ndim else 0
    if array.ndim != 2 or array.shape[1] != d or d < 2 or d & (d - 1):
        raise InputError(f"matrix_gate: shape {array.shape}; a square matrix with 2, 4, 8, … rows is needed.")
    if unitary and not isinstance(array, Tracer):
        values = np.asarray(array)
        error = float(np.abs(values @ values.conj().T - np.eye(d)).max())
        if not error < _UNITARY_TOLERANCE:
            raise InputError(
                f"matrix_gate: U U† differs from 1 by {error:.1e}; pass unitary=False if that is intended."
            )
    return MatrixGate(jnp.asarray(array), unitary)


def qubits_of(block: Block) -> set[int]:
    """The qubits that a block acts on."""
    match block:
        case Placed():
            return {block.qubits[q] for q in qubits_of(block.block)}
        case Controlled():
            return set(block.controls) | qubits_of(block.block)
        case Chain():
            return set().union(*map(qubits_of, block.blocks))
        case Layers() | Daggered():
            return qubits_of(block.block)
        case Rotor():
            return set(block.string.sites)
        case Evolution():
            return {q for string in block.hamiltonian.words for q in string.sites}
    return set(range(block.n))


def _one_block(name, given) -> Block:
    """A block as it is; blocks as a chain."""
    if isinstance(given, Block):
        return given
    return Chain(_blocks(name, given if isinstance(given, Iterable) else (given,)))


def _blocks(name, blocks):
    blocks = tuple(blocks)  # an iterator can be read once only
    for block in blocks:
        if not isinstance(block, Block):
            hint = " Give it its angle." if callable(block) else ""
            raise InputError(f"{name}: {block!r} is not a block.{hint}")
    return blocks


def _array(name, given) -> Array | np.ndarray:
    try:
        array = given if isinstance(given, jax.Array) else np.asarray(given)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if not is_numeric(array.dtype):
        raise InputError(f"{name}: {given!r} is not an array of numbers.")
    return array


def _count(name, count):
    if not isinstance(count, SupportsIndex) or operator.index(count) < 0:
        raise InputError(f"{name}({count}, …): the number of repetitions must be an integer and not negative.")
    return operator.index(count)


def _rotation(kind: str, doc: str) -> Callable[..., Block]:
    def gate(*angles):
        if len(angles) != KINDS[kind].angles:
            raise InputError(f"{kind}: takes {KINDS[kind].angles} angles, not {len(angles)}.")
        return Gate(kind, angles)

    gate.__name__ = gate.__qualname__ = kind
    gate.__doc__ = doc
    return gate


I, X, Y, Z, H, S, T, SX = map(Gate, ("I", "X", "Y", "Z", "H", "S", "T", "SX"))
SWAP, iSWAP = Gate("SWAP"), Gate("iSWAP")
CNOT, CZ = Controlled((0,), (1,), Placed((1,), X)), Controlled((0,), (1,), Placed((1,), Z))
Toffoli = Controlled((0, 1), (1, 1), Placed((2,), X))
Rx = _rotation("Rx", "exp(−iθX/2).")
Ry = _rotation("Ry", "exp(−iθY/2).")
Rz = _rotation("Rz", "exp(−iθZ/2).")
P = _rotation("P", "diag(1, exp(iφ)).")
U3 = _rotation("U3", "U3(θ, φ, λ) = [[cos θ/2, −e^{iλ} sin θ/2], [e^{iφ} sin θ/2, e^{i(φ+λ)} cos θ/2]].")
Rxx = _rotation("Rxx", "exp(−iθ X⊗X/2).")
Ryy = _rotation("Ryy", "exp(−iθ Y⊗Y/2).")
Rzz = _rotation("Rzz", "exp(−iθ Z⊗Z/2).")
fSim = _rotation("fSim", "fSim(θ, φ) = exp(−iθ(X⊗X + Y⊗Y)/2) and a phase −φ on |11⟩.")
