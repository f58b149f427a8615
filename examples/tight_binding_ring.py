# %% [markdown]
# # Response of a half-filled ring
#
# A tight-binding ring of n sites has levels −2t cos(2πk/n), in degenerate pairs. At half filling the energy, the
# density matrix and every response function are smooth in the Hamiltonian, but plain AD through `jnp.linalg.eigh`
# divides by the zero gaps inside the pairs. Here: the static density response χ_ij = ∂n_i/∂v_j of a ring of 14 sites,
# 7 filled (a closed shell), and its checks.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb

n = 14
hop = jnp.roll(jnp.eye(n), 1, axis=0)
ring = -(hop + hop.T)


def density(v):
    """Site occupations of the n/2 lowest orbitals in the potential v (spinless electrons)."""
    _, states = pb.linalg.eigh(ring + jnp.diag(v))
    return jnp.sum(states[:, : n // 2] ** 2, axis=1)


chi = jax.jacrev(density)(jnp.zeros(n))

# %% [markdown]
# The exact answer from plane waves: χ_q = (2/n) Σ over occupied k and empty k+q of 1/(ε_k − ε_{k+q}).

# %%
k = 2 * np.pi * np.arange(n) / n
energy = -2 * np.cos(k)
occupied = energy < 0
exact = np.zeros(n)
for q in range(n):
    shifted = (np.arange(n) + q) % n
    pairs = occupied & ~occupied[shifted]
    exact[q] = 2 / n * np.sum(1 / (energy[pairs] - energy[shifted][pairs]))

found = jnp.fft.fft(chi[0]).real
print("chi_q found:", np.round(found, 6))
print("chi_q exact:", np.round(exact, 6))
assert np.allclose(found, exact, atol=1e-12)
assert np.allclose(chi, chi.T, atol=1e-12)
assert np.allclose(chi.sum(axis=0), 0, atol=1e-12)  # a constant potential moves no charge

# %% [markdown]
# Plain JAX at the same point:

# %%
plain = jax.jacrev(lambda v: jnp.sum(jnp.linalg.eigh(ring + jnp.diag(v))[1][:, : n // 2] ** 2, axis=1))(jnp.zeros(n))
print("largest error of jnp.linalg.eigh:", np.nanmax(np.abs(plain - chi)), "NaN:", bool(jnp.isnan(plain).any()))
