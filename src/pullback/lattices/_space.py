r"""Basis states of spins and fermions as integers, and what permutations of the sites do to them.

A state of n modes with d levels each is the integer whose digits in base d are the levels, mode 0 the most
significant: the index into Kronecker products in the order of the modes. A mode is a spin (level l has S^z = S − l),
or one orbital of a fermion (level 1 is occupied), with

    |s> = c†_a c†_b … |0>,     a < b < …  the occupied modes of s.

Fermions with spin have the modes of all sites with spin up first, then those with spin down.

A symmetry moves what is in mode m to mode p(m), and may invert every spin, l → d − 1 − l. Fermions take the sign of
the permutation that puts the moved operators back into order.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

States = Int[np.ndarray, " states"]


@dataclasses.dataclass(frozen=True)
class Space:
    """The Hilbert space of `sites` times `species` modes with `levels` levels each."""

    sites: int
    species: int = 1
    levels: int = 2
    fermions: bool = False

    @property
    def modes(self) -> int:
        return self.sites * self.species

    @property
    def size(self) -> int:
        return self.levels**self.modes

    def place(self, mode: int) -> int:
        """What one unit of a mode's level adds to the integer of a state."""
        return self.levels ** (self.modes - 1 - mode)

    def level(self, states: States, mode: int) -> States:
        return states // self.place(mode) % self.levels

    def levels_of(self, states: States, modes: tuple[int, ...]) -> States:
        """The levels of several modes as one number, the first mode the most significant."""
        out = np.zeros_like(states)
        for mode in modes:
            out = out * self.levels + self.level(states, mode)
        return out

    def parity(self, states: States, modes: tuple[int, ...]) -> States:
        """±1 for an even or odd number of modes, of these with two levels each, that are in the upper one."""
        mask = sum(1 << (self.modes - 1 - m) for m in modes)
        return 1 - 2 * (np.bitwise_count(states & mask).astype(np.int64) & 1)


class Move(NamedTuple):
    """A symmetry: what is in mode m goes to mode `places[m]`, all spins inverted if `invert`."""

    places: tuple[int, ...]
    invert: bool = False

    def after(self, first: "Move") -> "Move":
        """The product of two moves, `first` first."""
        return Move(tuple(self.places[p] for p in first.places), self.invert != first.invert)


def moved(space: Space, move: Move, states: States) -> tuple[States, States | int]:
    """The states g|s> = sign |s'>, as (s', sign)."""
    # Tables of as many digits as pay: one look-up in each for a state, instead of one operation for each digit.
    width = 1
    while width < (space.modes + 1) // 2 and space.levels ** (width + 1) <= max(states.size, 16):
        width += 1
    images, rest = np.zeros_like(states), states
    for stop in range(space.modes, 0, -width):
        table = _moved_digits(space, move, range(max(0, stop - width), stop))
        above = rest // table.size if stop > width else 0
        images += table[rest - above * table.size]
        rest = above
    if not space.fermions:
        return images, 1
    inversions = np.zeros_like(states)
    for m, p in enumerate(move.places):
        later = sum(1 << (space.modes - 1 - k) for k in range(m + 1, space.modes) if move.places[k] < p)
        if later:
            inversions ^= (states >> (space.modes - 1 - m)) & np.bitwise_count(states & later)
    return images, 1 - 2 * (inversions & 1)


def _moved_digits(space: Space, move: Move, modes: range) -> States:
    """What the digits of some modes become, for all their values."""
    d = space.levels
    values = np.arange(d ** len(modes))
    images = np.zeros_like(values)
    for i, mode in enumerate(modes):
        digit = values // d ** (len(modes) - 1 - i) % d
        images += (d - 1 - digit if move.invert else digit) * space.place(move.places[mode])
    return images


def all_states(space: Space, totals: tuple[int | None, ...]) -> States:
    """The states whose levels sum to given totals, in ascending order.

    `totals` has one entry for each species, or one for all of them together; None stands for any.
    """
    if len(totals) == 1:
        return _with_total(space.levels, space.modes, totals[0])
    states = np.zeros(1, np.int64)
    for total in totals:
        own = _with_total(space.levels, space.sites, total)
        states = (states[:, None] * space.levels**space.sites + own).reshape(-1)
    return states


def _with_total(levels: int, modes: int, total: int | None) -> States:
    if total is None:
        return np.arange(levels**modes)
    if modes == 1:
        return np.array([total] if 0 <= total < levels else [], np.int64)
    half = modes // 2
    most = (levels - 1) * half
    parts = []
    for above in range(max(0, total - (levels - 1) * (modes - half)), min(most, total) + 1):
        upper = _with_total(levels, half, above) * levels ** (modes - half)
        parts.append((upper[:, None] + _with_total(levels, modes - half, total - above)).reshape(-1))
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def count_states(space: Space, totals: tuple[int | None, ...]) -> int:
    """How many states `all_states` would list."""
    modes = space.modes if len(totals) == 1 else space.sites
    return math.prod(_count(space.levels, modes, total) for total in totals)


def _count(levels: int, modes: int, total: int | None) -> int:
    if total is None:
        return levels**modes
    ways = np.ones(1, object)
    for _ in range(modes):
        ways = np.convolve(ways, np.ones(levels, object))
    return int(ways[total]) if 0 <= total < ways.size else 0
