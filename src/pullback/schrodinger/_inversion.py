r"""From a density back to its potential, in closed form.

A state of amplitude ψ obeys V(x) - E = -(Kψ)(x) / ψ(x), which in the continuum is ½ ψ''/ψ. With the same discrete K
as in the eigenvalue problem this is exact there too: ψ is an eigenvector of K + V to rounding.

The density gives |ψ|; the sign follows from the n nodes of the n-th state on a line (Sturm's oscillation theorem).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pullback.core import InputError, vary_like
from pullback.schrodinger._grid import Grid
from pullback.schrodinger._kinetic import Kinetic
from pullback.schrodinger._product import ProductGrid


def amplitude(density: Float[Array | np.ndarray, " n"], grid: Grid | ProductGrid, state: int = 0) -> Float[Array, " n"]:
    """The wave function ψ = ±sqrt(ρ) of the n-th state, normalised.

    The n nodes are put at the n deepest minima of the density between the ends; whether the point of the minimum
    itself lies left or right of its node is chosen so that ψ bends least.

    Differentiable in the density, where it does not vanish; the nodes stay where they are.

    Args:
        density: at the points of `grid`, in 1/bohr; normalised here.
        grid: between hard walls for `state` > 0 (the excited states of a ring come in pairs).
        state: n, 0 for the ground state.

    Raises:
        InputError: a density that is negative, not finite or zero everywhere (inside `jit` the result is NaN then), or
            has too few minima.

    Examples:
        The second state of a box.

        >>> grid = Grid.between(0.0, 1.0, 9)
        >>> jnp.sign(amplitude(jnp.sin(2 * jnp.pi * grid.x) ** 2 + 1e-9, grid, 1)).tolist()[::3]
        [1.0, 1.0, -1.0]
    """
    rho = jnp.asarray(density, dtype=float)
    _check(rho, grid, state)
    empty = rho == 0
    psi = jnp.where(empty, 0, jnp.sqrt(jnp.where(empty, 1, rho / grid.integrate(rho))))
    if not state:
        return psi
    if isinstance(grid, ProductGrid):
        raise InputError("in two and three dimensions a density does not tell the nodes of an excited state")
    if grid.boundary != "hard-wall":
        raise InputError("excited states need hard walls: on a ring they come in pairs with nodes anywhere")
    fixed = jax.lax.stop_gradient(psi)
    if not isinstance(fixed, Tracer):
        return psi * _signs(np.asarray(fixed), state)
    signs = jax.pure_callback(lambda p: _signs(np.asarray(p), state), fixed, fixed, vmap_method="sequential")
    return psi * vary_like(signs, psi)


def invert_density(
    density: Float[Array | np.ndarray, " n"], kinetic: Kinetic, *, state: int = 0, threshold: float = 0.0
) -> Float[Array, " n"]:
    """V - E = -(Kψ)/ψ: the potential that has `density` as its n-th state, for the discrete operator `kinetic`.

    Args:
        density: at the points of the grid, in 1/bohr.
        kinetic: from `kinetic`.
        state: n, 0 for the ground state.
        threshold: the result is NaN where the density is not above `threshold` times its maximum (always where it
            is zero).

    Returns:
        V - E in hartree. Near nodes, and wherever the density is small, rounding and noise of the density are
        magnified by 1/(ψ h²).

    Raises:
        InputError: as for `amplitude`.

    Examples:
        The box has no potential, and E = π²/2.

        >>> from pullback.schrodinger import Grid, kinetic
        >>> grid = Grid.between(0.0, 1.0, 12)
        >>> v = invert_density(2 * jnp.sin(jnp.pi * grid.x) ** 2, kinetic(grid, "sinc"))
        >>> bool(jnp.allclose(v, -(jnp.pi**2) / 2))
        True
    """
    phi = jnp.sqrt(kinetic.grid.weights) * amplitude(density, kinetic.grid, state)
    rho = jnp.asarray(density)
    inside = rho > threshold * jnp.max(rho)
    return jnp.where(inside, -kinetic.apply(phi) / jnp.where(inside, phi, 1), jnp.nan)


def _check(density: Array, grid: Grid | ProductGrid, state: int) -> None:
    if state < 0:
        raise InputError(f"states are counted from 0, got {state}")
    if density.shape != (grid.n,):
        raise InputError(f"the density has shape {density.shape}, the grid {grid.n} points")
    if isinstance(density, Tracer):
        return
    rho = np.asarray(density)
    if not np.isfinite(rho).all():
        raise InputError(f"the density is not finite at point {int(np.argmin(np.isfinite(rho)))}")
    if rho.min() < 0:
        raise InputError(f"the density is negative at point {int(np.argmin(rho))}: {rho.min():g}")
    if not rho.any():
        raise InputError("the density is zero everywhere")


def _signs(psi: np.ndarray, count: int) -> np.ndarray:
    """±1 at each point, for |ψ| of the state with so many nodes."""
    signs = np.ones_like(psi)
    if not np.isfinite(psi).all():
        return np.nan * signs
    for node in _deepest_minima(psi, count):
        signs[node + 1 :] *= -1
        flipped = signs.copy()
        flipped[node] *= -1
        if _bend(flipped * psi, node) < _bend(signs * psi, node):
            signs = flipped
    return signs * signs[np.argmax(psi >= psi.max() / 2)]


def _deepest_minima(psi: np.ndarray, count: int) -> list[int]:
    """The interior local minima of |ψ| (a plateau counts once) between its outermost large values."""
    large = np.flatnonzero(psi > 0.05 * psi.max())
    inner = np.arange(large[0] + 1, large[-1])
    minima = inner[(psi[inner] < psi[inner - 1]) & (psi[inner] <= psi[inner + 1])]
    if minima.size < count:
        raise InputError(
            f"state {count} has {count} node{'s' if count > 1 else ''}, but the density has only {minima.size} minima "
            "between its ends: is it the density of another state?"
        )
    return sorted(minima[np.argsort(psi[minima])[:count]].tolist())


def _bend(psi: np.ndarray, node: int) -> float:
    return float(np.sum(np.diff(psi[max(node - 2, 0) : node + 3], 2) ** 2))
