"""Layouts: which amplitude lies where, and the kernel that brings one layout to another.

A *layout* is an array: position p of the state holds amplitude layout[p]. Permutations of amplitudes (CNOT, SWAP, X)
only change it. Over many devices no array has as many entries as a state: there functions do what tables do here.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

Layout = np.ndarray
Table = np.ndarray | Callable[[Any], Any] | None  # where each amplitude comes from, or a function of the state


def permute(V, table: Table) -> Any:
    """V[..., table], as a transposition where it is one; or what the function does."""
    if table is None:
        return V
    if callable(table):
        return table(V)
    if rows := transposed_rows(table):
        return jnp.swapaxes(V.reshape(*V.shape[:-1], len(table) // rows, rows), -1, -2).reshape(V.shape)
    return V.at[..., table].get(mode="promise_in_bounds", unique_indices=True)


def transposed_rows(table: np.ndarray) -> int:
    """The number of rows of the result, if the table transposes a matrix, else 0."""
    N = len(table)
    rows = int(table[1]) if N > 1 else 1
    is_divisor = N > 3 and rows > 1 and N % rows == 0
    return rows if is_divisor and np.array_equal(table, np.arange(N).reshape(N // rows, rows).T.reshape(-1)) else 0


def move(old: Layout, new: Layout) -> np.ndarray | None:
    """The table that brings one layout to another."""
    if np.array_equal(old, new):
        return None
    where = np.empty_like(old)
    where[old] = np.arange(len(old))
    return where[new]


class Move:
    """Permutes the amplitudes."""

    def __init__(self, there: Table, back: Table, layout: Layout | None = None):
        self.there, self.back = there, back
        self.layout: Any = layout  # None over many devices

    @classmethod
    def between(cls, old: Layout, new: Layout) -> "Move":
        return cls(move(old, new), move(new, old), new)

    def apply(self, V, u):
        return permute(V, self.there)

    def inverse(self, V, u):
        return permute(V, self.back)

    def tangent(self, V, dV, u, K):
        return permute(V, self.there), permute(dV, self.there)

    def untangent(self, V, dV, u, K):
        return permute(V, self.back), permute(dV, self.back)

    def pull(self, V, W, u):
        return permute(V, self.back), permute(W, self.back), u

    def transitions(self, V, W, u):
        return u
