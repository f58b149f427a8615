"""Density matrices as states of twice as many qubits, row by row: rows are qubits 0 … n−1, columns n … 2n−1.

    ρ → U ρ U†                  acts on the rows by U and on the columns by U*,
    ρ → Σ_m w_m A_m ρ A_m†      is the matrix Σ_m w_m A_m ⊗ A_m* on both,

linear in the weights: derivatives exist at w_m = 0, where the Kraus operators √w_m A_m have none.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from pullback.circuits._circuit import Circuit
from pullback.circuits._program import Operation, Program
from pullback.operators import PauliString


def doubled(circuit: Circuit) -> Circuit:
    """The circuit on 2n qubits that acts on density matrices; its parameters are the same."""
    firsts, matrices = {}, dict(circuit.matrices)
    for size, channel in circuit.channels.items():
        k = 2 * size[0]
        d = 1 << k
        A = channel.operators
        new = jnp.einsum("xm,xmab,xmcd->xacbd", channel.weights.astype(A.dtype), A, jnp.conj(A)).reshape(-1, d, d)
        firsts[size] = len(matrices.get(k, ()))
        matrices[k] = jnp.concatenate([matrices[k], new]) if k in matrices else new
    program = _doubled(circuit.program, tuple(firsts.items()))
    return circuit.of_program(program, matrices=matrices, channels={})


@lru_cache(maxsize=32)
def _doubled(program: Program, firsts: tuple[tuple[tuple[int, int], int], ...]) -> Program:
    first, n = dict(firsts), program.n
    alphabet: list[Operation] = []
    ways: list[tuple[int, ...]] = []  # the operations that replace each one
    for o in program.alphabet:
        if o.kind == "channel":
            new = [Operation("matrix", (*o.qubits, *(q + n for q in o.qubits)), unitary=False)]
        else:
            new = [o, _on_columns(o, n)]
        ways.append(tuple(range(len(alphabet), len(alphabet) + len(new))))
        alphabet += new
    word, slots, factors, matrices = [], [], [], []
    angle = matrix = 0
    for k in program.word.tolist():
        operation = program.alphabet[k]
        word += ways[k]
        slots += [program.slots[angle : angle + operation.angles]] * 2
        factors += [program.factors[angle : angle + operation.angles]] * 2
        angle += operation.angles
        if operation.kind == "channel":
            size = len(operation.qubits), operation.branches
            matrices.append(program.matrices[matrix] + first[size])
            matrix += 1
        elif operation.kind == "matrix":
            matrices += [program.matrices[matrix]] * 2
            matrix += 1
    flat_slots, flat_factors = (np.concatenate(a) if a else np.zeros(0) for a in (slots, factors))
    return Program(2 * n, tuple(alphabet), word, flat_slots, flat_factors, matrices, program.parameters)


def _on_columns(o: Operation, n: int) -> Operation:
    def moved(qubits):
        return tuple(q + n for q in qubits)

    strings = tuple(PauliString(s.letters, moved(s.sites)) for s in o.strings)
    return o._replace(qubits=moved(o.qubits), controls=moved(o.controls), strings=strings, conjugate=True)
