r"""Words of fermions in normal order, and what makes them so: c_i c†_j = δ_ij − c†_j c_i, c_i c_j = −c_j c_i.

**As matrices** (P. Jordan, E. Wigner, Z. Phys. 47, 631 (1928)). With |s⟩ = c†_a c†_b … |0⟩ for the occupied modes
a < b < …, the operator c_j counts the fermions in front of it,

    c_j = σz_0 σz_1 … σz_{j−1} a_j,      a = |0⟩⟨1| = (X + iY) / 2,

so that a word is a product of matrices on its modes, times σz on the modes before an odd number of its operators.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pullback.core import InputError
from pullback.operators._pauli_string import PauliString
from pullback.operators._word import Number

_LOWER = np.array([[0.0, 1.0], [0.0, 0.0]])
_SIGN = np.diag([1.0, -1.0])


class FermionWord(NamedTuple):
    """c†_i c†_j … c_k c_l …, each with descending modes: `FermionWord((1,), (2,))` is c†_1 c_2, in a file `1^ 2`."""

    created: tuple[int, ...]
    destroyed: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "dict[FermionWord, Number]":
        """Reads "1^ 2", a product in this order; the empty text and "I" are the identity.

        Raises:
            InputError: anything else.
        """
        operators = []
        for word in [] if text.strip() == "I" else text.replace("*", " ").split():
            match = re.fullmatch(r"(\d+)(\^?)", word)
            if match is None:
                raise InputError(f"fermions {text!r}: cannot read {word!r}; write c†_1 c_2 as '1^ 2'.")
            operators.append((int(match[1]), bool(match[2])))
        return cls.product(operators)

    @classmethod
    def product(cls, operators: Iterable[tuple[int, bool]]) -> "dict[FermionWord, Number]":
        """A product of (mode, whether it creates) in any order, as a sum of words."""
        total: dict[FermionWord, Number] = {cls((), ()): 1}
        for mode, creates in operators:
            after: dict[FermionWord, Number] = {}
            for word, value in total.items():
                for new, sign in word._followed_by(mode, creates):
                    after[new] = after.get(new, 0) + sign * value
            total = {word: value for word, value in after.items() if value}
        return total

    def _followed_by(self, mode: int, creates: bool) -> "list[tuple[FermionWord, int]]":
        created, destroyed = self
        if not creates:
            placed = _inserted(destroyed, mode)
            return [(FermionWord(created, placed[0]), placed[1])] if placed else []
        found = []
        if mode in destroyed:  # c c† = 1 − c† c
            place = destroyed.index(mode)
            rest = destroyed[:place] + destroyed[place + 1 :]
            found.append((FermionWord(created, rest), (-1) ** (len(rest) - place)))
        if placed := _inserted(created, mode):
            found.append((FermionWord(placed[0], destroyed), placed[1] * (-1) ** len(destroyed)))
        return found

    @property
    def extent(self) -> int:
        """The smallest number of modes that holds it."""
        return max((*self.created[:1], *self.destroyed[:1]), default=-1) + 1

    def moved(self, sites: Sequence[int]) -> "tuple[int, FermionWord]":
        """(sign, word) with mode i moved to sites[i]: the sign of putting the moved operators in order."""
        created, plus = _descending([sites[i] for i in self.created])
        destroyed, minus = _descending([sites[i] for i in self.destroyed])
        return plus * minus, FermionWord(created, destroyed)

    def adjoint(self) -> "dict[FermionWord, Number]":
        """The Hermitian conjugate."""
        k, m = len(self.created), len(self.destroyed)
        return {FermionWord(self.destroyed, self.created): (-1) ** (k * (k - 1) // 2 + m * (m - 1) // 2)}

    def times(self, other: "FermionWord") -> "dict[FermionWord, Number]":
        """The product with another word."""
        return self.product(self._operators() + other._operators())

    def factors(self) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
        """(matrices by mode, other modes with σz), of the word as a matrix."""
        matrices: dict[int, np.ndarray] = {}
        string: set[int] = set()
        for mode, creates in self._operators():
            before = set(range(mode))
            string ^= before
            for m in before & matrices.keys():
                matrices[m] = matrices[m] @ _SIGN
            own = _LOWER.T if creates else _LOWER
            # σz that stands in the string of a mode is multiplied into its matrix.
            start = matrices[mode] if mode in matrices else (_SIGN if mode in string else np.eye(2))
            matrices[mode] = start @ own
        return matrices, tuple(sorted(string - matrices.keys()))

    def paulis(self) -> dict[PauliString, Number]:
        """The word as a sum of Pauli strings."""
        total: dict[PauliString, Number] = {PauliString("", ()): 1}
        for mode, creates in self._operators():
            before = tuple(range(mode))
            parts = {"X": 0.5, "Y": -0.5j if creates else 0.5j}
            after: dict[PauliString, Number] = {}
            for word, value in total.items():
                for letter, half in parts.items():
                    ((new, factor),) = word.times(PauliString("Z" * mode + letter, (*before, mode))).items()
                    after[new] = after.get(new, 0) + value * half * factor
            total = {word: value for word, value in after.items() if value}
        return total

    def _operators(self) -> list[tuple[int, bool]]:
        return [(mode, True) for mode in self.created] + [(mode, False) for mode in self.destroyed]

    def __str__(self) -> str:
        return "[" + " ".join([f"{mode}^" for mode in self.created] + [str(mode) for mode in self.destroyed]) + "]"


def _inserted(modes: tuple[int, ...], mode: int) -> tuple[tuple[int, ...], int] | None:
    """Descending modes followed by one more, put into its place, and the sign; None if it is there already."""
    if mode in modes:
        return None
    place = sum(other > mode for other in modes)
    return (*modes[:place], mode, *modes[place:]), (-1) ** (len(modes) - place)


def _descending(modes: list[int]) -> tuple[tuple[int, ...], int]:
    inversions = sum(a < b for i, a in enumerate(modes) for b in modes[i + 1 :])
    return tuple(sorted(modes, reverse=True)), (-1) ** inversions
