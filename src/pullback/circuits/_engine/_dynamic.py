"""Kernels whose step is data: one program for circuits without repetition, of any length.

Masks and bits are numbers that the scan is given with the matrices, so that tables are made on the fly. A segment
that contains matrices on k qubits carries them, padded, beside the 2x2 matrices, and a switch takes the right one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pullback.circuits._engine._kernels import Generated, Tables, apply_pair, dagger, pair_transitions
from pullback.circuits._engine._keys import PAIR, Key, matrix_key


class Steps(NamedTuple):
    """The data of a step.

    Attributes:
        matrices: by key, (2, 2, 2) of pairs and (2, d, d) for each size.
        fixed: "masks" (5,), the fields of `Masks`; "bits" (largest size,), of matrices; "which": 0 for a pair, else
            1 + the position of the size among `sizes`.
    """

    matrices: dict[Key, Any]
    fixed: dict[str, Any]


class Dynamic(Generated):
    """One step: a pair operation, or a matrix on some number of qubits. Its data are `Steps`, its cotangents a dict."""

    def __init__(self, n: int, sizes: tuple[int, ...]):
        self.n, self.sizes = n, sizes

    def apply(self, V, u):
        return self._times(V, u, 1.0)

    def inverse(self, V, u):
        return self.apply(V, u._replace(matrices={key: dagger(m) for key, m in u.matrices.items()}))

    def generate(self, V, K):
        return self._times(V, K, 0.0)

    def transitions(self, V, W, u):
        zeros = {key: jnp.zeros_like(m) for key, m in u.matrices.items()}

        def pair(V, W, u):
            return {**zeros, PAIR: pair_transitions(V, W, self._tables(u))}

        def dense(k):
            def of_size(V, W, u):
                row, partners, active = self._places(u, k)
                rows = ((jnp.arange(1 << k)[:, None] == row) & active).astype(V.dtype)
                Q = jnp.einsum("an,csn,dsnb->cdab", rows, W, V[..., partners])
                return {**zeros, matrix_key(k): jnp.stack([Q[0, 0] + Q[1, 1], Q[1, 0] - Q[0, 1]])}

            return of_size

        return self._switch(u, pair, dense, V, W, u)

    def _times(self, V, u, elsewhere):
        """The step's matrix times the state; `elsewhere` times the state where it does not act."""

        def pair(V, u):
            return apply_pair(V, u.matrices[PAIR], self._tables(u), elsewhere)

        def dense(k):
            return lambda V, u: self._dense(V, u.matrices[matrix_key(k)], u, k, elsewhere)

        return self._switch(u, pair, dense, V, u)

    def _switch(self, u, pair, dense, *operands):
        """The branch that the step takes: `pair`, which may not occur in the segment, or `dense(k)`."""
        branches = [pair] * (PAIR in u.matrices) + [dense(k) for k in self.sizes]
        if len(branches) == 1:
            return branches[0](*operands)
        return jax.lax.switch(u.fixed["which"] - (PAIR not in u.matrices), branches, *operands)

    def _tables(self, u):
        m, x, s, controls, values = u.fixed["masks"]
        i = jnp.arange(1 << self.n, dtype=jnp.int32)
        b = (jax.lax.population_count(i & m) & 1).astype(bool)
        sign = 1 - 2 * (jax.lax.population_count(i & s) & 1)
        return Tables(b, (i & controls) == values, sign.astype(u.matrices[PAIR].dtype), i ^ x)

    def _places(self, u, k):
        """For each amplitude its row of the matrix, the amplitudes of all columns (N, d), and whether it changes."""
        i = jnp.arange(1 << self.n, dtype=jnp.int32)
        a = jnp.arange(1 << k, dtype=jnp.int32)
        row, offsets, mask = jnp.zeros_like(i), jnp.zeros_like(a), jnp.int32(0)
        for j in range(k):
            bit = u.fixed["bits"][j]
            row = row | (((i >> bit) & 1) << j)
            offsets = offsets | (((a >> j) & 1) << bit)
            mask = mask | (1 << bit)
        _, _, _, controls, values = u.fixed["masks"]
        return row, (i & ~mask)[:, None] | offsets, (i & controls) == values

    def _dense(self, V, matrix, u, k, elsewhere):
        row, partners, active = self._places(u, k)
        X = V[..., partners]
        rows = matrix[:, row]  # (2, N, d)
        re = jnp.einsum("nb,csnb->csn", rows[0], X)
        im = jnp.einsum("nb,csnb->csn", rows[1], X)
        return jnp.where(active, jnp.stack([re[0] - im[1], re[1] + im[0]]), elsewhere * V).astype(V.dtype)
