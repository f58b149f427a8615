"""The one style of all figures.

Figures are plain `matplotlib.figure.Figure` objects: no pyplot, no global state, no window system. The style
is applied where a figure's parts are made, and nowhere else.
"""

from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind eyes; yellow is left out as too faint for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

GREY = "#777777"  # of what is not the subject: tolerances, starts, axes

STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "mathtext.fontset": "cm",
}

_PANEL = (4.2, 3.0)  # inches
_DPI = 150


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float | None = None, height: float | None = None
) -> tuple[Figure, Any]:
    """A figure in the one style, and its axes.

    Args:
        rows: of the grid of panels.
        columns: of the grid of panels.
        width: of the whole figure, in inches; by default it follows from the number of panels.
        height: likewise.

    Returns:
        The figure, and an `Axes` for one panel, else an array of `Axes`: of shape (n,) for one row or column,
        (rows, columns) for a grid.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(width or _PANEL[0] * columns, height or _PANEL[1] * rows), dpi=_DPI, layout="constrained"
        )
        axes: Axes | np.ndarray = figure.subplots(rows, columns)
    return figure, axes
