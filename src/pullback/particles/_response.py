"""How a packing at rest moves when its discs grow, with certificates: is it a minimum, which modes are free, how far
does the derivative hold."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pullback.particles._discs import SoftDiscs
from pullback.particles._equilibrium import TOL, equilibrium
from pullback.particles._rattlers import CONTACT

_ZERO_MODE = 1e-8  # eigenvalue of the Hessian, relative to the largest


class Response(NamedTuple):
    """Of the positions to a growth of the discs.

    Attributes:
        positions: the equilibrium x.
        derivative: dx, of least norm.
        residual: |H dx + b| / |b| with b the derivative of ∂E/∂x at fixed x; from the force along (dx, growth).
        force: max|∂E/∂x| at x.
        stiffnesses: eigenvalues of the Hessian H in ascending order.
        zero_modes: the number of stiffnesses that vanish, two translations and two for each rattler.
        lowest_stiffness: the smallest of the others; if it is negative, x is no minimum.
    """

    positions: Float[Array, "n 2"]
    derivative: Float[Array, "n 2"]
    residual: Float[Array, ""]
    force: Float[Array, ""]
    stiffnesses: Float[Array, " twice_n"]
    zero_modes: Int[Array, ""]
    lowest_stiffness: Float[Array, ""]


def response(discs: SoftDiscs, x0: Float[Array, "n 2"], growth: Float[Array, " n"], *, tol: float = TOL) -> Response:
    """The equilibrium near x0, and its derivative with respect to t for diameters + t·growth at t = 0.

    Args:
        discs: the packing.
        x0: positions near the minimum, as for `equilibrium`.
        growth: of each diameter; ones for a species, zeros for the others.
        tol: largest component of the force that is accepted.
    """
    zero, one = jnp.zeros((), x0.dtype), jnp.ones((), x0.dtype)
    x, dx = jax.jvp(lambda t: equilibrium(discs.grown(t * growth), x0, tol=tol), (zero,), (one,))

    def force(x, t):
        return discs.grown(t * growth).force(x)

    at_rest, source = jax.jvp(lambda t: force(x, t), (zero,), (one,))
    _, left = jax.jvp(force, (x, zero), (dx, one))
    stiffnesses = jnp.linalg.eigvalsh(jax.hessian(discs.energy)(x).reshape(x.size, x.size))
    vanish = jnp.abs(stiffnesses) <= _ZERO_MODE * jnp.max(stiffnesses)
    return Response(
        positions=x,
        derivative=dx,
        residual=jnp.linalg.norm(left) / jnp.linalg.norm(source),
        force=jnp.max(jnp.abs(at_rest)),
        stiffnesses=stiffnesses,
        zero_modes=jnp.sum(vanish),
        lowest_stiffness=jnp.min(jnp.where(vanish, jnp.inf, stiffnesses)),
    )


def next_contact_changes(
    discs: SoftDiscs, x: Float[Array, "n 2"], growth: Float[Array, " n"], dx: Float[Array, "n 2"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """How far the discs can grow, and shrink, until the first contact opens or closes; to first order.

    There the derivative of the positions jumps. Infinite where no pair of the list comes to that.

    Args:
        discs: the packing, with every pair that may come to touch.
        x: its equilibrium.
        growth: of each diameter.
        dx: derivative of x for this growth.
    """

    def depth(t):  # σ_ij − r_ij
        grown = discs.grown(t * growth)
        return grown.overlaps(x + t * dx) * jnp.mean(grown.diameters[grown.pairs], axis=1)

    overlap, rate = jax.jvp(depth, (0.0,), (1.0,))
    moving = jnp.abs(rate) > CONTACT
    t = jnp.where(moving, -overlap / jnp.where(moving, rate, 1), jnp.inf)
    return jnp.min(jnp.where(t > 0, t, jnp.inf)), jnp.min(jnp.where(moving & (t < 0), -t, jnp.inf))
