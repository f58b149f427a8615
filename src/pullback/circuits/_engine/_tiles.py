"""Gates on neighbouring qubits of large states, together: one pass over memory for a group of up to four qubits.

A state is cut into tiles of all 2^w values of a group's qubits by some hundred amplitudes: they stay in the first cache
while the matrix of the group, a Kronecker product, is applied and transition matrices are summed, and they are
written back to where they were. It is for CPUs: the tiles of a state come one after another. Nothing here is to be
differentiated: the transpose of reading a tile would add to a whole state.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

WIDTH = 4  # qubits of a group: the fastest of 2 to 5
_LENGTH = 9  # tiles are 2^9 amplitudes long where the group's qubits are high enough


class Group(NamedTuple):
    """Gates (member, position) on some of `width` neighbouring bits from `first` on."""

    first: int
    width: int
    gates: tuple[tuple[int, int], ...]


def grouped(gates: Sequence[tuple[int, int]], most: int) -> list[Group]:
    """Gates (member, position) in groups of at most that many neighbouring bits."""
    groups, rest = [], sorted(gates, key=lambda g: g[1])
    while rest:
        span = rest[-1][1] - rest[0][1] + 1
        size = -(-span // -(-span // most))  # five bits are three and two rather than four and one
        group = [g for g in rest if g[1] > rest[-1][1] - size]
        groups.append(Group(group[0][1], group[-1][1] - group[0][1] + 1, tuple(group)))
        rest = rest[: -len(group)]
    return groups


def apply(V, u, groups: Sequence[Group]):
    """The gates of the groups on V (2, S, N); u are the matrices of all members."""
    for group in groups:
        M = _matrix(u, group)
        _, V = _sweep(lambda total, v, M=M: (total, M @ v), 0, group, V)
    return V


def tangent(V, dV, u, du, groups: Sequence[Group]):
    """u V and u dV + du V."""
    for group in groups:
        M, dM = jax.jvp(lambda u, group=group: _matrix(u, group), (u,), (du,))

        def step(total, v, dv, M=M, dM=dM):
            return total, M @ v, M @ dv + dM @ v

        _, V, dV = _sweep(step, 0, group, V, dV)
    return V, dV


def pull(V, W, u, group: Group):
    """u V, u W, and the sums of W_ca V_eb over all else, for real and imaginary parts c, e: (2, d, 2, d)."""
    M, d = _matrix(u, group), 1 << group.width

    def step(Q, v, w):
        v, w = M @ v, M @ w
        return Q + w @ v.T, v, w

    Q, V, W = _sweep(step, jnp.zeros_like(M), group, V, W)
    return V, W, Q.reshape(2, d, 2, d)


def _matrix(u, group: Group):
    """The Kronecker product of the group's gates on real and imaginary parts, (2d, 2d)."""
    at = {p: u[k] for k, p in group.gates}
    one = jnp.stack([jnp.eye(2, dtype=u.dtype), jnp.zeros((2, 2), u.dtype)])
    re, im = reduce(_kronecker, [at.get(group.first + bit, one) for bit in reversed(range(group.width))])
    # An array of its own: else it is made anew for each tile.
    return jax.lax.optimization_barrier(jnp.block([[re, -im], [im, re]]))


def _kronecker(a, b):
    def real(x, y):
        d = x.shape[0] * y.shape[0]
        return (x[:, None, :, None] * y[None, :, None, :]).reshape(d, d)

    return jnp.stack([real(a[0], b[0]) - real(a[1], b[1]), real(a[0], b[1]) + real(a[1], b[0])])


def _sweep(step, total, group: Group, *states):
    """(total, *tiles) → step(total, *tiles) for all tiles (2d, length) of states, in place."""
    length = min(group.first, _LENGTH)
    d, shape = 1 << group.width, states[0].shape
    views = [V.reshape(2, -1, d, 1 << (group.first - length), 1 << length) for V in states]
    outer, inner = views[0].shape[1], views[0].shape[3]
    size = 2, 1, d, 1, 1 << length

    def body(k, carry):
        total, *views = carry
        at = 0, k // inner, 0, k % inner, 0
        total, *tiles = step(total, *(jax.lax.dynamic_slice(V, at, size).reshape(2 * d, -1) for V in views))
        return total, *(jax.lax.dynamic_update_slice(V, t.reshape(size), at) for V, t in zip(views, tiles))

    total, *views = jax.lax.fori_loop(0, outer * inner, body, (total, *views))
    return total, *(V.reshape(shape) for V in views)


def partial_traces(group: Group) -> np.ndarray:
    """The matrix that takes R (d², flat) to its partial traces (gates * 4): T_ab = Σ R[i, j], bit a of i, b of j."""
    d = 1 << group.width
    i, j = np.divmod(np.arange(d * d), d)
    rows = []
    for _, p in group.gates:
        bit = p - group.first
        same = (i ^ j) & ~(1 << bit) == 0
        rows += [same & (((i >> bit) & 1) == a) & (((j >> bit) & 1) == b) for a in (0, 1) for b in (0, 1)]
    return np.array(rows, float)
