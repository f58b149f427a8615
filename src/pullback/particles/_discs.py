r"""Soft discs in a periodic box, which repel each other where they overlap:

    E = Σ_{i<j} ½ max(0, 1 − r_ij/σ_ij)²,        σ_ij = (σ_i + σ_j)/2.

Energies are in units of the stiffness ε, lengths in any unit. The energy has continuous first derivatives; the second
ones jump where a contact opens or closes.

Source: C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from pullback.core import InputError


class SoftDiscs(eqx.Module):
    """Discs of given diameters in a periodic box, and the pairs of them that may touch.

    Diameters and box are differentiable leaves. A pair interacts through its nearest images only; so no diameter may
    exceed half of the box.

    Attributes:
        diameters: shape (n,).
        box: side of the square box, or its two sides, shape (2,).
        pairs: i < j of the pairs that the energy sums over, shape (pairs, 2).

    Examples:
        >>> import jax.numpy as jnp, pullback as pb
        >>> discs = pb.particles.SoftDiscs(jnp.array([1.0, 1.0]), 4.0)
        >>> float(discs.energy(jnp.array([[0.1, 0.0], [3.6, 0.0]])))  # at distance 1/2 across the boundary
        0.125
    """

    diameters: Float[Array, " n"]
    box: Float[Array, ""] | Float[Array, "2"]
    pairs: Int[Array, "pairs 2"]

    def __init__(self, diameters: Float[Array, " n"], box: Float[Array, "..."] | float):
        """All pairs may touch; `near` makes the list short.

        Raises:
            InputError: fewer than two discs; a diameter or the box is not positive and finite; a diameter is more than
                half of the box; the box has not one or two sides.
        """
        self.diameters = jnp.asarray(diameters)
        self.box = jnp.asarray(box, self.diameters.dtype)
        if self.diameters.ndim != 1 or self.diameters.size < 2:
            raise InputError(f"SoftDiscs: needs the diameters of two or more discs, got shape {self.diameters.shape}")
        if self.box.shape not in ((), (2,)):
            raise InputError(f"SoftDiscs: box must be one side or two, got shape {self.box.shape}")
        self.pairs = jnp.stack(jnp.triu_indices(self.diameters.size, 1), axis=1)
        if not isinstance(self.diameters, Tracer) and not isinstance(self.box, Tracer):
            _check(np.asarray(self.diameters), np.asarray(self.box))

    def separations(self, x: Float[Array, "n 2"]) -> Float[Array, "pairs 2"]:
        """x_i − x_j of the nearest images of each pair."""
        d = x[self.pairs[:, 0]] - x[self.pairs[:, 1]]
        box = jnp.broadcast_to(self.box, (1, 2))
        return d - box * jax.lax.stop_gradient(jnp.round(d / box))

    def overlaps(self, x: Float[Array, "n 2"]) -> Float[Array, " pairs"]:
        """1 − r_ij/σ_ij of each pair: positive if they touch, the force in units of ε/σ_ij, else minus the gap."""
        square = jnp.sum(self.separations(x) ** 2, axis=1)
        apart = square != 0
        r = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1)), 0)  # coincident discs feel no force
        return 1 - 2 * r / jnp.sum(self.diameters[self.pairs], axis=1)

    def energy(self, x: Float[Array, "n 2"]) -> Float[Array, ""]:
        """E at the positions x."""
        overlap = self.overlaps(x)
        return jnp.sum(jnp.where(overlap <= 0, 0, overlap) ** 2) / 2  # NaN stays

    def force(self, x: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        """−∂E/∂x."""
        return -jax.grad(self.energy)(x)

    def pressure(self, x: Float[Array, "n 2"]) -> Float[Array, ""]:
        """−dE/dA when box and positions are scaled alike: Σ f_ij r_ij / 2A, in units of ε per area."""

        def scaled(s):
            return eqx.tree_at(lambda discs: discs.box, self, s * self.box).energy(s * x)

        return -jax.grad(scaled)(jnp.ones((), x.dtype)) / (2 * self.area)

    @property
    def area(self) -> Float[Array, ""]:
        """Of the box."""
        return jnp.prod(jnp.broadcast_to(self.box, (2,)))

    @property
    def packing_fraction(self) -> Float[Array, ""]:
        """Areas of the discs over that of the box; overlaps count twice."""
        return jnp.pi / 4 * jnp.sum(self.diameters**2) / self.area

    def grown(self, by: Float[Array, " n"]) -> "SoftDiscs":
        """The same with diameters + by."""
        return eqx.tree_at(lambda discs: discs.diameters, self, self.diameters + by)

    def near(self, x: Float[Array, "n 2"], reach: float) -> "SoftDiscs":
        """The same with only those pairs, of the ones it has, that are closer than (1 + reach) σ_ij at x.

        How many there are depends on x, so this is for concrete positions, not inside `jit`.
        """
        return eqx.tree_at(lambda discs: discs.pairs, self, self.pairs[np.asarray(self.overlaps(x)) > -reach])


def _check(diameters: np.ndarray, box: np.ndarray) -> None:
    if not (np.isfinite(box).all() and (box > 0).all()):
        raise InputError(f"SoftDiscs: the box must be positive and finite, got {box.tolist()}")
    bad = np.flatnonzero(~(np.isfinite(diameters) & (diameters > 0)))
    if bad.size:
        raise InputError(
            f"SoftDiscs: diameter {diameters[bad[0]]} of disc {bad[0] + 1}: diameters must be positive and finite"
        )
    if diameters.max() > box.min() / 2:
        raise InputError(
            f"SoftDiscs: diameter {diameters.max():g} in a box of {box.min():g}: no diameter may exceed half of the "
            "box, or a disc touches several images of another; repeat the packing in a larger box"
        )
