"""Where bits are on many devices, and what the kernels have there instead of tables: see `_sharded.py`."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pullback.circuits._engine._kernels import Tables
from pullback.circuits._engine._layout import Move
from pullback.circuits._engine._locals import Locals, Phase
from pullback.circuits._gates import Masks
from pullback.core import InputError
from pullback.operators import flipped

AXIS = "amplitudes"


class Places:
    """Bit b of the index is at position where[b]: `local` positions lie within a device, g are bits of its number."""

    def __init__(self, where, local: int, g: int):
        self.where, self.local, self.g = tuple(where), local, g

    def mask(self, mask: int) -> int:
        return sum(1 << p for b, p in enumerate(self.where) if mask >> b & 1)

    def masks(self, masks: Masks) -> Masks:
        return Masks(*map(self.mask, masks))

    def swapped(self, a: int, b: int) -> "Places":
        names = {a: b, b: a}
        return Places((names.get(p, p) for p in self.where), self.local, self.g)

    def exchanged(self) -> "Places":
        top, g = self.local - self.g, self.g
        new = (p if p < top else p + g if p < top + g else p - g for p in self.where)
        return Places(new, self.local, self.g)

    def brought(self, bits) -> "tuple[list, Places]":
        """The moves after which all of these bits are local, and the places then."""
        if all(self.where[b] < self.local for b in bits):
            return [], self
        moves, places, top = [], self, self.local - self.g
        free = [p for b, p in enumerate(self.where) if p < top and b not in bits]
        for p in range(top, self.local):
            if places.where.index(p) in bits:
                if not free:
                    raise InputError(
                        f"circuits: a gate on {len(bits)} qubits needs more than the {self.local} qubits that are "
                        f"local on {1 << self.g} devices; use fewer devices."
                    )
                moves.append((p, free.pop()))
                places = places.swapped(*moves[-1])
        return [*moves, None], places.exchanged()

    def rearranged(self, where) -> list:
        """The moves that bring each bit b to position where[b]."""
        top, g = self.local - self.g, self.g
        last = [where.index(self.local + j) for j in range(g)]  # the bits that are to be global
        moves, places = [], self
        if [places.where[b] for b in last] != [self.local + j for j in range(g)]:
            moves, places = places.brought(last)
            for j, b in enumerate(last):
                if places.where[b] != top + j:
                    moves.append((places.where[b], top + j))
                    places = places.swapped(*moves[-1])
            moves.append(None)
            places = places.exchanged()
        for b in sorted(range(len(where)), key=where.__getitem__)[: self.local]:
            if places.where[b] != where[b]:
                moves.append((places.where[b], where[b]))
                places = places.swapped(*moves[-1])
        return moves


class Moves(NamedTuple):
    """A permutation: two local positions to swap, or None for the exchange; each is its own inverse."""

    moves: Sequence[tuple[int, int] | None]
    g: int

    def __call__(self, V):
        for move in self.moves:
            if move is None:
                parts = V.reshape(*V.shape[:2], 1 << self.g, -1)
                V = jax.lax.all_to_all(parts, AXIS, 2, 2, tiled=True).reshape(V.shape)
            else:
                low, high = sorted(move)
                bits = V.reshape(*V.shape[:2], -1, 2, 1 << (high - low - 1), 2, 1 << low)
                V = jnp.swapaxes(bits, 3, 5).reshape(V.shape)
        return V

    @property
    def back(self) -> "Moves":
        return Moves(self.moves[::-1], self.g)


class Flipped(NamedTuple):
    """A permutation: X on a local position, under controls; it is its own inverse."""

    masks: Masks
    local: int

    def __call__(self, V):
        return jnp.where(_active(self.masks, self.local), flipped(V, self.masks.x), V)


class Tabled(NamedTuple):
    """The tables of a pair operation whose mask x is local."""

    masks: Masks
    local: int

    def __call__(self) -> Tables:
        m, x, s, _, _ = self.masks
        i = indices(self.local)
        return Tables(_odd(i & m), _active(self.masks, self.local), 1.0 - 2.0 * _odd(i & s), x)


class Brought(NamedTuple):
    """The groups of a matrix on local positions: moves bring those to the top. Where no control acts, they are zero."""

    moves: Sequence[tuple[int, int]]
    size: int
    masks: Masks
    local: int

    @classmethod
    def on(cls, positions: Sequence[int], masks: Masks, local: int) -> "Brought":
        moves, at, size = [], list(positions), len(positions)
        for j in range(size):  # bit j of the matrix's index goes to position local − size + j
            target = local - size + j
            if at[j] != target:
                moves.append((at[j], target))
                at = [target if p == at[j] else at[j] if p == target else p for p in at]
        return cls(moves, size, masks, local)

    def taken(self, V):
        return Moves(self.moves, 0)(self._where_active(V, 0.0)).reshape(*V.shape[:2], 1 << self.size, -1)

    def put(self, V, Y):
        return self._where_active(Moves(self.moves[::-1], 0)(Y.reshape(V.shape)), V)

    def _where_active(self, V, elsewhere):
        return jnp.where(_active(self.masks, self.local), V, elsewhere) if self.masks.controls else V


def moved(moves, g: int) -> Move:
    """The kernel of some moves."""
    there = Moves(moves, g)
    return Move(there, there.back)


def flip(masks: Masks, local: int) -> Move:
    """The kernel of X under controls."""
    there = Flipped(masks, local)
    return Move(there, there)


def locals_on(bits, places: Places) -> tuple[Locals, Places]:
    """One gate on each of some bits: first on those that are local, then on the others, which are exchanged."""
    here = [(k, places.where[b]) for k, b in enumerate(bits) if places.where[b] < places.local]
    rest = [b for b in bits if places.where[b] >= places.local]
    phases: list[Phase] = [(None, None, here)] if here else []
    if rest:
        moves, places = places.brought(rest)
        there = Moves(moves, places.g)
        phases.append((there, there.back, [(k, places.where[b]) for k, b in enumerate(bits) if b in rest]))
    return Locals(phases), places


def indices(local: int):
    """The indices of this device's amplitudes."""
    device = jax.lax.axis_index(AXIS).astype(int)
    return jnp.arange(1 << local) + (device << local)


def _active(masks: Masks, local: int):
    return (indices(local) & masks.controls) == masks.values


def _odd(i):
    return (jax.lax.population_count(i) & 1).astype(bool)
