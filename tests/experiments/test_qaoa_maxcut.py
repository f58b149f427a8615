"""qaoa-maxcut against the exact values of rings; splits that are told; bad input. (Circuits: tests/circuits.)"""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.qaoa_maxcut import QaoaMaxcut
from pullback.runs import Result, Run, execute


def test_ring_from_a_file(tmp_path):
    """p layers reach (2p + 1)/(2p + 2) of the edges of an even ring: arXiv:1411.4028."""
    file = tmp_path / "ring.csv"
    file.write_text("source,target\n" + "\n".join(f"site {i},site {(i + 1) % 6}" for i in range(6)))
    experiment = QaoaMaxcut(graph=file, layers=1, max_steps=60)
    result = experiment.run(experiment.prepare(), Run.null())
    np.testing.assert_allclose(result.summary["ratio"], 3 / 4, rtol=1e-8)
    assert result.summary["best_cut"] == 6
    assert len(experiment.plot(result).axes) == 3


def test_the_split_is_told_and_written(tmp_path):
    """A star is cut between its centre and the rest, and an edge of negative weight is not."""
    (tmp_path / "star.csv").write_text("hub,Bonn,2\nhub,Ulm,1\nhub,Kiel,1\nBonn,Ulm,-1\n")
    result = execute(QaoaMaxcut(graph=tmp_path / "star.csv", layers=1, max_steps=60), tmp_path / "run", quiet=True)
    assert result.converged and result.summary["cut_of_likeliest"] == 4
    assert (result.summary["side_A"], result.summary["side_B"]) == ("hub", "Bonn, Ulm, Kiel")
    assert (tmp_path / "run/split.csv").read_text() == "node,side\nhub,A\nBonn,B\nUlm,B\nKiel,B\n"
    saved = Result.load(tmp_path / "run/result.h5")
    assert saved.arrays["nodes"].tolist() == ["hub", "Bonn", "Ulm", "Kiel"]
    assert saved.arrays["side"].tolist() == [0, 1, 1, 1]


def test_angles_that_still_move_have_not_converged():
    experiment = QaoaMaxcut(nodes=4, layers=1, max_steps=1)
    result = experiment.run(experiment.prepare(), Run.null())
    assert not result.converged and "more --max-steps" in result.message


def test_a_graph_with_nothing_to_cut(tmp_path):
    (tmp_path / "graph.csv").write_text("a,b,-1\n")
    with pytest.raises(InputError, match="no split cuts a positive weight"):
        QaoaMaxcut(graph=tmp_path / "graph.csv").prepare()


def test_odd_regular_graph():
    with pytest.raises(InputError, match="even"):
        QaoaMaxcut(nodes=5).prepare()
