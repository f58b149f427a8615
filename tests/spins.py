"""Spins ½ written out as matrices, and the Ising ring solved by free fermions: witnesses for every room.

Order of the bits: site 0 is the first factor of a Kronecker product, the most significant bit of a basis state; the bit
of a spin along +z is 0.
"""

import functools

import numpy as np

PAULI = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def product(letters, sites=None):
    """The product of Pauli matrices, "XIZ" (letter i on site i), or {0: "x", 2: "z"} on so many sites."""
    if isinstance(letters, str):
        letters, sites = dict(enumerate(letters)), len(letters)
    return functools.reduce(np.kron, [PAULI[letters.get(i, "I").upper()] for i in range(sites)])


def pauli_sum(sites, terms):
    """Σ c P over pairs (c, P), with P as for `product`."""
    return sum(c * product(letters, sites) for c, letters in terms)


def ising_ring_ground(sites, g):
    """E, dE/dg, d²E/dg² and the fidelity susceptibility of the ground state of −Σ σzσz − g Σ σx on a ring.

    Free fermions: E = −Σ e(k) with e² = 1 + g² − 2g cos k at k = (2n+1)π/L.
    """
    k = (2 * np.arange(sites) + 1) * np.pi / sites
    e = np.sqrt(1 + g * g - 2 * g * np.cos(k))
    return -e.sum(), -((g - np.cos(k)) / e).sum(), -(np.sin(k) ** 2 / e**3).sum(), (np.sin(k) ** 2 / e**4).sum() / 8


def ising_ring_levels(sites, g):
    """All levels of the same ring.

    The quasiparticles have ε(k) = 2e(k). Even fermion number: k = ±(2n+1)π/L, and an even number of quasiparticles;
    odd: k = 2nπ/L, where the particle at k = 0 has the signed energy 2(g − 1) and an odd number is excited.
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
