"""Eigenstates of H = K + V on a grid, differentiable with respect to the potential."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback import krylov, linalg
from pullback.core import RESULTS, InputError, Solution
from pullback.schrodinger._grid import Grid
from pullback.schrodinger._kinetic import Kinetic, Tridiagonal
from pullback.schrodinger._product import Product, ProductGrid

Potential = Callable[..., Float[Array, " n"]] | Float[Array, " n"]

# Hartree. On a line levels are never degenerate, on a ring at most in pairs; a tolerance relative to the largest
# eigenvalue would take the lowest levels for one multiplet as soon as the potential has a high wall.
_DEGENERATE = 1e-10
_LARGEST_DENSE = 400  # points in two or three dimensions


def eigenstates(potential: Potential, kinetic: Kinetic, k: int = 1) -> tuple[Float[Array, " k"], Float[Array, "n k"]]:
    """The k lowest solutions of [K + V] ψ = E ψ.

    A tridiagonal K takes O(n k) for the states and for their derivatives, any other on a line O(n³). In two and three
    dimensions the states are found without a matrix (`krylov.eigsh`, preconditioned by the kinetic energy).

    Args:
        potential: V, as a function of x (of x and y, of x, y and z), or as its values at the points, in hartree.
        kinetic: from `kinetic` or `product_kinetic`.
        k: how many.

    Returns:
        energies: in hartree, ascending.
        states: ψ_j(x_i) in column j, with sum_i w_i ψ_j(x_i)² = 1, and positive at the first point from the left
            where |ψ_j| reaches half its largest value.

    Raises:
        InputError: k outside 1 … n, or a potential of the wrong shape.
        ConvergenceError: the k-th level equals the next one, as on a ring and in two dimensions, so that the states
            are not determined: ask for the whole multiplet (`EquinoxRuntimeError` in compiled programs).

    Examples:
        The harmonic oscillator.

        >>> from pullback.schrodinger import Grid, Harmonic, kinetic
        >>> energies, _ = eigenstates(Harmonic(), kinetic(Grid.between(-8.0, 8.0, 60), "sinc"), 3)
        >>> energies.round(10).tolist()
        [0.5, 1.5, 2.5]
    """
    grid = kinetic.grid
    if not 1 <= k <= grid.n:
        raise InputError(f"eigenstates: k must be between 1 and n = {grid.n}, got {k}")
    energies, phi = weighted_eigenstates(values_on(potential, grid), kinetic, k)
    return energies, phi * _signs(phi)[None, :] / jnp.sqrt(grid.weights)[:, None]


def density(states: Float[Array, "n k"], occupations: Float[Array, " k"] | None = None) -> Float[Array, " n"]:
    """sum_j f_j |ψ_j|², in 1/bohr; with one particle in each state where no occupations f are given."""
    squares = states**2
    return jnp.sum(squares if occupations is None else squares * occupations[None, :], axis=1)


def values_on(potential: Potential, grid: Grid | ProductGrid) -> Float[Array, " n"]:
    """The values of `potential` at the points of `grid`."""
    coordinates = (grid.x,) if isinstance(grid, Grid) else grid.coordinates
    values = jnp.asarray(potential(*coordinates) if callable(potential) else potential)
    if values.shape != (grid.n,):
        raise InputError(f"the potential has shape {values.shape}, the grid ({grid.n},)")
    return values


def weighted_eigenstates(
    potential: Float[Array, " n"], kinetic: Kinetic, k: int
) -> tuple[Float[Array, " k"], Float[Array, "n k"]]:
    """Energies and weighted amplitudes sqrt(w) ψ, of undetermined sign."""
    if isinstance(kinetic, Tridiagonal):
        return linalg.eigh_tridiagonal(
            kinetic.diagonal + potential, kinetic.off_diagonal, k, degeneracy_tol=_DEGENERATE
        )
    if isinstance(kinetic, Product) and kinetic.grid.n > _LARGEST_DENSE:
        # (K + V − E)⁻¹ is about (K + c)⁻¹ where the states are, with c some kinetic energy of theirs.
        shift = jax.lax.stop_gradient(1.0 + sum(w[1] - w[0] for w in kinetic.levels))
        energies, phi = krylov.eigsh(
            lambda phi: kinetic.apply(phi) + potential * phi,
            k,
            shape=kinetic.grid.n,
            solver=krylov.Davidson(precond=lambda r: kinetic.inverse(r, shift)),
        )
        return energies, phi
    energies, phi = linalg.eigh(kinetic.matrix() + jnp.diag(potential), degeneracy_tol=_DEGENERATE)
    levels = jax.lax.stop_gradient(energies)
    gap = levels[k] - levels[k - 1] if k < levels.size else jnp.asarray(jnp.inf, levels.dtype)
    close = jnp.maximum(_DEGENERATE, 10 * jnp.finfo(levels.dtype).eps * jnp.abs(levels).max())
    # NaN is handed through: a line search that has tried too long a step sees it, and takes a shorter one.
    result = RESULTS.where(gap <= close, RESULTS.not_separated, RESULTS.successful)
    return Solution((energies[:k], phi[:, :k]), result, gap, 1).unwrap("eigenstates")


def _signs(phi: Float[Array, "n k"]) -> Float[Array, " k"]:
    size = jnp.abs(phi)
    first = jnp.argmax(size >= jnp.max(size, axis=0, keepdims=True) / 2, axis=0)
    return jnp.sign(jnp.take_along_axis(phi, first[None], axis=0)[0])
