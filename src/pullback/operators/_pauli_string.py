r"""Pauli strings: products of Pauli matrices on different sites, and the products of strings.

On one site σ_a σ_b = δ_ab + i ε_abc σ_c, so that a product of strings is a string times a power of i. With the masks
x, the sites that carry X or Y, and z, those that carry Z or Y, as bits of the number of a basis state (site 0 the most
significant of n), and m the number of Y,

    (P ψ)_i = (−i)^m (−1)^{parity(i & z)} ψ_{i ^ x}.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pullback.core import InputError
from pullback.operators._spin_matrices import spin_matrices
from pullback.operators._word import Number

_PRODUCT = {("X", "Y"): (1, "Z"), ("Y", "Z"): (1, "X"), ("Z", "X"): (1, "Y")}  # letters to (power of i, letter)
_PRODUCT |= {(b, a): (-power, c) for (a, b), (power, c) in _PRODUCT.items()}
_PRODUCT |= {(a, a): (0, "") for a in "XYZ"}


class PauliString(NamedTuple):
    """Letters on sites, in the order of the sites: `PauliString("XZ", (0, 3))` is X₀ Z₃."""

    letters: str
    sites: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "PauliString":
        """Reads "X0 Z3"; the empty text and "I" are the identity.

        Raises:
            InputError: anything else, or a site that occurs twice.
        """
        factors: dict[int, str] = {}
        for word in text.replace("*", " ").split():
            if word == "I":
                continue
            match = re.fullmatch(r"([IXYZ])_?(\d+)", word)
            if match is None:
                raise InputError(f"Pauli string {text!r}: cannot read {word!r}; write words as 'X0 Y2 Z5'.")
            site = int(match[2])
            if site in factors:
                raise InputError(f"Pauli string {text!r}: site {site} occurs twice.")
            factors[site] = match[1]
        return cls.of({site: letter for site, letter in factors.items() if letter != "I"})

    @classmethod
    def of(cls, factors: dict[int, str]) -> "PauliString":
        """The string of letters by site."""
        sites = sorted(factors)
        return cls("".join(factors[site] for site in sites), tuple(sites))

    @property
    def extent(self) -> int:
        """The smallest number of sites that holds it."""
        return self.sites[-1] + 1 if self.sites else 0

    def masks(self, n: int) -> tuple[int, int]:
        """(x, z): the bits of n sites that it flips, and those whose parity is its sign."""
        x = sum(1 << (n - 1 - site) for letter, site in zip(self.letters, self.sites) if letter in "XY")
        z = sum(1 << (n - 1 - site) for letter, site in zip(self.letters, self.sites) if letter in "YZ")
        return x, z

    def on(self, sites: Sequence[int]) -> "PauliString":
        """The string with site i moved to sites[i]."""
        return self.of({sites[site]: letter for letter, site in zip(self.letters, self.sites)})

    def moved(self, sites: Sequence[int]) -> "tuple[int, PauliString]":
        """(sign, word) of `on`, as every word has it."""
        return 1, self.on(sites)

    def commutes_with(self, other: "PauliString") -> bool:
        """Whether the two strings commute; otherwise they anticommute."""
        mine = dict(zip(self.sites, self.letters))
        return sum(mine.get(site, letter) != letter for letter, site in zip(other.letters, other.sites)) % 2 == 0

    def adjoint(self) -> "dict[PauliString, Number]":
        """The string itself."""
        return {self: 1}

    def times(self, other: "PauliString") -> "dict[PauliString, Number]":
        """The product with another string."""
        power, factors = 0, dict(zip(self.sites, self.letters))
        for letter, site in zip(other.letters, other.sites):
            if site in factors:
                step, letter = _PRODUCT[factors.pop(site), letter]
                power += step
            if letter:
                factors[site] = letter
        return {self.of(factors): (1, 1j, -1, -1j)[power % 4]}

    def factors(self) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
        """(matrices by site, further sites with σz, of which there are none)."""
        matrices = spin_matrices(2)
        return {site: matrices[letter] for letter, site in zip(self.letters, self.sites)}, ()

    def __str__(self) -> str:
        return " ".join(f"{letter}{site}" for letter, site in zip(self.letters, self.sites)) or "I"
