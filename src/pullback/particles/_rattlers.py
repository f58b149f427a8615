"""Rattlers: discs that nothing holds.

A disc at rest in two dimensions is held by three contacts or more; a disc with fewer carries no load at a minimum of
the energy. Without it, others may lose their hold, and so on. A rattler is free to move in its cage, two zero modes of
the Hessian. A minimiser, however, leaves it where it stopped pushing: just in touch with a neighbour, where the energy
has no second derivative. `release` moves it away from there.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pullback.particles._discs import SoftDiscs

CONTACT = 1e-9  # overlap from which discs count as touching: forces at rest are known to some 1e-12
WEAK_CONTACT = 1e-5  # overlap below which a contact may be one that a minimiser left behind
_HELD_BY = 3
_WIDEST, _NARROWEST = 0.1, 1e-7  # gaps that `release` tries to make around rattlers, relative to σ_ij
_STEPS = 200  # of relaxation for each gap


def contact_numbers(discs: SoftDiscs, x: Float[Array, "n 2"], *, contact: float = CONTACT) -> Int[Array, " n"]:
    """How many others each disc overlaps with by more than `contact`, relative to σ_ij."""
    return _count(discs, discs.overlaps(x) > contact)


def rattlers(discs: SoftDiscs, x: Float[Array, "n 2"], *, contact: float = CONTACT) -> Bool[Array, " n"]:
    """Which discs have fewer than three contacts with discs that are not rattlers themselves."""
    touching = discs.overlaps(x) > contact

    def loose(free):
        return _count(discs, touching & ~jnp.any(free[discs.pairs], axis=1)) < _HELD_BY

    def shrink(state):
        free, _ = state
        return loose(free) | free, free

    start = jnp.zeros(discs.diameters.shape, bool)
    return jax.lax.while_loop(lambda state: jnp.any(state[0] != state[1]), shrink, (loose(start), start))[0]


def release(discs: SoftDiscs, x: Float[Array, "n 2"], free: Bool[Array, " n"]) -> Float[Array, "n 2"]:
    """Moves the discs `free` away from everything, by up to a tenth of a diameter; the others stay.

    Tries smaller and smaller gaps until there is room for one. Without room for a gap of 1e-7, the positions are the
    best found for that.
    """
    involved = jnp.any(free[discs.pairs], axis=1)
    # Below two over the curvature: six neighbours at most press with 1/σ², and pairs of rattlers count twice.
    rate = 0.1 * jnp.min(discs.diameters) ** 2

    def intrusion(x, gap):
        return jnp.where(involved, jnp.maximum(discs.overlaps(x) + gap, 0), 0)

    def crowded(state):
        x, gap, _ = state
        return (jnp.max(intrusion(x, gap), initial=0) > gap / 2) & (gap >= _NARROWEST)

    def retreat(state):
        x, gap, step = state
        push = jax.grad(lambda x: jnp.sum(intrusion(x, gap) ** 2) / 2)(x)
        tired = step == _STEPS
        x = x - rate * jnp.where(free[:, None], push, 0)
        return x, jnp.where(tired, gap / 2, gap), jnp.where(tired, 0, step + 1)

    return jax.lax.while_loop(crowded, retreat, (x, jnp.asarray(_WIDEST, x.dtype), jnp.asarray(0)))[0]


def _count(discs, touching):
    return jnp.zeros(discs.diameters.shape, int).at[discs.pairs].add(touching[:, None].astype(int))
