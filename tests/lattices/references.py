"""Hamiltonians written out with Kronecker products."""

import functools

import numpy as np

PAULI = {
    "1": np.eye(2),
    "x": np.array([[0, 1], [1, 0]]),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1, -1]),
}


def product(letters, sites):
    """The Kronecker product of Pauli matrices; `letters` is site -> letter, site 0 the first factor."""
    return functools.reduce(np.kron, [PAULI[letters.get(i, "1")] for i in range(sites)])


def kronecker(sites, bonds, couplings):
    """Σ of couplings times Pauli words, for kinds written as in a SpinModel."""
    matrix = np.zeros((2**sites, 2**sites), complex)
    for kind, values in couplings.items():
        for word in kind.split("+"):
            places = [(i,) for i in range(sites)] if len(word) == 1 else bonds
            for value, place in zip(values, places, strict=True):
                matrix += value * product(dict(zip(place, word)), sites)
    return matrix


def ising_ring_levels(sites, g):
    """All levels of −Σ σzσz − g Σ σx on a ring, from free fermions.

    ε(k) = 2 √(1 + g² − 2g cos k). Even fermion number: k = ±(2n+1)π/L, and an even number of quasiparticles; odd:
    k = 2nπ/L, where the particle at k = 0 has the signed energy 2(g − 1) and an odd number is excited.
    """
    levels = []
    for parity in (0, 1):
        k = (2 * np.arange(sites) + 1 - parity) * np.pi / sites
        energies = 2 * np.sqrt(1 + g**2 - 2 * g * np.cos(k))
        if parity:
            energies[0] = 2 * (g - 1)
        for excited in np.ndindex(*(2,) * sites):
            if sum(excited) % 2 == parity:
                levels.append(-energies.sum() / 2 + energies @ np.array(excited))
    return np.sort(levels)
