r"""The kinetic energy -1/(2m) d²/dx² on a grid, as a real symmetric matrix.

All matrices act on weighted amplitudes φ_i = sqrt(w_i) ψ_i, for which sum |φ|² = ∫|ψ|² dx: so they are symmetric
on non-uniform grids too, K = W^{-1/2} L W^{-1/2} with L the symmetric matrix of ∫|ψ'|²/2.

Finite differences of order p = 2q on equidistant points (c_0 = -2 sum c_k):

    -ψ''_i ≈ h^{-2} sum_{|k| <= q} c_|k| ψ_{i+k},     c_k = 2 (-1)^k q!² / (k² (q-k)! (q+k)!)

Beyond a hard wall ψ is continued as an odd function, which keeps the matrix symmetric and ψ smooth there. For
q → ∞ the differences become the sine DVR between walls and the Fourier DVR on a ring.

Sources: B. Fornberg, Math. Comp. 51, 699 (1988); D. T. Colbert and W. H. Miller, J. Chem. Phys. 96, 1982 (1992),
appendix A (the "sinc" scheme here is the one for a finite interval, with walls at its ends).
"""

import abc
from math import factorial
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pullback.core import InputError
from pullback.schrodinger._grid import Grid

Scheme = Literal["fd2", "fd4", "fd6", "fd8", "sinc", "fourier"]

_ORDERS = {"fd2": 2, "fd4": 4, "fd6": 6, "fd8": 8}
_LARGEST_DENSE = 5000


class Kinetic(eqx.Module):
    """A kinetic operator on a grid: `Tridiagonal` or `Dense`, made by `kinetic`, or `Product`, by `product_kinetic`."""

    grid: eqx.AbstractVar[Any]  # a Grid, or a ProductGrid

    @abc.abstractmethod
    def apply(self, phi: Float[Array, " n"]) -> Float[Array, " n"]:
        """K φ for a weighted amplitude φ = sqrt(w) ψ, in hartree."""

    @abc.abstractmethod
    def matrix(self) -> Float[Array, "n n"]:
        """K as a full matrix."""


class Tridiagonal(Kinetic):
    """Second-order differences between hard walls: all eigenvalue problems take O(n)."""

    grid: Grid
    diagonal: Float[Array, " n"]
    off_diagonal: Float[Array, " n_minus_one"]

    def apply(self, phi: Float[Array, " n"]) -> Float[Array, " n"]:
        out = self.diagonal * phi
        return out.at[1:].add(self.off_diagonal * phi[:-1]).at[:-1].add(self.off_diagonal * phi[1:])

    def matrix(self) -> Float[Array, "n n"]:
        return jnp.diag(self.diagonal) + jnp.diag(self.off_diagonal, 1) + jnp.diag(self.off_diagonal, -1)


class Dense(Kinetic):
    """Any other scheme."""

    grid: Grid
    dense: Float[Array, "n n"]

    def apply(self, phi: Float[Array, " n"]) -> Float[Array, " n"]:
        return self.dense @ phi

    def matrix(self) -> Float[Array, "n n"]:
        return self.dense


def kinetic(grid: Grid, scheme: Scheme = "fd2", *, mass: float = 1.0) -> Tridiagonal | Dense:
    """The kinetic operator -1/(2 mass) d²/dx² on `grid`.

    Args:
        grid: the points. All schemes but "fd2" need equidistant ones.
        scheme: "fd2" … "fd8", finite differences of that order in the spacing; "sinc", exact for functions made of
            the first n states of the box (hard walls only); "fourier", exact for trigonometric polynomials
            (periodic only). "fd2" between hard walls is tridiagonal; only there is every positive amplitude the
            ground state of some potential.
        mass: in electron masses.

    Raises:
        InputError: the scheme does not fit the grid, or its matrix would be too large.

    Examples:
        The particle in a box of length π, E_n = n²/2.

        >>> grid = Grid.between(0.0, np.pi, 20)
        >>> jnp.linalg.eigvalsh(kinetic(grid, "sinc").matrix())[:3].round(12).tolist()
        [0.5, 2.0, 4.5]
    """
    if not mass > 0:
        raise InputError(f"the mass must be positive, got {mass}")
    _check(grid, scheme)
    if scheme == "fd2" and grid.boundary == "hard-wall":
        return _three_point(grid, mass)
    if scheme in _ORDERS:
        second_derivative = _differences(grid, _ORDERS[scheme])
    else:
        second_derivative = _sine_dvr(grid) if scheme == "sinc" else _fourier_dvr(grid)
    return Dense(grid, jnp.asarray(second_derivative / (2 * mass)))


