r"""H ψ in the whole space without a matrix: small matrix products on batches of neighbouring modes.

ψ is seen as an array (left, W, right), with W = d^w the states of a window of w neighbouring modes. All terms that
lie in the window are one W × W matrix, so that 20 spins take four or five products of a 32 × 32 matrix with ψ, near
the speed of arithmetic, where the terms one by one take twenty or more passes through memory. Terms that reach
further act on slices of an array (left, d, middle, d, right).

The diagonal is a sum over pairs of windows of tables of W × W numbers, spread out: no sign patterns of length d^n are
stored.
"""

import dataclasses
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int

from pullback.core import linear_map
from pullback.lattices._space import Space
from pullback.lattices._terms import Local

_WIDEST = 32  # states of a window


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """Σ_t θ[owner_t] constants_t: the matrix of a window that starts at `start`, or the table of a pair of windows."""

    start: tuple[int, ...]
    owner: Int[np.ndarray, " terms"]
    constants: Inexact[np.ndarray, "terms rows columns"]

    def matrix(self, theta: Float[Array, " couplings"]) -> Inexact[Array, "rows columns"]:
        dtype = jnp.result_type(theta.dtype, jnp.complex64) if np.iscomplexobj(self.constants) else theta.dtype
        return jnp.tensordot(theta[self.owner].astype(dtype), jnp.asarray(self.constants, dtype), 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How H acts on the whole space.

    Attributes:
        sizes: states of the windows that the diagonal is made of; they cover the modes once.
        tables: of pairs of these, (k, l) with k ≤ l; for k = l a single row.
        windows: the rest of the short terms.
        distant: terms that reach further, with their coupling.
    """

    space: Space
    sizes: tuple[int, ...]
    tables: tuple[_Part, ...]
    windows: tuple[_Part, ...]
    distant: tuple[tuple[int, Local], ...]

    def diagonal(self, theta: Float[Array, " couplings"]) -> Float[Array, " states"]:
        total = jnp.zeros(self.sizes, theta.dtype)
        for table in self.tables:
            shape = [self.sizes[k] if k in table.start else 1 for k in range(len(self.sizes))]
            total = total + table.matrix(theta).reshape(shape)
        return total.reshape(-1)

    def apply(
        self, theta: Float[Array, " couplings"], diagonal: Float[Array, " states"], psi: Inexact[Array, " states"]
    ) -> Inexact[Array, " states"]:
        """H ψ, with the diagonal made before. Differentiable; H is Hermitian, and so is its transposed product."""
        matrices = [window.matrix(theta) for window in self.windows]
        dtype = jnp.result_type(psi, *matrices, *(local.matrix.dtype for _, local in self.distant if _complex(local)))

        def product(residuals: tuple, x: Array) -> Array:
            theta, diagonal, matrices = residuals
            if jnp.iscomplexobj(x) and not any(map(jnp.iscomplexobj, matrices)) and not self._has_complex_slices():
                # A real matrix times a complex vector would be promoted to complex, at twice the cost.
                return product(residuals, x.real) + 1j * product(residuals, x.imag)
            out = diagonal * x
            for window, matrix in zip(self.windows, matrices):
                out = out + self._on_window(window.start[0], matrix, x)
            for a, local in self.distant:
                out = out + theta[a] * self._on_slices(local, x)
            return out

        def transposed(residuals: tuple, y: Array) -> Array:
            return product(residuals, y.conj()).conj()

        return linear_map(product, transposed, (theta, diagonal, matrices), psi.astype(dtype))

    def _has_complex_slices(self) -> bool:
        return any(_complex(local) for _, local in self.distant)

    def _on_window(self, start: int, matrix: Array, x: Array) -> Array:
        left, width = self.space.levels**start, matrix.shape[0]
        if left * width == x.size:
            return (x.reshape(left, width) @ matrix.T).reshape(-1)
        if left == 1:
            return (matrix @ x.reshape(width, -1)).reshape(-1)
        parts = x.reshape(left, width, -1)
        if width > parts.shape[2]:
            return jnp.einsum("ab,lbr->lar", matrix, parts).reshape(-1)
        # One matrix for each of the left states: no more memory than ψ, and twice as fast as einsum, which transposes.
        return jnp.matmul(jnp.broadcast_to(matrix, (left, width, width)), parts).reshape(-1)

    def _on_slices(self, local: Local, x: Array) -> Array:
        d, n = self.space.levels, self.space.modes
        i, j = local.modes
        parts = x.reshape(d**i, d, d ** (j - i - 1), d, d ** (n - 1 - j))
        matrix = local.matrix.reshape(d, d, d, d)
        rows = []
        for a, b in np.ndindex(d, d):
            row = jnp.zeros_like(parts[:, 0, :, 0])
            for c, e in zip(*np.nonzero(matrix[a, b])):
                row = row + (matrix[a, b, c, e] * parts[:, c, :, e]).astype(x.dtype)
            rows.append(row)
        out = jnp.stack([jnp.stack(rows[a * d : (a + 1) * d], axis=2) for a in range(d)], axis=1)
        if local.string:
            middle = jnp.arange(d ** (j - i - 1))
            out = out * (1 - 2 * (jnp.bitwise_count(middle).astype(x.dtype) % 2))[:, None, None]
        return out.reshape(-1)


@lru_cache(maxsize=32)
def plan(space: Space, key: tuple[Any, ...], make_terms) -> Plan:
    """The plan for the terms that `make_terms(*key)` lists."""
    width = max(1, int(np.log(_WIDEST + 0.5) / np.log(space.levels)))
    starts = list(range(0, space.modes, width))
    sizes = tuple(space.levels ** min(width, space.modes - start) for start in starts)
    tables: dict[tuple[int, ...], list] = {}
    short, distant = [], []
    for a, term in enumerate(make_terms(*key)):
        for local in term:
            diagonal = np.diag(np.diag(local.matrix))
            if np.any(diagonal):
                blocks = tuple(sorted({mode // width for mode in local.modes}))
                tables.setdefault(blocks, []).append((a, _table(space, width, blocks, local)))
            rest = local._replace(matrix=local.matrix - diagonal)
            if not np.any(rest.matrix):
                continue
            if local.modes[-1] - local.modes[0] < width:
                short.append((a, rest))
            else:
                distant.append((a, rest))
    parts = tuple(_part(blocks, entries) for blocks, entries in tables.items())
    return Plan(space, sizes, parts, tuple(_windows(space, width, short)), tuple(distant))


def _part(start: tuple[int, ...], entries: list[tuple[int, np.ndarray]]) -> _Part:
    constants = np.stack([constant for _, constant in entries])
    if not np.any(np.imag(constants)):
        constants = np.real(constants)
    return _Part(start, np.array([a for a, _ in entries]), constants)


def _windows(space: Space, width: int, short: list[tuple[int, Local]]) -> list[_Part]:
    """Windows that cover all short terms, each term in one of them."""
    out = []
    left = sorted(short, key=lambda entry: entry[1].modes)
    while left:
        start = min(left[0][1].modes[0], space.modes - min(width, space.modes))
        stop = start + min(width, space.modes)
        inside = [entry for entry in left if entry[1].modes[-1] < stop]
        left = [entry for entry in left if entry[1].modes[-1] >= stop]
        out.append(_part((start,), [(a, _embedded(space, start, stop, local)) for a, local in inside]))
    return out


def _embedded(space: Space, start: int, stop: int, local: Local) -> np.ndarray:
    """The operator as a matrix on the modes of a window."""
    d = space.levels
    first, last = local.modes[0], local.modes[-1]
    if len(local.modes) == 1:
        middle = local.matrix
    else:
        parity = np.diag([1.0, -1.0]) if local.string else np.eye(d)
        between = np.eye(1)
        for _ in range(last - first - 1):
            between = np.kron(between, parity)
        size = between.shape[0]
        factors = np.einsum("abce,mn->ambcne", local.matrix.reshape(d, d, d, d), between)
        middle = factors.reshape(d * size * d, -1)
    return np.kron(np.kron(np.eye(d ** (first - start)), middle), np.eye(d ** (stop - 1 - last)))


def _table(space: Space, width: int, blocks: tuple[int, ...], local: Local) -> np.ndarray:
    """The diagonal of an operator on the states of one or two windows."""
    d = space.levels
    values = np.diag(local.matrix).reshape((d,) * len(local.modes))
    modes = [m for block in blocks for m in range(block * width, min((block + 1) * width, space.modes))]
    shape = [d if m in local.modes else 1 for m in modes]
    full = np.broadcast_to(values.reshape(shape), (d,) * len(modes))
    first = min(width, space.modes - blocks[0] * width)
    return full.reshape(1 if len(blocks) == 1 else d**first, -1)


def _complex(local: Local) -> bool:
    return np.iscomplexobj(local.matrix)
