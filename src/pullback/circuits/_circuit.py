"""`Circuit`: a program with its parameters, as one immutable pytree."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float, Inexact

from pullback.circuits._blocks import Block, chain
from pullback.circuits._compile import compile_blocks
from pullback.circuits._deferred import enumerated
from pullback.circuits._draw import Column, columns, draw
from pullback.circuits._engine import matrix
from pullback.circuits._input import qubit_count
from pullback.circuits._program import Operation, Program
from pullback.circuits._qasm import read_qasm, write_qasm
from pullback.core import InputError


class Circuit(eqx.Module):
    """A circuit on n qubits, which are 0 to n − 1; qubit 0 is the most significant bit of a basis state.

    Its leaves are `parameters` (the angles and times, flat, in gate order, each shared one once; a daggered block keeps
    the order of the block), the entries of `matrices` (by number of qubits), the weights and operators of `channels`
    (by number of qubits and of operators) and `couplings` (coefficients of Hamiltonians): `jax.grad` with respect to a
    circuit works. The rest is fixed; circuits that differ in leaves only share compiled code.

    Examples:
        >>> from pullback.circuits import CNOT, H, Rx, expect, put
        >>> from pullback.operators import heisenberg
        >>> circuit = Circuit(2, [put(0, H), put((0, 1), CNOT), put(1, Rx(0.3))])
        >>> circuit.n_parameters, circuit.depth
        (1, 3)
        >>> f"{expect(heisenberg(2, 4.0), circuit):.6f}"
        '1.000000'
    """

    parameters: Float[Array, " parameters"]
    matrices: dict[int, Inexact[Array, "m d d"]]
    channels: dict[tuple[int, int], Any]
    couplings: Float[Array, " couplings"]
    program: Program = eqx.field(static=True)

    def __init__(self, n: int, blocks: Block | Iterable[Block]):
        """Compiles blocks to a program.

        Raises:
            InputError: n is not a positive integer; a gate acts on a qubit that is not there; an angle is not a real
                number; what is given is not made of blocks.
        """
        n = qubit_count("Circuit", n)
        top = (blocks,) if isinstance(blocks, Block) else chain(blocks).blocks  # pyright: ignore[reportAttributeAccessIssue]
        for name, value in compile_blocks(n, top)._asdict().items():
            setattr(self, name, value)

    @property
    def n(self) -> int:
        return self.program.n

    @property
    def n_parameters(self) -> int:
        return self.program.parameters

    def with_parameters(self, parameters: ArrayLike) -> "Circuit":
        """The circuit with other parameters, (n_parameters,) real numbers in the order of `parameters`.

        Raises:
            InputError: there are not as many, or they are not real.
        """
        theta = jnp.asarray(parameters)
        if theta.shape != (self.n_parameters,) or jnp.iscomplexobj(theta):
            raise InputError(
                f"with_parameters: got {theta.dtype}{list(theta.shape)}; the circuit has {self.n_parameters} real "
                "parameters."
            )
        if not jnp.issubdtype(theta.dtype, jnp.floating):
            theta = theta.astype(float)
        return eqx.tree_at(lambda c: c.parameters, self, theta)

    def of_program(self, program: Program, **leaves: Any) -> "Circuit":
        """The circuit of another program; its leaves are those given, else the same."""
        other = jax.tree.map(lambda leaf: leaf, self)
        for name, value in {"program": program, **leaves}.items():
            object.__setattr__(other, name, value)
        return other

    @property
    def operations(self) -> Iterator[Operation]:
        """The operations in order, without their angles."""
        return (self.program.alphabet[k] for k in self.program.word)

    @property
    def angles(self) -> Float[Array, " angles"]:
        """The angles of the operations, in order, `operation.angles` of them for each operation."""
        return self.parameters[self.program.slots] * jnp.asarray(self.program.factors, self.parameters.dtype)

    @property
    def depth(self) -> int:
        """The number of layers if each operation is done as soon as its qubits are free."""
        busy = [0] * self.n
        places = [(*o.qubits, *o.controls) for o in self.program.alphabet]
        for k in self.program.word.tolist():
            end = 1 + max((busy[q] for q in places[k]), default=0)
            for q in places[k]:
                busy[q] = end
        return max(busy)

    @property
    def has_channels(self) -> bool:
        return bool(self.channels)

    @property
    def is_unitary(self) -> bool:
        return self.program.is_unitary

    def matrix(self) -> Complex[Array, "N N"]:
        """The matrix of the circuit, of 4^n entries: a Kronecker product in the order of the qubits if it is one.

        Raises:
            InputError: the circuit has channels.
        """
        if self.has_channels:
            raise InputError("Circuit.matrix: a circuit with channels has no matrix; use density_matrix, or expect.")
        return matrix(self)

    @classmethod
    def from_qasm(cls, program: str | Path, inputs: Mapping[str, ArrayLike] | None = None) -> "Circuit":
        """The circuit of an OpenQASM 2 or OpenQASM 3 program.

        Read are all gates of qelib1.inc and stdgates.inc, own includes and gate definitions, registers, their slices
        and aliases, physical qubits, the modifiers ctrl, negctrl, inv and pow, classical variables and arrays, loops,
        `if` and `switch`, subroutines, measurements and resets. Each `input` is a parameter; an angle that is a sum
        becomes rotations by its terms. Quantum registers follow each other; barriers, delays and the global phase are
        dropped.

        Measurements are put off to the end, where they are dropped. Gates that depend on an outcome are controlled by
        the qubit that was measured; if this is used again, or reset, the circuit has a further qubit in its place (see
        `MeasuredCircuit`, which has classical registers too).

        Args:
            program: the text, or the path of a file; own includes are looked for beside the file.
            inputs: values of inputs by name; the others are 0. Derivatives by them exist.

        Raises:
            InputError: the text cannot be read; the message has the line.
        """
        read = read_qasm(program, inputs)
        gates = cls(read.n, read.blocks)
        return gates.of_program(enumerated(gates.program, read.events).program)

    def to_qasm(self, version: int = 2) -> str:
        """The circuit as an OpenQASM program of version 2 or 3, up to a global phase.

        Raises:
            InputError: the circuit has matrices on several qubits, or other things that OpenQASM cannot express.
        """
        return write_qasm(self, version)

    def draw(self, width: int | None = None, *, max_moments: int = 100) -> str:
        """The circuit as text (`plots.circuit_diagram` makes a figure).

        Args:
            width: of a line, in characters; what does not fit continues below. None: as wide as the terminal.
            max_moments: layers of operations, as `depth` counts them, that are drawn; "…" stands for more.

        Examples:
            >>> from pullback.circuits import CNOT, H, Rz, put
            >>> print(Circuit(2, [put(0, H), put((0, 1), CNOT), put(1, Rz(0.3))]).draw())
            q0: ─H─●─────────
                   │
            q1: ───⊕─Rz(0.3)─
        """
        return draw(self, width, max_moments)

    def columns(self, max_moments: int) -> tuple[list[Column], bool]:
        """The columns of a drawing of the first moments, and whether there are more."""
        return columns(self, max_moments)

    def __repr__(self) -> str:
        return f"Circuit({self.n} qubits, {len(self.program.word)} gates, {self.n_parameters} parameters)"


def gate_count(circuit: Circuit) -> dict[str, int]:
    """How many operations of each name the circuit has."""
    numbers, counts = np.unique(circuit.program.word, return_counts=True)
    total: Counter[str] = Counter()
    for k, count in zip(numbers, counts):
        total[circuit.program.alphabet[k].name] += int(count)
    return dict(total)
