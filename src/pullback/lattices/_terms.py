r"""Hamiltonians as Σ_a θ_a H_a, each H_a a few operators on one or two modes, and what symmetries do to them.

An operator on modes i < j is a matrix in the basis |l_i l_j>; with a *string* it also counts the fermions between them,
as products of c†_i and c_j do (Jordan–Wigner). Under a symmetry g it moves to other modes: g O g⁻¹ is again such an
operator, the string included.

**In a sector** with projector P only P H_a P counts, and since P g = χ(g) P it is that of the average over the group,

    P H_a P = P H̃_a P,        H̃_a = 1/|G| Σ_g g H_a g⁻¹.

All couplings of one orbit have the same H̃, and enter through their sum: whatever the couplings are, P H P is linear in
them, with few different matrices. The Hamiltonian conserves the sector if H̃ = H, and if it keeps the numbers that the
sector fixes: linear conditions C θ = 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Inexact, Int

from pullback.lattices._space import Move, Space, States


class Local(NamedTuple):
    """An operator on one mode, or on two in ascending order; `string`: times the parity of the modes between."""

    modes: tuple[int, ...]
    matrix: Inexact[np.ndarray, "n n"]
    string: bool = False


Term = tuple[Local, ...]  # the operators that share one coupling


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


def on_modes(modes: tuple[int, ...], matrix: Inexact[np.ndarray, "n n"], levels: int, *, string: bool = False) -> Local:
    """The operator with the factors of its matrix in the order of `modes`, put into ascending order.

    With a string, the factors of c†_i c_j and of its conjugate may be exchanged without a sign: the parity of mode i
    in c†_i c_j is that of an empty mode.
    """
    if len(modes) == 2 and modes[0] > modes[1]:
        factors = matrix.reshape(4 * (levels,)).transpose(1, 0, 3, 2)
        modes, matrix = modes[::-1], factors.reshape(matrix.shape)
    return Local(modes, matrix, string)


def symmetrised(space: Space, terms: list[Term], moves: list[Move], numbers: bool | tuple[bool, ...]) -> Symmetrised:
    """The averages of the terms over a group, and the conditions for the group and the numbers to be conserved.

    Args:
        space: the modes.
        terms: one for each coupling.
        moves: all members of the group.
        numbers: whether the total of all levels is to be conserved; or a tuple: whether that of each species is.
    """
    averages = [_average(space, term, moves) for term in terms]
    keys = [_key(average) for average in averages]
    distinct = [key for key in dict.fromkeys(keys) if key]
    mix = np.array([[float(key == other) for other in keys] for key in distinct]).reshape(len(distinct), len(keys))
    chosen = [averages[keys.index(key)] for key in distinct]

    rows: dict[tuple, np.ndarray] = {}
    for a, (term, average) in enumerate(zip(terms, averages)):
        own = _collected(term)
        for place in own.keys() | average.keys():
            zero = np.zeros_like(next(iter(d[place] for d in (own, average) if place in d)))
            broken = own.get(place, zero) - average.get(place, zero)
            rows.setdefault((place, "moved"), np.zeros((broken.size, len(terms)), complex))[:, a] += broken.reshape(-1)
        for place, matrix in own.items():
            lost = np.where(_changes_numbers(space, place[0], numbers), matrix, 0)
            rows.setdefault((place, "number"), np.zeros((lost.size, len(terms)), complex))[:, a] += lost.reshape(-1)
    conditions = np.concatenate([*rows.values(), np.zeros((0, len(terms)))])
    conditions = conditions[np.abs(conditions).max(axis=1, initial=0) > 1e-12]
    conditions = np.unique(np.concatenate([conditions.real, conditions.imag]).round(12), axis=0)
    conditions = conditions[np.abs(conditions).max(axis=1, initial=0) > 0]
    return Symmetrised([_as_term(average) for average in chosen], mix, conditions)


def diagonal(space: Space, term: Term, states: States) -> Float[np.ndarray, " states"]:
    """<s|H_a|s> for some states."""
    out = np.zeros(states.size)
    for local in term:
        out += np.real(np.diag(local.matrix))[_local_levels(space, local, states)]
    return out


def transitions(
    space: Space, term: Term, states: States
) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"], Inexact[np.ndarray, " entries"]]:
    """The matrix elements <t|H_a|s> with t ≠ s: (position of s in `states`, t, element)."""
    sources, targets, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for local in term:
        levels = _local_levels(space, local, states)
        for b, a in zip(*np.nonzero(local.matrix)):
            if a == b:
                continue
            here = np.flatnonzero(levels == a)
            before, after = (_digits(int(c), space.levels, len(local.modes)) for c in (a, b))
            step = sum(int(y - x) * space.place(m) for m, x, y in zip(local.modes, before, after))
            element = np.full(here.size, local.matrix[b, a])
            if local.string:
                element = element * space.parity_between(states[here], *local.modes)
            sources.append(here)
            targets.append(states[here] + step)
            values.append(element)
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(values)


def _local_levels(space: Space, local: Local, states: States) -> States:
    out = np.zeros_like(states)
    for mode in local.modes:
        out = out * space.levels + space.level(states, mode)
    return out


def _digits(c: int, levels: int, count: int) -> list[int]:
    return [c // levels ** (count - 1 - i) % levels for i in range(count)]


def _average(space: Space, term: Term, moves: list[Move]) -> dict:
    total: dict = {}
    for move in moves:
        for local in term:
            matrix = local.matrix[::-1, ::-1] if move.invert else local.matrix
            modes = tuple(move.places[m] for m in local.modes)
            image = on_modes(modes, matrix, space.levels, string=local.string)
            _add(total, image, 1 / len(moves))
    return {place: matrix for place, matrix in total.items() if np.abs(matrix).max() > 1e-14}


def _collected(term: Term) -> dict:
    total: dict = {}
    for local in term:
        _add(total, local, 1.0)
    return total


def _add(total: dict, local: Local, factor: float) -> None:
    place = (local.modes, local.string)
    total[place] = total[place] + factor * local.matrix if place in total else factor * local.matrix


def _as_term(average: dict) -> Term:
    return tuple(Local(modes, matrix, string) for (modes, string), matrix in average.items())


def _key(average: dict) -> tuple:
    entries = ((place, (matrix.round(12) + 0.0).astype(complex).tobytes()) for place, matrix in average.items())
    return tuple(sorted(entries))


def _changes_numbers(space: Space, modes: tuple[int, ...], numbers: bool | tuple[bool, ...]) -> np.ndarray:
    """Which elements of an operator's matrix change a number that is to be conserved."""
    size = space.levels ** len(modes)
    digits = np.array([_digits(c, space.levels, len(modes)) for c in range(size)]).reshape(size, len(modes))
    changed = np.zeros((size, size), bool)
    kept = numbers if isinstance(numbers, tuple) else ()
    weights = [[float(m // space.sites == species) for m in modes] for species, keep in enumerate(kept) if keep]
    if numbers is True:
        weights = [[1.0] * len(modes)]
    for weight in weights:
        total = digits @ np.array(weight)
        changed |= total[:, None] != total[None, :]
    return changed
