r"""Hamiltonian engineering: couplings of a spin model from its spectrum, or from its ground state."""

import abc
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import InputError
from pullback.lattices import (
    Lattice,
    SpinModel,
    broadened_mismatch,
    chain,
    closest_equivalent,
    ground_state_mismatch,
    level_mismatch,
    read_levels,
    read_state,
    ring,
)
from pullback.linalg import eigh, eigvalsh
from pullback.plots import convergence, curves, levels, new_figure, place_values
from pullback.runs import LBFGS, Adam, Experiment, Minimum, Result, Run, minimise, option

Term = Literal["zz", "xx", "yy", "xx+yy", "xx+yy+zz", "x", "z"]
_RESOLUTIONS = (0.5, 0.2, 0.08)  # at which spectra are compared first, in standard deviations of the target
_COARSE_STEPS, _COARSE_TOL = 60, 1e-10  # of these fits: they only have to lead into the right valley
_SPECTRUM_GTOL = 1e-9  # gradient norm of a local minimum; at the default tolerance it is larger
_STATE_GTOL = 1e-7  # the loss is 1 minus something, so its gradient is known to the square root of rounding
_SMALL_GAP = 1e-6  # of the range of the spectrum
_NO_OVERLAP = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsingHamiltonian(Experiment):
    r"""Couplings of a spin Hamiltonian from its spectrum, or from its ground state.

    The model is a ring (or an open chain) of up to 10 spins, with terms chosen by --terms,

        H = −Σ_i J_i σz_i σz_{i+1} − Σ_i h_i σx_i − Σ_i k_i σz_i − …        (Pauli matrices; the last bond of the ring
                                                                            joins the last site and the first),

    and every coupling is learned by gradient descent through an exact diagonalisation.

    **--target spectrum.** Find couplings whose lowest levels w_k are the target's t_k; both in ascending order,

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
    first fits the spectra as seen with a resolution of 0.5, then 0.2 and 0.08 standard deviations of the target, which
    pairs nothing and is smooth throughout. For 6 spins a fit then succeeds from one start in three, otherwise from one
    in thirty (20 random rings). Starts are tried until one reaches --tol; the best is reported.

    **--target state.** Find couplings whose ground state is the target state t,

        loss = 1 − |⟨ψ0|t⟩|.

    Input: a file with 2^sites real amplitudes; site 0 is the most significant bit, bit 0 is spin up. Without one, t is
    proportional to (1, 2, …, 2^sites), and the first start has couplings 0.1, 0.2, 0.3, … (the lecture's demonstration
    for --sites 4 --terms zz,x). Few states are ground states of such a model, so by default any minimum will do. For
    the demonstration it is J = 0, at 1 − |⟨ψ0|t⟩| = 0.121: ψ0 is even under a flip of all spins, and the even part of t
    is constant. The state does not know the scale of H.

    Sources: H. Fujita, Y. O. Nakagawa, S. Sugiura, M. Oshikawa, Phys. Rev. B 97, 075114 (2018), arXiv:1705.05372, where
    spectra of the Hubbard model and entanglement spectra are fitted; L. Wang's DL4CSRC, 2-ising/tfim.py.
    """

    target: Literal["spectrum", "state"] = option("spectrum", "what the Hamiltonian is to have")
    input: Path | None = option(None, "file with energies (.csv) or amplitudes (.csv, .npz)")
    sites: int = option(6, "number of spins", ge=2, le=10)
    boundary: Literal["periodic", "open"] = option("periodic", "ring or chain")
    terms: tuple[Term, ...] | None = option(None, "terms learned (none: zz,x,z for a spectrum, zz,x for a state)")
    uniform: bool = option(False, "one coupling for each term, the same everywhere")
    levels: int | None = option(None, "number of lowest levels compared (none: all of the target)", ge=2)
    shift: bool = option(False, "compare spectra up to a common shift")
    optimiser: Literal["lbfgs", "adam"] = option("lbfgs", "how couplings are improved")
    learning_rate: float = option(1e-2, "of adam", gt=0)
    tol: float | None = option(None, "loss to reach (none: 1e-16 for a spectrum, any minimum for a state)", ge=0)
    max_steps: int = option(2000, "bound on the number of steps of one start", ge=1, le=1_000_000)
    starts: int | None = option(None, "starting points tried, at most (none: 16 for a spectrum, 4 for a state)", ge=1)
    seed: int = option(0, "of the built-in target and the starting points", ge=0)

    citation = (
        "H. Fujita, Y. O. Nakagawa, S. Sugiura, M. Oshikawa, Phys. Rev. B 97, 075114 (2018), arXiv:1705.05372; "
        "L. Wang, https://github.com/wangleiphy/DL4CSRC (2-ising/tfim.py)"
    )

    def prepare(self) -> "_Problem":
        """The target, read or made, and the lattice."""
        kinds = self._kinds
        if not kinds or len(set(kinds)) < len(kinds):
            raise InputError(f"--terms: needs different terms, at least one, got {','.join(kinds) or 'nothing'}")
        lattice = ring(self.sites) if self.boundary == "periodic" else chain(self.sites)
        ansatz = _Ansatz(lattice, kinds, self.uniform, self.seed)
        return self._state_problem(ansatz) if self.target == "state" else self._spectrum_problem(ansatz)

    def run(self, problem: "_Problem", run: Run) -> Result:
        """Tries starting points until one reaches the tolerance, and reports the best."""
        optimiser = LBFGS() if self.optimiser == "lbfgs" else Adam(self.learning_rate)
        stages = problem.stages(self.max_steps)
        fits: list[_Fit] = []
        for number in range(1, (self.starts or problem.starts) + 1):
            x0 = problem.start(number)
            fits.append(_fit(run, number, x0, stages, optimiser))
            minimum = fits[-1].minimum
            run.log(f"start {number}: loss {minimum.loss:.3e} after {minimum.steps} steps")
            if minimum.loss <= (problem.tol or 0.0):
                break
        best = min(fits, key=lambda fit: fit.minimum.loss if math.isfinite(fit.minimum.loss) else math.inf)
        initial, found = problem.model(best.x0), problem.model(best.minimum.x)
        found, arrays, summary = problem.report(initial, found)
        converged, message = problem.verdict(best.minimum, found, len(fits))
        return Result(
            arrays=arrays
            | {f"couplings_{kind}": -np.asarray(values) for kind, values in found.couplings.items()}
            | {"history": best.minimum.history, "start_losses": np.array([fit.minimum.loss for fit in fits])},
            summary={"loss": best.minimum.loss}
            | summary
            | {"steps": best.minimum.steps, "start": best.number, "starts_tried": len(fits)},
            converged=converged,
            message=message,
        )

    def plot(self, result: Result) -> Figure:
        """Target and found; the couplings, place by place; the convergence of the best start."""
        arrays = result.arrays
        figure, (left, middle, right) = new_figure(1, 3, width=12.5, height=4.0)
        shown = {name: arrays[name] for name in ("target", "initial", "found")}
        if self.target == "spectrum":
            levels(left, shown, ylabel="energy − mean" if self.shift else "energy", title="spectra")
        else:
            states = np.arange(arrays["target"].size)
            curves(left, states, shown, xlabel="basis state", ylabel="amplitude", title="states", dashed=("found",))
        values = {kind: arrays[f"couplings_{kind}"] for kind in self._kinds}
        place_values(
            middle,
            {kind: (np.arange(v.size) + (0.5 if len(kind) > 1 else 0.0), v) for kind, v in values.items()},
            references={kind: arrays[f"true_{kind}"] for kind in self._kinds if f"true_{kind}" in arrays},
            xlabel="site (bonds in between)",
            ylabel="coupling",
            title="couplings",
        )
        convergence(
            right,
            np.arange(arrays["history"].size),
            arrays["history"],
            tol=self._tol,
            title=f"last stage of start {result.summary['start']} of {result.summary['starts_tried']}",
        )
        return figure

    @property
    def _kinds(self) -> tuple[Term, ...]:
        if self.terms is not None:
            return self.terms
        return ("zz", "x", "z") if self.target == "spectrum" else ("zz", "x")

    @property
    def _tol(self) -> float | None:
        return 1e-16 if self.tol is None and self.target == "spectrum" else self.tol

    def _spectrum_problem(self, ansatz: "_Ansatz") -> "_SpectrumProblem":
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
        return _SpectrumProblem(ansatz, target[:count], self._tol, self.shift, truth)

    def _state_problem(self, ansatz: "_Ansatz") -> "_StateProblem":
        if self.levels is not None or self.shift:
            raise InputError("--levels and --shift belong to --target spectrum")
        target = np.arange(1.0, 2**self.sites + 1) if self.input is None else read_state(self.input)
        if target.size != 2**self.sites:
            spins = target.size.bit_length() - 1
            raise InputError(f"{self.input}: {target.size} amplitudes are those of {spins} spins: use --sites {spins}")
        return _StateProblem(ansatz, target / np.linalg.norm(target), self._tol)


