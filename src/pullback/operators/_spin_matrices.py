r"""Matrices of one spin, and of products of them.

The letters X, Y, Z stand for σ = 2S, twice the spin: the Pauli matrices for spin ½. In the basis of
S^z = S, S − 1, …, −S:

    (S^+)_{m+1, m} = √(S(S+1) − m(m+1)),      S^x = (S^+ + S^-)/2,      S^y = (S^+ − S^-)/2i.

**A basis of products.** [σ_a, σ_b] = 2i ε_abc σ_c puts every product into the order X…Y…Z…; X² = 4S(S+1) − Y² − Z²
leaves at most one X; and products of more than 2S letters are sums of shorter ones. What remains,

    X^a Y^b Z^c,    a ≤ 1,    a + b + c ≤ 2S:    Σ_l (2l + 1) = (2S + 1)² of them,

is a basis of all matrices. For spin ½ it is 1, X, Y, Z.
"""

from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Inexact

from pullback.operators._word import Number

_SMALL = 1e-11  # of the largest coefficient of an expansion: rounding


@lru_cache
def spin_matrices(levels: int) -> dict[str, Inexact[np.ndarray, "n n"]]:
    """σ = 2S for spin S = (levels − 1) / 2, by letter; I is the identity."""
    S = (levels - 1) / 2
    m = S - np.arange(levels)
    up = np.diag(np.sqrt(S * (S + 1) - m[1:] * (m[1:] + 1)), 1)
    return {"I": np.eye(levels), "X": up + up.T, "Y": -1j * (up - up.T), "Z": np.diag(2 * m)}


@lru_cache
def product_matrix(letters: str, levels: int) -> Inexact[np.ndarray, "n n"]:
    """The product of letters in their order; "" is the identity. Real if it can be."""
    letter_matrices = spin_matrices(levels)
    out = reduce(np.matmul, [letter_matrices[letter] for letter in letters], letter_matrices["I"])
    return np.real(out).copy() if not np.any(np.imag(out)) else out


@lru_cache(maxsize=4096)
def ordered(letters: str, levels: int) -> tuple[tuple[str, Number], ...]:
    """A product of letters in the basis: pairs of an ordered product and its coefficient."""
    names, solve = _basis(levels)
    if letters in names:
        return ((letters, 1.0),)
    coefficients = solve @ product_matrix(letters, levels).reshape(-1)
    largest = np.abs(coefficients).max(initial=0)
    both = np.stack([np.real(coefficients), np.imag(coefficients)])
    real, imaginary = np.where(np.abs(both) > _SMALL * largest, both, 0).round(12)
    return tuple((name, complex(re, im)) for name, re, im in zip(names, real, imaginary) if re or im)


@lru_cache
def _basis(levels: int) -> tuple[tuple[str, ...], np.ndarray]:
    """The ordered products, and the matrix from a matrix's entries to its coefficients."""
    names = [
        "X" * a + "Y" * b + "Z" * (length - a - b)
        for length in range(levels)
        for a in (0, 1)
        for b in range(length - a, -1, -1)
    ]
    columns = np.stack([product_matrix(name, levels).reshape(-1) for name in names], axis=1)
    sizes = np.linalg.norm(columns, axis=0)
    return tuple(names), np.linalg.inv(columns / sizes) / sizes[:, None]
