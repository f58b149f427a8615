"""Circuits with measurements in the middle, resets, and gates that depend on outcomes."""

from collections import Counter
from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from pullback.circuits._circuit import Circuit
from pullback.circuits._deferred import MOST_BRANCHES, Deferred, Event, Gates, Guard, Reset, deferred, enumerated
from pullback.circuits._order import bits_of
from pullback.circuits._outcomes import where_true
from pullback.circuits._program import Program
from pullback.circuits._qasm import read_qasm
from pullback.circuits._states import expect, mean, observables, probabilities, sample, state, zero_state
from pullback.core import Estimate, InputError, complex_dtype
from pullback.operators import PauliSum, Terms

_MOST_BITS = 24  # of a table of probabilities
_MOST_AMPLITUDES = 1 << 22  # of trajectories at once


class MeasuredCircuit(eqx.Module):
    """Gates, measurements, resets, and gates under conditions on outcomes, with classical registers.

    Its leaves are those of `gates`. What is averaged over outcomes is exact: the branches of the tree of outcomes stand
    side by side in the state of one unitary circuit, `circuit`. With too many branches, outcomes are drawn (`sample`,
    `expect_sampled`).

    Attributes:
        gates: all gates in order, as if no condition was there; it has the parameters.
        registers: the numbers of bits of the classical registers, by name, in order of their declaration.

    Examples:
        >>> program = MeasuredCircuit.from_qasm('''OPENQASM 3.0; include "stdgates.inc";
        ...     qubit[2] q; bit[2] c;
        ...     h q[0]; c[0] = measure q[0];
        ...     if (c[0]) { x q[1]; h q[0]; }
        ...     c[1] = measure q[1];''')
        >>> program.probabilities("c").round(12).tolist()
        [0.5, 0.0, 0.0, 0.5]
    """

    gates: Circuit
    events: tuple[Event, ...] = eqx.field(static=True)
    bits: tuple[tuple[str, tuple[Any, ...]], ...] = eqx.field(static=True)

    @classmethod
    def from_qasm(cls, program: str | Path, inputs: Mapping[str, ArrayLike] | None = None) -> "MeasuredCircuit":
        """The circuit of an OpenQASM program; see `Circuit.from_qasm`.

        Raises:
            InputError: the program cannot be read; the message has the line.
        """
        read = read_qasm(program, inputs)
        return cls(Circuit(read.n, read.blocks), read.events, read.registers)

    @property
    def n(self) -> int:
        """The number of qubits of the program."""
        return self.gates.n

    @property
    def parameters(self) -> Float[Array, " parameters"]:
        return self.gates.parameters

    @property
    def registers(self) -> dict[str, int]:
        return {name: len(bits) for name, bits in self.bits}

    def with_parameters(self, parameters: ArrayLike) -> "MeasuredCircuit":
        """With other parameters; see `Circuit.with_parameters`.

        Raises:
            InputError: there are not as many, or they are not real.
        """
        return eqx.tree_at(lambda c: c.gates, self, self.gates.with_parameters(parameters))

    @property
    def _deferred(self) -> Deferred:
        return deferred(self.gates.program, self.events)

    @property
    def circuit(self) -> Circuit:
        """The unitary circuit of all branches: measurements are put off to its end.

        Qubits of the program that are used again after their measurement, or reset, take a further qubit each, from n
        on; gates under a condition are controlled by the qubit that holds the outcome. Mean values in its state, of
        observables of the program's qubits, are those over all outcomes.

        Raises:
            InputError: these are too many qubits.
        """
        return self.gates.of_program(enumerated(self.gates.program, self.events).program)

    def expect(self, observable: PauliSum) -> Float[Array, ""]:
        """The mean of an observable after the program, over all outcomes: Σ_b ⟨ψ_b|H|ψ_b⟩ with unnormalised branches.

        Differentiable in every mode and order, as `expect` of circuits. A qubit that was measured at the end has lost
        its phases: ⟨X⟩ = ⟨Y⟩ = 0. (In `circuit` that measurement has not happened yet.)

        Raises:
            InputError: the observable is none of n qubits; too many branches.
        """
        circuit, measured = self.circuit, set(self._deferred.holders)
        several = _widened("MeasuredCircuit.expect", observable, self.gates, circuit.n)
        dephased = [any(q in measured and a in "XY" for q, a in zip(s.sites, s.letters)) for s in several.words]
        kept = jnp.where(np.array(dephased, bool), 0, several.coefficients)
        return expect(PauliSum(circuit.n, Terms(several.words, kept)), circuit)

    def probabilities(self, register: str | None = None) -> Float[Array, " values"]:
        """The probability of each value that a classical register can have at the end; its bit 0 is the lowest.

        Args:
            register: its name; None: all registers, the first of them in the lowest bits.

        Raises:
            InputError: there is no such register; too many bits or branches.
        """
        bits = self._bits_of(register)
        if len(bits) > _MOST_BITS:
            raise InputError(
                f"MeasuredCircuit.probabilities: a table for {len(bits)} bits has too many rows; give one register of "
                f"at most {_MOST_BITS} bits, or use sample."
            )
        circuit, holders = self.circuit, self._deferred.holders
        index = jnp.arange(1 << circuit.n)
        outcomes = [(index >> bit) & 1 for bit in bits_of(holders, circuit.n)]
        value = sum((_value(bit, outcomes) << k for k, bit in enumerate(bits)), jnp.zeros_like(index))
        return jnp.zeros(1 << len(bits), circuit.parameters.dtype).at[value].add(probabilities(state(circuit)))

    def sample(self, key: Array, shots: int) -> dict[str, Int[Array, "shots size"]]:
        """Runs the program `shots` times: the bits of each classical register at the end, bit 0 first.

        Raises:
            InputError: shots is not positive.
        """
        if shots < 1:
            raise InputError(f"MeasuredCircuit.sample: shots is {shots}; at least one is needed.")
        program, holders = self._deferred
        if program.n - self.n <= min(MOST_BRANCHES, (shots - 1).bit_length()):
            found = sample(state(self.circuit), key, shots)
            outcomes = [(found >> bit) & 1 for bit in bits_of(holders, program.n)]
        else:
            size = max(_MOST_AMPLITUDES >> self.n, 1)
            counts = [size] * (shots // size) + [shots % size] * (shots % size > 0)
            parts = [_trajectories(self, k, count)[1] for k, count in zip(jax.random.split(key, len(counts)), counts)]
            outcomes = [jnp.concatenate(columns) for columns in zip(*parts)]
        empty = jnp.zeros(shots, int)
        return {name: jnp.stack([_value(b, outcomes) + empty for b in bits], 1) for name, bits in self.bits}

    def counts(self, key: Array, shots: int) -> dict[str, int]:
        """How often each result came in `shots` runs.

        A result is written as usual: the last bit of a register first, and the last register first, blanks between.

        Raises:
            InputError: as `sample`.
        """
        columns = [np.asarray(bits)[:, ::-1] for bits in reversed(self.sample(key, shots).values())]
        rows = zip(*(["".join(map(str, row)) for row in column.tolist()] for column in columns))
        return dict(sorted(Counter(" ".join(row) for row in rows).items()))

    def expect_sampled(self, observable: PauliSum, key: Array, count: int) -> Estimate:
        """As `expect`, estimated from `count` runs whose outcomes are drawn, with its standard error.

        Differentiable at fixed key, and without bias: see `trajectories`.

        Raises:
            InputError: the observable is none of n qubits; count is not positive.
        """
        _widened("MeasuredCircuit.expect_sampled", observable, self.gates, self.n)
        if count < 1:
            raise InputError(f"MeasuredCircuit.expect_sampled: count is {count}; at least one is needed.")
        values = mean(observable, _trajectories(self, key, count)[0])
        return Estimate.of(values)

    def _bits_of(self, register: str | None) -> list[Any]:
        if register is not None and register not in self.registers:
            raise InputError(f"MeasuredCircuit: no classical register {register!r}; there are {list(self.registers)}.")
        return [bit for name, bits in self.bits if register in (None, name) for bit in bits]

    def __repr__(self) -> str:
        kinds = Counter(type(event).__name__ for event in self.events)
        return (
            f"MeasuredCircuit({self.n} qubits, {len(self.gates.program.word)} gates, {kinds['Measure']} measurements, "
            f"{kinds['Reset']} resets, {self.gates.n_parameters} parameters)"
        )


def _widened(name: str, observable: PauliSum, gates: Circuit, n: int) -> PauliSum:
    """The observable of the program's qubits on n qubits."""
    observables(name, observable, gates, only_one=True)
    if observable.n != gates.n:
        raise InputError(f"{name}: the observable has {observable.n} qubits, the program {gates.n}.")
    return PauliSum(n, Terms(observable.words, observable.coefficients))


def _value(bit: Any, outcomes: list[Any]) -> Any:
    """A bit of a register, 0 or 1, from outcomes."""
    return bit if isinstance(bit, int) else _holds(where_true(bit), outcomes).astype(int)


def _holds(guard: Guard, outcomes: list[Any]) -> Any:
    """Whether one of the cubes holds."""
    every = [reduce(jnp.logical_and, [outcomes[k] == value for k, value in cube]) for cube in guard or ()]
    return reduce(jnp.logical_or, every)


def _trajectories(measured: MeasuredCircuit, key: Array, count: int) -> tuple[Array, list[Array]]:
    """States at the end, (count, N), and the outcomes, (count,) each, drawn as they come.

    As in `_jump`, ψ' = Pψ/√q where q is the probability but a constant for derivatives, so that means of ⟨ψ'|H|ψ'⟩
    have unbiased derivatives.
    """
    gates = measured.gates
    psi = jnp.broadcast_to(zero_state(gates.n, complex_dtype(gates.parameters.dtype)), (count, 1 << gates.n))
    outcomes: list[Any] = []
    slices = _Slices(gates)
    for event in measured.events:
        if isinstance(event, Gates):
            new = _run(slices.next(event.number), psi)
        else:
            key, one = jax.random.split(key)
            new, found = _collapsed(psi, event.qubit, jax.random.uniform(one, (count,)))
            if isinstance(event, Reset):
                new = jnp.where(found[:, None] == 1, _flipped(new, event.qubit), new)
            else:
                outcomes.append(found if event.guard is None else jnp.where(_holds(event.guard, outcomes), found, 0))
        psi = new if event.guard is None else jnp.where(_holds(event.guard, outcomes)[:, None], new, psi)
    return psi, outcomes


_run = eqx.filter_jit(state)


@partial(jax.jit, static_argnums=1)
def _collapsed(psi, qubit, uniforms):
    """The states after a measurement, and its outcomes."""
    halves = psi.reshape(len(psi), 1 << qubit, 2, -1)
    p = jax.lax.stop_gradient(jnp.sum(halves.real**2 + halves.imag**2, (1, 3)))
    total = jnp.sum(p, 1)
    found = ((uniforms * total >= p[:, 0]) & (p[:, 1] > 0)).astype(int)
    q = jnp.take_along_axis(p, found[:, None], 1)[:, 0] / total
    kept = jnp.arange(2)[:, None] == found[:, None, None, None]
    return jnp.where(kept, halves / jnp.sqrt(q)[:, None, None, None], 0).reshape(psi.shape), found


def _flipped(psi, qubit):
    return psi.reshape(len(psi), 1 << qubit, 2, -1)[:, :, ::-1].reshape(psi.shape)


class _Slices:
    """A circuit, so many operations at a time; parts that differ in their parameters only are the same program."""

    def __init__(self, gates: Circuit):
        self.gates, self.at, self.angle, self.matrix = gates, 0, 0, 0

    def next(self, count: int) -> Circuit:
        program, start, angle, matrix = self.gates.program, self.at, self.angle, self.matrix
        word = program.word[start : start + count]
        operations = [program.alphabet[k] for k in word]
        self.at += count
        self.angle += sum(o.angles for o in operations)
        self.matrix += sum(o.kind == "matrix" for o in operations)
        used, new = np.unique(word, return_inverse=True)
        slots, own = np.unique(program.slots[angle : self.angle], return_inverse=True)
        part = Program(
            program.n, tuple(program.alphabet[k] for k in used), new, own, program.factors[angle : self.angle],
            program.matrices[matrix : self.matrix], len(slots),
        )  # fmt: skip
        return self.gates.of_program(part, parameters=self.gates.parameters[slots])
