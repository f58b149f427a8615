"""Spins on lattices: graphs, Hamiltonians as sums of Pauli words, and Hamiltonians from spectra and states.

Pauli matrices σ, ħ = 1; energies in the unit of the couplings. Site 0 is the most significant bit of a basis state,
bit 0 is σz = +1.
"""

from pullback.lattices._equivalence import closest_equivalent
from pullback.lattices._lattice import Lattice, chain, ring, square
from pullback.lattices._mismatch import broadened_mismatch, ground_state_mismatch, level_mismatch
from pullback.lattices._models import heisenberg, transverse_ising
from pullback.lattices._spin_model import SpinModel
from pullback.lattices._target_files import read_levels, read_state

__all__ = [
    # sites and bonds
    "Lattice",
    "chain",
    "ring",
    "square",
    # Hamiltonians
    "SpinModel",
    "transverse_ising",
    "heisenberg",
    # the inverse problem
    "level_mismatch",
    "broadened_mismatch",
    "ground_state_mismatch",
    "closest_equivalent",
    "read_levels",
    "read_state",
]
