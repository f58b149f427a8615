"""The least-squares problem of several or excited states."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.schrodinger._design import Design, distance
from pullback.schrodinger._response import NormalEquations, normal_equations


@dataclasses.dataclass(frozen=True, eq=False)
class AmplitudeMismatch:
    """V -> Σ_s ∫(ψ_s − t_s)² dx + λ∫V'² dx, with the equations of its damped Gauss-Newton steps.

    Attributes:
        design: the targets t_s, on a line.
        smoothness: λ.
    """

    design: Design
    smoothness: float = 0.0

    def __call__(self, potential: Float[Array, " n"]) -> Float[Array, ""]:
        _, found = self.design.solve(potential)
        return distance(found, self.design.amplitudes, "amplitude") + self.smoothness * self.design.roughness(potential)

    def equations(self, potential: Float[Array, " n"]) -> NormalEquations:
        """Those at `potential`; steps are smooth where the states do not determine V."""
        design, weights, roughness = self.design, self.design.kinetic.grid.weights, self.design.roughness_matrix()
        return normal_equations(
            potential,
            design.amplitudes,
            design.kinetic,
            design.states,
            regulariser=self.smoothness * roughness,
            metric=(jnp.diag(weights) + design.length() ** 2 * roughness) / jnp.mean(weights),
        )
