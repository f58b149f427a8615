"""Circuits of known layout."""

import numpy as np

from pullback.circuits._blocks import CNOT, Chain, Gate, Layers, put
from pullback.circuits._circuit import Circuit
from pullback.core import InputError


def variational_circuit(n: int, depth: int) -> Circuit:
    """The hardware-efficient circuit of Yao.jl, with all angles zero; set them by `with_parameters`.

    For l = 1 … depth + 1: if l > 1, CNOT(1,2), CNOT(2,3), …, CNOT(n,1) (here on qubits 0 … n−1); then for each qubit
    Rz, Rx, Rz, one after the other. The first layer has no leading and the last no trailing Rz.

    It has (3 depth + 1) n parameters.

    Source: X.-Z. Luo, J.-G. Liu, P. Zhang, L. Wang, Quantum 4, 341 (2020), arXiv:1912.10877.

    Raises:
        InputError: fewer than two qubits, or depth < 1.
    """
    if n < 2 or depth < 1:
        raise InputError(f"variational_circuit({n}, {depth}): needs at least two qubits and depth at least one.")
    ring = [put((q, (q + 1) % n), CNOT) for q in range(n)]

    def rotations(*kinds):
        return [put(q, Gate(kind, (0.0,))) for q in range(n) for kind in kinds]

    full = Chain((*ring, *rotations("Rz", "Rx", "Rz")))
    blocks = [
        Chain(tuple(rotations("Rx", "Rz"))),
        Layers(full, depth - 1, np.zeros((depth - 1, 3 * n))),
        Chain((*ring, *rotations("Rz", "Rx"))),
    ]
    return Circuit(n, blocks)
