r"""H ψ in the whole space without a matrix: small matrix products on batches of neighbouring modes.

ψ is seen as an array (left, W, right), with W = d^w the states of a window of w neighbouring modes. All terms that
lie in the window are one W × W matrix, so that 20 spins take four or five products of a 32 × 32 matrix with ψ, near
the speed of arithmetic, where the terms one by one take twenty or more passes through memory. Terms that reach
further act on slices of an array (left, d, middle, d, right).

The diagonal is a sum over pairs of windows of tables of W × W numbers, spread out: no sign patterns of length d^n are
stored. Words on more modes than that are left to their sum in `operators`.
"""

import dataclasses
from functools import lru_cache, reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int

from pullback.core import linear_map
from pullback.lattices._locals import Local, model_locals, real_if_possible
from pullback.lattices._space import Space
from pullback.lattices._terms import operator_sum

_WIDEST = 32  # states of a window
_SIGN = np.array([1.0, -1.0])


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
class _Words:
    """Σ_t θ[owner_t] factors_t words_t."""

    space: Space
    words: tuple[Any, ...]
    owner: Int[np.ndarray, " terms"]
    factors: Inexact[np.ndarray, " terms"]
    real: bool

    def __call__(self, theta: Float[Array, " couplings"], x: Inexact[Array, " states"]) -> Inexact[Array, " states"]:
        dtype = theta.dtype if np.isrealobj(self.factors) else np.promote_types(theta.dtype, np.complex64)
        coefficients = theta[self.owner].astype(dtype) * jnp.asarray(self.factors, dtype)
        out = operator_sum(self.space, self.words, coefficients)(x)
        return out if jnp.iscomplexobj(x) or not self.real else out.real


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How H acts on the whole space.

    Attributes:
        sizes: states of the windows that the diagonal is made of; they cover the modes once.
        tables: of pairs of these, (k, l) with k ≤ l; for k = l a single row.
        windows: the rest of the short terms.
        distant: terms on two modes that reach further, with their coupling.
        long, long_diagonal: words on three or more modes that reach further.
    """

    space: Space
    sizes: tuple[int, ...]
    tables: tuple[_Part, ...]
    windows: tuple[_Part, ...]
    distant: tuple[tuple[int, Local], ...]
    long: _Words
    long_diagonal: _Words

    def diagonal(self, theta: Float[Array, " couplings"]) -> Float[Array, " states"]:
        total = jnp.zeros(self.sizes, theta.dtype)
        for table in self.tables:
            shape = [self.sizes[k] if k in table.start else 1 for k in range(len(self.sizes))]
            total = total + table.matrix(theta).reshape(shape)
        total = total.reshape(-1)
        return total + self.long_diagonal(theta, jnp.ones_like(total)) if self.long_diagonal.words else total

    def apply(
        self, theta: Float[Array, " couplings"], diagonal: Float[Array, " states"], psi: Inexact[Array, " states"]
    ) -> Inexact[Array, " states"]:
        """H ψ, with the diagonal made before. Differentiable; H is Hermitian, and so is its transposed product."""
        matrices = [window.matrix(theta) for window in self.windows]
        dtype = jnp.result_type(psi, *matrices, *([jnp.complex64] if self._has_complex_rest() else []))

        def product(residuals: tuple, x: Array) -> Array:
            theta, diagonal, matrices = residuals
            if jnp.iscomplexobj(x) and not any(map(jnp.iscomplexobj, matrices)) and not self._has_complex_rest():
                # A real matrix times a complex vector would be promoted to complex, at twice the cost.
                return product(residuals, x.real) + 1j * product(residuals, x.imag)
            out = diagonal * x
            for window, matrix in zip(self.windows, matrices):
                out = out + self._on_window(window.start[0], matrix, x)
            for a, local in self.distant:
                out = out + theta[a] * self._on_slices(local, x)
            return out + self.long(theta, x) if self.long.words else out

        def transposed(residuals: tuple, y: Array) -> Array:
            return product(residuals, y.conj()).conj()

        return linear_map(product, transposed, (theta, diagonal, matrices), psi.astype(dtype))

    def _has_complex_rest(self) -> bool:
        return not self.long.real or any(not local.is_real for _, local in self.distant)

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
        ((i, j), whole), *_ = local.blocks
        parts = x.reshape(d**i, d, d ** (j - i - 1), d, d ** (n - 1 - j))
        matrix = whole.reshape(d, d, d, d)
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
    short, distant, long, long_diagonal = [], [], [], []
    for a, term in enumerate(model_locals(space, key, make_terms)):
        for local in term:
            modes, matrix = local.modes, local.blocks[0].matrix
            near = len(local.blocks) == 1 and (not modes or modes[-1] - modes[0] < width)
            if not near and not _on_two_modes(local):
                for word, value in local.words:
                    straight = all(np.array_equal(m, np.diag(np.diag(m))) for m in word.factors()[0].values())
                    (long_diagonal if straight else long).append((a, word, value, local.is_real))
                continue
            diagonal = np.diag(np.diag(matrix))
            if np.any(diagonal):
                blocks = tuple(sorted({mode // width for mode in modes})) or (0,)
                tables.setdefault(blocks, []).append((a, _table(space, width, blocks, local)))
            if np.any(matrix - diagonal):
                block = local.blocks[0]._replace(matrix=matrix - diagonal)
                (short if near else distant).append((a, local._replace(blocks=(block,))))
    parts = tuple(_part(blocks, entries) for blocks, entries in tables.items())
    windows = tuple(_windows(space, width, short))
    return Plan(space, sizes, parts, windows, tuple(distant), _words(space, long), _words(space, long_diagonal))


def _on_two_modes(local: Local) -> bool:
    modes = local.blocks[0].modes
    return len(local.blocks) == 1 and len(modes) == 2 and local.string in ((), tuple(range(modes[0] + 1, modes[1])))


def _words(space: Space, entries: list) -> _Words:
    factors = np.array([value for _, _, value, _ in entries])
    real = all(real for _, _, _, real in entries)
    owner = np.array([a for a, _, _, _ in entries], int)
    return _Words(space, tuple(word for _, word, _, _ in entries), owner, real_if_possible(factors), real)


def _part(start: tuple[int, ...], entries: list[tuple[int, np.ndarray]]) -> _Part:
    constants = np.stack([constant for _, constant in entries])
    return _Part(start, np.array([a for a, _ in entries]), real_if_possible(constants))


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
    d, own, window = space.levels, local.blocks[0].modes, range(start, stop)
    others = [mode for mode in window if mode not in own]
    signs = reduce(np.kron, [_SIGN if mode in local.string else np.ones(d) for mode in others], np.ones(1))
    order = [*own, *others]
    axes = [order.index(mode) for mode in window]
    whole = np.kron(local.blocks[0].matrix, np.diag(signs)).reshape((d,) * (2 * len(axes)))
    return whole.transpose(axes + [len(axes) + axis for axis in axes]).reshape(d ** len(axes), -1)


def _table(space: Space, width: int, blocks: tuple[int, ...], local: Local) -> np.ndarray:
    """The diagonal of an operator on the states of one or two windows."""
    d, own = space.levels, local.blocks[0].modes
    modes = [m for block in blocks for m in range(block * width, min((block + 1) * width, space.modes))]
    values = np.diag(local.blocks[0].matrix).reshape([d if m in own else 1 for m in modes])
    for axis, mode in enumerate(modes):
        if mode in local.string:
            values = values * _SIGN.reshape([2 if k == axis else 1 for k in range(len(modes))])
    full = np.broadcast_to(values, (d,) * len(modes))
    first = min(width, space.modes - blocks[0] * width)
    return full.reshape(1 if len(blocks) == 1 else d**first, -1)
