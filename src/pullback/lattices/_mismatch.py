r"""How far a Hamiltonian is from what is asked of it: distances of spectra, and of ground states.

**Spectra.** With both spectra in ascending order, the distance of the levels one by one,

    level_mismatch = 1/m Σ_k (w_k − t_k)²,

is the least over all pairings. Where the levels of a multiplet are paired with equal target levels it is smooth in
the Hamiltonian. Where a target *splits* a multiplet w_1 = … = w_d it has a kink, and always one that helps: to first
order −2 Σ_k t_k dw_k, with dw the ascending eigenvalues of dH inside the multiplet, is a concave function of dH
(a sum of Ky Fan's minima with positive weights). Any basis of the multiplet gives a supergradient g there, and along
−g the loss falls by at least |g|² to first order: a degeneracy is a ridge to step down from, not a valley to be
caught in. The one exception is a cut through a multiplet, some of whose levels are compared and others not: there
the kink can be a valley, but never at a solution, where all differences vanish.

The landscape still has many minima, in each of which levels are paired up that do not belong together.

    broadened_mismatch = ∫ (ρ_w(E) − ρ_t(E))² dE / norm,    ρ_w(E) = 1/m Σ_k exp(−(E − w_k)² / 2σ²),

compares what an instrument of resolution σ sees. It pairs nothing, is a symmetric function of the levels (so smooth
across any degeneracy, if all levels take part), and for large σ has few minima. Followed from large σ to small, it
leads into the right valley far more often.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.linalg import eigh


def level_mismatch(w: Float[ArrayLike, " m"], target: Float[ArrayLike, " m"]) -> Float[Array, ""]:
    """Mean squared difference of two spectra, level by level; both in ascending order, in energy squared."""
    return jnp.mean((jnp.asarray(w) - jnp.asarray(target)) ** 2)


def broadened_mismatch(w: Float[ArrayLike, " m"], target: Float[ArrayLike, " m"], width: ArrayLike) -> Float[Array, ""]:
    """Squared distance of two spectra seen through a Gaussian of standard deviation `width`; without unit.

    Normalised so that a single level far from the target's single level gives 2.
    """
    w, target = jnp.asarray(w), jnp.asarray(target)

    def overlap(a: Array, b: Array) -> Array:
        return jnp.mean(jnp.exp(-(((a[:, None] - b[None, :]) / (2 * width)) ** 2)))

    return overlap(w, w) - 2 * overlap(w, target) + overlap(target, target)


def ground_state_mismatch(
    matrix: Inexact[Array, "states states"], target: Inexact[ArrayLike, " states"]
) -> Float[Array, ""]:
    """1 − |⟨ψ0|t⟩| for the ground state ψ0 of a Hamiltonian and a normalised state t.

    A degenerate ground state is not one state: the value is then that of one vector of the multiplet, whichever the
    diagonalisation returns, and the derivative keeps to it. (Projecting t on the whole multiplet would have a meaning,
    but would make level crossings attractive, where no ground state is that close to t.)
    """
    _, v = eigh(matrix)
    return 1 - jnp.abs(jnp.vdot(v[:, 0], jnp.asarray(target)))
