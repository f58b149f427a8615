"""exp(−i t H) on the state without a matrix, for Hamiltonians whose strings do not commute."""

import jax
import jax.numpy as jnp
import numpy as np

from pullback.circuits._engine._layout import Layout, Move, permute
from pullback.krylov import expm_multiply
from pullback.operators import PauliString, PauliSum, Terms


class Evolution:
    """The data `u` of a step are (1, 1 + terms): the time and the coefficients. K stands for their tangents."""

    def __init__(self, n: int, strings: tuple[PauliString, ...], conjugate: bool, layout: Layout):
        self.n, self.strings, self.conjugate = n, strings, conjugate
        self.move = Move.between(layout, np.arange(1 << n))
        self.layout = self.move.layout

    def apply(self, V, u):
        return self._evolve(permute(V, self.move.there), u)

    def inverse(self, V, u):
        return permute(self._evolve(V, u.at[0, 0].multiply(-1)), self.move.back)

    def tangent(self, V, dV, u, K):
        return jax.jvp(self.apply, (V, u), (dV, K))

    def untangent(self, V, dV, u, K):
        return jax.jvp(self.inverse, (V, u), (dV, K))

    def pull(self, V, W, u):
        V = self.inverse(V, u)
        _, pull = jax.vjp(self.apply, V, u)
        return V, *pull(W)

    def transitions(self, V, W, u):
        raise NotImplementedError("times and coefficients cannot leave the unitary matrices")

    def _evolve(self, V, u):
        H, t = PauliSum(self.n, Terms(self.strings, u[0, 1:])), -1j * u[0, 0]
        if self.conjugate:
            psi = jnp.conj(expm_multiply(H, V[0] - 1j * V[1], t, hermitian=True))
        else:
            psi = expm_multiply(H, V[0] + 1j * V[1], t, hermitian=True)
        return jnp.stack([psi.real, psi.imag]).astype(V.dtype)
