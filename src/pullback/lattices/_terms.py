r"""Hamiltonians as Σ_a θ_a H_a, each H_a a few words of `operators`, and what symmetries do to them.

Under a symmetry g a word moves to other modes, fermions with the sign of the exchange; the inversion of all spins turns
them by π about x, and changes the signs of Y and Z.

**In a sector** with projector P only P H_a P counts, and since P g = χ(g) P it is that of the average over the group,

    P H_a P = P H̃_a P,        H̃_a = 1/|G| Σ_g g H_a g⁻¹.

All couplings of one orbit have the same H̃, and enter through their sum: whatever the couplings are, P H P is linear in
them, with few different matrices. The Hamiltonian conserves the sector if H̃ = H, and if [N, H] = 0 for the numbers N
that the sector fixes: linear conditions C θ = 0, one for each word.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Inexact

from pullback.lattices._space import Move, Space
from pullback.operators import FermionSum, FermionWord, OperatorSum, PauliSum, SpinSum, Terms, spin_word

Factor = int | float | complex
Term = tuple[tuple[Any, Factor], ...]  # words and factors, the Hermitian operator of one coupling


class Symmetrised(NamedTuple):
    """The distinct averages of terms over a group.

    Attributes:
        terms: the averages H̃_u.
        mix: θ̃ = mix θ, so that Σ_a θ_a H̃_a = Σ_u θ̃_u H̃_u.
        conditions: the sector is conserved if conditions θ = 0.
    """

    terms: list[Term]
    mix: Float[np.ndarray, "averages couplings"]
    conditions: Inexact[np.ndarray, "conditions couplings"]


def operator_sum(space: Space, words: Iterable[Any], coefficients: Any) -> OperatorSum:
    """Σ_k c_k w_k on the modes of a space."""
    terms = Terms(tuple(words), coefficients)
    if space.fermions:
        return FermionSum(space.modes, terms)
    if space.levels == 2:
        return PauliSum(space.modes, terms)
    return SpinSum(space.modes, terms, spin=(space.levels - 1) / 2)


def symmetrised(space: Space, terms: list[Term], moves: list[Move], numbers: bool | tuple[bool, ...]) -> Symmetrised:
    """The averages of the terms over a group, and the conditions for the group and the numbers to be conserved.

    Args:
        space: the modes.
        terms: one for each coupling.
        moves: all members of the group.
        numbers: whether the total of all levels is to be conserved; or a tuple: whether that of each species is.
    """
    average_of = _Averages(moves).of
    averages = [average_of(term) for term in terms]
    keys = [frozenset((word, _rounded(value)) for word, value in own.items()) for own in averages]
    distinct = [key for key in dict.fromkeys(keys) if key]
    mix = np.array([[float(key == other) for other in keys] for key in distinct]).reshape(len(distinct), len(keys))
    chosen = [averages[keys.index(key)] for key in distinct]

    rows: dict[tuple, dict[int, complex]] = {}
    for a, (term, average) in enumerate(zip(terms, averages)):
        broken = {word: -value for word, value in average.items()}
        for word, value in term:
            broken[word] = broken.get(word, 0) + value
        lost = _commutators(space, term, numbers)
        for kind, parts in (("moved", {0: broken}), ("number", lost)):
            for which, own in parts.items():
                for word, value in own.items():
                    rows.setdefault((kind, which, word), {})[a] = value
    conditions = np.zeros((len(rows), len(terms)), complex)
    for row, values in zip(conditions, rows.values()):
        row[[*values]] = [*values.values()]
    conditions = np.concatenate([np.real(conditions), np.imag(conditions)])
    conditions = np.unique(conditions.round(12), axis=0)
    return Symmetrised(
        [tuple(average.items()) for average in chosen], mix, conditions[np.abs(conditions).max(axis=1, initial=0) > 0]
    )


def _rounded(value: Factor) -> complex:
    return complex(round(value.real, 12) + 0.0, round(value.imag, 12) + 0.0)


class _Averages(dict):
    """word -> (sign, sum): sign times the sum is the average of the word; those of one orbit share the sum."""

    def __init__(self, moves: list[Move]):
        self.moves = moves

    def __missing__(self, word: Any) -> tuple[int, dict[Any, Factor]]:
        turned = (-1) ** sum(letter in "YZ" for letter in "".join(getattr(word, "letters", "")))
        images = []
        total: dict[Any, Factor] = {}
        for move in self.moves:
            sign, image = word.moved(move.places)
            sign *= turned if move.invert else 1
            images.append((sign, image))
            total[image] = total.get(image, 0) + sign / len(self.moves)
        total = {image: value for image, value in total.items() if abs(value) > 1e-14}
        self.update({image: (sign, total) for sign, image in images})
        return self[word]

    def of(self, term: Term) -> dict[Any, Factor]:
        """The average of a term."""
        out: dict = {}
        for word, value in term:
            sign, total = self[word]
            for image, part in total.items():
                out[image] = out.get(image, 0) + sign * value * part
        return {word: value for word, value in out.items() if abs(value) > 1e-14}


def _commutators(space: Space, term: Term, numbers: bool | tuple[bool, ...]) -> dict[int, dict]:
    """[N, H_a] for each number N that is to be conserved, by species."""
    kept = numbers if isinstance(numbers, tuple) else (numbers,)
    out: dict[int, dict] = {}
    for species in (s for s, keep in enumerate(kept) if keep):
        own = out[species] = {}
        for word, value in term:
            if isinstance(word, FermionWord):
                of_all = len(kept) == 1
                change = sum(of_all or m // space.sites == species for m in word.created)
                change -= sum(of_all or m // space.sites == species for m in word.destroyed)
                parts = {word: change} if change else {}
            else:
                parts = {}
                for site in word.sites:
                    z = spin_word("Z", (site,), space.levels)
                    for sign, product in ((1, z.times(word)), (-1, word.times(z))):
                        for new, factor in product.items():
                            parts[new] = parts.get(new, 0) + sign * factor
            for new, factor in parts.items():
                own[new] = own.get(new, 0) + value * factor
    return out
