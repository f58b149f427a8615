"""The models of this room written out with Kronecker products; site 0 is the first factor."""

import functools

import numpy as np

from tests.operators.dense import annihilators
from tests.spins import product


def kronecker(sites, bonds, couplings):
    """Σ of couplings times Pauli words, for kinds written as in a SpinModel."""
    matrix = np.zeros((2**sites, 2**sites), complex)
    for kind, values in couplings.items():
        for word in kind.split("+"):
            places = [(i,) for i in range(sites)] if len(word) == 1 else bonds
            for value, place in zip(values, places, strict=True):
                matrix += value * product(dict(zip(place, word)), sites)
    return matrix


def spin_kronecker(sites, bonds, spin, couple):
    """Σ over bonds of couple(S_i, S_j) for spins S, with S the three matrices of a site."""
    m = spin - np.arange(round(2 * spin) + 1)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    own = [(up + up.T) / 2, (up - up.T) / 2j, np.diag(m)]
    one = np.eye(m.size)

    def at(site):
        return [functools.reduce(np.kron, [o if i == site else one for i in range(sites)]) for o in own]

    return sum(couple(at(i), at(j)) for i, j in bonds)


def hubbard_matrix(sites, bonds, t, U, phase=0.0):
    """The Hubbard model from its annihilators, all modes with spin up first."""
    c = annihilators(2 * sites)
    matrix = np.zeros((4**sites, 4**sites), complex)
    for i, j in bonds:
        for s in (0, sites):
            hop = -t * np.exp(1j * phase) * c[i + s].T @ c[j + s]
            matrix += hop + hop.conj().T
    for i in range(sites):
        matrix += U * c[i].T @ c[i] @ c[i + sites].T @ c[i + sites]
    return matrix
