r"""Quantum phase transitions seen by the derivatives of a ground state."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import InputError
from pullback.lattices import GroundState, OperatorModel, Sector, fidelity_susceptibility, ground_state
from pullback.operators import OperatorSum, read_hamiltonian, transverse_ising
from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Quantity, Result, Run, option

_QUANTITIES = {
    "energy": ("ground energy", r"$E_0 / L$"),
    "first": ("first derivative", r"$\partial_g E_0 / L$"),
    "second": ("second derivative", r"$\partial_g^2 E_0 / L$"),
    "chi": ("fidelity susceptibility", r"$\chi_F / L$"),
}

_LARGEST = 24  # sites
_LARGEST_ERROR = 1e-6  # relative, beside the exact Ising ring
_FOUND, _AT_THE_END, _UNRESOLVED = 1, 2, 3  # the maximum of χ_F
_NO_PEAK = {
    _AT_THE_END: "no maximum between --start and --stop: the largest chi is that of g =",
    _UNRESOLVED: "no smooth maximum at this resolution: the largest chi on the grid is that of g =",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FidelitySusceptibility(Experiment):
    r"""Ground state energy, its derivatives and the fidelity susceptibility across a quantum phase transition.

    For the transverse-field Ising ring

        H = −Σ_i σz_i σz_{i+1} − g Σ_i σx_i,

    or for the user's own model H_0 + g H_1 of spins or fermions, the derivatives E0(g), dE0/dg, d²E0/dg² and

        χ_F = <∂ψ|(1 − |ψ><ψ|)|∂ψ>

    are computed at each g by differentiating the eigensolver, without a matrix. The Ising ring is solved by free
    fermions; the curves are compared with the exact sums over k = (2n + 1)π/L,

        E0 = −Σ ε_k,   ε_k = sqrt(1 + g² − 2g cos k),      χ_F = ⅛ Σ sin²k / ε_k⁴      (L(L − 1)/32 at g = 1).

    The maximum of χ_F is where dχ_F/dg, one more derivative, is zero, next to the largest value on the grid.

    By default the Ising ring is diagonalised in the sector of its ground state (momentum 0, even under reflection and
    under the flip of all spins): 13 648 states for 20 sites instead of 1 048 576. `--sector false` takes the whole
    space. There, for small g, the even and the odd ground state come so near each other that derivatives are refused.

    Input: `--hamiltonian FILE`, one term in each line: a coefficient, optionally the letter g, and Pauli matrices with
    their sites, as in

        -1.0    Z0 Z1
        -1.0 g  X0

    or fermions, or as OpenFermion and Qiskit print them (see `operators.read_hamiltonian`). The lines with g make up
    H_1. A fixed number of sites belongs to it, and --sites is not used; levels that cross or coincide are reported.

    Sources: P. Zanardi, N. Paunković, Phys. Rev. E 74, 031123 (2006); H. Xie, J.-G. Liu, L. Wang, Phys. Rev. B 101,
    245139 (2020), arXiv:2001.04121, whose figure this is.
    """

    hamiltonian: Path | None = option(None, "file with the terms of a model H0 + g H1 (.txt)")
    sites: tuple[int, ...] = option((8, 12, 16), "numbers of spins of the Ising ring", ge=3, le=24)
    start: float = option(0.5, "first g")
    stop: float = option(1.5, "last g")
    points: int = option(21, "number of values of g", ge=2, le=10_000)
    sector: bool = option(True, "use the symmetries of the Ising ring")

    citation = (
        "H. Xie, J.-G. Liu, L. Wang, Phys. Rev. B 101, 245139 (2020), arXiv:2001.04121; "
        "P. Zanardi, N. Paunković, Phys. Rev. E 74, 031123 (2006)"
    )

    def prepare(self) -> "list[_Family]":
        """The families of models."""
        if not self.stop > self.start:
            raise InputError(f"--stop: needs to be above --start = {self.start:g}, got {self.stop:g}")
        if self.hamiltonian is not None:
            fixed, driven = read_hamiltonian(self.hamiltonian, parameter="g")
            if driven is None:
                raise InputError(f"{self.hamiltonian}: no line has the parameter g, as in '-1.0 g X0'")
            if fixed.n > _LARGEST:
                raise InputError(f"{self.hamiltonian}: {fixed.n} sites; at most {_LARGEST} can be diagonalised")
            return [_Family(fixed.n, fixed, driven, None)]
        if len(set(self.sites)) < len(self.sites) or not self.sites:
            raise InputError(f"--sites: needs different numbers of spins, got {self.sites}")
        if max(self.sites) > 20 and not self.sector:
            raise InputError(f"--sites {max(self.sites)}: more than 20 spins need --sector true")
        symmetric = Sector(momentum=0, parity=1, spin_inversion=1)
        return [_Family(n, None, None, symmetric if self.sector else None) for n in self.sites]

    def run(self, problem: "list[_Family]", run: Run) -> Result:
        """All points of all sizes, resumable after each."""
        values = np.linspace(self.start, self.stop, self.points)
        found = np.full((len(problem), self.points, len(_QUANTITIES)), np.nan)
        refused: list[str] = []

        def advance(state: dict[str, Any], n: Array) -> dict[str, Any]:
            table, first = np.array(state["table"]), int(state["step"])
            last = min(first + int(n), len(problem) * self.points)
            for which, i in (divmod(step, self.points) for step in range(first, last)):
                try:
                    table[which, i] = _derivatives(problem[which], values[i])
                except RuntimeError as error:  # how a compiled program says that it has not converged
                    refused.append(f"{problem[which].sites} sites, g = {values[i]:g}: {_reason(error)}")
            return {"table": table, "step": last}

        for family in problem:
            run.log(f"{family.sites} sites: {family.dimension} states")
        total = len(problem) * self.points
        state = run.loop(
            "points",
            {"table": found, "step": 0},
            advance,
            max_steps=total,
            report=lambda state: {"points": int(state["step"])},
            done=lambda state: int(state["step"]) >= total,
        )
        table = np.asarray(state["table"])
        peaks, places = self._peaks(problem, values, table[:, :, 3], run)
        arrays: dict[str, Any] = {"g": values, "sites": np.array([family.sites for family in problem])}
        arrays |= {name: table[:, :, i] for i, name in enumerate(_QUANTITIES)}
        summary: dict[str, Any] = {}
        for family, rows, (g, chi), place in zip(problem, table, peaks, places):
            if place == _FOUND:
                of = f"of the largest fidelity susceptibility, {family.sites} sites"
                summary[f"peak_g_{family.sites}"] = Quantity(g, f"place {of}", digits=9)
                summary[f"peak_chi_{family.sites}"] = Quantity(chi, f"value {of}", digits=9)
            elif np.isfinite(rows[:, 3]).any():
                summary[f"peak_{family.sites}"] = f"{_NO_PEAK[place]} {values[np.nanargmax(rows[:, 3])]:g}"
        arrays["peaks"] = peaks
        worst = 0.0
        if self.hamiltonian is None:
            exact = np.array([[_free_fermions(family.sites, g) for g in values] for family in problem])
            arrays |= {f"exact_{name}": exact[:, :, i] for i, name in enumerate(_QUANTITIES)}
            error = np.abs(table / exact - 1)
            for i, (name, (title, _)) in enumerate(_QUANTITIES.items()):
                largest = np.nanmax(error[:, :, i])
                summary[f"error_{name}"] = Quantity(largest, f"largest relative error, {title}", digits=2)
            worst = float(np.nanmax(error))
        missing = int(np.isnan(table[:, :, 0]).sum())
        summary["refused"] = Quantity(missing, "values of g without a result")
        message = ""
        if missing:
            message = f"{missing} points have no result. {refused[0] if refused else ''}"
        elif not worst <= _LARGEST_ERROR:
            message = f"The derivatives miss the exact ones by {worst:.1e}: two levels are too near; try --sector true."
        return Result(arrays=arrays, summary=summary, converged=not missing, message=message)

    def _peaks(self, problem: "list[_Family]", values: np.ndarray, chi: np.ndarray, run: Run) -> Any:
        """(g, χ_F) of the largest maximum of each size, and a code that says if there is one; resumable after each."""

        def advance(state: dict[str, Any], n: Array) -> dict[str, Any]:
            peaks, places, first = np.array(state["peaks"]), np.array(state["places"]), int(state["step"])
            last = min(first + int(n), len(problem))
            for which in range(first, last):
                if np.isfinite(chi[which]).any():
                    peaks[which], places[which] = _peak(problem[which], values, chi[which])
            return {"peaks": peaks, "places": places, "step": last}

        start = {"peaks": np.full((len(problem), 2), np.nan), "places": np.zeros(len(problem), int), "step": 0}
        state = run.loop(
            "peaks",
            start,
            advance,
            max_steps=len(problem),
            report=lambda state: {"peaks": int(state["step"])},
            done=lambda state: int(state["step"]) >= len(problem),
        )
        return np.asarray(state["peaks"]), np.asarray(state["places"])

    def plot(self, result: Result) -> Figure:
        """The four quantities per site; exact curves dashed, the maxima of χ_F ringed."""
        arrays = result.arrays
        figure, axes = new_figure(1, 4, width=15.0, height=3.6)
        for ax, (name, (title, label)) in zip(axes, _QUANTITIES.items()):
            lines = {f"L = {n}": rows / n for n, rows in zip(arrays["sites"], arrays[name])}
            exact = {}
            if f"exact_{name}" in arrays:
                exact = {"exact, largest L": arrays[f"exact_{name}"][-1] / arrays["sites"][-1]}
            curves(
                ax,
                arrays["g"],
                lines | exact,
                xlabel="$g$",
                ylabel=label,
                title=f"{title}, maxima ringed" if name == "chi" else title,
                dashed=tuple(exact),
                colours=dict.fromkeys(exact, "black"),
            )
            if name == "chi":
                g, chi = arrays["peaks"].T
                ax.plot(g, chi / arrays["sites"], "o", color="black", fillstyle="none", markersize=6)
            if name != "energy" and ax.get_legend():
                ax.get_legend().remove()  # that of the first panel serves all
        return figure


class _Family(eqx.Module):
    """g -> model."""

    sites: int = eqx.field(static=True)
    fixed: OperatorSum | None
    driven: OperatorSum | None
    sector: Sector | None = eqx.field(static=True)

    def model(self, g: Float[Array, ""]) -> OperatorSum:
        if self.fixed is None or self.driven is None:
            return transverse_ising(self.sites, g)
        return self.fixed + g * self.driven

    @property
    def dimension(self) -> int:
        model = OperatorModel(self.model(jnp.asarray(1.0)))
        return model.dimension if self.sector is None else model.in_sector(self.sector).dimension

    def ground(self, g: Float[Array, ""]) -> GroundState:
        return ground_state(self.model(g), sector=self.sector)


@jax.jit
def _derivatives(family: _Family, g: Float[Array, ""]) -> Float[Array, " quantities"]:
    """E0, its derivatives, and χ_F; compiled once for the runs of a sweep that have the same terms."""

    def slope(g):
        return jax.value_and_grad(lambda g: family.ground(g).energy)(g)

    (energy, first), (_, second) = jax.jvp(slope, (g,), (jnp.ones_like(g),))
    chi = fidelity_susceptibility(family.model, g, family.sector)
    return jnp.stack([energy, first, second, chi])


@jax.jit
def _slope(family: _Family, g: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """χ_F and its derivative."""
    return jax.jvp(lambda g: fidelity_susceptibility(family.model, g, family.sector), (g,), (jnp.ones_like(g),))


def _peak(family: _Family, g: np.ndarray, chi: np.ndarray) -> tuple[tuple[float, float], int]:
    """(g, χ_F) where dχ_F/dg = 0, beside the largest value on the grid."""
    i = int(np.nanargmax(chi))

    def derivative(g: float) -> float:
        return float(_slope(family, jnp.asarray(g))[1])

    try:
        here = derivative(g[i])
        j = i + (1 if here > 0 else -1)
        if not 0 <= j < g.size:
            return (np.nan, np.nan), _AT_THE_END
        if not here * derivative(g[j]) < 0:
            return (np.nan, np.nan), _UNRESOLVED
        low, high = sorted((float(g[i]), float(g[j])))
        top = float(scipy.optimize.brentq(derivative, low, high, xtol=1e-12))  # pyright: ignore[reportArgumentType]
        highest = float(_slope(family, jnp.asarray(top))[0])
    except RuntimeError:  # levels that coincide
        return (np.nan, np.nan), _UNRESOLVED
    if not highest >= chi[i] * (1 - 1e-9):  # a jump, where levels cross, is no maximum
        return (np.nan, np.nan), _UNRESOLVED
    return (top, highest), _FOUND


def _free_fermions(sites: int, g: float) -> tuple[float, float, float, float]:
    k = (2 * np.arange(sites) + 1) * np.pi / sites
    e = np.sqrt(1 + g * g - 2 * g * np.cos(k))
    sine = np.sin(k) ** 2
    return -e.sum(), -((g - np.cos(k)) / e).sum(), -(sine / e**3).sum(), (sine / e**4).sum() / 8


def _reason(error: RuntimeError) -> str:
    """The message among the lines of a compiled program's traceback."""
    told = [line for line in str(error).splitlines() if "EquinoxRuntimeError:" in line]
    return told[0].split("EquinoxRuntimeError:")[1].strip() if told else str(error).splitlines()[0]
