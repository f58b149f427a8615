r"""The convex functional behind the inverse problem of a ground state, and Newton's step for it.

For a target amplitude t (normalised, t = sqrt(w ρ)) and a potential V with ground state (E, φ), the excess energy

    W[V] = <t| K + V |t> - E[V]  >= 0

vanishes exactly where t is the ground state (Rayleigh-Ritz). It is convex, since E[V] is concave: no potential but
the right one, up to a constant, is a minimum, wherever one starts. (W is Lieb's functional F[ρ] = sup_V {E - ∫Vρ}
seen from its supremum, and the objective of Wu and Yang's inversion of the Kohn-Sham equations.) Hellmann-Feynman and
second-order perturbation theory give

    ∂W/∂V = t² - φ²,        ∂²W/∂V∂V' = 2 φ (H - E)^+ φ'.

The Hessian is dense, but its inverse is local: the step δ with Hessian·δ = -(t² - φ²) is

    δ = -½ φ^{-1} (H - E) φ^{-1} (t² - φ²),

one application of H. So a step of Newton's method costs one eigenproblem. Where φ is far below t (a start that is too
narrow) t takes its place in φ^{-1}: the step remains a descent step, since H - E is positive, and the same near the
solution, but is not made of rounding errors.

Sources: E. H. Lieb, Int. J. Quantum Chem. 24, 243 (1983); Q. Wu and W. Yang, J. Chem. Phys. 118, 2498 (2003).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.schrodinger._eigenstates import weighted_eigenstates
from pullback.schrodinger._kinetic import Kinetic


def excess_energy(potential: Float[Array, " n"], target: Float[Array, " n"], kinetic: Kinetic) -> Float[Array, ""]:
    """W[V] = <t|K + V|t> - E0[V], by how much the target's energy exceeds the ground state's; convex in V.

    Args:
        potential: V at the points, in hartree.
        target: weighted amplitude t = sqrt(w ρ), with sum t² = 1.
        kinetic: from `kinetic`.

    Returns:
        W in hartree, never negative; accurate relative to W itself however small it is, since it is computed as
        <t - φ| H - E |t - φ>.
    """
    return _excess_energy(potential, target, kinetic)[0]


def newton_step(
    potential: Float[Array, " n"], target: Float[Array, " n"], kinetic: Kinetic
) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""]]:
    """The excess energy, Newton's step for it, and the slope of the excess energy along that step.

    Args:
        potential: as for `excess_energy`.
        kinetic: as for `excess_energy`.
        target: as for `excess_energy`; it must be positive, or there is no finite
            potential to be found.
    """
    (excess, (energy, ground)), gradient = jax.value_and_grad(_excess_energy, has_aux=True)(potential, target, kinetic)
    scale = jnp.maximum(jnp.abs(ground), target)
    pulled = gradient / scale
    step = -(kinetic.apply(pulled) + (potential - energy) * pulled) / (2 * scale)
    return excess, step, gradient @ step


def _excess_energy(
    potential: Float[Array, " n"], target: Float[Array, " n"], kinetic: Kinetic
) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, " n"]]]:
    """The excess energy, and the ground state it was computed from."""
    energies, phi = weighted_eigenstates(potential, kinetic, 1)
    ground = phi[:, 0] * jnp.sign(target @ phi[:, 0])
    difference = target - ground
    excess = difference @ (kinetic.apply(difference) + (potential - energies[0]) * difference)
    return excess, (energies[0], ground)
