r"""The couplings of a spin model from its ground state."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import InputError
from pullback.experiments._couplings import largest_difference, listed
from pullback.lattices import Lattice, SpinModel, chain, ground_state, read_state, ring
from pullback.plots import convergence, new_figure, place_values
from pullback.runs import LBFGS, Experiment, GaussNewton, LeastSquares, Quantity, Result, Run, minimise, option

Term = Literal["zz", "xx", "yy", "xx+yy", "xx+yy+zz", "x", "z"]
_NO_OVERLAP = 1e-9
_TOL, _ENOUGH = 1e-26, 1e-18  # of the loss: as far as digits go; what counts as converged when they end before


@dataclasses.dataclass(frozen=True, kw_only=True)
class HamiltonianFromGroundstate(Experiment):
    r"""The couplings of a spin Hamiltonian from its ground state.

    Given a state t, find couplings θ of the terms H_a, up to the overall scale that no state knows, such that t is the
    ground state ψ(θ) of

        H(θ) = Σ_a θ_a H_a,          loss = |t − ψ <ψ|t>|² = 1 − |<ψ(θ)|t>|².

    A generic local Hamiltonian is fixed by one of its eigenvectors, but by some of its couplings only weakly: the
    fidelity susceptibility of the couplings, which is the curvature of the loss, spans many powers of ten, and
    gradient descent, also L-BFGS, stalls at an error of ten percent (--optimiser lbfgs shows it). So the default is
    the damped Gauss-Newton method with all derivatives ∂ψ/∂θ_a, each one linear equation behind the eigensolver, and
    their singular values.

    Input: a file with 2^sites real amplitudes (.csv, .npz), site 0 the most significant bit, bit 0 spin up. Without
    one, t is the ground state of a chain with random couplings (between ½ and 3/2, by --seed), and the summary compares
    with them. At the start all couplings are --sign; they are reported with mean square one.

    Sources: X.-L. Qi, D. Ranard, Quantum 3, 159 (2019), arXiv:1712.01850 (why one eigenvector is enough); H. Xie,
    J.-G. Liu, L. Wang, arXiv:2001.04121 (derivatives of the state).
    """

    input: Path | None = option(None, "file with the amplitudes of the state (.csv, .npz)")
    sites: int = option(12, "number of spins", ge=3, le=16)
    boundary: Literal["periodic", "open"] = option("open", "ring or chain")
    terms: tuple[Term, ...] = option(("zz", "x", "z"), "terms of the Hamiltonian")
    sign: Literal["negative", "positive"] = option("negative", "of all couplings of the built-in model and the start")
    optimiser: Literal["gauss-newton", "lbfgs"] = option("gauss-newton", "how couplings are improved")
    max_steps: int = option(200, "bound on the number of steps", ge=1, le=1_000_000)
    seed: int = option(0, "of the built-in couplings", ge=0)

    citation = (
        "X.-L. Qi, D. Ranard, Quantum 3, 159 (2019), arXiv:1712.01850; "
        "H. Xie, J.-G. Liu, L. Wang, Phys. Rev. B 101, 245139 (2020), arXiv:2001.04121"
    )

    def prepare(self) -> "_Problem":
        """The state, read or made, and the family of models."""
        if len(set(self.terms)) < len(self.terms) or not self.terms:
            raise InputError(f"--terms: needs different terms, at least one, got {','.join(self.terms) or 'nothing'}")
        lattice = ring(self.sites) if self.boundary == "periodic" else chain(self.sites)
        family = _Family(lattice, self.terms)
        start = jnp.full(sum(family.counts), -1.0 if self.sign == "negative" else 1.0)
        if self.input is None:
            true = start * np.random.default_rng(self.seed).uniform(0.5, 1.5, start.size)
            return _Problem(family, family.state(true), start, true)
        state = read_state(self.input)
        if state.size != 2**self.sites:
            spins = state.size.bit_length() - 1
            raise InputError(f"{self.input}: {state.size} amplitudes are those of {spins} spins: use --sites {spins}")
        return _Problem(family, jnp.asarray(state), start, None)

    def run(self, problem: "_Problem", run: Run) -> Result:
        """Descends from equal couplings."""
        optimiser = LBFGS() if self.optimiser == "lbfgs" else GaussNewton(problem.equations, progress=0.5)
        minimum = minimise(
            run, "couplings", problem.loss, problem.start, optimiser=optimiser, tol=_TOL, max_steps=self.max_steps
        )
        found = problem.family.couplings(_normalised(minimum.x))
        arrays: dict[str, Any] = {f"couplings_{kind}": values for kind, values in found.items()}
        begin = problem.family.couplings(_normalised(problem.start))
        arrays |= {f"initial_{kind}": values for kind, values in begin.items()}
        arrays["history"] = minimum.history
        summary: dict[str, Any] = {}
        if problem.true is not None:
            true = problem.family.couplings(_normalised(problem.true))
            arrays |= {f"true_{kind}": values for kind, values in true.items()}
            summary["max_coupling_error"] = largest_difference(found, true)
        summary |= listed(found) | {"loss": Quantity(minimum.loss, "1 − |<ψ|t>|²", digits=2)}
        slopes = jnp.linalg.svd(problem.slopes(minimum.x)[1], compute_uv=False)
        # One singular value belongs to the scale, and is zero; the next tells how well the state fixes the couplings.
        weakest = slopes[-2] * jnp.linalg.norm(minimum.x)
        summary["weakest_response"] = Quantity(weakest, "least change of ψ with the couplings", digits=3)
        summary["steps"] = minimum.steps
        message, converged = "", minimum.converged or minimum.loss < _ENOUGH
        if minimum.loss > 1 - _NO_OVERLAP:
            message = (
                "The ground state has no overlap with the target, and no gradient towards it: a symmetry of the terms "
                "(such as the flip of all spins) keeps them apart. Try other --terms."
            )
        elif not converged:
            message = (
                f"1 − |<ψ|t>|² is {minimum.loss:.2g}, above {_ENOUGH:g}. {minimum.message} The state may be the ground "
                "state of no Hamiltonian with these --terms, or lack digits. Try other --terms, or --sign."
            )
        return Result(arrays, summary, converged, message)

    def plot(self, result: Result) -> Figure:
        """The couplings place by place, and the convergence."""
        arrays = result.arrays
        figure, (left, right) = new_figure(1, 2, width=10.0, height=3.8)
        places = {
            kind: np.arange(arrays[f"couplings_{kind}"].size) + (0.5 if len(kind) > 1 else 0.0) for kind in self.terms
        }
        place_values(
            left,
            {kind: (places[kind], arrays[f"couplings_{kind}"]) for kind in self.terms},
            starts={kind: arrays[f"initial_{kind}"] for kind in self.terms},
            references={kind: arrays[f"true_{kind}"] for kind in self.terms if f"true_{kind}" in arrays},
            xlabel="site (bonds in between)",
            ylabel="coupling (mean square 1)",
            title="couplings found",
        )
        convergence(
            right,
            np.arange(arrays["history"].size),
            arrays["history"],
            ylabel=r"$1 - |\langle\psi|t\rangle|^2$",
            title="convergence",
        )
        return figure


@dataclasses.dataclass(frozen=True)
class _Family:
    """All couplings as one vector, kind after kind."""

    lattice: Lattice
    kinds: tuple[str, ...]

    @property
    def counts(self) -> list[int]:
        return [self.lattice.sites if len(kind) == 1 else len(self.lattice.bonds) for kind in self.kinds]

    def couplings(self, x: Float[Array, " couplings"]) -> dict[str, Float[Array, " places"]]:
        return dict(zip(self.kinds, jnp.split(x, np.cumsum(self.counts)[:-1]), strict=True))

    def state(self, x: Float[Array, " couplings"]) -> Float[Array, " states"]:
        return ground_state(SpinModel(self.lattice, self.couplings(x))).state


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    family: _Family
    target: Float[Array, " states"]
    start: Float[Array, " couplings"]
    true: Float[Array, " couplings"] | None

    def loss(self, x: Float[Array, " couplings"]) -> Float[Array, ""]:
        """1 − <ψ|t>², without cancellation: the length of what t has beside ψ."""
        psi = self.family.state(x)
        beside = self.target - (psi @ self.target) * psi
        return beside @ beside

    def slopes(self, x: Float[Array, " couplings"]) -> tuple[Float[Array, " states"], Float[Array, "states couplings"]]:
        """ψ and ∂ψ/∂θ, each one linear equation behind the eigensolver."""
        psi, linear = jax.linearize(self.family.state, x)
        return psi, jax.lax.map(linear, jnp.eye(x.size)).T

    def equations(self, x: Float[Array, " couplings"]) -> LeastSquares:
        """Those of ψ <ψ|t> − t, with the sign of ψ that is nearer to t."""
        psi, slopes = self.slopes(x)
        overlap = psi @ self.target
        return LeastSquares(overlap * psi - self.target, jnp.sign(overlap) * slopes)


def _normalised(x: Float[Array, " couplings"]) -> Float[Array, " couplings"]:
    return x / jnp.sqrt(jnp.mean(x**2))
