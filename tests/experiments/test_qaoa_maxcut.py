"""qaoa-maxcut against exact formulas: one layer on any graph, and rings."""

import numpy as np
import pytest

from pullback.circuits import expect
from pullback.core import InputError
from pullback.experiments.qaoa_maxcut import Graph, QaoaMaxcut, qaoa_circuit
from pullback.runs import Run


def test_one_layer_without_triangles():
    """<C_ab> = 1/2 + 1/4 sin 4β sin γ (cos^d γ + cos^e γ) for degrees d + 1 and e + 1: arXiv:1706.02998."""
    edges = np.array([[0, 1], [1, 2], [2, 3], [0, 3], [3, 4]])
    gamma, beta = 0.7, 0.4
    degree = np.bincount(edges.ravel()) - 1
    powers = np.cos(gamma) ** degree[edges]
    exact = (0.5 + 0.25 * np.sin(4 * beta) * np.sin(gamma) * powers.sum(1)).sum()
    circuit, cut = qaoa_circuit(Graph(tuple("abcde"), edges, np.ones(5)), 1)
    np.testing.assert_allclose(expect(cut, circuit(np.array([[gamma, beta]]))), exact, rtol=1e-12)


def test_ring_from_a_file(tmp_path):
    """p layers reach (2p + 1)/(2p + 2) of the edges of an even ring: arXiv:1411.4028."""
    file = tmp_path / "ring.csv"
    file.write_text("source,target\n" + "\n".join(f"site {i},site {(i + 1) % 6}" for i in range(6)))
    experiment = QaoaMaxcut(graph=file, layers=1, steps=60)
    result = experiment.run(experiment.prepare(), Run.null())
    np.testing.assert_allclose(result.summary["ratio"], 3 / 4, rtol=1e-8)
    assert result.summary["best_cut"] == 6
    assert len(experiment.plot(result).axes) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\na\n", "line 2"),
        ("a,b\na,a\n", "different nodes"),
        ("a,b,1\nb,c,x\n", "not a number"),
        ("a,b\nb,a\n", "twice"),
        ("", "no edges"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "graph.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        QaoaMaxcut(graph=file).prepare()


def test_odd_regular_graph():
    with pytest.raises(InputError, match="even"):
        QaoaMaxcut(nodes=5).prepare()