def _check(grid: Grid, scheme: Scheme) -> None:
    wanted = {"sinc": "hard-wall", "fourier": "periodic"}.get(scheme, grid.boundary)
    if grid.boundary != wanted:
        raise InputError(f"the scheme {scheme!r} needs the boundary {wanted!r}, got {grid.boundary!r}")
    if scheme == "fd2" and grid.boundary == "hard-wall":
        return
    if not grid.uniform:
        raise InputError(f"the scheme {scheme!r} needs equidistant points: use 'fd2', or resample")
    if grid.n <= _ORDERS.get(scheme, 0):
        raise InputError(f"the scheme {scheme!r} needs more than {_ORDERS[scheme]} points, got {grid.n}")
    if grid.n > _LARGEST_DENSE:
        raise InputError(
            f"the scheme {scheme!r} on {grid.n} points needs a matrix of {grid.n}²: use at most {_LARGEST_DENSE} "
            "points, or 'fd2' between hard walls"
        )


def _three_point(grid: Grid, mass: float) -> Tridiagonal:
    x, w = np.asarray(grid.x), np.asarray(grid.weights)
    gaps = np.full(x.size - 1, grid.spacing) if grid.uniform else np.diff(x)
    beyond = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    return Tridiagonal(
        grid,
        jnp.asarray((1 / beyond[1:] + 1 / beyond[:-1]) / (2 * mass * w)),
        jnp.asarray(-1 / (2 * mass * gaps * np.sqrt(w[1:] * w[:-1]))),
    )


def _differences(grid: Grid, order: int) -> np.ndarray:
    """-d²/dx² by differences of the given order."""
    q, n = order // 2, grid.n
    stencil = np.zeros(2 * n + 3)
    for k in range(1, q + 1):
        stencil[k] = 2 * (-1) ** k * factorial(q) ** 2 / (k**2 * factorial(q - k) * factorial(q + k))
    stencil[0] = -2 * stencil.sum()
    i = np.arange(1, n + 1)
    apart, together = np.abs(i[:, None] - i), i[:, None] + i
    images = (  # what the stencil meets beyond the ends
        stencil[n - apart] if grid.boundary == "periodic" else -stencil[together] - stencil[2 * (n + 1) - together]
    )
    return (stencil[apart] + images) / grid.spacing**2


def _sine_dvr(grid: Grid) -> np.ndarray:
    """-d²/dx² between walls, exact on sin(k π (x - a)/(b - a)), k = 1 … n. Colbert and Miller, eq. (A6)."""
    n = grid.n + 1
    i = np.arange(1, n)
    apart, together = i[:, None] - i, i[:, None] + i
    with np.errstate(divide="ignore"):
        values = 1 / np.sin(np.pi * apart / (2 * n)) ** 2 - 1 / np.sin(np.pi * together / (2 * n)) ** 2
    values *= (-1.0) ** apart
    np.fill_diagonal(values, (2 * n**2 + 1) / 3 - 1 / np.sin(np.pi * i / n) ** 2)
    return values * (np.pi / (n * grid.spacing)) ** 2 / 2


def _fourier_dvr(grid: Grid) -> np.ndarray:
    """-d²/dx² on a ring, exact on the waves that n points resolve."""
    k = 2 * np.pi * np.fft.fftfreq(grid.n, grid.spacing)
    row = np.fft.ifft(k**2).real
    i = np.arange(grid.n)
    return row[np.abs(i[:, None] - i)]
