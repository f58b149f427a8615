"""Words of spins of any length: an ordered product of letters on each of their sites."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pullback.core import InputError
from pullback.operators._spin_matrices import ordered, product_matrix
from pullback.operators._word import Number


class SpinWord(NamedTuple):
    """Products on sites, in the order of the sites: `SpinWord(("X", "YZ"), (0, 3), 3)` is X₀ Y₃ Z₃ of spins 1.

    The letters are σ = 2S; each product is one of the basis X^a Y^b Z^c (see `_spin_matrices.py`).
    """

    letters: tuple[str, ...]
    sites: tuple[int, ...]
    levels: int

    @classmethod
    def parse(cls, text: str, levels: int) -> "dict[SpinWord, Number]":
        """Reads "X0 Z3 Z3", a product in this order; the empty text and "I" are the identity.

        Raises:
            InputError: anything else.
        """
        letters: list[tuple[str, int]] = []
        for word in text.replace("*", " ").split():
            match = re.fullmatch(r"([IXYZ])_?(\d+)", word)
            if match is None and word != "I":
                raise InputError(f"spin word {text!r}: cannot read {word!r}; write words as 'X0 Y2 Z2'.")
            if match is not None and match[1] != "I":
                letters.append((match[1], int(match[2])))
        return cls.product(letters, levels)

    @classmethod
    def product(cls, letters: Sequence[tuple[str, int]], levels: int) -> "dict[SpinWord, Number]":
        """The product of letters on sites, in this order."""
        own: dict[int, str] = {}
        for letter, site in letters:
            own[site] = own.get(site, "") + letter
        found: dict[tuple[tuple[str, int], ...], Number] = {(): 1}
        for site in sorted(own):
            parts = ordered(own[site], levels)
            found = {
                (*word, *(((name, site),) if name else ())): value * factor
                for word, value in found.items()
                for name, factor in parts
            }
        return {cls(tuple(name for name, _ in w), tuple(i for _, i in w), levels): value for w, value in found.items()}

    @property
    def extent(self) -> int:
        """The smallest number of sites that holds it."""
        return self.sites[-1] + 1 if self.sites else 0

    def moved(self, sites: Sequence[int]) -> "tuple[int, SpinWord]":
        """(1, the word with site i moved to sites[i])."""
        pairs = sorted((sites[site], name) for name, site in zip(self.letters, self.sites))
        return 1, SpinWord(tuple(name for _, name in pairs), tuple(site for site, _ in pairs), self.levels)

    def adjoint(self) -> "dict[SpinWord, Number]":
        """The letters are Hermitian: their product in opposite order."""
        return self.product(self._single()[::-1], self.levels)

    def times(self, other: "SpinWord") -> "dict[SpinWord, Number]":
        """The product with another word."""
        return self.product(self._single() + other._single(), self.levels)

    def factors(self) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
        """(matrices by site, further sites with σz, of which there are none)."""
        return {site: product_matrix(name, self.levels) for name, site in zip(self.letters, self.sites)}, ()

    def _single(self) -> list[tuple[str, int]]:
        return [(letter, site) for name, site in zip(self.letters, self.sites) for letter in name]

    def __str__(self) -> str:
        return " ".join(f"{letter}{site}" for letter, site in self._single()) or "I"
