r"""The quantum approximate optimisation algorithm for the largest cut of a graph."""

import csv
import dataclasses
import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from pullback.circuits import expect, probabilities, qaoa, state
from pullback.core import RESULTS, InputError
from pullback.experiments._graph_file import Graph, read_graph
from pullback.plots import COLOURS, curves, graph, new_figure
from pullback.runs import Experiment, Quantity, Result, Run, minimise, option

_LARGEST = 20  # nodes
_GRADIENT = 1e-9  # where it counts as zero
_AT_REST = 1e-4  # times the best cut: gradients above belong to angles that still move


@dataclasses.dataclass(frozen=True, kw_only=True)
class QaoaMaxcut(Experiment):
    r"""Looks for the split of a graph's nodes that cuts the edges of largest total weight.

    The circuit (`circuits.qaoa`) alternates p times the phases of the cut and rotations of all qubits, from the uniform
    superposition,

        |γ, β⟩ = Π_l exp(−iβ_l Σ_q X_q) exp(−iγ_l C) |+…+⟩,      C = Σ_edges w_ab (1 − Z_a Z_b)/2,

    and the 2p angles are chosen by gradients so that ⟨C⟩ is largest. They start at a linear ramp. The best cut of all
    is found by enumeration and compared: the approximation ratio is ⟨C⟩ over it. The likeliest split is printed, side
    by side, and written to `split.csv`; the run has converged if no split cuts more, and the angles are at rest.

    Input: `--graph edges.csv`, with the two nodes of an edge in each line, and its weight in a third column if it is
    not one; separated by commas, semicolons, tabs or spaces. Nodes have any names. A first line `source,target,weight`,
    `from,to` and the like is a header, # or % begins a comment, and the lists of edges that networkx, pandas and Gephi
    write are read. An edge stands once, in one direction.

    Sources: E. Farhi, J. Goldstone, S. Gutmann, arXiv:1411.4028; Z. Wang, S. Hadfield, Z. Jiang, E. Rieffel, Phys. Rev.
    A 97, 022304 (2018), arXiv:1706.02998 (the exact value at p = 1).
    """

    graph: Path | None = option(None, "file with the edges (.csv, .txt, .gz)")
    nodes: int = option(12, "nodes of the random 3-regular graph, without a file", ge=4, le=_LARGEST)
    layers: int = option(6, "number of layers p", ge=1, le=1000)
    max_steps: int = option(100, "bound on the steps of L-BFGS", ge=1)
    seed: int = option(0, "seed of the graph")

    citation = "E. Farhi, J. Goldstone, S. Gutmann, arXiv:1411.4028"

    def prepare(self) -> Graph:
        """The graph."""
        if self.graph is None:
            if self.nodes % 2:
                raise InputError(f"--nodes {self.nodes}: a 3-regular graph has an even number of nodes")
            return _random_regular(self.nodes, self.seed)
        given = _read_graph(self.graph)
        if given.cuts().max() <= 0:
            raise InputError(f"{self.graph}: no split cuts a positive weight")
        return given

    def run(self, problem: Graph, run: Run) -> Result:
        """L-BFGS on the 2p angles."""
        cut, cuts = problem.cut(), problem.cuts()
        best = float(cuts.max())
        run.log(f"{len(problem.names)} nodes, {len(problem.weights)} edges; best cut {best:g}")

        def loss(angles):
            value = expect(cut, qaoa(cut, angles))
            return -value, {"cut": value, "ratio": value / best}

        ramp = (jnp.arange(self.layers) + 0.5) / self.layers
        scale = 0.7 / np.abs(problem.weights).mean()
        angles = jnp.stack([scale * ramp, 0.7 * (1 - ramp)], 1)
        found = minimise(run, "angles", loss, angles, tol=-np.inf, gtol=_GRADIENT, max_steps=self.max_steps)
        chances = np.asarray(probabilities(jax.jit(lambda a: state(qaoa(cut, a)))(found.x)))
        reached = float(chances @ cuts)
        likely = int(np.argmax(chances))
        n = len(problem.names)
        side = likely >> np.arange(n)[::-1] & 1
        side ^= side[0]  # that of the first node is A
        split = ["AB"[s] for s in side]
        run.write("split.csv", _csv([("node", "side"), *zip(problem.names, split)]))
        summary = {
            "cut_of_likeliest": Quantity(cuts[likely], "weight that the likeliest split cuts"),
            "best_cut": Quantity(best, "by enumeration"),
            "side_A": ", ".join(name for name, s in zip(problem.names, split) if s == "A"),
            "side_B": ", ".join(name for name, s in zip(problem.names, split) if s == "B"),
            "ratio": Quantity(reached / best, "⟨C⟩ over the best cut", digits=5),
            "uniform_ratio": Quantity(cuts.mean() / best, "the same for random splits", digits=5),
            "cut": Quantity(reached, "⟨C⟩, the mean cut of a measurement"),
            "probability_of_best": Quantity(chances[cuts >= best - 1e-9].sum(), "to measure a best cut", digits=4),
        }
        arrays = {
            "nodes": np.array(problem.names, dtype=str),
            "angles": np.asarray(found.x),
            "start": np.asarray(angles),
            "history": -found.history,
            "side": side,
            "edges": problem.edges,
            "weights": problem.weights,
            "cuts": cuts,
            "probabilities": chances,
        }
        message = ""
        if found.result == RESULTS.nonfinite:
            message = found.message
        elif found.gradient_norm > _AT_REST * best:
            still = f"gradient {found.gradient_norm:.1e} after {found.steps} steps"
            message = f"The angles still move, {still}: more --max-steps."
        elif cuts[likely] < best - 1e-9:
            message = f"The likeliest split cuts {cuts[likely]:g}, the best one {best:g}: more --layers."
        return Result(arrays=arrays, summary=summary, converged=not message, message=message)

    def plot(self, result: Result) -> Figure:
        """The graph with its likeliest split, the distribution of cuts, the angles."""
        arrays = result.arrays
        figure, (left, middle, right) = new_figure(1, 3, width=13.0, height=4.0)
        names, split = arrays["nodes"].tolist(), arrays["side"]
        graph(left, names, arrays["edges"], arrays["weights"], side=split, title="likeliest split")
        values, places = np.unique(np.round(arrays["cuts"], 9), return_inverse=True)
        found = np.bincount(places, arrays["probabilities"], len(values))
        random = np.bincount(places, minlength=len(values)) / len(arrays["cuts"])
        curves(
            middle,
            values,
            {"random splits": random, "circuit": found},
            xlabel="cut",
            ylabel="probability",
            title="cuts",
            starts=("random splits",),
            points=True,
        )
        number = np.arange(1, len(arrays["angles"]) + 1)
        lines, colours = {}, {}
        for k, (name, colour) in enumerate(((r"$\gamma$", COLOURS[2]), (r"$\beta$", COLOURS[3]))):
            lines |= {name: arrays["angles"][:, k], f"{name}, start": arrays["start"][:, k]}
            colours |= {name: colour, f"{name}, start": colour}
        dashed = tuple(name for name in lines if "start" in name)
        curves(
            right,
            number,
            lines,
            xlabel="layer",
            ylabel="angle",
            title="angles",
            dashed=dashed,
            colours=colours,
            points=True,
        )
        right.locator_params(axis="x", integer=True)
        return figure


def _csv(rows) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _random_regular(n: int, seed: int) -> Graph:
    """A random 3-regular graph: pairs of stubs, drawn again until no edge occurs twice."""
    rng = np.random.default_rng(seed)
    while True:
        edges = np.sort(rng.permutation(np.repeat(np.arange(n), 3)).reshape(-1, 2), 1)
        if (edges[:, 0] != edges[:, 1]).all() and len(np.unique(edges, axis=0)) == len(edges):
            return Graph(tuple(map(str, range(n))), edges, np.ones(len(edges)))


def _read_graph(path: Path) -> Graph:
    return read_graph(path, largest=_LARGEST)
