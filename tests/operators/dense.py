"""Operators written out in NumPy, from their definitions."""

from functools import reduce

import numpy as np


def spin_letters(levels):
    """σ = 2S by letter, from S^z |m> = m |m> and S^± |m> = √(S(S+1) − m(m±1)) |m±1>."""
    S = (levels - 1) / 2
    m = S - np.arange(levels)
    up = np.zeros((levels, levels))
    for column in range(1, levels):
        up[column - 1, column] = np.sqrt(S * (S + 1) - m[column] * (m[column] + 1))
    return {"I": np.eye(levels), "X": up + up.T, "Y": (up - up.T) / 1j, "Z": np.diag(2 * m)}


def product(n, letters, levels=2):
    """The product, in this order, of (letter, site); site 0 is the first factor of the Kronecker products."""
    own = spin_letters(levels)
    total = np.eye(levels**n, dtype=complex)
    for letter, site in letters:
        total = total @ reduce(np.kron, [own[letter] if i == site else own["I"] for i in range(n)])
    return total


def words(n, terms, levels=2):
    """Σ of (coefficient, text), the text as "X0 Z2"."""
    total = np.zeros((levels**n, levels**n), complex)
    for value, text in terms:
        total += value * product(n, [(w[0], int(w[1:])) for w in text.split() if w != "I"], levels)
    return total


def annihilators(n):
    """c_j by their action: (−1)^{particles in modes before j} |… 0_j …⟩ on |… 1_j …⟩."""
    out = []
    for j in range(n):
        c = np.zeros((2**n, 2**n))
        for s in range(2**n):
            occupied = [s >> (n - 1 - i) & 1 for i in range(n)]
            if occupied[j]:
                c[s - (1 << (n - 1 - j)), s] = (-1) ** sum(occupied[:j])
        out.append(c)
    return out


def fermions(n, terms):
    """Σ of (coefficient, text), the text as "1^ 2"."""
    c = annihilators(n)
    total = np.zeros((2**n, 2**n), complex)
    for value, text in terms:
        factors = [c[int(w[:-1])].T if w.endswith("^") else c[int(w)] for w in text.split()]
        total += value * reduce(np.matmul, factors, np.eye(2**n))
    return total