_Couplings = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class _Stage:
    """One minimisation of a fit: of which loss, until when."""

    name: str
    loss: Callable[[_Couplings], Float[Array, ""]]
    tol: float
    gtol: float
    max_steps: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """One starting point, and where its last stage ended."""

    number: int
    x0: _Couplings
    minimum: Minimum


def _fit(run: Run, number: int, x0: _Couplings, stages: tuple[_Stage, ...], optimiser: LBFGS | Adam) -> _Fit:
    def improve(stage: _Stage, x: _Couplings) -> Minimum:
        name = f"start-{number}-{stage.name}"
        bounds = {"tol": stage.tol, "gtol": stage.gtol, "max_steps": stage.max_steps}
        return minimise(run, name, stage.loss, x, optimiser=optimiser, **bounds)

    x = x0
    for stage in stages[:-1]:
        x = improve(stage, x).x
    return _Fit(number, x0, improve(stages[-1], x))


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
class _Problem(abc.ABC):
    """A family of Hamiltonians, and what one of them is to have. Without a tolerance, any minimum will do."""

    ansatz: _Ansatz
    target: Float[np.ndarray, " n"]
    tol: float | None
    starts: ClassVar[int]  # tried by default

    @abc.abstractmethod
    def start(self, number: int) -> _Couplings:
        """The starting point of a number from 1."""

    @abc.abstractmethod
    def stages(self, max_steps: int) -> tuple[_Stage, ...]:
        """The minimisations that make up a fit."""

    @abc.abstractmethod
    def model(self, x: _Couplings) -> SpinModel:
        """The Hamiltonian that the variables of the fit stand for."""

    @abc.abstractmethod
    def report(self, initial: SpinModel, found: SpinModel) -> tuple[SpinModel, dict[str, np.ndarray], dict[str, float]]:
        """The Hamiltonian to show for `found`, arrays (target, initial, found among them), and summary."""

    @abc.abstractmethod
    def verdict(self, minimum: Minimum, found: SpinModel, tried: int) -> tuple[bool, str]:
        """Whether the fit has what was asked for; if not, why, and what to try."""


