"""Quantum circuits of any depth, differentiable in constant memory.

Qubits are numbered from 0; qubit 0 is the most significant bit of a basis state's index, as site 0 is in `lattices`: in
|s0 s1 s2⟩, read as a number, and in psi.reshape((2,) * n)[s0, s1, s2]. (In Qiskit and Yao it is the least significant.)
"""

from pullback.circuits._blocks import (
    CNOT,
    CZ,
    SWAP,
    SX,
    U3,
    Block,
    H,
    I,
    P,
    Rx,
    Rxx,
    Ry,
    Ryy,
    Rz,
    Rzz,
    S,
    T,
    TimeEvolution,
    Toffoli,
    X,
    Y,
    Z,
    chain,
    control,
    daggered,
    fSim,
    iSWAP,
    kron,
    layers,
    matrix_gate,
    put,
    repeat,
    rotor,
    shared,
)
from pullback.circuits._channels import (
    amplitude_damping,
    bit_flip,
    channel,
    depolarizing,
    pauli_channel,
    phase_damping,
    phase_flip,
    thermal_relaxation,
)
from pullback.circuits._circuit import Circuit, gate_count
from pullback.circuits._geometry import natural_gradient, on_processor, parameter_shift, quantum_geometric_tensor
from pullback.circuits._layouts import variational_circuit
from pullback.circuits._measured import MeasuredCircuit
from pullback.circuits._program import Operation
from pullback.circuits._qaoa import qaoa
from pullback.circuits._qasm import qasm_includes
from pullback.circuits._states import (
    density_matrix,
    entanglement_entropy,
    expect,
    fidelity,
    probabilities,
    reduced_density_matrix,
    round_trip_error,
    sample,
    state,
    zero_state,
)
from pullback.circuits._trajectories import expect_sampled, trajectories
from pullback.circuits._trotter import commuting_sets, trotter
from pullback.core import Estimate
from pullback.operators import PauliString, PauliSum, heisenberg, transverse_ising

__all__ = [
    # circuits
    "Circuit",
    "MeasuredCircuit",
    "qasm_includes",
    "Operation",
    # observables, those of `operators`
    "PauliString",
    "PauliSum",
    "heisenberg",
    "transverse_ising",
    "gate_count",
    "variational_circuit",
    "trotter",
    "commuting_sets",
    "qaoa",
    # gates
    "CNOT",
    "CZ",
    "H",
    "I",
    "P",
    "Rx",
    "Rxx",
    "Ry",
    "Ryy",
    "Rz",
    "Rzz",
    "S",
    "SWAP",
    "SX",
    "T",
    "Toffoli",
    "U3",
    "X",
    "Y",
    "Z",
    "fSim",
    "iSWAP",
    "matrix_gate",
    "rotor",
    "TimeEvolution",
    # blocks
    "Block",
    "chain",
    "control",
    "daggered",
    "kron",
    "layers",
    "put",
    "repeat",
    "shared",
    # noise
    "amplitude_damping",
    "bit_flip",
    "channel",
    "depolarizing",
    "pauli_channel",
    "phase_damping",
    "phase_flip",
    "thermal_relaxation",
    # operators
    # states and measurements
    "Estimate",
    "density_matrix",
    "entanglement_entropy",
    "expect",
    "expect_sampled",
    "fidelity",
    "probabilities",
    "reduced_density_matrix",
    "round_trip_error",
    "sample",
    "state",
    "trajectories",
    "zero_state",
    # geometry and shifts
    "natural_gradient",
    "on_processor",
    "parameter_shift",
    "quantum_geometric_tensor",
]
