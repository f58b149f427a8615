"""The fit of a Hamiltonian to a spectrum: what is made small, from coarse to fine."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from pullback.lattices._mismatch import broadened_mismatch, level_mismatch
from pullback.lattices._spin_model import SpinModel
from pullback.linalg import eigvalsh


@dataclasses.dataclass(frozen=True, eq=False)
class SpectrumFit:
    """The distance of a model's lowest levels from a target's, in units of the target's standard deviation.

    Pairing levels in order makes a landscape of many minima. A fit therefore first minimises the distance as seen with
    a finite resolution, which pairs nothing and is smooth throughout, once for each of `resolutions`, and then level by
    level (resolution 0); see `level_mismatch` and `broadened_mismatch`.

    Attributes:
        target: its m levels, ascending.
        shift: whether both spectra are compared relative to their means.
        resolutions: of the first fits, in standard deviations of the target.

    Examples:
        >>> import jax.numpy as jnp
        >>> from pullback.lattices import ring
        >>> target = np.linalg.eigvalsh(SpinModel(ring(3), {"zz": -jnp.ones(3), "x": -jnp.ones(3)}).matrix())
        >>> fit = SpectrumFit(target)
        >>> float(fit.distance(SpinModel(ring(3), {"zz": -jnp.ones(3), "x": jnp.ones(3)}))) < 1e-28  # the same spectrum
        True
    """

    target: Float[np.ndarray, " m"]
    shift: bool = False
    resolutions: tuple[float, ...] = (0.5, 0.2, 0.08)

    @property
    def unit(self) -> float:
        """The standard deviation of the target's levels, a natural size of couplings."""
        return float(np.std(self.target))

    def centred(self, levels: Any) -> Any:
        """Levels as they are compared."""
        return levels - levels.mean() if self.shift else levels

    def levels(self, model: SpinModel) -> Float[Array, " m"]:
        """The model's lowest m levels, as they are compared."""
        return self.centred(eigvalsh(model.matrix())[: self.target.size])

    def distance(self, model: SpinModel, resolution: float = 0.0) -> Float[Array, ""]:
        """How far the model's levels are from the target's, seen with a resolution in standard deviations of these."""
        levels, target = self.levels(model) / self.unit, self.centred(self.target) / self.unit
        return broadened_mismatch(levels, target, resolution) if resolution else level_mismatch(levels, target)
