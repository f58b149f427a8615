r"""Grids in two and three dimensions: products of lines, and the kinetic energy on them.

K = K_x ⊗ 1 ⊗ 1 + 1 ⊗ K_y ⊗ 1 + 1 ⊗ 1 ⊗ K_z acts along one axis after the other. Functions on the grid are vectors in
row-major order; `values.reshape(grid.shape)` has one axis for each dimension. The eigenvectors of K are products too,
so that (K + c)⁻¹, a preconditioner for eigenstates, costs two products of matrices for each axis.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pullback.core import InputError
from pullback.schrodinger._grid import Grid
from pullback.schrodinger._kinetic import Kinetic, Scheme, kinetic

_LARGEST_LINE = 2000


class ProductGrid(eqx.Module):
    """All points (x_i, y_j) or (x_i, y_j, z_k), with integration weights.

    Attributes:
        axes: the grids along x, y, and z.

    Examples:
        >>> grid = ProductGrid((Grid.between(0.0, 1.0, 9), Grid.between(0.0, 2.0, 19)))
        >>> x, y = grid.coordinates
        >>> grid.shape, f"{grid.integrate(jnp.sin(jnp.pi * x) ** 2 * jnp.sin(jnp.pi * y / 2) ** 2):.6f}"
        ((9, 19), '0.500000')
    """

    axes: tuple[Grid, ...]

    def __check_init__(self):
        if len(self.axes) not in (2, 3):
            raise InputError(f"a product grid has two or three axes, got {len(self.axes)}; a line is a Grid")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points along each axis."""
        return tuple(axis.n for axis in self.axes)

    @property
    def n(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def coordinates(self) -> tuple[Float[Array, " n"], ...]:
        """x, y (and z) of all points, in bohr."""
        return tuple(c.reshape(-1) for c in jnp.meshgrid(*(axis.x for axis in self.axes), indexing="ij"))

    @property
    def weights(self) -> Float[Array, " n"]:
        """Integration weights, in bohr² or bohr³."""
        total = jnp.ones(1)
        for axis in self.axes:
            total = (total[:, None] * axis.weights).reshape(-1)
        return total

    @property
    def uniform(self) -> bool:
        """Whether the points of each axis are equidistant."""
        return all(axis.uniform for axis in self.axes)

    @property
    def boundary(self) -> str:
        """What lies beyond the ends of each axis."""
        return ", ".join(axis.boundary for axis in self.axes)

    def integrate(self, f: Float[Array, " n"]) -> Float[Array, ""]:
        """∫ f over the area or volume."""
        return jnp.sum(self.weights * f)


class Product(Kinetic):
    """The kinetic operator on a product grid; made by `product_kinetic`."""

    grid: ProductGrid
    lines: tuple[Float[Array, "_ _"], ...]
    levels: tuple[Float[Array, " _"], ...]
    modes: tuple[Float[Array, "_ _"], ...]

    def apply(self, phi: Float[Array, " n"]) -> Float[Array, " n"]:
        field = phi.reshape(self.grid.shape)
        return sum((_along(line, field, axis) for axis, line in enumerate(self.lines)), 0 * field).reshape(-1)

    def matrix(self) -> Float[Array, "n n"]:
        total, size = jnp.zeros((1, 1)), 1
        for line in self.lines:
            total = jnp.kron(total, jnp.eye(line.shape[0])) + jnp.kron(jnp.eye(size), line)
            size *= line.shape[0]
        return total

    def inverse(self, phi: Float[Array, " n"], shift: float | Float[Array, ""]) -> Float[Array, " n"]:
        """(K + shift)⁻¹ φ; `shift` in hartree, positive on rings."""
        field = phi.reshape(self.grid.shape)
        total = jnp.asarray(shift)
        for axis, (levels, modes) in enumerate(zip(self.levels, self.modes, strict=True)):
            field = _along(modes.T, field, axis)
            total = total[..., None] + levels
        field = field / total
        for axis, modes in enumerate(self.modes):
            field = _along(modes, field, axis)
        return field.reshape(-1)

    def empty_ground_state(self) -> Float[Array, " n"]:
        """The weighted amplitude of the ground state without a potential."""
        total = jnp.ones(1)
        for modes in self.modes:
            total = (total[:, None] * jnp.abs(modes[:, 0])).reshape(-1)
        return total


def product_kinetic(grid: ProductGrid, scheme: Scheme | None = None, *, mass: float = 1.0) -> Product:
    """The kinetic operator -1/(2 mass) ∇² on a product grid.

    Args:
        grid: the points.
        scheme: for every axis; see `kinetic`. None: "fd8", "fd2" on axes that are not equidistant.
        mass: in electron masses.

    Raises:
        InputError: the scheme does not fit the grid; more than 2000 points along one axis.

    Examples:
        The isotropic oscillator in two dimensions has levels 1, 2, 2, 3, 3, 3.

        >>> line = Grid.between(-7.0, 7.0, 20)
        >>> operator = product_kinetic(ProductGrid((line, line)), "sinc")
        >>> x, y = operator.grid.coordinates
        >>> jnp.linalg.eigvalsh(operator.matrix() + jnp.diag(x**2 + y**2) / 2)[:6].round(4).tolist()
        [1.0, 2.0, 2.0, 3.0, 3.0, 3.0]
    """
    longest = max(grid.shape)
    if longest > _LARGEST_LINE:
        raise InputError(f"an axis of a product grid has at most {_LARGEST_LINE} points, got {longest}")
    lines = []
    for axis in grid.axes:
        lines.append(kinetic(axis, scheme or ("fd8" if axis.uniform else "fd2"), mass=mass).matrix())
    pairs = [np.linalg.eigh(np.asarray(line)) for line in lines]
    return Product(grid, tuple(lines), tuple(jnp.asarray(w) for w, _ in pairs), tuple(jnp.asarray(v) for _, v in pairs))


def _along(matrix: Float[Array, "m m"], field: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """matrix · field along one axis, as one product of matrices on a view (before, m, after)."""
    m = matrix.shape[0]
    after = math.prod(field.shape[axis + 1 :])
    if after == 1:
        return (field.reshape(-1, m) @ matrix.T).reshape(field.shape)
    return jnp.einsum("ij,bja->bia", matrix, field.reshape(-1, m, after)).reshape(field.shape)
