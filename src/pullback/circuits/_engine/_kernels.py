"""Kernels: how one step of a circuit acts on a state, and on a state with its tangent or its cotangent.

States are real arrays V of shape (2, S, N): real and imaginary parts of S states of N = 2^n amplitudes. A unitary
is then an orthogonal map, its transpose is its inverse, and a cotangent W goes back as the state itself does: both
are stacked. 2x2 matrices and larger ones are real arrays (2, d, d) too.

With K = u† du for the matrix u of an operation, an anti-Hermitian matrix on the same qubits,

    dV' = U (dV + K V),         cotangent of K_ab = Σ W_a V_b* over the pairs (a, b), *before* the operation,

so that a kernel needs no derivative of its own: `tangent` and `pull` are written with the same few products, and as
they are plain array programs JAX differentiates them again. `pull` takes both V and W back by u†, also for derivatives.
Where u may leave the unitary matrices, V goes back by u⁻¹ and only W by u†; then the caller takes each of them back by
itself, and asks for the `transitions`.

Kernels act on bits of an amplitude's index; `_lower.py` knows which qubits these are, and a *layout* (`_layout.py`) at
which position of the state each amplitude lies.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from pullback.circuits._engine._layout import Layout
from pullback.circuits._gates import Masks
from pullback.operators import flipped


class Kernel(Protocol):
    """One step of a body. `u` are the matrices of its members, (members, 2, d, d)."""

    def apply(self, V, u) -> Any: ...

    def inverse(self, V, u) -> Any: ...

    def tangent(self, V, dV, u, K) -> Any: ...

    def untangent(self, V, dV, u, K) -> Any: ...  # the inverse of `tangent`

    def pull(self, V, W, u) -> Any: ...  # from after the step to before it, and the cotangents of K

    def transitions(self, V, W, u) -> Any: ...  # these cotangents, from states before the step


class Tables(NamedTuple):
    """Where a pair operation acts, position by position: b, whether it acts, the sign and the partner's position."""

    b: Any
    active: Any
    sign: Any
    partner: Any


def dagger(u):
    """The adjoint of matrices (..., 2, d, d)."""
    t = jnp.swapaxes(u, -1, -2)
    return jnp.stack([t[..., 0, :, :], -t[..., 1, :, :]], -3)


def multiply(a, b):
    """a b for matrices (..., 2, d, d); for d = 2 entry by entry, as batched products of small matrices are slow."""
    ar, ai, br, bi = a[..., 0, :, :], a[..., 1, :, :], b[..., 0, :, :], b[..., 1, :, :]

    def real(x, y):
        if a.shape[-1] != 2:
            return x @ y
        return x[..., :, 0, None] * y[..., None, 0, :] + x[..., :, 1, None] * y[..., None, 1, :]

    return jnp.stack([real(ar, br) - real(ai, bi), real(ar, bi) + real(ai, br)], -3)


class Generated(ABC):
    """Tangent programs of kernels that have `generate(V, K)`, the product K V; `pull` by their `transitions`."""

    @abstractmethod
    def apply(self, V, u) -> Any: ...

    @abstractmethod
    def inverse(self, V, u) -> Any: ...

    @abstractmethod
    def generate(self, V, K) -> Any: ...

    @abstractmethod
    def transitions(self, V, W, u) -> Any: ...

    def tangent(self, V, dV, u, K):
        X = jnp.concatenate([V, dV + self.generate(V, K)], 1)
        return tuple(jnp.split(self.apply(X, u), 2, 1))

    def untangent(self, V, dV, u, K):
        V, dV = jnp.split(self.inverse(jnp.concatenate([V, dV], 1), u), 2, 1)
        return V, dV - self.generate(V, K)

    def pull(self, V, W, u):
        V, W = jnp.split(self.inverse(jnp.concatenate([V, W], 1), u), 2, 1)
        return V, W, self.transitions(V, W, u)


