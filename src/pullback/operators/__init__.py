"""Sums of products of local operators: Pauli strings, spins of any length, fermions.

One algebra, one text file and one site order for every room: site 0 is the most significant digit of a basis state's
number, matrices are Kronecker products in the order of the sites, level 0 is σz = +1, or empty.
"""

from pullback.operators._fermion_sum import FermionSum
from pullback.operators._fermion_word import FermionWord
from pullback.operators._flipped import flipped
from pullback.operators._hamiltonian import read_hamiltonian
from pullback.operators._models import heisenberg, j1_j2, spin_word, transverse_ising
from pullback.operators._pauli_string import PauliString
from pullback.operators._pauli_sum import PauliSum, mean, mean_jvp
from pullback.operators._site_order import reverse_sites
from pullback.operators._spin_matrices import spin_matrices
from pullback.operators._spin_sum import SpinSum
from pullback.operators._spin_word import SpinWord
from pullback.operators._sum import OperatorSum, Terms, anticommutator, commutator

__all__ = [
    # sums, and the words of which they are made
    "OperatorSum",
    "PauliSum",
    "PauliString",
    "SpinSum",
    "SpinWord",
    "FermionSum",
    "FermionWord",
    "Terms",
    "spin_word",
    "spin_matrices",
    # algebra
    "commutator",
    "anticommutator",
    # models and files
    "heisenberg",
    "j1_j2",
    "transverse_ising",
    "read_hamiltonian",
    # the other order of sites
    "reverse_sites",
    # for other rooms: mean values with their rule, bits flipped
    "flipped",
    "mean",
    "mean_jvp",
]
