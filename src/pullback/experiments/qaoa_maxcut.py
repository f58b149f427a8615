r"""The quantum approximate optimisation algorithm for the largest cut of a graph."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from pullback.circuits import (
    Circuit,
    H,
    PauliSum,
    Rx,
    TimeEvolution,
    expect,
    probabilities,
    put,
    shared,
    state,
)
from pullback.core import InputError
from pullback.experiments._graph_file import Graph, read_graph
from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Result, Run, minimise, option

_LARGEST = 20  # nodes
_GRADIENT = 1e-9  # where it counts as zero


@dataclasses.dataclass(frozen=True, kw_only=True)
class QaoaMaxcut(Experiment):
    r"""Looks for the split of a graph's nodes that cuts the edges of largest total weight.

    The circuit alternates p times the phases of the cut and rotations of all qubits, from the uniform superposition,

        |γ, β⟩ = Π_l exp(−iβ_l Σ_q X_q) exp(−iγ_l C) |+…+⟩,      C = Σ_edges w_ab (1 − Z_a Z_b)/2,

    and the 2p angles are chosen by gradients so that ⟨C⟩ is largest. They start at a linear ramp. The best cut of all
    is found by enumeration and compared: the approximation ratio is ⟨C⟩ over it.

    Input: `--graph edges.csv`, with the two nodes of an edge in each line, and its weight in a third column if it is
    not one. Nodes have any names. A first line that says `source,target`, or whose third column is no number, is a
    header.

    Sources: E. Farhi, J. Goldstone, S. Gutmann, arXiv:1411.4028; Z. Wang, S. Hadfield, Z. Jiang, E. Rieffel, Phys. Rev.
    A 97, 022304 (2018), arXiv:1706.02998 (the exact value at p = 1).
    """

    graph: Path | None = option(None, "file with the edges (.csv)")
    nodes: int = option(12, "nodes of the random 3-regular graph, without a file", ge=4, le=_LARGEST)
    layers: int = option(6, "number of layers p", ge=1, le=1000)
    steps: int = option(100, "steps of L-BFGS", ge=1)
    seed: int = option(0, "seed of the graph")

    citation = "E. Farhi, J. Goldstone, S. Gutmann, arXiv:1411.4028"

    def prepare(self) -> Graph:
        """The graph."""
        if self.graph is None:
            if self.nodes % 2:
                raise InputError(f"--nodes {self.nodes}: a 3-regular graph has an even number of nodes")
            return _random_regular(self.nodes, self.seed)
        return _read_graph(self.graph)

    def run(self, problem: Graph, run: Run) -> Result:
        """L-BFGS on the 2p angles."""
        circuit, cut = qaoa_circuit(problem, self.layers)
        cuts = problem.cuts()
        best = float(cuts.max())
        run.log(f"{len(problem.names)} nodes, {len(problem.weights)} edges; best cut {best:g}")

        def loss(angles):
            value = expect(cut, circuit(angles))
            return -value, {"cut": value, "ratio": value / best}

        ramp = (jnp.arange(self.layers) + 0.5) / self.layers
        scale = 0.7 / np.abs(problem.weights).mean()
        angles = jnp.stack([scale * ramp, 0.7 * (1 - ramp)], 1)
        found = minimise(run, "angles", loss, angles, tol=-np.inf, gtol=_GRADIENT, max_steps=self.steps)
        chances = np.asarray(probabilities(jax.jit(lambda a: state(circuit(a)))(found.x)))
        reached = float(chances @ cuts)
        likely = int(np.argmax(chances))
        summary = {
            "cut": reached,
            "best_cut": best,
            "ratio": reached / best,
            "probability_of_best": float(chances[cuts >= best - 1e-9].sum()),
            "cut_of_likeliest": float(cuts[likely]),
            "uniform_ratio": float(cuts.mean()) / best,
        }
        side = np.array([likely >> q & 1 for q in range(len(problem.names))])
        arrays = {
            "angles": np.asarray(found.x),
            "history": -found.history,
            "side": side,
            "edges": problem.edges,
            "weights": problem.weights,
            "cuts": cuts,
            "probabilities": chances,
        }
        return Result(arrays=arrays, summary=summary, converged=True, message="")

    def plot(self, result: Result) -> Figure:
        """The graph with its likeliest split, the distribution of cuts, the angles."""
        arrays = result.arrays
        figure, (left, middle, right) = new_figure(1, 3, width=13.0, height=4.0)
        phase = 2 * np.pi * np.arange(len(arrays["side"])) / len(arrays["side"])
        x, y = np.cos(phase), np.sin(phase)
        for a, b in arrays["edges"]:
            is_cut = arrays["side"][a] != arrays["side"][b]
            left.plot(x[[a, b]], y[[a, b]], color="C1" if is_cut else "0.8", zorder=1, linewidth=1.8 if is_cut else 1.0)
        left.scatter(x, y, c=np.where(arrays["side"], "#0072B2", "#FFFFFF"), edgecolors="black", s=110, zorder=2)
        left.set_aspect("equal")
        left.set_axis_off()
        left.set_title("likeliest split; cut edges coloured")
        values, places = np.unique(np.round(arrays["cuts"], 9), return_inverse=True)
        found = np.bincount(places, arrays["probabilities"], len(values))
        random = np.bincount(places, minlength=len(values)) / len(arrays["cuts"])
        distributions = {"circuit": found, "uniform": random}
        curves(middle, values, distributions, xlabel="cut", ylabel="probability", title="cuts", dashed=("uniform",))
        number = np.arange(1, len(arrays["angles"]) + 1)
        angles = {r"$\gamma$": arrays["angles"][:, 0], r"$\beta$": arrays["angles"][:, 1]}
        curves(right, number, angles, xlabel="layer", ylabel="angle", title="angles")
        return figure


def qaoa_circuit(graph: Graph, p: int):
    """angles (p, 2) of γ and β -> circuit; and the observable C."""
    n = len(graph.names)
    zz = [(f"Z{a} Z{b}", -w / 2) for (a, b), w in zip(graph.edges.tolist(), graph.weights.tolist())]
    phases = PauliSum(n, zz)
    cut = phases + PauliSum(n, [("", float(graph.weights.sum()) / 2)])

    def circuit(angles):
        blocks: list[Any] = [put(q, H) for q in range(n)]
        for k in range(p):
            beta = shared(f"beta{k}", angles[k, 1])
            blocks.append(TimeEvolution(phases, angles[k, 0]))
            blocks += [put(q, Rx(2 * beta)) for q in range(n)]
        return Circuit(n, blocks)

    return circuit, cut


def _random_regular(n: int, seed: int) -> Graph:
    """A random 3-regular graph: pairs of stubs, drawn again until no edge occurs twice."""
    rng = np.random.default_rng(seed)
    while True:
        edges = np.sort(rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 2), 1)
        if (edges[:, 0] != edges[:, 1]).all() and len(np.unique(edges, axis=0)) == len(edges):
            return Graph(tuple(map(str, range(n))), edges, np.ones(len(edges)))


def _read_graph(path: Path) -> Graph:
    return read_graph(path, largest=_LARGEST)
