"""Channels on pure states: each state takes one of the branches, at random.

Of ρ → Σ_m w_m A_m ρ A_m† a state takes branch m with probability p_m = w_m |A_m ψ|² / |ψ|², and becomes

    ψ' = √(w_m / q_m) A_m ψ,          q_m = p_m, but a constant for derivatives.

Its norm stays what it was, but the derivative of the norm does not: it is that of the probability. As the average of
|ψ'⟩⟨ψ'| over draws from *any* q is Σ_m w_m A_m |ψ⟩⟨ψ| A_m†, means of ⟨ψ'|H|ψ'⟩ and of all their derivatives at fixed
draws are unbiased, though the draws themselves are not differentiable (as the weights of Foerster et al. do,
arXiv:1802.05098). What has probability zero is never drawn: there, derivatives by w_m are missed.
"""

import jax
import jax.numpy as jnp

from pullback.circuits._engine._kernels import Dense, Gathered
from pullback.circuits._engine._layout import Layout


class Jump(Dense):
    """The data `u` of a step are (1, …): weights, real and imaginary parts of operators, a uniform for each state."""

    def __init__(self, bits: tuple[int, ...], branches: int, layout: Layout):
        super().__init__(Gathered.on(bits, 0, 0, layout), layout)
        self.branches, self.d = branches, 1 << len(bits)

    def apply(self, V, u):
        m, d = self.branches, self.d
        w, u = u[0, :m], u[0, m:]
        A, uniforms = u[: 2 * m * d * d].reshape(2, m, d, d), u[2 * m * d * d :]
        A = jax.lax.complex(A[0], A[1])
        X = self.groups.taken(V)
        X = jax.lax.complex(X[0], X[1])
        rho = jnp.einsum("sag,sbg->sab", X, jnp.conj(X))
        p = w * jnp.einsum("mca,mcb,sba->sm", jnp.conj(A), A, rho).real
        p = jax.lax.stop_gradient(jnp.maximum(p, 0))
        total = jnp.sum(p, -1, keepdims=True)
        passed = uniforms[:, None] * total >= jnp.cumsum(p, -1)
        last = m - 1 - jnp.argmax(p[:, ::-1] > 0, -1)  # rounding must not lead to a branch that cannot be
        branch = jnp.minimum(jnp.sum(passed, -1), last)
        q = jnp.take_along_axis(p, branch[:, None], -1) / total
        u = jnp.sqrt(w[branch] / q[:, 0])[:, None, None] * A[branch]
        Y = jnp.einsum("sab,sbg->sag", u, X)
        return self.groups.put(V, jnp.stack([Y.real, Y.imag]).astype(V.dtype))
