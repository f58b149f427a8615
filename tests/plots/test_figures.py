"""Figures: what is drawn is what was given; no global state is touched."""

import io
import sys

import matplotlib
import numpy as np
import pytest

from pullback.plots import convergence, curves, graph, new_figure


def test_curves_draw_their_data_and_labels():
    figure, ax = new_figure()
    x = np.linspace(0, 1, 5)
    curves(ax, x, {"a": x, "b": x**2}, xlabel="x", ylabel="y", title="t", dashed=("b",))
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), x**2)
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("x", "y", "t")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_one_thing_has_one_colour_and_a_start_is_grey_and_dotted():
    _, (a, b) = new_figure(1, 2)
    colours = {"exact": "#000000", "order 1": "#123456"}
    x = np.arange(3.0)
    curves(a, x, {"start": x, "exact": x, "order 1": x}, xlabel="", ylabel="", starts=("start",), colours=colours)
    curves(b, x, {"order 1": x}, xlabel="", ylabel="", colours=colours)
    assert [line.get_color() for line in a.lines] == ["#777777", "#000000", "#123456"]
    assert a.lines[0].get_linestyle() == ":" and b.lines[0].get_color() == "#123456"


def test_a_graph_has_its_names_weights_and_cut():
    figure, ax = new_figure()
    edges, weights = np.array([[0, 1], [1, 2], [0, 2]]), np.array([1.0, 2.5, 1.0])
    graph(ax, ["a", "Schwäbisch Gmünd", "$x$ " * 20], edges, weights, side=np.array([0, 1, 0]), title="t")
    colours = [line.get_color() for line in ax.lines[:3]]
    assert colours[0] == colours[1] != colours[2]
    texts = [text.get_text() for text in ax.texts]
    assert texts[:3] == ["1", "2.5", "1"] and texts[3:5] == ["a", "Schwäbisch\nGmünd"]
    assert texts[5].endswith("…") and len(texts[5]) < 30
    figure.savefig(io.BytesIO(), format="png")


def test_convergence_leaves_out_what_a_logarithm_cannot_show():
    figure, ax = new_figure()
    convergence(ax, np.arange(4), [1.0, 0.1, 0.0, -1.0], tol=1e-3)
    assert ax.get_yscale() == "log"
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [False, False, True, True]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), 1e-3)
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize(("rows", "columns", "shape"), [(1, 2, (2,)), (3, 1, (3,)), (2, 2, (2, 2))])
def test_grids_of_panels(rows, columns, shape):
    figure, axes = new_figure(rows, columns)
    assert axes.shape == shape
    assert figure.get_size_inches().tolist() == [4.2 * columns, 3.0 * rows]
    assert new_figure(rows, columns, width=5.0, height=2.0)[0].get_size_inches().tolist() == [5, 2]


def test_nothing_global_is_touched():
    before = dict(matplotlib.rcParams)
    curves(new_figure()[1], [0, 1], {"a": [0, 1]}, xlabel="x", ylabel="y")
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
