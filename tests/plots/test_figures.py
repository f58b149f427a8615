"""Figures: what is drawn is what was given; no global state is touched."""

import io
import sys

import matplotlib
import numpy as np
import pytest

from pullback.plots import convergence, curves, new_figure


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
