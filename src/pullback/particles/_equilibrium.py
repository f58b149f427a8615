"""Packings at rest, as differentiable functions of diameters and box."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.core import RESULTS, Implicit, Solution, by_throw
from pullback.implicit import Dense, Find, Newton, argmin
from pullback.particles._discs import SoftDiscs
from pullback.particles._rattlers import WEAK_CONTACT, rattlers, release

TOL = 1e-12  # max|∂E/∂x|, in units of ε over the unit of length
_REACH = 0.5  # of the lists of pairs: a rattler that is released crosses no more than a fraction of it
_ROUNDS = 5  # a rattler released may make another
_NEARLY = 1e-8  # gap below which a rattler may come to touch by rounding


@by_throw
def equilibrium(
    discs: SoftDiscs, x0: Float[Array, "n 2"], *, tol: float = TOL, max_steps: int = 50, throw: bool = True
) -> Float[Array, "n 2"] | Solution[Float[Array, "n 2"]]:
    """The minimum of the energy near x0, differentiable in every mode with respect to diameters and box.

    By Newton's method; so x0 must be close, from `settle` or from an equilibrium of slightly different discs. The
    packing as a whole and its rattlers can be moved freely; such zero modes are found, and the derivative is the one of
    least norm: the mean displacement and that of rattlers is zero. It holds while contacts neither open nor close, see
    `next_contact_changes`.

    Args:
        discs: the packing.
        x0: positions near the minimum.
        tol: largest component of the force that is accepted.
        max_steps: bound of Newton's steps.
        throw: raise if there is no convergence; if False, return a `Solution`.

    Raises:
        ConvergenceError: no minimum was found near x0. Inside `jit` the compiled program raises
            `equinox.EquinoxRuntimeError`.
    """
    options = {"solver": Newton(), "zero_modes": Find(), "adjoint": Implicit(linear_solver=Dense())}
    return argmin(discs.energy, x0, **options, tol=tol, max_steps=max_steps, throw=throw)


@by_throw
def settle(
    discs: SoftDiscs, x: Float[Array, "n 2"], *, tol: float = TOL, throw: bool = True
) -> tuple[SoftDiscs, Float[Array, "n 2"]] | Solution[tuple[SoftDiscs, Float[Array, "n 2"]]]:
    """From what a minimiser left to an equilibrium with rattlers that touch nothing.

    Args:
        discs: the packing.
        x: positions near a minimum, forces of 1e-7 ε over a diameter or less.
        tol: largest component of the force that is accepted.
        throw: raise if there is no minimum near x; if False, return a `Solution`.

    Returns:
        The packing with a short list of pairs, those that are near at the equilibrium; and the equilibrium. Or, if not
        `throw`, a `Solution` of both, with `residual` the largest component of the force, by all pairs of `discs`, and
        `steps` the number of times that rattlers were released.

    Raises:
        ConvergenceError: there is no minimum near x; minimise the energy further first.
    """
    rounds = 0
    near = discs.near(x, _REACH)
    for rounds in range(1, _ROUNDS + 1):  # noqa: B007
        x, settled = _round(near, x, tol)
        near = discs.near(x, _REACH)
        if settled:
            break
    largest = abs(discs.force(x)).max()
    result = RESULTS.where(largest <= tol, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(jnp.isfinite(largest), result, RESULTS.nonfinite)
    solution = Solution((near, x), result, largest, rounds)
    return solution.unwrap("settle") if throw else solution


@eqx.filter_jit
def _round(discs, x, tol):
    """Rattlers released, the others brought to rest; and whether rattlers touch nothing then."""
    x = release(discs, x, rattlers(discs, x, contact=WEAK_CONTACT))
    x = equilibrium(discs, x, tol=tol, throw=False).value
    free = rattlers(discs, x, contact=WEAK_CONTACT)
    touching = discs.overlaps(x) > -_NEARLY
    return x, ~jnp.any(touching & jnp.any(free[discs.pairs], axis=1))
