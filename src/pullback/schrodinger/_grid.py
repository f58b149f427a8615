"""Points on a line, and what lies beyond them."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pullback.core import InputError

Boundary = Literal["hard-wall", "periodic"]

_UNIFORM = 1e-3  # of the spacing: points nearer than this to equidistant ones are rounded equidistant ones
_FEWEST = 5


class Grid(eqx.Module):
    """Points x_0 < … < x_{n-1} with integration weights w, so that ∫ f dx ≈ sum(w * f).

    "hard-wall": ψ = 0 one spacing beyond the first and the last point, as a matrix of finite differences cut off
    at its ends means it. "periodic": the point after the last is the first; the points must be equidistant.
    The weights are those of the trapezoidal rule, with the walls as further points.

    Attributes:
        x: the points, in bohr.
        weights: in bohr.
        boundary: "hard-wall" or "periodic".
        uniform: whether the points are equidistant.

    Examples:
        >>> grid = Grid.between(0.0, 1.0, 99)
        >>> f"{grid.spacing:.2f} {grid.integrate(jnp.sin(jnp.pi * grid.x) ** 2):.6f}"
        '0.01 0.500000'
    """

    x: Float[Array, " n"]
    weights: Float[Array, " n"]
    boundary: Boundary = eqx.field(static=True)
    uniform: bool = eqx.field(static=True)

    def __init__(self, x: Float[Array | np.ndarray, " n"], boundary: Boundary = "hard-wall"):
        """The grid of the points `x`.

        Raises:
            InputError: fewer than 5 points, not finite, not increasing, traced, or periodic but not equidistant.
        """
        if isinstance(x, Tracer):
            raise InputError("a grid is made of known points: make it outside jit and grad, and pass it in")
        points = np.asarray(x, dtype=float)
        _check(points)
        gaps = np.diff(points)
        equidistant = np.linspace(points[0], points[-1], points.size)
        self.uniform = bool(np.abs(points - equidistant).max() <= _UNIFORM * gaps.mean())
        if boundary == "periodic" and not self.uniform:
            raise InputError(
                "a periodic grid needs equidistant points, got spacings from "
                f"{gaps.min():.6g} to {gaps.max():.6g}: resample, or use hard walls"
            )
        if self.uniform:
            gaps = np.full_like(gaps, (points[-1] - points[0]) / gaps.size)
        beyond = np.concatenate([gaps[:1], gaps, gaps[-1:]])
        self.x = jnp.asarray(points)
        self.weights = jnp.asarray((beyond[1:] + beyond[:-1]) / 2)
        self.boundary = boundary

    @classmethod
    def between(cls, left: float, right: float, n: int, boundary: Boundary = "hard-wall") -> "Grid":
        """n equidistant points, with walls at `left` and `right`, or with the period `right - left`."""
        if not right > left:
            raise InputError(f"a grid needs left < right, got {left} and {right}")
        if boundary == "periodic":
            return cls(np.linspace(left, right, n, endpoint=False), boundary)
        return cls(np.linspace(left, right, n + 2)[1:-1], boundary)

    @property
    def n(self) -> int:
        """The number of points."""
        return self.x.size

    @property
    def spacing(self) -> float:
        """The distance of neighbours, in bohr. Raises `InputError` where it varies."""
        if not self.uniform:
            raise InputError("the points of this grid are not equidistant: it has no one spacing")
        return float(self.weights[0])

    def integrate(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        """∫ f dx."""
        return jnp.sum(self.weights * f)


def _check(points: np.ndarray) -> None:
    if points.ndim != 1 or points.size < _FEWEST:
        raise InputError(f"a grid needs at least {_FEWEST} points in one row, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise InputError(f"x: point {int(np.argmin(np.isfinite(points)))} is not finite")
    backward = np.flatnonzero(np.diff(points) <= 0)
    if backward.size:
        i = int(backward[0])
        raise InputError(
            f"x must increase from point to point, but x[{i}] = {points[i]:g} is followed by {points[i + 1]:g}"
        )
