"""The usual glass former: half small, half large discs, at random in a box."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pullback.core import InputError
from pullback.particles._discs import SoftDiscs


def bidisperse(n: int, packing_fraction: float, *, ratio: float = 1.4) -> SoftDiscs:
    """n discs, the first half (rounded up) of diameter 1, the others of diameter `ratio`, in a square box.

    The side of the box follows from the packing fraction. Mixtures of ratio 1.4 do not crystallise; they jam at packing
    fractions of about 0.84 (O'Hern et al., Phys. Rev. E 68, 011306 (2003)).

    Raises:
        InputError: packing fraction or ratio is not positive and finite, or the discs are too few for their box.
    """
    if not (0 < packing_fraction < math.inf and 0 < ratio < math.inf):
        raise InputError(
            f"bidisperse: packing_fraction={packing_fraction}, ratio={ratio}: both must be positive and finite"
        )
    diameters = np.where(np.arange(n) < (n + 1) // 2, 1.0, ratio)
    side = math.sqrt(math.pi / 4 * float(np.sum(diameters**2)) / packing_fraction)
    return SoftDiscs(jnp.asarray(diameters), side)


def random_positions(discs: SoftDiscs, seed: int) -> Float[Array, "n 2"]:
    """Independent and uniform in the box; the same seed gives the same positions."""
    unit = np.random.default_rng(seed).uniform(size=(discs.diameters.size, 2))
    return jnp.asarray(unit, discs.diameters.dtype) * discs.box
