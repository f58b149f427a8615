r"""Words of spin matrices on sites of a lattice.

The letters stand for twice the spin matrices, σ = 2S, which are the Pauli matrices for spin ½. In the basis of
S^z = S, S − 1, …, −S:

    (S^+)_{m+1, m} = √(S(S+1) − m(m+1)),      S^x = (S^+ + S^-)/2,      S^y = (S^+ − S^-)/2i.
"""

import re
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Inexact

from pullback.core import InputError
from pullback.lattices._lattice import Lattice
from pullback.lattices._terms import Term, on_modes


def places(kind: str, lattice: Lattice) -> tuple[tuple[int, ...], ...]:
    """What the couplings of a kind belong to: the sites for "x", the bonds for "zz" or "xx+yy".

    Raises:
        InputError: `kind` is not a sum of Pauli words of one length, one or two.
    """
    if not re.fullmatch(r"[ixyz](\+[ixyz])*|[ixyz]{2}(\+[ixyz]{2})*", kind):
        raise InputError(
            f"term {kind!r}: needs Pauli words of one length, as 'x' (on every site), 'zz' or 'xx+yy' (on every bond)"
        )
    if len(kind.split("+")[0]) == 1:
        return tuple((i,) for i in range(lattice.sites))
    return lattice.bonds


@lru_cache(maxsize=64)
def spin_terms(lattice: Lattice, kinds: tuple[str, ...], levels: int) -> list[Term]:
    """The operators of all couplings of these kinds, in order."""
    out = []
    for kind in kinds:
        matrix = word_matrix(kind, levels)
        out += [(on_modes(place, matrix, levels),) for place in places(kind, lattice)]
    return out


def word_matrix(kind: str, levels: int) -> Inexact[np.ndarray, "n n"]:
    """The sum of words as a matrix on its one or two sites; real if it can be."""
    letters = spin_matrices(levels)
    total = sum(reduce(np.kron, [letters[letter] for letter in word]) for word in kind.split("+"))
    return np.real_if_close(np.asarray(total), tol=1)


@lru_cache
def spin_matrices(levels: int) -> dict[str, Inexact[np.ndarray, "n n"]]:
    """σ = 2S for spin S = (levels − 1) / 2, by letter; i is the identity."""
    S = (levels - 1) / 2
    m = S - np.arange(levels)
    up = np.diag(np.sqrt(S * (S + 1) - m[1:] * (m[1:] + 1)), 1)
    return {"i": np.eye(levels), "x": up + up.T, "y": -1j * (up - up.T), "z": np.diag(2 * m)}
