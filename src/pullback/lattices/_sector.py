r"""Symmetry sectors: quantum numbers, and the basis that they select.

For a group of symmetries g with one-dimensional characters χ(g), P = 1/|G| Σ_g χ(g)* g projects on the states with
g ψ = χ(g) ψ. Every orbit of basis states is represented by its smallest member r, and gives at most one state,

    |r~> = P|r> / √n_r,        n_r = <r|P|r> = (1/|G|) Σ_{g: g r = r} χ(g)* sign(g, r),

none where n_r = 0. Any basis state s is in the orbit of one r, g|s> = sign |r>, and P|s> = sign χ(g)* √n_r |r~>. All
of this is integers and phases: it is built once with NumPy, before anything is differentiated.

Source: A. W. Sandvik, AIP Conf. Proc. 1297, 135 (2010), arXiv:1101.3281.
"""

import dataclasses
import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Inexact, Int

from pullback.core import InputError
from pullback.lattices._space import Move, Space, States, all_states, count_states, moved

_CHUNK = 2**16  # states handled at once: their tables stay in the cache of the processor
_LARGEST = 2**26  # states that are searched for representatives
_BITS = 62  # of the integers that stand for states
_TRIED = 4  # basis states that are written out to see whether they have length one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sector:
    """The quantum numbers of a symmetry sector; what is not given is not used.

    Attributes:
        magnetisation: total S^z of a spin model.
        particles: number of fermions; a pair for those with spin up and down.
        momentum: K of the ring in units of 2π / L, T ψ = exp(−2πi K / L) ψ with T moving every site to the next; with
            `shape`, one number for each direction.
        shape: rows and columns of a periodic rectangle, for its momentum.
        parity: ±1 under the reversal of the order of all sites, i → n − 1 − i: the reflection of a ring or a chain,
            the turn by π of a rectangle.
        spin_inversion: ±1 under the exchange of up and down (Π σx of spins ½).
        permutations: further symmetries (p, χ): the permutation that moves site i to site p[i], and what a state of
            the sector is multiplied with.

    Examples:
        >>> Sector(momentum=0, parity=1).momentum
        0
    """

    magnetisation: float | None = None
    particles: int | tuple[int, int] | None = None
    momentum: int | tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None
    parity: int | None = None
    spin_inversion: int | None = None
    permutations: tuple[tuple[tuple[int, ...], complex], ...] = ()

    def __post_init__(self):
        """Puts lists into tuples and whole numbers into integers.

        Raises:
            InputError: a quantum number is not a number, or not a whole one; parity or spin inversion is not ±1;
                `shape` without momenta for its directions; both a magnetisation and numbers of particles.
        """
        for name in ("particles", "momentum", "shape"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if isinstance(self.shape, int):
            raise InputError(f"sector: shape={self.shape!r}; it is (rows, columns)")
        if isinstance(self.particles, tuple) and len(self.particles) != 2:
            raise InputError(f"sector: particles={self.particles!r}; it is one number, or (up, down)")
        for name in ("parity", "spin_inversion"):
            if getattr(self, name) not in (None, 1, -1):
                raise InputError(f"sector: {name} is 1, -1 or None, got {getattr(self, name)!r}")
        if self.magnetisation is not None and self.particles is not None:
            raise InputError("sector: spins have a magnetisation, fermions have particles; give one of them")
        directions = len(self.momentum) if isinstance(self.momentum, tuple) else int(self.momentum is not None)
        if self.shape is not None and len(self.shape) != directions:
            raise InputError(f"sector: shape={self.shape} needs {len(self.shape)} momenta, got {self.momentum!r}")
        if isinstance(self.momentum, tuple) and self.shape is None:
            raise InputError("sector: momentum in several directions needs shape=(rows, columns)")
        fixed = tuple((tuple(int(i) for i in p), complex(character)) for p, character in self.permutations)
        object.__setattr__(self, "permutations", fixed)


class Basis:
    """The states of a sector of a space.

    Attributes:
        space: the full space.
        moves: the members of the group.
        characters: χ(g), real where all are.
        states: the representatives, ascending.
        norms: n_r.
        totals: the levels' totals that the sector fixes, as in `all_states`.
    """

    def __init__(self, space: Space, sector: Sector):
        """Finds the representatives.

        Raises:
            InputError: the sector does not fit the space, or has no state, or is too large to be searched.
        """
        if space.size > 2**_BITS:
            raise InputError(f"sector: {space.sites} sites have {space.size:.1e} states, more than integers number")
        self.space = space
        self.totals = _totals(space, sector)
        group = _group(space, sector)
        self.moves = list(group)
        characters = np.array(list(group.values()))
        self.characters = np.real(characters).copy() if np.abs(np.imag(characters)).max() < 1e-14 else characters
        count = count_states(space, self.totals)
        if count > _LARGEST:
            raise InputError(f"sector: {count:.1e} states would have to be searched, more than {_LARGEST:.1e}")
        states = all_states(space, self.totals)
        for move in self.moves:
            states = states[moved(space, move, states)[0] >= states]
        norms = np.zeros(states.size, self.characters.dtype)
        for move, character in zip(self.moves, self.characters):
            images, sign = moved(space, move, states)
            norms += np.where(images == states, np.conj(character) * sign, 0) / len(self.moves)
        kept = np.real(norms) > 0.5 / len(self.moves)
        self.states, self.norms = states[kept], np.real(norms)[kept]
        if not self.states.size:
            raise InputError(f"sector: no state of {space.sites} sites has {_described(sector)}")
        self._check_lengths()

    def _check_lengths(self) -> None:
        """Σ_s |<s|r~>|² = 1 for a few r, from the members of their orbits."""
        tried = self.states[:: max(1, self.dimension // _TRIED)][:_TRIED]
        images = np.array([moved(self.space, move, tried)[0] for move in self.moves])
        parts = np.abs(self.find(images.reshape(-1))[1].reshape(images.shape)) ** 2
        lengths = parts.sum(axis=0) / (images == tried).sum(axis=0)  # every member is met as often as r itself
        if np.abs(lengths - 1).max() > 1e-9:
            raise AssertionError(f"basis states of the sector have the lengths {lengths}: a fault of pullback")

    @property
    def dimension(self) -> int:
        return self.states.size

    def find(self, states: States) -> tuple[Int[np.ndarray, " states"], Inexact[np.ndarray, " states"]]:
        """(i, c) with P|s> = c |r~_i>; c = 0 for states that have no part in the sector."""
        index = np.zeros(states.size, np.int32)
        factor = np.zeros(states.size, self.characters.dtype)
        for start in range(0, states.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            index[part], factor[part] = self._find(states[part])
        return index, factor

    def _find(self, states: States) -> tuple[Int[np.ndarray, " states"], Inexact[np.ndarray, " states"]]:
        smallest = states
        phase = np.ones(states.size, self.characters.dtype)
        for move, character in zip(self.moves, self.characters):
            images, sign = moved(self.space, move, states)
            better = images < smallest
            smallest = np.where(better, images, smallest)
            phase = np.where(better, np.conj(character) * sign, phase)
        index = np.minimum(np.searchsorted(self.states, smallest), self.dimension - 1)
        present = self.states[index] == smallest
        return index, np.where(present, phase * np.sqrt(self.norms[index]), 0)

    @cached_property
    def embedding(self) -> tuple[States, Int[np.ndarray, " members"], Inexact[np.ndarray, " members"]]:
        """(s, i, c): <s|r~_i> = c for all basis states s that take part."""
        states = all_states(self.space, self.totals)
        index, factor = self.find(states)
        here = np.flatnonzero(factor)
        return states[here], index[here], np.conj(factor[here])


@lru_cache(maxsize=32)
def basis_of(space: Space, sector: Sector) -> Basis:
    """The basis of a sector, kept for the next call."""
    return Basis(space, sector)


def kept_numbers(space: Space, sector: Sector) -> bool | tuple[bool, ...]:
    """Which totals a Hamiltonian has to conserve, as `symmetrised` asks for them."""
    totals = _totals(space, sector)
    return totals[0] is not None if len(totals) == 1 else tuple(total is not None for total in totals)


def _totals(space: Space, sector: Sector) -> tuple[int | None, ...]:
    if space.fermions:
        if sector.magnetisation is not None:
            raise InputError("sector: fermions have no magnetisation of their own; give particles=(up, down)")
        if isinstance(sector.particles, tuple):
            if space.species != 2:
                raise InputError(f"sector: spinless fermions have one number of particles, got {sector.particles}")
            return sector.particles
        return (sector.particles,)
    if sector.particles is not None:
        raise InputError("sector: spins have no particles; give the magnetisation")
    if sector.magnetisation is None:
        return (None,)
    total = (space.levels - 1) * space.sites / 2 - sector.magnetisation
    if total != round(total):
        raise InputError(
            f"sector: {space.sites} spins {space.levels - 1}/2 have no magnetisation {sector.magnetisation}"
        )
    return (round(total),)


def _group(space: Space, sector: Sector) -> dict[Move, complex]:
    """All products of the sector's symmetries, with their characters."""
    n = space.sites
    generators: list[tuple[Move, complex]] = []
    if sector.momentum is not None:
        shape = (n,) if sector.shape is None else sector.shape
        momenta = sector.momentum if isinstance(sector.momentum, tuple) else (sector.momentum,)
        if math.prod(shape) != n:
            raise InputError(f"sector: shape={shape} has not the {n} sites of the lattice")
        sites = np.arange(n).reshape(shape)
        for axis, (length, k) in enumerate(zip(shape, momenta)):
            step = np.roll(sites, -1, axis=axis).reshape(-1)
            generators.append((_of_sites(space, step), np.exp(-2j * np.pi * k / length)))
    if sector.parity is not None:
        generators.append((_of_sites(space, np.arange(n)[::-1]), sector.parity))
    if sector.spin_inversion is not None:
        generators.append((_inversion(space), sector.spin_inversion))
    for permutation, character in sector.permutations:
        if sorted(permutation) != list(range(n)):
            raise InputError(f"sector: {permutation} is not a permutation of the sites 0 to {n - 1}")
        generators.append((_of_sites(space, np.array(permutation)), character))

    for move, _ in generators:
        _check_totals(space, sector, move)

    group: dict[Move, complex] = {Move(tuple(range(space.modes))): 1.0}
    queue = list(group)
    for member in queue:  # grows while it is gone through
        for move, character in generators:
            product = move.after(member)
            value = character * group[member]
            if product not in group:
                group[product] = value
                queue.append(product)
            elif abs(group[product] - value) > 1e-9:
                raise InputError(
                    f"sector: no state has {_described(sector)}: products of these symmetries that are equal have "
                    "different eigenvalues (parity, for one, goes with momentum 0 or π only)"
                )
    return {move: complex(np.round(value, 15)) for move, value in group.items()}


def _check_totals(space: Space, sector: Sector, move: Move) -> None:
    """Whether a symmetry takes states with the fixed totals to states with the same totals."""
    totals = _totals(space, sector)
    species = space.species if len(totals) == space.species else 1
    modes = space.modes // species
    for s, total in enumerate(totals):
        reached = {move.places[m] // modes for m in range(s * modes, (s + 1) * modes)}
        after = total
        if move.invert and total is not None:
            after = (space.levels - 1) * modes - total
        if any(totals[t] != after for t in reached):
            raise InputError(
                f"sector: no state has {_described(sector)}: one of these symmetries takes a state with these numbers "
                "to one with others (spin inversion goes with magnetisation 0, or as many fermions up as down, only)"
            )


def _whole(name: str, given: Any) -> Any:
    """A whole number, or a tuple of them, from what users write."""
    if given is None:
        return None
    if isinstance(given, list | tuple | np.ndarray) and np.ndim(given) == 1:
        return tuple(_whole(name, one) for one in given)
    try:
        number = float(given)  # pyright: ignore[reportArgumentType]
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"sector: {name} is a whole number or a tuple of them, got {given!r}")


def _of_sites(space: Space, places: Int[np.ndarray, " sites"]) -> Move:
    return Move(tuple(int(p) + species * space.sites for species in range(space.species) for p in places))


def _inversion(space: Space) -> Move:
    if not space.fermions:
        return Move(tuple(range(space.modes)), invert=True)
    if space.species != 2:
        raise InputError("sector: spinless fermions have no spin inversion")
    n = space.sites
    return Move(tuple((m + n) % (2 * n) for m in range(2 * n)))


def _described(sector: Sector) -> str:
    given = {field.name: getattr(sector, field.name) for field in dataclasses.fields(sector)}
    return ", ".join(f"{name} = {value}" for name, value in given.items() if value not in (None, ())) or "no condition"
