r"""Pauli words on sites of a lattice, as maps of bit patterns.

A basis state |s> of n spins ½ is the integer s whose bits are the spins, site 0 the most significant one, bit 0
for spin up (σz = +1); so s is the index into `numpy.kron(σ_0, numpy.kron(σ_1, …))`. A product P of Pauli matrices
flips the bits where it has x or y, and counts the signs where it has y or z:

    P |s> = i^(number of y) (−1)^popcount(s & signs) |s ^ flips>.

All words with the same `flips` make up one band of the matrix, so a Hamiltonian of T words takes T sign patterns of
length 2^n and a handful of bands, never T matrices.
"""

import dataclasses
import re

import numpy as np
from jaxtyping import Complex, Float, Int

from pullback.core import InputError
from pullback.lattices._lattice import Lattice


@dataclasses.dataclass(frozen=True, eq=False)
class Strings:
    """Products of Pauli matrices: the words of one kind, on all the sites or bonds that it acts on.

    Attributes:
        flips, signs: bit masks, see above.
        phase: i^(number of y).
        owner: which coupling of the kind each product belongs to.
    """

    flips: Int[np.ndarray, " strings"]
    signs: Int[np.ndarray, " strings"]
    phase: Complex[np.ndarray, " strings"]
    owner: Int[np.ndarray, " strings"]


def places(kind: str, lattice: Lattice) -> tuple[tuple[int, ...], ...]:
    """What the couplings of a kind belong to: the sites for "x", the bonds for "zz" or "xx+yy".

    Raises:
        InputError: `kind` is not a sum of Pauli words of one length, one or two.
    """
    if not re.fullmatch(r"[xyz](\+[xyz])*|[xyz]{2}(\+[xyz]{2})*", kind):
        raise InputError(
            f"term {kind!r}: needs Pauli words of one length, as 'x' (on every site), 'zz' or 'xx+yy' (on every bond)"
        )
    if len(kind.split("+")[0]) == 1:
        return tuple((i,) for i in range(lattice.sites))
    return lattice.bonds


def strings(kind: str, lattice: Lattice) -> Strings:
    """The Pauli products that a kind stands for on a lattice."""
    rows = []
    for owner, place in enumerate(places(kind, lattice)):
        for word in kind.split("+"):
            bits = {letter: _bits(letter, word, place, lattice.sites) for letter in "xyz"}
            rows.append((bits["x"] | bits["y"], bits["y"] | bits["z"], 1j ** word.count("y"), owner))
    flips, signs, phase, owner = zip(*rows) if rows else ((), (), (), ())
    return Strings(np.array(flips, int), np.array(signs, int), np.array(phase, complex), np.array(owner, int))


def is_real(kind: str) -> bool:
    """Whether the matrices of a kind are real."""
    return all(word.count("y") % 2 == 0 for word in kind.split("+"))


def sign_patterns(signs: Int[np.ndarray, " strings"], sites: int) -> Float[np.ndarray, "strings states"]:
    """(−1)^popcount(s & signs) for all s."""
    return 1.0 - 2.0 * (np.bitwise_count(signs[:, None] & np.arange(2**sites)) % 2)


def _bits(letter: str, word: str, place: tuple[int, ...], sites: int) -> int:
    return sum(1 << (sites - 1 - site) for site, other in zip(place, word) if other == letter)
