"""Spectra level by level and values place by place: what is drawn is what was given."""

import itertools

import numpy as np

from pullback.plots import levels, new_figure, place_values


def test_every_level_is_one_dash_and_multiplets_are_rows_of_dashes():
    _, ax = new_figure()
    levels(ax, {"a": [2.0, 0.0, 1.0, 1.0 + 1e-9, 1.0], "b": [0.5]}, ylabel="energy")
    drawn = [(*line.get_xdata(), line.get_ydata()[0]) for line in ax.lines]
    assert sorted(y for *_, y in drawn) == [0, 0.5, 1, 1, 1 + 1e-9, 2]
    first = [dash for dash in drawn if dash[0] < 0.5]
    single = next(dash for dash in first if dash[2] == 0)
    triple = sorted(dash[:2] for dash in first if 0.9 < dash[2] < 1.1)
    assert single[:2] == (-0.4, 0.4)
    assert triple[0][0] == -0.4 and abs(triple[-1][1] - 0.4) < 1e-12
    assert all(left[1] < right[0] for left, right in itertools.pairwise(triple))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_many_levels_in_one_multiplet_stay_inside_their_column():
    _, ax = new_figure()
    levels(ax, {"a": np.zeros(100), "b": [1.0]}, ylabel="energy")
    ends = np.array([line.get_xdata() for line in ax.lines[:-1]])
    assert ends.min() >= -0.4 - 1e-12 and ends.max() <= 0.4 + 1e-12
    assert (ends[:, 1] > ends[:, 0]).all() and (ends[1:, 0] > ends[:-1, 1]).all()


def test_values_and_references():
    _, ax = new_figure()
    families = {"bonds": ([0.5, 1.5], [1.0, 2.0]), "sites": ([0, 1, 2], [3.0, 4.0, 5.0])}
    place_values(ax, families, references={"sites": [3.0, 4.0, 6.0]}, xlabel="x", ylabel="y", reference_label="exact")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1, 2])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [0, 1, 2], atol=0.05)  # beside the other family
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), ax.lines[2].get_xdata())
    np.testing.assert_array_equal(ax.lines[2].get_ydata(), [3, 4, 6])
    assert ax.lines[1].get_color() == ax.lines[2].get_color() != ax.lines[0].get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["bonds", "sites", "exact"]


def test_starts_are_crosses_in_the_colour_of_their_family():
    _, ax = new_figure()
    place_values(ax, {"a": ([0], [1.0]), "b": ([0], [2.0])}, starts={"b": [3.0]}, xlabel="x", ylabel="y")
    crosses = [line for line in ax.lines if line.get_marker() == "x" and len(line.get_ydata())]
    assert [line.get_ydata().tolist() for line in crosses] == [[3.0]]
    assert crosses[0].get_color() == ax.lines[1].get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "start"]
