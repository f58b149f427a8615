"""Vector fields of two coordinates, and curves that follow them."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pullback.plots._figure import COLOURS, GREY, STYLE


def phase_portrait(
    ax: Axes,
    points: ArrayLike,
    slopes: ArrayLike,
    lines: Mapping[str, Sequence[ArrayLike]],
    dots: Mapping[str, ArrayLike] | None = None,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> None:
    """Draws arrows of one length along a field, and curves in it.

    Args:
        ax: the panel.
        points: where the field is known, shape (n, 2).
        slopes: of the curves there, shape (n, 2).
        lines: label -> curves, each of shape (m, 2), which have one colour; those after the first label are dashed.
        dots: label -> points, shape (k, 2), drawn grey.
        xlabel: the first coordinate.
        ylabel: the second one.
        title: of the panel.
    """
    points, slopes = np.asarray(points, float), np.asarray(slopes, float)
    extent = np.ptp(points, axis=0)
    along = slopes / np.where(extent > 0, extent, 1)  # arrows are seen in the shape of the panel
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = along / np.where(length > 0, length, 1)
    with matplotlib.rc_context(STYLE):
        ax.quiver(*points.T, *along.T, color="0.8", pivot="mid", scale=32, width=0.003, zorder=1)
        for label, values in (dots or {}).items():
            ax.plot(*np.asarray(values, float).T, ".", color=GREY, markersize=3, label=label, zorder=2)
        for k, (label, family) in enumerate(lines.items()):
            for i, curve in enumerate(family):
                style = "--" if k else "-"
                ax.plot(*np.asarray(curve, float).T, style, color=COLOURS[k], label="" if i else label, zorder=3)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
        ax.legend()
        ax.grid(visible=False)
