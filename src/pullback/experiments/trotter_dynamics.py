r"""Dynamics of a spin chain by Trotter circuits of several orders, beside the exact evolution."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from pullback.circuits import Circuit, TimeEvolution, commuting_sets, entanglement_entropy, state, trotter, zero_state
from pullback.core import InputError
from pullback.experiments._hamiltonian_file import read_paulis
from pullback.operators import PauliSum, Terms, transverse_ising
from pullback.plots import COLOURS, curves, new_figure
from pullback.runs import Experiment, Quantity, Result, Run, option

_LARGEST = 18  # qubits
_DRIFT = 1e-8  # of the energy in the exact evolution, over the norm of H
_ORDERS = (1, 2, 4)
_QUANTITIES = ("magnetisation", "energy", "entropy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrotterDynamics(Experiment):
    r"""Evolves a state by Trotter circuits of order 1, 2 and 4, and exactly, and differentiates both.

    H = Σ_g H_g is split into sets of commuting Pauli strings (greedily), and evolved by the formulas of Lie and Suzuki
    (`circuits.trotter`),

        S₁(τ) = Π_g exp(−iτH_g),    S₂(τ) = S₁(τ/2) S₁ᵀ(τ/2),    S₄(τ) = S₂(pτ)² S₂((1 − 4p)τ) S₂(pτ)²,

    where S₁ᵀ is S₁ in opposite order and p = 1/(4 − 4^{1/3}). After r steps of τ = T/r the state is wrong by O(τ^k),
    k = 1, 2, 4: the slopes are fitted. With H = Σ_g s_g H_g, the sensitivities ∂_{s_g}⟨M⟩(t) at s = 1, of the
    magnetisation M = Σ_q Z_q / n by the strength of each set, are taken through the circuits and through the exact
    evolution.

    By default the chain is the transverse Ising ring H = −Σ Z_i Z_{i+1} − g Σ X_i, quenched from all spins up.

    Input: `--hamiltonian FILE` with one term in each line, a coefficient and a Pauli string, as in `-1.0 Z0 Z1`, or
    fermions (`operators.read_hamiltonian`); terms with the letter g are multiplied by `--g`.

    Sources: M. Suzuki, Phys. Lett. A 146, 319 (1990); A. M. Childs, Y. Su, M. C. Tran, N. Wiebe, S. Zhu, Phys. Rev. X
    11, 011020 (2021), arXiv:1912.08854.
    """

    hamiltonian: Path | None = option(None, "file with the terms of a Hamiltonian (.txt)")
    sites: int = option(12, "spins of the Ising ring, without a file", ge=3, le=_LARGEST)
    g: float = option(1.0, "transverse field of the Ising ring, or the parameter g of the file")
    initial: Literal["up", "neel", "plus"] = option("up", "first state: all up, up and down in turn, or all along x")
    time: float = option(4.0, "time T, in units of the inverse coupling", gt=0)
    steps: int = option(40, "Trotter steps until T, and points of the curves", ge=1, le=100_000)
    orders: tuple[int, ...] = option(_ORDERS, "orders of the circuits, of 1, 2, 4")

    citation = "A. M. Childs, Y. Su, M. C. Tran, N. Wiebe, S. Zhu, Phys. Rev. X 11, 011020 (2021), arXiv:1912.08854"

    def prepare(self) -> PauliSum:
        """The Hamiltonian."""
        if not self.orders or not set(self.orders) <= set(_ORDERS) or len(set(self.orders)) < len(self.orders):
            raise InputError(f"--orders: needs different ones of 1, 2, 4; got {','.join(map(str, self.orders))}")
        if self.hamiltonian is None:
            return transverse_ising(self.sites, self.g)
        return read_paulis(self.hamiltonian, self.g, None, _LARGEST)

    def run(self, problem: PauliSum, run: Run) -> Result:
        """All evolutions with their tangents, step by step; then the errors of the last state."""
        H, n = problem, problem.n
        sets = commuting_sets(H)
        labels = [_label(s) for s in sets]
        member = np.array([next(g for g, s in enumerate(sets) if word in s.words) for word in H.words])

        def flow(order):
            """(ψ, strengths, τ) -> ψ after a step of the formula of this order, or the exact one (0)."""

            def of_strengths(psi, strengths, tau):
                driven = PauliSum(n, Terms(H.words, H.coefficients * strengths[member]))
                circuit = trotter(driven, tau, 1, order=order) if order else Circuit(n, [TimeEvolution(driven, tau)])
                return state(circuit, psi)

            return of_strengths

        run.log(f"{n} qubits, {len(H.words)} strings in {len(sets)} commuting sets: {'; '.join(labels)}")
        flows = [flow(order) for order in (0, *self.orders)]
        ones = jnp.ones(len(sets))
        tau = self.time / self.steps
        magnetisation = PauliSum(n, {f"Z{q}": 1 / n for q in range(n)})

        def measure(psi, dpsi):
            M = magnetisation(psi)
            values = [jnp.vdot(psi, M).real, jnp.vdot(psi, H(psi)).real, entanglement_entropy(psi, range(n // 2))]
            return jnp.stack(values), 2 * (jnp.conj(dpsi) @ M).real

        def step(s):
            psi, dpsi, values, slopes = [], [], [], []
            for k, flow in enumerate(flows):
                after, push = jax.linearize(lambda x, s, f=flow: f(x, s, tau), s["psi"][k], ones)
                tangents = jax.vmap(push)(s["dpsi"][k], jnp.eye(len(sets)))
                value, slope = measure(after, tangents)
                for found, new in ((psi, after), (dpsi, tangents), (values, value), (slopes, slope)):
                    found.append(new)
            i = s["step"] + 1
            errors = jnp.stack([_infidelity(p, psi[0]) for p in psi])
            return {
                "psi": jnp.stack(psi),
                "dpsi": jnp.stack(dpsi),
                "values": s["values"].at[i].set(jnp.stack(values)),
                "slopes": s["slopes"].at[i].set(jnp.stack(slopes)),
                "infidelity": s["infidelity"].at[i].set(errors),
                "step": i,
            }

        @jax.jit
        def advance(s: dict[str, Any], count: Array) -> dict[str, Any]:
            stop = jnp.minimum(s["step"] + count, self.steps)
            return jax.lax.while_loop(lambda s: s["step"] < stop, step, s)

        def report(s):
            i = int(s["step"])
            return {
                "t": tau * i,
                "magnetisation": float(s["values"][i, 0, 0]),
                "infidelity": float(s["infidelity"][i].max()),
            }

        psi, flat = _first(self.initial, n), len(flows)
        value, slope = measure(psi, jnp.zeros((len(sets), len(psi)), complex))
        start = {
            "psi": jnp.tile(psi, (flat, 1)),
            "dpsi": jnp.zeros((flat, len(sets), len(psi)), complex),
            "values": jnp.zeros((self.steps + 1, flat, len(value))).at[0].set(value),
            "slopes": jnp.zeros((self.steps + 1, flat, len(sets))).at[0].set(slope),
            "infidelity": jnp.zeros((self.steps + 1, flat)),
            "step": jnp.array(0),
        }
        final = run.loop(
            "evolution",
            start,
            advance,
            max_steps=self.steps,
            report=report,
            done=lambda s: int(s["step"]) >= self.steps,
        )
        counts = np.unique(np.round(self.steps * 2.0 ** np.arange(-2, 4)).astype(int).clip(1))
        errors = np.array([_errors(flow, ones, psi, final["psi"][0], self.time, counts) for flow in flows[1:]])
        fits = [_slope(self.time / counts, e) for e in errors]
        values, slopes = np.asarray(final["values"]), np.asarray(final["slopes"])
        summary: dict[str, Any] = {}
        for j, k in enumerate(self.orders, 1):
            missed, of = final["infidelity"][-1, j], f"order {k}"
            summary[f"infidelity_{k}"] = Quantity(missed, f"1 − |<exact|ψ>|² at T, {of}", digits=3)
            off = np.abs(values[:, j, 0] - values[:, 0, 0])
            where = f"{of}, at t = {tau * off.argmax():.3g}"
            summary[f"magnetisation_error_{k}"] = Quantity(off.max(), f"largest deviation of <M>, {where}", digits=3)
            off = np.abs(slopes[:, j] - slopes[:, 0]).max(1)
            where = f"{of}, at t = {tau * off.argmax():.3g}"
            summary[f"sensitivity_error_{k}"] = Quantity(off.max(), f"largest deviation of ∂<M>, {where}", digits=3)
            summary[f"fitted_order_{k}"] = Quantity(fits[j - 1], "slope of the error of the last state", digits=3)
        summary["commuting_sets"] = Quantity("; ".join(labels), "letters of the strings in each set")
        arrays = {
            "t": tau * np.arange(self.steps + 1),
            "infidelity": np.asarray(final["infidelity"]),
            "sensitivity": slopes,
            **{name: values[:, :, j] for j, name in enumerate(_QUANTITIES)},
            "step_sizes": self.time / counts,
            "errors": errors,
        }
        drift = float(np.abs(values[:, 0, 1] - values[0, 0, 1]).max())
        scale = float(np.abs(np.asarray(H.coefficients)).sum())
        right = drift <= max(_DRIFT, 1e3 * np.finfo(values.dtype).eps) * scale  # not so if it is NaN
        message = f"The exact evolution does not conserve the energy, it drifts by {drift:.1e}: more --steps."
        return Result(arrays=arrays, summary=summary, converged=right, message="" if right else message)

    def _names(self) -> list[str]:
        return ["exact", *(f"order {k}" for k in self.orders)]

    def plot(self, result: Result) -> Figure:
        """Magnetisation, entropy, sensitivities; energy drift, infidelity, and errors against the step."""
        arrays, t = result.arrays, result.arrays["t"]
        names = self._names()
        colours = dict(zip(names, ("#000000", *COLOURS)))
        figure, ((a, b, c), (d, e, f)) = new_figure(2, 3, width=13.0, height=7.0)

        def panel(axes, values, ylabel, title, first=0, **more):
            lines = {name: values[:, k] for k, name in enumerate(names) if k >= first}
            curves(axes, t, lines, xlabel=r"time $t$", ylabel=ylabel, title=title, colours=colours, **more)

        panel(a, arrays["magnetisation"], r"$\langle M\rangle$", "magnetisation", dashed=tuple(names[1:]))
        panel(b, arrays["entropy"], r"$S$ [nats]", "entanglement entropy of half the chain", dashed=tuple(names[1:]))
        lines, dashed, of_sets = {}, [], {}
        for j, label in enumerate(result.summary["commuting_sets"].split("; ")):
            lines[f"{label}, exact"] = arrays["sensitivity"][:, 0, j]
            dashed.append(f"{label}, {names[-1]}")
            lines[dashed[-1]] = arrays["sensitivity"][:, -1, j]
            colour = COLOURS[(len(names) - 1 + j) % len(COLOURS)]  # after those of the orders
            of_sets |= {f"{label}, exact": colour, dashed[-1]: colour}
        title = "sensitivity to the strength of each set"
        ylabel = r"$\partial_s\langle M\rangle$"
        curves(c, t, lines, xlabel=r"time $t$", ylabel=ylabel, title=title, dashed=tuple(dashed), colours=of_sets)
        drift = np.abs(arrays["energy"] - arrays["energy"][:1])
        panel(d, _positive(drift), r"$|E(t) - E(0)|$", "energy drift", first=1, yscale="log")
        panel(
            e,
            _positive(arrays["infidelity"]),
            r"$1 - |\langle\psi_{exact}|\psi\rangle|^2$",
            "infidelity",
            1,
            yscale="log",
        )
        lines, of_slopes = {}, {}
        for name, k, errors in zip(names[1:], self.orders, arrays["errors"]):
            label = f"{name}: slope {result.summary[f'fitted_order_{k}']:.2f}"
            lines[label], of_slopes[label] = errors, colours[name]
        ylabel = r"$|\psi - \psi_{exact}|$ at $T$"
        curves(
            f,
            arrays["step_sizes"],
            lines,
            xlabel=r"step $\tau$",
            ylabel=ylabel,
            title="last state",
            yscale="log",
            colours=of_slopes,
            points=True,
        )
        f.set_xscale("log", base=2)
        return figure


def _errors(flow, ones, psi, exact, time, counts):
    @jax.jit
    def error(count):
        last = jax.lax.fori_loop(0, count, lambda _, x: flow(x, ones, time / count), psi)
        return jnp.linalg.norm(last - exact)

    return np.array([float(error(jnp.array(k))) for k in counts])


def _slope(tau, errors) -> float:
    """The slope of the line through the logarithms, of errors that are neither large nor rounding."""
    good = (errors < 0.3) & (errors > 1e-11)
    if good.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(tau[good]), np.log(errors[good]), 1)[0])


def _infidelity(a, b):
    """1 − |⟨a|b⟩|², from the part of a that is orthogonal to b, which is exact when it is small."""
    rest = a - b * jnp.vdot(b, a)
    return jnp.vdot(rest, rest).real


def _first(name: str, n: int) -> Array:
    if name == "plus":
        return jnp.full(1 << n, 2 ** (-n / 2), complex)
    flipped = int(("01" * n)[:n], 2) if name == "neel" else 0
    return jnp.roll(zero_state(n), flipped)


def _label(part: PauliSum) -> str:
    """The letters of the strings, as "ZZ", "X"."""
    return ", ".join(dict.fromkeys(s.letters or "1" for s in part.words))


def _positive(values):
    return np.where(values > 1e-17, values, np.nan)
