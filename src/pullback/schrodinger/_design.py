r"""The inverse problem made ready: target amplitudes, an operator that can reach them, a start, and a measure.

A density that vanishes somewhere is the ground state of no finite potential, so a little of the empty grid's own
density |g|² is mixed in:

    t² -> (t² + ε² g²) / (1 + ε²),        which costs   ∫|Δρ| dx <= 2 ε².
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.interpolate import CubicSpline

from pullback.core import InputError
from pullback.schrodinger._eigenstates import weighted_eigenstates
from pullback.schrodinger._grid import Grid
from pullback.schrodinger._inversion import amplitude, invert_density
from pullback.schrodinger._kinetic import Kinetic, Scheme, Tridiagonal, kinetic
from pullback.schrodinger._product import Product, ProductGrid, product_kinetic
from pullback.schrodinger._targets import Target

Distance = Literal["l1", "amplitude", "kl"]

_THRESHOLD = 1e-4  # of the largest density: below it potentials are not compared
_LARGEST_DENSE = 1200  # points up to which a dense scheme is chosen without being asked for


def distance(
    found: Float[Array, "states n"], target: Float[Array, "states n"], kind: Distance = "l1"
) -> Float[Array, ""]:
    """How far the densities of weighted amplitudes φ and t are apart, summed over states.

    "l1": ∫|ρ - ρ*| dx; "amplitude": ∫(ψ - t)² dx, with the better sign of ψ; "kl": ∫ρ* ln(ρ*/ρ) dx.
    """
    if kind == "l1":
        return jnp.sum(jnp.abs(found**2 - target**2))
    if kind == "amplitude":
        signs = jnp.sign(jnp.sum(found * target, axis=1, keepdims=True))
        return jnp.sum((signs * found - target) ** 2)
    present = target**2 > 0
    ratio = jnp.where(present, target**2, 1) / jnp.where(present, found**2 + jnp.finfo(found.dtype).tiny, 1)
    return jnp.sum(target**2 * jnp.log(ratio))


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """A potential to be found.

    Attributes:
        kinetic: the operator.
        scheme: its name.
        states: which states, counted from 0.
        amplitudes: weighted amplitudes t_s = ±sqrt(w ρ_s) of the target, sum t_s² = 1.
        goals: the same with the background; what a finite potential can have as its states.
        background: ε².
        start: the potential to start from, in hartree.
        potential: the potential the densities come from, in hartree, if it is known.
    """

    kinetic: Kinetic
    scheme: Scheme
    states: tuple[int, ...]
    amplitudes: Float[Array, "states n"]
    goals: Float[Array, "states n"]
    background: float
    start: Float[Array, " n"]
    potential: Float[Array, " n"] | None

    def solve(self, potential: Float[Array, " n"]) -> tuple[Float[Array, " states"], Float[Array, "states n"]]:
        """Energies and weighted amplitudes of the states in `potential`."""
        energies, phi = weighted_eigenstates(potential, self.kinetic, max(self.states) + 1)
        chosen = jnp.asarray(self.states)
        return energies[chosen], phi.T[chosen]

    def roughness(self, potential: Float[Array, " n"]) -> Float[Array, ""]:
        """∫V'² dx, the ends of a hard-wall grid being free."""
        grid = self.kinetic.grid
        inside = jnp.sum(jnp.diff(potential) ** 2 / jnp.diff(grid.x))
        around = (potential[0] - potential[-1]) ** 2 / grid.weights[0] if grid.boundary == "periodic" else 0.0
        return inside + around

    def roughness_matrix(self) -> Float[Array, "n n"]:
        """The matrix R of ∫V'² dx = V·R·V."""
        return jax.hessian(self.roughness)(jnp.zeros(self.kinetic.grid.n)) / 2

    def length(self) -> float:
        """The spread sqrt(<x²> - <x>²) of the densities, in bohr."""
        rho = np.mean(np.asarray(self.amplitudes) ** 2, axis=0)
        return _spread(np.asarray(self.kinetic.grid.x), rho)[1]

    def compared(self) -> Bool[Array, "states n"]:
        """Where the density of each state exceeds 1e-4 of its maximum."""
        rho = self.amplitudes**2 / self.kinetic.grid.weights
        return rho > _THRESHOLD * jnp.max(rho, axis=1, keepdims=True)

    def inversions(self) -> Float[Array, "states n"]:
        """The exact inversion V - E of each state, NaN where its density is small."""
        rho = self.amplitudes**2 / self.kinetic.grid.weights
        rows = [invert_density(r, self.kinetic, state=s, threshold=_THRESHOLD) for s, r in zip(self.states, rho)]
        return jnp.stack(rows)


def design(
    target: Target, *, scheme: Scheme | None = None, mass: float | None = None, allowance: float = 1e-9
) -> Design:
    """Makes the inverse problem of `target` ready.

    Args:
        target: the densities.
        scheme: the kinetic operator; None for the target's own, or else "fd8" where the densities are smooth enough
            to be reached with it on equidistant points, "fd2" otherwise.
        mass: in electron masses; None for the target's own.
        allowance: the L1 distance that the background of a ground state may cost.

    Raises:
        InputError: densities that do not fit the states, or a scheme that does not fit the grid.
    """
    grid = target.grid
    if isinstance(grid, ProductGrid):
        return _product_design(target, grid, scheme or target.scheme or "fd2", mass or target.mass, allowance / 2)
    psi = jnp.stack([amplitude(rho, grid, s) for s, rho in zip(target.states, target.densities)])
    amplitudes = jnp.sqrt(grid.weights) * psi
    mass = mass or target.mass
    scheme = scheme or target.scheme
    background = allowance / 2 if target.states == (0,) else 0.0
    if scheme is not None:
        operator = kinetic(grid, scheme, mass=mass)
        goals = _with_background(amplitudes, operator, background)
    else:
        scheme, operator, goals = _choose(grid, amplitudes, background, mass)
    start = target.start if target.start is not None else _start(grid, amplitudes, target.states, mass)
    return Design(operator, scheme, target.states, amplitudes, goals, background, start, target.potential)


