r"""Linear response of eigenstates to the potential, and the damped Gauss-Newton step built on it.

First-order perturbation theory: a change of the potential changes the amplitude of state s by

    δφ_s = -(H - E_s)^+ φ_s δV.

For targets t_s of one or several states, also excited ones, the residual r_s = φ_s - t_s is brought to zero by
Levenberg-Marquardt steps

    (sum_s J_s^T J_s + μ c B) δ = -sum_s J_s^T r_s,       J_s = ∂φ_s/∂V,      B = 1 + l² (-d²/dx²),

c the mean diagonal of J^T J. The metric B prefers smooth steps: what the states do not determine (nodes, tails) then
stays smooth instead of growing spikes and spurious wells that would change the order of the states.

Source: K. Levenberg, Q. Appl. Math. 2, 164 (1944); D. W. Marquardt, J. SIAM 11, 431 (1963).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback import linalg
from pullback.schrodinger._kinetic import Kinetic

_NEVER_SINGULAR = 1e-16  # relative to the mean diagonal: a constant potential changes no state


def response(
    potential: Float[Array, " n"], kinetic: Kinetic, states: tuple[int, ...]
) -> tuple[Float[Array, "states n"], Float[Array, "states n n"]]:
    """Weighted amplitudes φ_s = sqrt(w) ψ_s, and ∂φ_s/∂V. The signs are those of the eigensolver.

    Args:
        potential: V at the points, in hartree.
        kinetic: from `kinetic`.
        states: the states s, counted from 0.
    """
    energies, phi = linalg.eigh(kinetic.matrix() + jnp.diag(potential))
    chosen = jnp.asarray(states)
    gaps = energies - energies[chosen][:, None]
    inverse = jnp.where(gaps == 0, 0, 1 / jnp.where(gaps == 0, 1, gaps))
    amplitudes = phi[:, chosen].T
    return amplitudes, -jnp.einsum("ik,sk,jk,sj->sij", phi, inverse, phi, amplitudes, optimize="optimal")


class NormalEquations(eqx.Module):
    """The linear equations of a damped Gauss-Newton step.

    Attributes:
        matrix: sum_s J_s^T J_s, plus the regulariser.
        gradient: sum_s J_s^T r_s, plus the regulariser's: half the gradient of the sum of squares.
        scale: mean diagonal of sum_s J_s^T J_s.
        metric: B, in which the step is short.
    """

    matrix: Float[Array, "n n"]
    gradient: Float[Array, " n"]
    scale: Float[Array, ""]
    metric: Float[Array, "n n"]

    def step(self, damping: Float[Array, ""]) -> Float[Array, " n"]:
        """The step δ with (matrix + damping · scale · metric) δ = -gradient."""
        damped = self.matrix + self.scale * (damping * self.metric + _NEVER_SINGULAR * jnp.eye(self.gradient.size))
        return jax.scipy.linalg.solve(damped, -self.gradient, assume_a="pos")


def normal_equations(
    potential: Float[Array, " n"],
    targets: Float[Array, "states n"],
    kinetic: Kinetic,
    states: tuple[int, ...],
    *,
    regulariser: Float[Array, "n n"],
    metric: Float[Array, "n n"],
) -> NormalEquations:
    """Those of the mismatch sum_s |φ_s - t_s|² + V·regulariser·V at `potential`; φ_s with the sign nearest to t_s.

    Args:
        potential: V at the points, in hartree.
        targets: weighted amplitudes t_s.
        kinetic: from `kinetic`.
        states: which states the targets are, counted from 0.
        regulariser: symmetric, positive semidefinite.
        metric: symmetric, positive definite.
    """
    amplitudes, jacobian = response(potential, kinetic, states)
    signs = jnp.sign(jnp.sum(amplitudes * targets, axis=1))[:, None]
    residual = signs * amplitudes - targets
    jacobian = signs[..., None] * jacobian
    matrix = jnp.einsum("sij,sik->jk", jacobian, jacobian)
    return NormalEquations(
        matrix=matrix + regulariser,
        gradient=jnp.einsum("sij,si->j", jacobian, residual) + regulariser @ potential,
        scale=jnp.trace(matrix) / potential.size,
        metric=metric,
    )
