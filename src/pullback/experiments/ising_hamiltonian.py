r"""Hamiltonian engineering: the couplings of a spin model from its spectrum."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import InputError
from pullback.experiments._couplings import largest_difference, listed
from pullback.lattices import Lattice, SpectrumFit, SpinModel, chain, closest_equivalent, read_levels, ring
from pullback.linalg import eigvalsh
from pullback.plots import convergence, levels, new_figure, place_values
from pullback.runs import LBFGS, Adam, Experiment, Minimum, Quantity, Result, Run, minimise, option

Term = Literal["zz", "xx", "yy", "xx+yy", "xx+yy+zz", "x", "z"]
_COARSE_STEPS, _COARSE_TOL = 60, 1e-10  # of fits at finite resolution: they only have to lead into the right valley
_GTOL = 1e-9  # gradient norm of a local minimum; at the default tolerance it is larger


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsingHamiltonian(Experiment):
    r"""Couplings of a spin Hamiltonian from its spectrum.

    The model is a ring (or an open chain) of up to 10 spins, with terms chosen by --terms,

        H = −Σ_i J_i σz_i σz_{i+1} − Σ_i h_i σx_i − Σ_i k_i σz_i − …        (Pauli matrices; the last bond of the ring
                                                                            joins the last site and the first),

    and every coupling is learned by gradient descent through an exact diagonalisation, until the lowest levels w_k are
    the target's t_k; both in ascending order,

        loss = mean_k (w_k − t_k)² / variance of t.

    With --shift both spectra are compared relative to their means. Input: a file with one column of energies. Without
    one, the target is the spectrum of a ring with known random couplings (between ½ and 3/2), and the summary tells
    how far the couplings found are from them, up to what a spectrum cannot tell: translations and reflections of the
    ring, and signs that turns of single spins by π undo. With `zz,x` alone the couplings of a ring cannot be found
    from its spectrum: the model is one of free fermions, and only L + 1 combinations of its 2L couplings enter the
    spectrum. A longitudinal field `z` makes them all visible.

    Degenerate levels are no obstacle: where levels of a multiplet are paired with equal targets the loss is smooth,
    and where the target splits it, the loss has a ridge from which every computed gradient leads down (see
    `pullback.lattices.level_mismatch`). But pairing levels in order makes a landscape of many minima. So each start
    first fits the spectra as seen with a resolution of 0.5, then 0.2 and 0.08 standard deviations of the target
    (`pullback.lattices.SpectrumFit`). For 6 spins a fit then succeeds from one start in three, otherwise from one
    in thirty (20 random rings). Starts are tried until one reaches --tol; the best is reported.

    Couplings from a ground state instead: `hamiltonian-from-groundstate`.

    Source: H. Fujita, Y. O. Nakagawa, S. Sugiura, M. Oshikawa, Phys. Rev. B 97, 075114 (2018), arXiv:1705.05372, where
    spectra of the Hubbard model and entanglement spectra are fitted.
    """

    input: Path | None = option(None, "file with energies (.csv, .txt)")
    sites: int = option(6, "number of spins", ge=2, le=10)
    boundary: Literal["periodic", "open"] = option("periodic", "ring or chain")
    terms: tuple[Term, ...] = option(("zz", "x", "z"), "terms learned")
    uniform: bool = option(False, "one coupling for each term, the same everywhere")
    levels: int | None = option(None, "number of lowest levels compared (none: all of the target)", ge=2)
    shift: bool = option(False, "compare spectra up to a common shift")
    optimiser: Literal["lbfgs", "adam"] = option("lbfgs", "how couplings are improved")
    learning_rate: float = option(1e-2, "of adam", gt=0)
    tol: float = option(1e-16, "loss to reach", ge=0)
    max_steps: int = option(2000, "bound on the number of steps of one start", ge=1, le=1_000_000)
    starts: int = option(16, "starting points tried, at most", ge=1)
    seed: int = option(0, "of the built-in target and the starting points", ge=0)

    citation = "H. Fujita, Y. O. Nakagawa, S. Sugiura, M. Oshikawa, Phys. Rev. B 97, 075114 (2018), arXiv:1705.05372"

    def prepare(self) -> "_Problem":
        """The target, read or made, and the lattice."""
        if not self.terms or len(set(self.terms)) < len(self.terms):
            raise InputError(f"--terms: needs different terms, at least one, got {','.join(self.terms) or 'nothing'}")
        lattice = ring(self.sites) if self.boundary == "periodic" else chain(self.sites)
        ansatz = _Ansatz(lattice, self.terms, self.uniform, self.seed)
        if self.input is None:
            truth = ansatz.model(ansatz.random(0))
            target = np.asarray(eigvalsh(truth.matrix()))
        else:
            truth, target = None, read_levels(self.input)
        if target.size > 2**self.sites:
            raise InputError(
                f"{self.input}: {target.size} levels, but {self.sites} spins have {2**self.sites}: raise --sites"
            )
        count = target.size if self.levels is None else self.levels
        if count > target.size:
            raise InputError(f"--levels: the target has {target.size} levels, got {count}")
        if np.ptp(target[:count]) == 0:
            raise InputError(f"--levels: the lowest {count} levels of the target are all {target[0]:g}: compare more")
        return _Problem(ansatz, SpectrumFit(target[:count], self.shift), truth)

    def run(self, problem: "_Problem", run: Run) -> Result:
        """Tries starting points until one reaches the tolerance, and reports the best."""
        fits: list[_Fit] = []
        for number in range(1, self.starts + 1):
            fits.append(self._fit(problem, run, number))
            minimum = fits[-1].minimum
            run.log(f"start {number}: loss {minimum.loss:.3e} after {minimum.steps} steps")
            if minimum.loss <= self.tol:
                break
        best = min(fits, key=lambda fit: fit.minimum.loss if math.isfinite(fit.minimum.loss) else math.inf)
        initial, found = problem.model(best.x0), problem.model(best.minimum.x)
        found, arrays, summary = problem.report(initial, found)
        converged = best.minimum.loss <= self.tol
        return Result(
            arrays=arrays
            | {f"couplings_{kind}": -np.asarray(values) for kind, values in found.couplings.items()}
            | {f"initial_{kind}": -np.asarray(values) for kind, values in initial.couplings.items()}
            | {"history": best.minimum.history, "start_losses": np.array([fit.minimum.loss for fit in fits])},
            summary=summary
            | {
                "loss": Quantity(best.minimum.loss, "mean squared deviation over the variance of the target", digits=2),
                "steps": Quantity(best.minimum.steps, "of the last fit, level by level"),
                "start": Quantity(best.number, "the best one"),
                "starts_tried": len(fits),
            },
            converged=converged,
            message="" if converged else self._remedy(best.minimum, len(fits)),
        )

    def plot(self, result: Result) -> Figure:
        """Target and found; the couplings, place by place; the convergence of the best start."""
        arrays = result.arrays
        figure, (left, middle, right) = new_figure(1, 3, width=12.5, height=4.0)
        shown = {"target": arrays["target"], "start": arrays["initial"], "found": arrays["found"]}
        levels(left, shown, ylabel="energy − mean" if self.shift else "energy", title="spectra")
        values = {kind: arrays[f"couplings_{kind}"] for kind in self.terms}
        place_values(
            middle,
            {kind: (np.arange(v.size) + (0.5 if len(kind) > 1 else 0.0), v) for kind, v in values.items()},
            starts={kind: arrays[f"initial_{kind}"] for kind in self.terms},
            references={kind: arrays[f"true_{kind}"] for kind in self.terms if f"true_{kind}" in arrays},
            xlabel="site (bonds in between)",
            ylabel="coupling",
            title="couplings found",
        )
        convergence(
            right,
            np.arange(arrays["history"].size),
            arrays["history"],
            tol=self.tol,
            title=f"last stage of start {result.summary['start']} of {result.summary['starts_tried']}",
        )
        return figure

    def _fit(self, problem: "_Problem", run: Run, number: int) -> "_Fit":
        """From one starting point, at finer and finer resolution, then level by level."""
        x = x0 = problem.start(number)
        optimiser = LBFGS() if self.optimiser == "lbfgs" else Adam(self.learning_rate)
        for resolution in problem.fit.resolutions:
            bounds = {"tol": _COARSE_TOL, "max_steps": _COARSE_STEPS}
            name = f"start-{number}-coarse-{resolution:g}".replace(".", "_")
            x = minimise(run, name, problem.loss(resolution), x, optimiser=optimiser, **bounds).x
        bounds = {"tol": self.tol, "gtol": _GTOL, "max_steps": self.max_steps}
        return _Fit(
            number, x0, minimise(run, f"start-{number}-levels", problem.loss(0.0), x, optimiser=optimiser, **bounds)
        )

    def _remedy(self, minimum: Minimum, tried: int) -> str:
        shift = "" if self.shift else " --shift true if the zero of energy is arbitrary (all terms are traceless),"
        return (
            f"The best loss is {minimum.loss:.3g}, above --tol {self.tol:g} (starts tried: {tried}). "
            f"Try more --starts, more or other --terms,{shift} or a looser --tol."
        )


_Couplings = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """One starting point, and where its last stage ended."""

    number: int
    x0: _Couplings
    minimum: Minimum


@dataclasses.dataclass(frozen=True)
class _Ansatz:
    """The family of Hamiltonians searched, H = −Σ couplings · terms."""

    lattice: Lattice
    kinds: tuple[str, ...]
    uniform: bool
    seed: int

    def model(self, couplings: _Couplings, unit: float = 1.0) -> SpinModel:
        return SpinModel(self.lattice, {kind: -unit * values for kind, values in couplings.items()})

    def random(self, stream: int) -> _Couplings:
        """Couplings between ½ and 3/2; stream 0 makes the built-in target, stream k the k-th start."""
        rng = np.random.default_rng([self.seed, stream])
        return {kind: jnp.asarray(rng.uniform(0.5, 1.5, shape)) for kind, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """kind -> shape of its couplings."""
        count = {kind: len(self.lattice.bonds) if len(kind) > 1 else self.lattice.sites for kind in self.kinds}
        return {kind: () if self.uniform else (count[kind],) for kind in self.kinds}

    def signed(self, stream: int) -> _Couplings:
        """Random couplings with a common random sign for each kind."""
        signs = np.random.default_rng([self.seed, stream, 1]).choice([1.0, -1.0], len(self.kinds))
        return {kind: sign * values for sign, (kind, values) in zip(signs, self.random(stream).items())}


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    """The variables are couplings in units of the standard deviation of the target levels."""

    ansatz: _Ansatz
    fit: SpectrumFit
    truth: SpinModel | None

    def start(self, number: int) -> _Couplings:
        """Random couplings, scaled to the width of the target; of one sign in the first start."""
        x = self.ansatz.random(number) if number == 1 else self.ansatz.signed(number)
        spread = np.std(self.fit.levels(self.ansatz.model(x)))
        return {kind: values / spread for kind, values in x.items()}

    def model(self, x: _Couplings) -> SpinModel:
        return self.ansatz.model(x, self.fit.unit)

    def loss(self, resolution: float) -> Callable[[_Couplings], Float[Array, ""]]:
        return lambda x: self.fit.distance(self.model(x), resolution)

    def report(self, initial: SpinModel, found: SpinModel) -> tuple[SpinModel, dict[str, Any], dict[str, Any]]:
        """Of all Hamiltonians with the spectrum found, the one closest to the true one, where that is known."""
        w = np.asarray(eigvalsh(found.matrix()))
        target = self.fit.centred(self.fit.target)
        levels = self.fit.centred(w[: target.size])
        arrays = {"target": target, "initial": np.asarray(self.fit.levels(initial)), "found": levels}
        summary: dict[str, Any] = {}
        if self.truth is not None:
            found, true = closest_equivalent(found, self.truth), self.truth.couplings
            arrays |= {f"true_{kind}": -np.asarray(values) for kind, values in true.items()}
            summary["max_coupling_error"] = largest_difference(found.couplings, true)
        off = np.abs(levels - target)
        summary["max_level_error"] = Quantity(
            off.max(), f"largest deviation of a level, level {off.argmax()}", digits=2
        )
        summary["rms_level_error"] = Quantity(np.sqrt(np.mean(off**2)), "root mean square of all", digits=2)
        summary |= listed({kind: -np.asarray(values) for kind, values in found.couplings.items()})
        summary["E0"] = Quantity(w[0], "ground energy of the model found", digits=9)
        if self.fit.shift:
            shift = np.mean(self.fit.target) - np.mean(w[: target.size])
            summary["shift"] = Quantity(shift, "of the target against the model", digits=9)
        return found, arrays, summary
