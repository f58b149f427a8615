"""Gates on single qubits, one on each of some of them: the kernel of most circuits.

A gate needs its bit at a position with a long stride, or else no loop over amplitudes vectorises: bits 0 … m−1 are
rotated to the top, by one transposition.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.circuits._engine import _tiles as tiles
from pullback.circuits._engine._kernels import dagger, multiply
from pullback.circuits._engine._layout import Layout, Table, move, permute
from pullback.core import fused

_BLOCK = 3  # bits whose transition matrices come from one product of matrices
_LOW = 5  # low bits are moved to the top: shorter loops than 2^5 do not pay
_LARGE = 14  # from so many qubits on, gates are applied in groups on CPUs
Phase = tuple[Table, Table, list[tuple[int, int]]]


class Locals:
    """One gate on each of some bits, in phases: a permutation, back, and the gates (member, position) after it."""

    def __init__(self, phases: Sequence[Phase], layout: Layout | None = None):
        self.phases = phases
        self.layout: Any = layout
        self.members = sum(len(gates) for *_, gates in phases)

    @classmethod
    def on(cls, bits: Sequence[int], layout: Layout) -> "Locals":
        n = len(layout).bit_length() - 1
        low = min(n // 2, _LOW)
        straight = np.arange(1 << n)
        rotated = np.empty_like(straight)
        rotated[((straight & ((1 << low) - 1)) << (n - low)) | (straight >> low)] = straight
        high = [(k, b) for k, b in enumerate(bits) if b >= low]
        rest = [(k, b + n - low) for k, b in enumerate(bits) if b < low]
        orders = [(straight, high), (rotated, rest)]
        if np.array_equal(layout, rotated):
            orders.reverse()
        phases: list[Phase] = []
        for target, gates in orders:
            if gates:
                phases.append((move(layout, target), move(target, layout), gates))
                layout = target
        return cls(phases, layout)

    def apply(self, V, u):
        for there, _, gates in self.phases:
            V = _gates(permute(V, there), u, gates)
        return V

    def inverse(self, V, u):
        u = _held(dagger(u))
        for _, back, gates in reversed(self.phases):
            V = permute(_gates(V, u, gates), back)
        return V

    def tangent(self, V, dV, u, K):
        du = multiply(u, K)
        for there, _, gates in self.phases:
            V, dV = _gate_tangents(permute(V, there), permute(dV, there), u, du, gates)
        return V, dV

    def untangent(self, V, dV, u, K):
        u = _held(dagger(u))
        du = -multiply(K, u)
        for _, back, gates in reversed(self.phases):
            V, dV = _gate_tangents(V, dV, u, du, gates)
            V, dV = permute(V, back), permute(dV, back)
        return V, dV

    def pull(self, V, W, u):
        found: dict[int, Any] = {}
        u = _held(dagger(u))
        for _, back, gates in reversed(self.phases):
            V, W, K = _pulled(V, W, u, gates)
            V, W = permute(V, back), permute(W, back)
            found |= K
        return V, W, self._stacked(found)

    def transitions(self, V, W, u):
        found: dict[int, Any] = {}
        for there, _, gates in self.phases:
            V, W = permute(V, there), permute(W, there)
            found |= _transitions(V, W, gates)
        return self._stacked(found)

    def _stacked(self, found):
        return jnp.stack([found[k] for k in range(self.members)])


def _held(u):
    """Matrices as an array of its own: XLA would read them from where they were transposed, once per amplitude."""
    return jax.lax.optimization_barrier(u)


def _gates(V, u, gates):
    return _chosen(_one_by_one, tiles.apply, gates, V, u)


def _gate_tangents(V, dV, u, du, gates):
    return _chosen(_tangents_one_by_one, tiles.tangent, gates, V, dV, u, du)


def _pulled(V, W, u, gates):
    """V and W after gates, and the cotangents of their K there."""
    return _chosen(_pulled_one_by_one, _pulled_in_groups, gates, V, W, u)


def _chosen(one_by_one, in_groups, gates, V, *operands):
    """By a pass for each gate or, for large states on CPUs, for groups of them; differentiated is always the former."""
    parts = partial(one_by_one, gates=gates)
    if len(gates) < 2 or V.shape[-1] < 1 << _LARGE or jax.default_backend() != "cpu":
        return parts(V, *operands)
    return fused(partial(in_groups, groups=tiles.grouped(gates, tiles.WIDTH)), parts, V, *operands)


def _one_by_one(V, u, gates):
    for k, p in gates:
        V = _gate(V, u[k], p)
    return V


def _tangents_one_by_one(V, dV, u, du, gates):
    for k, p in gates:
        V, dV = _gate(V, u[k], p), _gate_tangent(V, dV, u[k], du[k], p)
    return V, dV


def _pulled_one_by_one(V, W, u, gates):
    V, W = jnp.split(_one_by_one(jnp.concatenate([V, W], 1), u, gates), 2, 1)
    return V, W, _transitions(V, W, gates)


def _pulled_in_groups(V, W, u, groups):
    found: dict[int, Any] = {}
    for group in groups:
        V, W, Q = tiles.pull(V, W, u, group)
        found |= _traced(Q, group)
    return V, W, found


@partial(jax.jit, static_argnums=2)
def _gate(V, u, p: int):
    """The matrix u (2, 2, 2) on the bit at position p."""
    return _joined(_mixed(V, u, p), V.shape)


@partial(jax.jit, static_argnums=4)
def _gate_tangent(V, dV, u, du, p: int):
    """u dV + du V on the bit at position p."""
    return _joined([a + b for a, b in zip(_mixed(dV, u, p), _mixed(V, du, p))], V.shape)


def _mixed(V, u, p):
    """Real parts of both halves of u V, then the imaginary parts."""
    x = V.reshape(2, -1, 2, 1 << p)
    r0, r1, i0, i1 = x[0, :, 0], x[0, :, 1], x[1, :, 0], x[1, :, 1]
    (ar, br), (cr, dr) = u[0]
    (ai, bi), (ci, di) = u[1]
    return [
        ar * r0 - ai * i0 + br * r1 - bi * i1,
        cr * r0 - ci * i0 + dr * r1 - di * i1,
        ar * i0 + ai * r0 + br * i1 + bi * r1,
        cr * i0 + ci * r0 + dr * i1 + di * r1,
    ]


def _joined(parts, shape):
    V = jnp.stack([jnp.stack(parts[:2], 1), jnp.stack(parts[2:], 1)]).reshape(shape)
    # Without the barrier XLA fuses gates into one loop that recomputes all earlier ones for each amplitude.
    return jax.lax.optimization_barrier(V)


def _transitions(V, W, gates):
    """The cotangents of K for gates on bits: partial traces of W V†, one product of matrices for a block of bits."""
    out: dict[int, Any] = {}
    for group in tiles.grouped(gates, _BLOCK):
        parts = (Z.reshape(2, -1, 1 << group.width, 1 << group.first) for Z in (W, V))
        out |= _traced(jnp.einsum("chal,ehbl->hcaeb", *parts).sum(0), group)
    return out


def _traced(Q, group):
    """The cotangents of K from the sums of W_ca V_eb, (2, d, 2, d)."""
    R = jnp.stack([Q[0, :, 0] + Q[1, :, 1], Q[1, :, 0] - Q[0, :, 1]]).reshape(2, -1)
    T = (R @ jnp.asarray(tiles.partial_traces(group).T, R.dtype)).reshape(2, -1, 2, 2)
    return {k: T[:, j] for j, (k, _) in enumerate(group.gates)}
