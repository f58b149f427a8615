"""Spins and fermions on lattices: exact diagonalisation with symmetry, and Hamiltonians from spectra and states.

Pauli matrices σ, ħ = 1; energies in the unit of the couplings. Site 0 is the most significant bit of a basis state,
bit 0 is σz = +1. Whatever takes a model takes a sum of words of `operators`, too, whose models have their names here.
"""

from pullback.lattices._averages import Thermal, correlations, expectations, thermal
from pullback.lattices._equivalence import closest_equivalent
from pullback.lattices._fermion_model import FermionModel, hubbard
from pullback.lattices._ground_state import GroundState, fidelity_susceptibility, ground_state
from pullback.lattices._lattice import Lattice, chain, ring, square
from pullback.lattices._mismatch import broadened_mismatch, ground_state_mismatch, level_mismatch
from pullback.lattices._operator_model import OperatorModel
from pullback.lattices._sector import Sector
from pullback.lattices._sector_model import SectorModel
from pullback.lattices._spectrum_fit import SpectrumFit
from pullback.lattices._spin_model import SpinModel
from pullback.lattices._target_files import read_levels, read_state
from pullback.operators import heisenberg, j1_j2, read_hamiltonian, transverse_ising

__all__ = [
    # sites and bonds
    "Lattice",
    "chain",
    "ring",
    "square",
    # Hamiltonians
    "FermionModel",
    "OperatorModel",
    "SpinModel",
    "hubbard",
    # those of `operators`
    "heisenberg",
    "j1_j2",
    "transverse_ising",
    "read_hamiltonian",
    # symmetry
    "Sector",
    "SectorModel",
    # low levels
    "GroundState",
    "fidelity_susceptibility",
    "ground_state",
    # averages
    "Thermal",
    "correlations",
    "expectations",
    "thermal",
    # the inverse problem
    "SpectrumFit",
    "level_mismatch",
    "broadened_mismatch",
    "ground_state_mismatch",
    "closest_equivalent",
    "read_levels",
    "read_state",
]