@dataclasses.dataclass(frozen=True, eq=False)
class _SpectrumProblem(_Problem):
    """The variables are couplings in units of the standard deviation of the target levels."""

    shift: bool
    truth: SpinModel | None
    starts = 16

    def start(self, number: int) -> _Couplings:
        """Random couplings, scaled to the width of the target; of one sign in the first start."""
        x = self.ansatz.random(number) if number == 1 else self.ansatz.signed(number)
        spread = np.std(self.levels(self.ansatz.model(x)))
        return {kind: values / spread for kind, values in x.items()}

    def stages(self, max_steps: int) -> tuple[_Stage, ...]:
        target = self.centred(self.target) / self.unit

        def mismatch(x: _Couplings) -> Float[Array, ""]:
            return level_mismatch(self.levels(self.ansatz.model(x)), target)

        def coarse(width: float) -> _Stage:
            def mismatch(x: _Couplings) -> Float[Array, ""]:
                return broadened_mismatch(self.levels(self.ansatz.model(x)), target, width)

            return _Stage(f"coarse-{width:g}".replace(".", "_"), mismatch, _COARSE_TOL, 0.0, _COARSE_STEPS)

        return (*map(coarse, _RESOLUTIONS), _Stage("levels", mismatch, self.tol or 0.0, _SPECTRUM_GTOL, max_steps))

    def model(self, x: _Couplings) -> SpinModel:
        return self.ansatz.model(x, self.unit)

    def report(self, initial: SpinModel, found: SpinModel) -> tuple[SpinModel, dict[str, np.ndarray], dict[str, float]]:
        """Of all Hamiltonians with the spectrum found, the one closest to the true one, where that is known."""
        w = np.asarray(eigvalsh(found.matrix()))
        target, levels = self.centred(self.target), self.centred(w[: self.target.size])
        arrays = {"target": target, "initial": np.asarray(self.levels(initial)), "found": levels}
        summary = {
            "rms_level_error": float(np.sqrt(np.mean((levels - target) ** 2))),
            "max_level_error": float(np.abs(levels - target).max()),
            "E0": float(w[0]),
        }
        if self.shift:
            summary["shift"] = float(np.mean(self.target) - np.mean(w[: self.target.size]))
        if self.truth is not None:
            found, true = closest_equivalent(found, self.truth), self.truth.couplings
            arrays |= {f"true_{kind}": -np.asarray(values) for kind, values in true.items()}
            summary["max_coupling_error"] = max(float(abs(found.couplings[kind] - true[kind]).max()) for kind in true)
        return found, arrays, summary

    def verdict(self, minimum: Minimum, found: SpinModel, tried: int) -> tuple[bool, str]:
        if self.tol is None or minimum.loss <= self.tol:
            return True, ""
        shift = "" if self.shift else " --shift true if the zero of energy is arbitrary (all terms are traceless),"
        return False, (
            f"{_missed(minimum, self.tol, tried)} Try more --starts, more or other --terms,{shift} or a looser --tol."
        )

    @property
    def unit(self) -> float:
        return float(np.std(self.target))

    def levels(self, model: SpinModel) -> Float[Array, " n"]:
        return self.centred(eigvalsh(model.matrix())[: self.target.size])

    def centred(self, levels: Any) -> Any:
        return levels - levels.mean() if self.shift else levels