class Pair(Generated):
    """One pair operation, by its tables or a function that makes them where it acts."""

    def __init__(self, tables: Tables | Callable[[], Tables], layout: Layout | None = None):
        self.tables: Any = tables
        self.layout: Any = layout

    @classmethod
    def on(cls, masks: Masks, layout: Layout) -> "Pair":
        where = np.empty_like(layout)
        where[layout] = np.arange(len(layout))
        tables = Tables(
            parity(layout & masks.m).astype(bool),
            (layout & masks.controls) == masks.values,
            1.0 - 2.0 * parity(layout & masks.s),
            where[layout ^ masks.x],
        )
        return cls(tables, layout)

    @property
    def _here(self) -> Tables:
        return self.tables if isinstance(self.tables, Tables) else self.tables()

    def apply(self, V, u):
        return apply_pair(V, u[0], self._here)

    def inverse(self, V, u):
        return apply_pair(V, dagger(u[0]), self._here)

    def generate(self, V, K):
        return apply_pair(V, K[0], self._here, elsewhere=0.0)

    def transitions(self, V, W, u):
        return pair_transitions(V, W, self._here)[None]


def parity(i):
    return np.bitwise_count(i) % 2


def apply_pair(V, u, tables: Tables, elsewhere=1.0):
    """u on the pairs; `elsewhere` times the state where it does not act."""
    b, active, sign, partner = tables
    same = [jnp.where(active, jnp.where(b, u[c, 1, 1], u[c, 0, 0]), elsewhere * (1 - c)) for c in (0, 1)]
    other = [jnp.where(active, jnp.where(b, u[c, 1, 0], u[c, 0, 1]), 0.0) * sign for c in (0, 1)]
    same, other, Y = jax.lax.optimization_barrier((same, other, partners(V, partner)))
    return jax.lax.optimization_barrier((times(same, V) + times(other, Y)).astype(V.dtype))


def partners(V, partner):
    """V at the partners' positions, or at i ^ partner for a number."""
    if isinstance(partner, int):
        return flipped(V, partner)
    return V.at[..., partner].get(mode="promise_in_bounds", unique_indices=True)


def times(z, V):
    """z V for complex numbers z = (re, im), broadcast over the amplitudes.

    Reversing the axis of real and imaginary parts, rather than stacking both results, leaves XLA one plain loop.
    """
    signs = jnp.array([-1.0, 1.0], V.dtype).reshape(2, *[1] * (V.ndim - 1))
    re, im = (part.reshape(*[1] * (V.ndim - part.ndim), *part.shape) for part in z)
    return re * V + im * signs * V[::-1]


def pair_transitions(V, W, tables):
    b, active, sign, partner = tables
    classes = jnp.stack([active & ~b, active & b]).astype(V.dtype)
    ones = [1] * (W.ndim - 2)
    parts = (W[:, None] * classes.reshape(1, 2, *ones, -1)).reshape(4, -1)  # (re and im) x b
    sign = jnp.asarray(sign, V.dtype)
    Y = partners(V, partner) * (sign.reshape(1, *ones, -1) if sign.ndim else sign)
    same, other = (_conjugated(parts @ Z.reshape(2, -1).T) for Z in (V, Y))
    rows = [jnp.stack([same[:, 0], other[:, 0]], -1), jnp.stack([other[:, 1], same[:, 1]], -1)]
    return jnp.stack(rows, 1)


def _conjugated(products):
    """From W_c Z_d (re and im of W, b; re and im of Z) the real and imaginary parts of W Z*, (2, b)."""
    q = products.reshape(2, 2, 2)
    return jnp.stack([q[0, :, 0] + q[1, :, 1], q[1, :, 0] - q[0, :, 1]])