def _product_design(target: Target, grid: ProductGrid, scheme: Scheme, mass: float, background: float) -> Design:
    """In two and three dimensions, for ground states; "fd2" can reach every positive density there, too."""
    if target.states != (0,):
        raise InputError("in two and three dimensions only the ground state can be designed: --states 0")
    operator = product_kinetic(grid, scheme, mass=mass)
    amplitudes = jnp.sqrt(grid.weights) * amplitude(target.densities[0], grid)[None]
    empty = operator.empty_ground_state()
    goals = jnp.sqrt((amplitudes**2 + background * empty**2) / (1 + background))
    start = target.start
    if start is None:
        marginals = (amplitudes[0] ** 2).reshape(grid.shape)
        parabolas = []
        for i, axis in enumerate(grid.axes):
            others = tuple(j for j in range(len(grid.axes)) if j != i)
            parabolas.append(_start(axis, jnp.sqrt(marginals.sum(others))[None], (0,), mass))
        start = sum(jnp.meshgrid(*parabolas, indexing="ij"), jnp.zeros(grid.shape)).reshape(-1)
    return Design(operator, scheme, (0,), amplitudes, goals, background, start, target.potential)


def is_reachable(goal: Float[Array, " n"], kinetic: Kinetic) -> bool:
    """Whether some potential has the positive amplitude `goal` as its ground state, for this discrete operator.

    The only candidate is -(Kt)/t, in which t has the energy 0. With tridiagonal K it always is the ground state.
    """
    if isinstance(kinetic, Tridiagonal | Product):  # for a product it is too much work to find out
        return True
    hamiltonian = kinetic.matrix() - jnp.diag(kinetic.apply(goal) / goal)
    lowest = np.linalg.eigvalsh(np.asarray(hamiltonian))[0]
    return bool(lowest > -1e-6 * jnp.abs(goal @ kinetic.apply(goal)))


def resample(target: Target, n: int) -> Target:
    """`target` on n equidistant points with the same ends, by cubic splines of its amplitudes.

    Raises:
        InputError: n is too small for a grid.
    """
    old = target.grid
    if isinstance(old, ProductGrid):
        raise InputError("only densities on a line are resampled")
    x = np.asarray(old.x)
    end = x[-1] + (old.spacing if old.boundary == "periodic" else 0)
    new = Grid(np.linspace(x[0], end, n, endpoint=old.boundary != "periodic"), old.boundary)

    def onto(values: Float[Array, " old"]) -> Float[Array, " new"]:
        if old.boundary == "periodic":
            spline = CubicSpline(np.append(x, end), np.append(values, values[0]), bc_type="periodic")
        else:
            spline = CubicSpline(x, np.asarray(values))
        return jnp.asarray(spline(np.asarray(new.x)))

    psi = [amplitude(rho, old, s) for s, rho in zip(target.states, target.densities)]
    return Target(new, jnp.stack([onto(row) ** 2 for row in psi]), states=target.states, mass=target.mass)


def _choose(
    grid: Grid, amplitudes: Float[Array, "states n"], background: float, mass: float
) -> tuple[Scheme, Kinetic, Float[Array, "states n"]]:
    """The more accurate operator where it can reach the densities, and the goals that go with it."""
    if grid.uniform and grid.n <= _LARGEST_DENSE:
        accurate = kinetic(grid, "fd8", mass=mass)
        goals = _with_background(amplitudes, accurate, background)
        if background == 0 or is_reachable(goals[0], accurate):
            return "fd8", accurate, goals
    operator = kinetic(grid, "fd2", mass=mass)
    return "fd2", operator, _with_background(amplitudes, operator, background)


def _with_background(
    amplitudes: Float[Array, "states n"], kinetic: Kinetic, background: float
) -> Float[Array, "states n"]:
    if background == 0:
        return amplitudes
    empty = weighted_eigenstates(jnp.zeros(kinetic.grid.n), kinetic, 1)[1][:, 0]
    return jnp.sqrt((amplitudes**2 + background * empty**2) / (1 + background))


def _start(
    grid: Grid, amplitudes: Float[Array, "states n"], states: tuple[int, ...], mass: float
) -> Float[Array, " n"]:
    """The parabola whose states have the same mean and spread: <x²> - <x>² = (n + ½) / (m ω). Nothing on a ring."""
    x = np.asarray(grid.x)
    if grid.boundary == "periodic":
        return jnp.zeros(grid.n)
    mean, spread = _spread(x, np.mean(np.asarray(amplitudes) ** 2, axis=0))
    omega = (np.mean(states) + 0.5) / (mass * spread**2)
    ceiling = 50 * omega  # higher walls only make the spectrum wide
    return jnp.asarray(np.minimum(mass * (omega * (x - mean)) ** 2 / 2, ceiling))


def _spread(x: np.ndarray, rho: np.ndarray) -> tuple[float, float]:
    mean = float(np.sum(rho * x))
    return mean, float(np.sqrt(np.sum(rho * (x - mean) ** 2)))