@dataclasses.dataclass(frozen=True, eq=False)
class _StateProblem(_Problem):
    """The variables are the couplings."""

    starts = 4

    def start(self, number: int) -> _Couplings:
        """The lecture's couplings 0.1, 0.2, 0.3, …, in the order of the terms and places; then random ones."""
        if number > 1:
            return self.ansatz.signed(number)
        out, count = {}, 0
        for kind, shape in self.ansatz.shapes().items():
            size = math.prod(shape)
            out[kind] = jnp.asarray(np.arange(count + 1, count + size + 1).reshape(shape) / 10)
            count += size
        return out

    def stages(self, max_steps: int) -> tuple[_Stage, ...]:
        def mismatch(x: _Couplings) -> Float[Array, ""]:
            return ground_state_mismatch(self.model(x).matrix(), self.target)

        return (_Stage("state", mismatch, self.tol or 0.0, _STATE_GTOL, max_steps),)

    def model(self, x: _Couplings) -> SpinModel:
        return self.ansatz.model(x)

    def report(self, initial: SpinModel, found: SpinModel) -> tuple[SpinModel, dict[str, np.ndarray], dict[str, float]]:
        (initial_levels, before), (levels, after) = self.ground_state(initial), self.ground_state(found)
        return (
            found,
            {"target": self.target, "initial": before, "found": after},
            {
                "E0": levels[0],
                "gap": levels[1] - levels[0],
                "initial_loss": float(ground_state_mismatch(initial.matrix(), self.target)),
                "initial_E0": initial_levels[0],
            },
        )

    def verdict(self, minimum: Minimum, found: SpinModel, tried: int) -> tuple[bool, str]:
        if minimum.loss > 1 - _NO_OVERLAP:
            return False, (
                "The ground state has no overlap with the target, and no gradient towards it: a symmetry of the terms "
                "(such as the flip of all spins) keeps them apart. Try other --terms."
            )
        if minimum.loss <= self.tol if self.tol is not None else minimum.converged:
            return True, ""
        cause = minimum.message if self.tol is None else _missed(minimum, self.tol, tried)
        levels, _ = self.ground_state(found)
        gap = levels[1] - levels[0]
        if gap < _SMALL_GAP * np.ptp(levels):
            return False, (
                f"{cause} The gap above the ground state closes ({gap:.1e}): the best couplings lie at a level "
                "crossing, which can only be approached. Try other --terms."
            )
        return False, f"{cause} Try more --starts, more or other --terms, or a looser --tol."

    def ground_state(self, model: SpinModel) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The levels, and the ground state with the sign that the target has."""
        w, v = map(np.asarray, eigh(model.matrix()))
        return w, v[:, 0] if v[:, 0] @ self.target >= 0 else -v[:, 0]


def _missed(minimum: Minimum, tol: float, tried: int) -> str:
    return f"The best loss is {minimum.loss:.3g}, above --tol {tol:g} (starts tried: {tried})."
