"""Kernels of states over many devices, and where bits are there: see `_sharded.py`."""

from functools import partial

import jax
import jax.numpy as jnp

from pullback.circuits._engine._kernels import Generated, Pair, Tables, dagger
from pullback.circuits._engine._layout import Move
from pullback.circuits._engine._locals import Locals
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


def _moved(moves, g, V):
    """V after moves: two local positions to swap, or None for the exchange. Each is its own inverse."""
    for move in moves:
        if move is None:
            parts = V.reshape(*V.shape[:2], 1 << g, -1)
            V = jax.lax.all_to_all(parts, AXIS, 2, 2, tiled=True).reshape(V.shape)
        else:
            low, high = sorted(move)
            bits = V.reshape(*V.shape[:2], -1, 2, 1 << (high - low - 1), 2, 1 << low)
            V = jnp.swapaxes(bits, 3, 5).reshape(V.shape)
    return V


class ShardedMove(Move):
    """Some moves."""

    def __init__(self, moves, g):
        self.there, self.back = partial(_moved, moves, g), partial(_moved, moves[::-1], g)


class ShardedLocals(Locals):
    """One gate on each of some bits: first on those that are local, then on the others, which are exchanged."""

    def __init__(self, bits, places: Places):
        here = [(k, places.where[b]) for k, b in enumerate(bits) if places.where[b] < places.local]
        rest = [b for b in bits if places.where[b] >= places.local]
        self.phases = [(None, None, here)] if here else []
        self.members, self.places = len(bits), places
        if rest:
            moves, self.places = places.brought(rest)
            there = partial(_moved, moves, places.g), partial(_moved, moves[::-1], places.g)
            self.phases.append((*there, [(k, self.places.where[b]) for k, b in enumerate(bits) if b in rest]))


class ShardedPair(Pair):
    """A pair operation whose mask x is local."""

    def __init__(self, masks: Masks, local: int):
        self.masks, self.local = masks, local

    @property
    def tables(self) -> Tables:  # pyright: ignore[reportIncompatibleVariableOverride]
        m, x, s, controls, values = self.masks
        i = indices(self.local)
        return Tables(_odd(i & m), (i & controls) == values, 1.0 - 2.0 * _odd(i & s), x)


class Flip:
    """X on a local position, under controls."""

    def __init__(self, masks: Masks, local: int):
        self.masks, self.local = masks, local

    def apply(self, V, u):
        active = (indices(self.local) & self.masks.controls) == self.masks.values
        return jnp.where(active, flipped(V, self.masks.x), V)

    inverse = apply

    def tangent(self, V, dV, u, K):
        return self.apply(V, u), self.apply(dV, u)

    untangent = tangent

    def pull(self, V, W, u):
        return self.apply(V, u), self.apply(W, u), u

    def transitions(self, V, W, u):
        return u


class ShardedDense(Generated):
    """A matrix on k local positions, with controls on any."""

    def __init__(self, positions, masks: Masks, local: int):
        self.masks, self.local, self.k = masks, local, len(positions)
        self.moves, at = [], list(positions)
        for j in range(self.k):  # bit j of the matrix's index goes to position local − k + j
            target = local - self.k + j
            if at[j] != target:
                self.moves.append((at[j], target))
                at = [target if p == at[j] else at[j] if p == target else p for p in at]

    def _times(self, u, V, elsewhere):
        X = _moved(self.moves, 0, V).reshape(*V.shape[:2], 1 << self.k, -1)
        re, im = (jnp.einsum("ab,csbg->csag", u[c], X) for c in (0, 1))
        out = _moved(self.moves[::-1], 0, jnp.stack([re[0] - im[1], re[1] + im[0]]).reshape(V.shape))
        return jnp.where(self._active(), out, elsewhere * V)

    def _active(self):
        return (indices(self.local) & self.masks.controls) == self.masks.values

    def apply(self, V, u):
        return self._times(u[0], V, 1.0)

    def inverse(self, V, u):
        return self._times(dagger(u[0]), V, 1.0)

    def generate(self, V, K):
        return self._times(K[0], V, 0.0)

    def transitions(self, V, W, u):
        a, b = (
            _moved(self.moves, 0, Z).reshape(*V.shape[:2], 1 << self.k, -1)
            for Z in (jnp.where(self._active(), W, 0.0), V)
        )
        Q = jnp.einsum("csag,dsbg->cdab", a, b)
        return jnp.stack([Q[0, 0] + Q[1, 1], Q[1, 0] - Q[0, 1]])[None]


def indices(local: int):
    """The indices of this device's amplitudes."""
    device = jax.lax.axis_index(AXIS).astype(int)
    return jnp.arange(1 << local) + (device << local)


def _odd(i):
    return (jax.lax.population_count(i) & 1).astype(bool)
