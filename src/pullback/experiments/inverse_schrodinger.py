r"""Inverse design of a potential from the densities of its states."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback import plots
from pullback import schrodinger as sch
from pullback.core import InputError
from pullback.runs import (
    LBFGS,
    Adam,
    Experiment,
    GaussNewton,
    Minimum,
    Newton,
    Optimiser,
    Quantity,
    Result,
    Run,
    minimise,
    option,
)

_LABELS = {
    "l1": r"$\int |\rho - \rho^*|\,dx$",
    "amplitude": r"$\int (\psi - t)^2\,dx$",
    "kl": r"$\int \rho^* \ln(\rho^*/\rho)\,dx$",
}
_MEANINGS: dict[sch.Distance, str] = {
    "l1": "∫|ρ − ρ*| dx, ρ* the target",
    "amplitude": "∫(ψ − t)² dx",
    "kl": "∫ρ* ln(ρ*/ρ) dx",
}
_LARGEST_DENSE = 3000  # points of a problem that takes full matrices


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSchrodinger(Experiment):
    r"""The potential whose ground state (or n-th state, or states) has a given density.

    Given ρ(x) on a grid, find V with

        [-1/(2m) d²/dx² + V(x)] ψ(x) = E ψ(x),      |ψ|² = ρ,

    by optimisation through a differentiable eigensolver (the lecture's demonstration). For one nodeless state the
    answer is known, V - E = ½ ψ''/ψ, and the result is compared with it, in the same discrete form, where ρ exceeds
    1e-4 of its maximum. Hartree atomic units; the constant of V is fixed by ∫ρV dx = 0 over that region.

    Input: a CSV, NPZ or HDF5 file with `x` and `density`, or `density_0`, `density_2`, … for several states at once
    (the number is the state's, 0 the ground state). Positive, finite, x increasing, normalised if it is not. Walls
    stand one spacing beyond the first and last point.

    Optimisers. `newton`, for one ground state: the excess energy W[V] = <t|H|t> - E0[V] of the target amplitude t
    is convex, its gradient t² - ψ² comes from the eigensolver, and its inverse Hessian ½ ψ⁻¹(H - E)ψ⁻¹ is known from
    perturbation theory; the built-in targets take 6 to 60 steps. For excited or several states, or with --smoothness:
    damped Gauss-Newton steps on Σ∫(ψ - t)² dx with the exact linear response of the states; it may stop in a local
    minimum. `lbfgs` and `adam` descend the loss itself with V at the points as variables, as the notebook did, to
    compare: the loss hardly depends on V where ψ is small, and they stall (the notebook at 0.0249, `lbfgs` at 0.0253).

    Loss, summed over states: `l1` ∫|ρ - ρ*| dx; `amplitude` ∫(ψ - t)² dx (Johnson's); `kl` ∫ρ* ln(ρ*/ρ) dx. The run
    has converged when the loss is at most --tol; with --smoothness λ, when the norm of the gradient of the loss
    + λ∫|V'|² dx is. With `newton` the loss is measured, not descended: it may rise in the first steps.

    A density of exactly zero would need an infinite potential. So a background, a multiple of the density of the
    empty grid, is added to the density of a ground state before it is inverted; it is chosen to cost a tenth of
    --tol. It bends V by about background/ρ (relative), and at a cliff of the density by its neighbour's amplitude
    over h²: a loose --tol also limits the accuracy of V.

    In two and three dimensions (NPZ or HDF5 with `x`, `y`, maybe `z`, and a `density` with one axis for each; or
    --target henon-heiles, double-dot) the ground state is found without a matrix, by `krylov.eigsh` with the kinetic
    energy as preconditioner: Newton's step is local there, too. --grid N means N points along each axis then.

    Schemes. `fd2` reproduces any positive density exactly, but as a discrete problem: against the potential of the
    continuum its error is about h² ψ⁗/24ψ. By default `fd8` is used for equidistant points where the density is
    reachable with it (smooth densities), `fd2` otherwise.

    Sources: S. G. Johnson, Notes on adjoint methods for 18.335; L. Wang, inverse_schrodinger.ipynb (ml4p).
    """

    input: Path | None = option(None, "file with x and density (.csv, .npz, .h5)")
    target: sch.TargetName = option("notebook", "built-in density, used without --input")
    states: tuple[int, ...] = option((0,), "state numbers, 0 the ground state, e.g. 1 or 0,1,2", ge=0, le=50)
    grid: int | None = option(None, "number of equidistant points: resamples --input", ge=9, le=100_000)
    boundary: sch.Boundary | None = option(None, "what lies beyond the ends of --input (none: hard-wall)")
    kinetic: sch.Scheme | None = option(None, "kinetic operator (none: chosen by the density)")
    mass: float | None = option(None, "in electron masses (none: 1, or the target's own)", gt=0)
    optimiser: Literal["newton", "lbfgs", "adam"] = option("newton", "how V is improved")
    learning_rate: float = option(1e-2, "of adam, in hartree", gt=0)
    loss: sch.Distance = option("l1", "distance of the densities")
    smoothness: float = option(0.0, "weight of the integral of V'(x)^2", ge=0)
    tol: float = option(1e-8, "loss to reach", ge=1e-12, le=1)
    max_steps: int = option(500, "bound on the number of steps", ge=1, le=10_000_000)

    citation = (
        "S. G. Johnson, Notes on adjoint methods for 18.335, https://math.mit.edu/~stevenj/18.336/adjoint.pdf; "
        "L. Wang, https://github.com/wangleiphy/ml4p (5_diffprogram/inverse_schrodinger.ipynb); "
        "Q. Wu and W. Yang, J. Chem. Phys. 118, 2498 (2003)"
    )

    def prepare(self) -> "_Problem":
        """The densities, from the file or built in, and everything that depends on them alone."""
        if self.smoothness and self.optimiser == "newton" and self.loss != "amplitude":
            raise InputError("--smoothness with --optimiser newton is a least-squares problem: add --loss amplitude")
        if len(set(self.states)) < len(self.states) or not self.states:
            raise InputError(f"--states: needs different state numbers, got {self.states}")
        notes: list[str] = []
        target = self._built_in() if self.input is None else self._read(self.input, notes)
        design = sch.design(target, scheme=self.kinetic, mass=self.mass, allowance=self.tol / 10)
        if design.background and not sch.is_reachable(design.goals[0], design.kinetic):
            notes.append(
                "no potential on this grid has exactly this density with this kinetic operator; with fd2 one always has"
            )
        if self._needs_matrices(design) and target.grid.n > _LARGEST_DENSE:
            raise InputError(
                f"excited or several states, and --smoothness, take matrices of {target.grid.n}²: use at most "
                f"{_LARGEST_DENSE} points (--grid)"
            )
        if self._needs_matrices(design) and isinstance(target.grid, sch.ProductGrid):
            raise InputError("--smoothness is for densities on a line")
        states = ", ".join(map(str, design.states))
        notes.append(f"{target.grid.n} points, {target.grid.boundary}, {design.scheme}, states {states}")
        if not target.grid.uniform:
            notes.append("the points are not equidistant: differences of second order; --grid N resamples")
        return _Problem(design, tuple(notes))

    def run(self, problem: "_Problem", run: Run) -> Result:
        """Optimises V and compares it with the exact inversion."""
        design = problem.design
        for note in problem.notes:
            run.log(note)

        def objective(potential: Array) -> Array:
            _, found = design.solve(potential)
            loss = sch.distance(found, design.amplitudes, self.loss)
            return loss + self.smoothness * design.roughness(potential) if self.smoothness else loss

        minimum = minimise(
            run,
            "design",
            objective,
            design.start,
            optimiser=self._optimiser(design),
            tol=0.0 if self.smoothness else self.tol,
            gtol=self.tol if self.smoothness else 0.0,
            max_steps=self.max_steps,
        )
        return Result(*_compare(design, minimum), minimum.converged, self._remedy(design, minimum))

    def plot(self, result: Result) -> Figure:
        """Densities, potentials and convergence."""
        arrays = result.arrays
        if "y" in arrays:
            return self._plot_maps(result)
        figure, (left, middle, right) = plots.new_figure(1, 3, width=12.5, height=3.6)
        labels = [f" {state}" if arrays["states"].size > 1 else "" for state in arrays["states"]]
        # What is found is black and dashed, on top of what it should be; one entry of the legend is enough.
        found = ["found", *(f"_found{label}" for label in labels[1:])]
        colours = dict.fromkeys(found, "black")
        for label, colour in zip(labels, itertools.cycle(plots.COLOURS[:-1])):
            colours |= {f"target{label}": colour, f"exact inversion{label}": colour}
        plots.curves(
            left,
            arrays["x"],
            {f"target{label}": rho for label, rho in zip(labels, arrays["target_density"])}
            | dict(zip(found, arrays["density"])),
            xlabel="$x$ / bohr",
            ylabel=r"density / bohr$^{-1}$",
            title="densities",
            dashed=tuple(found),
            colours=colours,
        )
        inside = np.isfinite(arrays["inversion"]).any(axis=0)
        exact = {f"exact inversion{label}": v for label, v in zip(labels, arrays["inversion"])}
        plots.curves(
            middle,
            arrays["x"],
            {"start": np.where(inside, arrays["start"], np.nan)}
            | exact
            | {"found": np.where(inside, arrays["potential"], np.nan)},
            xlabel="$x$ / bohr",
            ylabel="potential / hartree",
            title=r"potential, where density $> 10^{-4}$ max",
            dashed=("found",),
            starts=("start",),
            colours=colours,
        )
        drawn = np.abs(arrays["potential"][inside])
        if drawn.max() > 100 * np.median(drawn):  # walls at a discontinuity of the density
            linear = 10.0 ** np.ceil(np.log10(max(np.median(drawn), 1e-3)))
            middle.set_yscale("symlog", linthresh=linear)
            middle.set_ylabel(f"potential / hartree\n(logarithmic beyond ±{linear:g})")
        plots.convergence(
            right,
            np.arange(arrays["history"].size),
            arrays["history"],
            tol=None if self.smoothness else self.tol,
            ylabel=_LABELS[self.loss] + (" + smoothness" if self.smoothness else ""),
            title="convergence",
        )
        return figure

    def _plot_maps(self, result: Result) -> Figure:
        """The same in two dimensions; in three, in the plane z through the largest density."""
        arrays = result.arrays
        figure, (left, middle, error, right) = plots.new_figure(1, 4, width=15.5, height=3.6)
        shape = tuple(arrays[name].size for name in "xyz" if name in arrays)
        fields = {name: arrays[name][0].reshape(shape) for name in ("target_density", "density", "inversion")}
        fields["potential"] = arrays["potential"].reshape(shape)
        where = ""
        if len(shape) == 3:
            k = int(np.argmax(fields["target_density"].max(axis=(0, 1))))
            fields = {name: field[:, :, k] for name, field in fields.items()}
            where = f" at z = {arrays['z'][k]:.2f} bohr"
        axes = arrays["x"], arrays["y"]
        inside = np.isfinite(fields["inversion"])
        unit = f"density / bohr$^{{-{len(shape)}}}$"
        plots.field(left, *axes, fields["target_density"], label=unit, title=f"target density{where}")
        plots.field(
            middle,
            *axes,
            np.where(inside, fields["potential"], np.nan),
            label="potential / hartree",
            title=r"found, density $> 10^{-4}$ max",
        )
        off = np.where(inside, np.abs(fields["potential"] - fields["inversion"]), np.nan)
        plots.field(error, *axes, off, label="|V - exact inversion| / hartree", title="error", log=True)
        plots.convergence(
            right,
            np.arange(arrays["history"].size),
            arrays["history"],
            tol=self.tol,
            ylabel=_LABELS[self.loss],
            title="convergence",
        )
        return figure

    def _read(self, file: Path, notes: list[str]) -> sch.Target:
        """The densities of the user's file, on the grid asked for."""
        data = sch.read_densities(file)
        named = [state for state in data.densities if state is not None]
        if named and self.states != (0,):
            raise InputError(f"--states: the columns of {file} already say which states they are")
        if not named and len(self.states) > 1:
            raise InputError(f"{file} has one density for {len(self.states)} states: name columns density_0, …")
        lines = tuple(sch.Grid(axis, self.boundary or "hard-wall") for axis in data.axes)
        grid = lines[0] if len(lines) == 1 else sch.ProductGrid(lines)
        if self.grid is not None and len(lines) > 1:
            raise InputError("--grid resamples densities on a line only")
        densities = jnp.asarray(np.stack([*data.densities.values()]))
        totals = [float(grid.integrate(rho)) for rho in densities]
        if any(abs(total - 1) > 1e-6 for total in totals):
            notes.append(f"normalised: the integral was {', '.join(f'{total:.8g}' for total in totals)}")
        target = sch.Target(grid, densities, states=tuple(named) or self.states)
        return target if self.grid is None else sch.resample(target, self.grid)

    def _built_in(self) -> sch.Target:
        if self.boundary is not None:
            raise InputError("--boundary goes with --input: the built-in targets have their own")
        return sch.target(self.target, n=self.grid, states=self.states)

    def _remedy(self, design: sch.Design, minimum: Minimum) -> str:
        """What to do about a run that has not converged; empty if it has."""
        if minimum.converged:
            return ""
        value, what = (minimum.gradient_norm, "gradient norm") if self.smoothness else (minimum.loss, self.loss)
        message = f"{what} {value:.3g} is above --tol {self.tol:g}. {minimum.message}"
        if self.optimiser != "newton":
            return f"{message} On V itself these optimisers stall; the default, newton, does not."
        if design.states != (0,):
            message += (
                " The search for excited states may have ended in a local minimum; several densities may not "
                "belong to one potential, or only up to the error of the discretisation: try more points or sinc."
            )
        return message

    def _optimiser(self, design: sch.Design) -> Optimiser:
        if self.optimiser == "lbfgs":
            return LBFGS()
        if self.optimiser == "adam":
            return Adam(self.learning_rate)
        if self._needs_matrices(design):
            # Without a regulariser the mismatch is to vanish, and a step that hardly lowers it will not get there.
            problem = sch.AmplitudeMismatch(design, self.smoothness)
            return GaussNewton(problem.equations, problem, damping=1.0, progress=0.0 if self.smoothness else 1e-4)
        goal, kinetic = design.goals[0], design.kinetic
        return Newton(
            lambda potential: sch.excess_energy(potential, goal, kinetic),
            lambda potential: sch.newton_step(potential, goal, kinetic),
        )

    def _needs_matrices(self, design: sch.Design) -> bool:
        return self.optimiser == "newton" and (design.states != (0,) or self.smoothness > 0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    design: sch.Design
    notes: tuple[str, ...]


def _compare(design: sch.Design, minimum: Minimum) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and summary: what was found beside the target, the exact inversion and the model potential."""
    weights = design.kinetic.grid.weights
    energies, found = design.solve(minimum.x)
    compared, squares = design.compared(), design.amplitudes**2
    constant = _mean(minimum.x, jnp.where(compared, squares, 0).sum(axis=0))
    potential = minimum.x - constant
    start = design.start - _mean(design.start, jnp.where(compared, squares, 0).sum(axis=0))
    inversions = jnp.stack(
        [
            v + _mean(potential - v, jnp.where(inside, square, 0))
            for v, inside, square in zip(design.inversions(), compared, squares)
        ]
    )
    grid = design.kinetic.grid
    off = jnp.nanmax(jnp.where(compared, jnp.abs(potential - inversions), 0), axis=0)
    summary = {"potential_error": _largest(off, grid, "deviation from the exact inversion", potential)}
    if design.potential is not None:
        inside = compared.any(axis=0)
        away = potential - design.potential
        away = jnp.abs(away - _mean(away, jnp.where(inside, squares.sum(axis=0), 0)))
        summary["model_error"] = _largest(
            jnp.where(inside, away, 0), grid, "deviation from the potential of the target", potential
        )
    for state, energy in zip(design.states, energies):
        summary[f"energy_{state}"] = Quantity(energy - constant, f"of state {state}; ∫ρV dx = 0", "hartree", digits=9)
    for kind, meaning in _MEANINGS.items():
        summary[kind] = Quantity(sch.distance(found, design.amplitudes, kind), meaning, digits=3)
    arrays = {
        **_axes(design.kinetic.grid),
        "states": np.array(design.states),
        "potential": potential,
        "start": start,
        "inversion": inversions,
        "target_density": squares / weights,
        "density": found**2 / weights,
        "history": minimum.history,
    }
    summary["background"] = Quantity(design.background, "part of the empty grid's density that was added", digits=2)
    summary["steps"] = Quantity(minimum.steps, "of the optimiser")
    return arrays, summary


def _largest(
    off: Float[Array, " n"], grid: sch.Grid | sch.ProductGrid, what: str, potential: Float[Array, " n"]
) -> Quantity:
    """The largest entry, with its place and the potential there."""
    place = np.unravel_index(int(jnp.argmax(off)), [line.size for line in _axes(grid).values()])
    there = float(potential[jnp.argmax(off)])
    where = ", ".join(f"{name} = {float(line[i]):.4g}" for (name, line), i in zip(_axes(grid).items(), place))
    return Quantity(jnp.max(off), f"largest {what}, at {where} bohr, where V = {there:.4g}", "hartree", digits=3)


def _axes(grid: sch.Grid | sch.ProductGrid) -> dict[str, Array]:
    lines = (grid,) if isinstance(grid, sch.Grid) else grid.axes
    return {name: line.x for name, line in zip("xyz", lines, strict=False)}


def _mean(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
    """The mean over the points where the weight is not zero; there alone `values` need be finite."""
    return jnp.sum(jnp.where(weights > 0, values, 0) * weights) / jnp.sum(weights)