class Diagonal(Generated):
    """Several diagonal pair operations at once."""

    def __init__(self, masks: Sequence[Masks], layout: Layout):
        self.layout, self.members, self.masks = layout, len(masks), masks
        self.b = [parity(layout & m.m).astype(bool) for m in masks]
        self.active = [(layout & m.controls) == m.values for m in masks]

    def _entries(self, u, k, elsewhere):
        b, active = self.b[k], self.active[k]
        return [jnp.where(active, jnp.where(b, u[k, c, 1, 1], u[k, c, 0, 0]), elsewhere * (1.0 - c)) for c in (0, 1)]

    def apply(self, V, u):
        re, im = self._entries(u, 0, 1.0)
        for k in range(1, self.members):
            r, i = self._entries(u, k, 1.0)
            re, im = re * r - im * i, re * i + im * r
        return times(jax.lax.optimization_barrier((re, im)), V).astype(V.dtype)

    def inverse(self, V, u):
        return self.apply(V, dagger(u))

    def generate(self, V, K):
        entries = [self._entries(K, k, 0.0) for k in range(self.members)]
        return times([sum(e[c] for e in entries) for c in (0, 1)], V).astype(V.dtype)

    def transitions(self, V, W, u):
        products = jnp.stack([W[0] * V[0] + W[1] * V[1], W[1] * V[0] - W[0] * V[1]]).sum(1)
        classes = np.stack([a & (b == value) for b, a in zip(self.b, self.active) for value in (False, True)])
        T = (products @ jnp.asarray(classes.T, V.dtype)).reshape(2, self.members, 2)
        return jnp.moveaxis(T[..., None] * jnp.eye(2, dtype=V.dtype)[None, None], 0, 1)


@runtime_checkable
class Groups(Protocol):
    """Groups of d amplitudes that a matrix mixes."""

    def taken(self, V) -> Any: ...  # (2, S, d, groups)

    def put(self, V, Y) -> Any: ...  # V with these groups in their places


class Gathered(NamedTuple):
    """Groups by tables: the positions (d, groups), and where each position's amplitude is in V and these, after it."""

    table: np.ndarray
    back: np.ndarray

    @classmethod
    def on(cls, bits: tuple[int, ...], controls: int, values: int, layout: Layout) -> "Gathered":
        """Those of a matrix on bits, the least significant one of its index first, with controls."""
        i, d = np.arange(len(layout)), 1 << len(bits)
        where = np.empty_like(layout)
        where[layout] = i
        offsets = np.array([sum(1 << b for j, b in enumerate(bits) if a >> j & 1) for a in range(d)])
        starts = i[((i & offsets[-1]) == 0) & ((i & controls) == values)]
        table, back = where[offsets[:, None] | starts], i.copy()
        back[table.reshape(-1)] = np.arange(table.size) + len(i)
        return cls(table, back)

    def taken(self, V):
        return V.at[..., self.table].get(mode="promise_in_bounds", unique_indices=True)

    def put(self, V, Y):
        both = jnp.concatenate([V, Y.reshape(*Y.shape[:2], -1)], -1)
        return both.at[..., self.back].get(mode="promise_in_bounds", unique_indices=True)


class Dense(Generated):
    """A matrix on several bits."""

    def __init__(self, groups: Groups, layout: Layout | None = None):
        self.groups: Any = groups
        self.layout: Any = layout

    def _times(self, u, V):
        X = self.groups.taken(V)
        re, im = (jnp.einsum("ab,csbg->csag", u[c], X) for c in (0, 1))
        return jnp.stack([re[0] - im[1], re[1] + im[0]])

    def apply(self, V, u):
        return self.groups.put(V, self._times(u[0], V))

    def inverse(self, V, u):
        return self.apply(V, dagger(u))

    def generate(self, V, K):
        return self.groups.put(jnp.zeros_like(V), self._times(K[0], V))

    def transitions(self, V, W, u):
        Q = jnp.einsum("csag,dsbg->cdab", self.groups.taken(W), self.groups.taken(V))
        return jnp.stack([Q[0, 0] + Q[1, 1], Q[1, 0] - Q[0, 1]])[None]
