r"""How every disc of a packing moves when the discs of one species grow."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from pullback import particles, plots
from pullback.core import InputError, nearest
from pullback.runs import LBFGS, Experiment, Minimum, Quantity, Result, Run, minimise, option

_PARTICLES, _FRACTION, _RATIO = 64, 0.9, 1.4
_MOST = 1000  # the Hessian is a full matrix
_GTOL = 1e-7  # gradient norm, in ε over the mean diameter, from which Newton's method takes over
_STEP = 1e-6  # of the differences, in mean diameters
_AGREE = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParticlePacking(Experiment):
    r"""Sensitivity of a packing of soft discs: how all of them move when one species grows.

    Discs of diameters σ_i in a periodic square box repel each other where they overlap,

        E(x, σ) = Σ_{i<j} ½ max(0, 1 − r_ij/σ_ij)²,        σ_ij = (σ_i + σ_j)/2,

    with energies in units of the stiffness. From a random start the energy is minimised, x*(σ) = argmin E, and the
    positions are differentiated with respect to a common growth δ of the diameters of one species,

        H dx*/dδ = −∂/∂δ (∂E/∂x),        H = ∂²E/∂x²,

    in forward mode through the minimum, not through the search for it. H is singular: the packing can be shifted, and
    rattlers, discs with fewer than three contacts, move freely in their cages. The derivative is the one of least norm,
    in which none of these moves. A minimiser leaves rattlers just in touch with a neighbour, where there is no
    derivative: they are moved away first.

    Certificates. `residual`: relative, of the linear equation, from the derivative of the force along the solution.
    `difference`: largest deviation from central differences of packings minimised again at δ = ±`step`, relative to the
    largest component; the run counts as converged only if it is at most 1e-6. `zero_modes` must be
    2 + 2·`rattlers`. `lowest_stiffness` is the smallest eigenvalue of H that is not zero. `grow_to_change` and
    `shrink_to_change` are the δ, to first order, at which the first contact opens or closes and the derivative jumps.

    The built-in mixture is half small discs of diameter 1, half large ones, as is usual for jamming; it jams at
    packing fractions of about 0.84. Input: a CSV file with columns x, y, diameter and, optionally, species; the side of
    the box by --box, or in the file by a line `# box: 9.5`. The start may overlap. Without species, equal
    diameters are one species.

    Sources: C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003); the sensitivity:
    M. Blondel et al., Efficient and modular implicit differentiation, arXiv:2105.15183, figure 5 of the lecture.
    """

    input: Path | None = option(None, "CSV file with x, y, diameter (and species)")
    box: float | None = option(None, "side of the periodic box of --input", gt=0)
    discs: int | None = option(None, f"number of discs (none: {_PARTICLES})", ge=3, le=_MOST)
    packing_fraction: float | None = option(None, f"area of the discs over the box (none: {_FRACTION})", gt=0, le=2)
    ratio: float | None = option(None, f"large diameter over small diameter (none: {_RATIO})", ge=1, le=10)
    species: str | None = option(None, "whose diameter grows: small, large, or a name of --input (none: the largest)")
    max_steps: int = option(20_000, "bound on the number of steps of the minimisation", ge=1, le=10_000_000)
    seed: int = option(0, "of the random start", ge=0)

    citation = (
        "C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003); M. Blondel, Q. Berthet, "
        "M. Cuturi, R. Frostig, S. Hoyer, F. Llinares-López, F. Pedregosa, J.-P. Vert, arXiv:2105.15183"
    )

    def prepare(self) -> "_Problem":
        """The discs, from the file or made, where they start, and which of them grow."""
        notes: list[str] = []
        discs, start, kinds, names = self._mixture() if self.input is None else self._read(self.input, notes)
        means = [float(np.mean(np.asarray(discs.diameters)[kinds == k])) for k in range(len(names))]
        name = names[int(np.argmax(means))] if self.species is None else self.species
        if name not in names:
            raise InputError(f"--species: no species {name!r}.{nearest(name, names)}")
        fraction = float(discs.packing_fraction)
        notes.append(
            f"{kinds.size} discs, box {float(discs.box):.6g}, packing fraction {fraction:.4g}, species {name} grows"
        )
        return _Problem(discs, start, kinds, names, name, tuple(notes))

    def run(self, problem: "_Problem", run: Run) -> Result:
        """Minimises, differentiates, and compares with differences."""
        for note in problem.notes:
            run.log(note)
        minimum = minimise(
            run,
            "relax",
            problem.discs.energy,
            problem.start,
            optimiser=LBFGS(),
            tol=0.0,
            gtol=_GTOL / problem.unit,
            max_steps=self.max_steps,
        )
        free = np.asarray(particles.rattlers(problem.discs, minimum.x, contact=particles.WEAK_CONTACT))
        if not minimum.converged or free.all():
            return _unsettled(problem, minimum, free, self.max_steps)
        discs, x = particles.settle(problem.discs, minimum.x, tol=problem.tol)
        growth = jnp.asarray(problem.growing, x.dtype)
        respond = jax.jit(partial(particles.response, tol=problem.tol))
        found = respond(discs, x, growth)
        wider, narrower = particles.next_contact_changes(discs, found.positions, growth, found.derivative)
        step = min(_STEP * problem.unit, float(jnp.minimum(wider, narrower)) / 4)
        ahead, behind = (respond(discs.grown(t * growth), found.positions, growth) for t in (step, -step))
        differences = (ahead.positions - behind.positions) / (2 * step)
        scale = jnp.max(jnp.abs(found.derivative))
        deviation = float(jnp.max(jnp.abs(differences - found.derivative)) / jnp.where(scale > 0, scale, 1))
        arrays, summary = _report(problem, discs, found, differences)
        summary |= {
            "grow_to_change": Quantity(wider, "δ at which the first contact changes", "length", 3),
            "shrink_to_change": Quantity(narrower, "−δ at which the first contact changes", "length", 3),
            "difference": Quantity(deviation, "largest deviation from differences, relative", digits=2),
            "step": Quantity(step, "of the differences", "length", 2),
            "residual": Quantity(found.residual, "of the linear equation, relative", digits=2),
            "steps": Quantity(minimum.steps, "of the minimisation"),
        }
        message = _doubt(found, int(arrays["rattlers"].sum()), deviation)
        return Result(arrays | {"history": minimum.history}, summary, not message, message)

    def plot(self, result: Result) -> Figure:
        """The packing with arrows; response against contacts; convergence."""
        arrays, summary = result.arrays, result.summary
        kinds, names = arrays["species"], summary["species"].split(", ")
        derivative = arrays["derivative"]
        figure, (left, middle, right) = plots.new_figure(1, 3, width=13.5, height=4.8)
        plots.discs(
            left,
            arrays["positions"],
            arrays["diameters"],
            box=float(arrays["box"]),
            species=kinds,
            labels=tuple(f"{name} ↑" if name == summary["growing"] else name for name in names),
            hollow=arrays["rattlers"],
            bonds=arrays["contacts"],
            arrows=derivative,
            unit="= |dx/dδ|",
            title=f"packing; arrows: motion when {summary['growing']} discs grow",
        )
        held = ~arrays["rattlers"]
        length = np.linalg.norm(derivative, axis=1)
        plots.place_values(
            middle,
            {
                name: (arrays["contact_numbers"][chosen] + 0.24 * (k - (len(names) - 1) / 2), length[chosen])
                for k, name in enumerate(names)
                for chosen in [held & (kinds == k)]
            },
            xlabel="contacts of a disc",
            ylabel=r"$|dx/d\delta|$",
            title="response",
        )
        history = arrays["history"]
        plots.convergence(
            right, np.arange(history.size), history - summary["energy"], ylabel=r"$E - E^*$", title="minimisation"
        )
        return figure

    def _mixture(self) -> tuple[particles.SoftDiscs, Array, np.ndarray, tuple[str, ...]]:
        if self.box is not None:
            raise InputError("--box goes with --input; without a file the packing fraction says how large the box is")
        ratio = _RATIO if self.ratio is None else self.ratio
        n = _PARTICLES if self.discs is None else self.discs
        fraction = _FRACTION if self.packing_fraction is None else self.packing_fraction
        discs = particles.bidisperse(n, fraction, ratio=ratio)
        kinds = np.arange(n) >= (n + 1) // 2
        return discs, particles.random_positions(discs, self.seed), kinds.astype(int), ("small", "large")

    def _read(self, file: Path, notes: list[str]) -> tuple[particles.SoftDiscs, Array, np.ndarray, tuple[str, ...]]:
        given = {"discs": self.discs, "packing-fraction": self.packing_fraction, "ratio": self.ratio}
        extra = [f"--{name}" for name, value in given.items() if value is not None]
        if extra:
            raise InputError(f"{', '.join(extra)}: the discs are those of --input")
        data = particles.read_particles(file)
        if data.diameters.size > _MOST:
            raise InputError(f"{file}: {data.diameters.size} particles; the full Hessian allows at most {_MOST}")
        box = data.box if self.box is None else self.box
        if box is None:
            raise InputError(f"{file} does not say how large the box is: add --box, or a line `# box: 9.5`")
        discs = particles.SoftDiscs(jnp.asarray(data.diameters), box)
        wrapped = np.mod(data.positions, box)
        outside = int(np.any((data.positions < 0) | (data.positions > box), axis=1).sum())
        if len(np.unique(wrapped, axis=0)) < len(wrapped):
            raise InputError(f"{file}: in a box of {box:g} two particles are at the same place: move one a little")
        if outside:
            notes.append(f"wrapped: {outside} of {data.diameters.size} particles were outside of the box [0, {box:g}]²")
        return discs, jnp.asarray(wrapped), data.species, data.names


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    discs: particles.SoftDiscs
    start: Float[Array, "n 2"]
    kinds: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    name: str
    notes: tuple[str, ...]

    @property
    def unit(self) -> float:
        """The mean diameter."""
        return float(np.mean(self.discs.diameters))

    @property
    def tol(self) -> float:
        """Largest force at rest: what rounding of the positions allows. Differences divide it by their small step."""
        return 8 * float(np.finfo(float).eps) * float(self.discs.box) / self.unit**2

    @property
    def growing(self) -> np.ndarray:
        return self.kinds == self.names.index(self.name)


@eqx.filter_jit
def _contacts(discs: particles.SoftDiscs, x: Array) -> tuple[Array, Array, Array, Array, Array]:
    return (
        discs.overlaps(x) > 1e-9,
        particles.contact_numbers(discs, x),
        particles.rattlers(discs, x),
        discs.energy(x),
        discs.pressure(x),
    )


def _report(
    problem: _Problem, discs: particles.SoftDiscs, found: particles.Response, differences: Array
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and the first part of the summary."""
    x = found.positions
    touching, numbers, free, energy, pressure = map(np.asarray, _contacts(discs, x))
    arrays = {
        "positions": np.mod(x, discs.box),
        "diameters": discs.diameters,
        "box": discs.box,
        "species": problem.kinds,
        "growing": problem.growing,
        "derivative": found.derivative,
        "differences": differences,
        "contacts": np.asarray(discs.pairs)[touching],
        "overlaps": np.asarray(discs.overlaps(x))[touching],
        "contact_numbers": numbers,
        "rattlers": free,
        "stiffnesses": found.stiffnesses,
    }
    lengths = np.linalg.norm(found.derivative, axis=1)
    i = int(lengths.argmax())
    place = ", ".join(f"{float(c):.3g}" for c in arrays["positions"][i])
    summary = {
        "max_response": Quantity(lengths[i], f"largest |dx/dδ|, of disc {i} at ({place})", digits=6),
        "growing": Quantity(problem.name, "species that grows by δ"),
        "species": ", ".join(problem.names),
        "energy": Quantity(energy, "of all overlaps", "ε", digits=6),
        "pressure": Quantity(pressure, "", "ε/length²", digits=6),
        "contacts": int(touching.sum()),
        "rattlers": Quantity(int(free.sum()), "discs that nothing holds"),
        "zero_modes": Quantity(found.zero_modes, "of H: 2 translations and 2 of each rattler"),
        "lowest_stiffness": Quantity(found.lowest_stiffness, "smallest eigenvalue of H above zero", "ε/length²", 4),
        "max_force": Quantity(found.force, "largest force left", "ε/length", 2),
    }
    return arrays, summary


