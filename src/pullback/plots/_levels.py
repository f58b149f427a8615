"""Figures of discrete things: spectra level by level, couplings place by place."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pullback.plots._figure import COLOURS, GREY, STYLE

_WIDTH = 0.8  # of a column of levels; the distance of columns is 1
_GAP = 0.06  # between the dashes of a multiplet, at most
_FILLED: Any = {"linestyle": "", "marker": "o", "markersize": 4}
_BESIDE = 0.06  # of the distance of two places
_CROSS: Any = {"linestyle": "", "marker": "x", "markersize": 4, "alpha": 0.6}
_OPEN: Any = {"linestyle": "", "marker": "o", "markersize": 9, "fillstyle": "none"}


def levels(
    ax: Axes,
    spectra: Mapping[str, ArrayLike],
    *,
    ylabel: str,
    title: str = "",
    same: float = 1e-6,
) -> None:
    """Draws spectra side by side, one dash for each level; a multiplet of d levels is a row of d dashes.

    Args:
        ax: the panel.
        spectra: label -> levels, shape (n,), in any order.
        ylabel: of the ordinate.
        title: of the panel.
        same: levels closer than this part of the whole range are one multiplet.
    """
    columns = {label: np.sort(np.asarray(values, dtype=float)) for label, values in spectra.items()}
    everything = np.concatenate(list(columns.values()))
    with matplotlib.rc_context(STYLE):
        for column, values in enumerate(columns.values()):
            for energy, first, last in _dashes(values, same * np.ptp(everything)):
                ax.plot([column + first, column + last], [energy, energy], color="#333333", lw=1.0)
        ax.set_xticks(range(len(columns)), list(columns))
        ax.grid(visible=False, axis="x")
        ax.set(xlim=(-0.6, len(columns) - 0.4), ylabel=ylabel, title=title)


def place_values(
    ax: Axes,
    families: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    starts: Mapping[str, ArrayLike] | None = None,
    references: Mapping[str, ArrayLike] | None = None,
    reference_label: str = "true",
) -> None:
    """Draws numbers that belong to places: a filled mark for each, an open ring for the value it should have.

    Args:
        ax: the panel.
        families: label -> (positions, values), each of shape (n,); one colour for each.
        xlabel: label of the abscissa.
        ylabel: label of the ordinate.
        title: of the panel.
        starts: label -> values from which the search for those of this family began, drawn as small crosses.
        references: label -> values that those of this family should have.
        reference_label: what these are, for the legend.
    """
    references, starts = references or {}, starts or {}
    with matplotlib.rc_context(STYLE):
        for i, (label, (positions, values)) in enumerate(families.items()):
            # A little beside each other: families share their places.
            x, colour = np.asarray(positions) + _BESIDE * (i - (len(families) - 1) / 2), COLOURS[i % len(COLOURS)]
            ax.plot(x, np.asarray(values), color=colour, label=label, **_FILLED)
            if label in starts:
                ax.plot(x, np.asarray(starts[label]), color=colour, **_CROSS)
            if label in references:
                ax.plot(x, np.asarray(references[label]), color=colour, **_OPEN)
        if references:
            ax.plot([], [], color=GREY, label=reference_label, **_OPEN)
        if starts:
            ax.plot([], [], color=GREY, label="start", **_CROSS)
        ax.axhline(0, color=GREY, linewidth=0.6)
        ax.locator_params(axis="x", integer=True)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
        ax.legend(frameon=True, framealpha=0.9, edgecolor="none")  # over the lines of the axes


def _dashes(values: np.ndarray, tol: float) -> list[tuple[float, float, float]]:
    """(energy, left end, right end) of each level's dash, the ends relative to the middle of the column."""
    out = []
    for multiplet in np.split(values, np.flatnonzero(np.diff(values) > tol) + 1):
        d = multiplet.size
        gap = min(_GAP, 0.4 * _WIDTH / d)
        dash = (_WIDTH - (d - 1) * gap) / d
        for k, energy in enumerate(multiplet):
            left = -_WIDTH / 2 + k * (dash + gap)
            out.append((float(energy), left, left + dash))
    return out