def _doubt(found: particles.Response, rattlers: int, deviation: float) -> str:
    """What speaks against the derivative; empty if nothing does."""
    if found.lowest_stiffness < 0:
        return "The equilibrium is a saddle, not a minimum: try another --seed."
    if int(found.zero_modes) != 2 + 2 * rattlers:
        return (
            f"{int(found.zero_modes)} zero modes, where two translations and {rattlers} rattlers make "
            f"{2 + 2 * rattlers}: the packing is about to yield or in pieces; raise the packing fraction or try "
            "another --seed."
        )
    if not deviation <= _AGREE:
        return (
            f"Derivative and differences differ by {deviation:.1e}, more than {_AGREE:g}: a contact opens or closes "
            "too near (grow_to_change, shrink_to_change), or the packing is about to yield: try another --seed."
        )
    return ""


def _unsettled(problem: _Problem, minimum: Minimum, free: np.ndarray, max_steps: int) -> Result:
    """A packing that has no derivative: nothing holds its discs, or they did not come to rest."""
    n = free.size
    loose = minimum.converged or minimum.loss == 0
    message = (
        f"Nothing holds the discs, all are rattlers: packing fraction {float(problem.discs.packing_fraction):.4g} is "
        "below jamming (about 0.84): raise it, or use a smaller --box."
        if loose
        else f"Not at rest after {minimum.steps} steps, gradient norm {minimum.gradient_norm:.1e}. "
        f"{minimum.message} Raise --max-steps (now {max_steps}) or try another --seed."
    )
    discs = problem.discs
    arrays = {
        "positions": np.mod(minimum.x, discs.box),
        "diameters": discs.diameters,
        "box": discs.box,
        "species": problem.kinds,
        "growing": problem.growing,
        "derivative": np.zeros((n, 2)),
        "contacts": np.zeros((0, 2), int),
        "contact_numbers": np.zeros(n, int),
        "rattlers": free,
        "history": minimum.history,
    }
    summary = {
        "growing": Quantity(problem.name, "species that grows by δ"),
        "species": ", ".join(problem.names),
        "energy": Quantity(minimum.loss, "of all overlaps", "ε"),
        "rattlers": Quantity(int(free.sum()), "discs that nothing holds"),
        "steps": Quantity(minimum.steps, "of the minimisation"),
    }
    return Result(arrays, summary, False, message)
