"""Figures made of lines."""

from collections.abc import Mapping
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pullback.plots._figure import GREY, STYLE


def curves(
    ax: Axes,
    x: ArrayLike,
    ys: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    dashed: tuple[str, ...] = (),
    starts: tuple[str, ...] = (),
    colours: Mapping[str, str] | None = None,
    yscale: Literal["linear", "log"] = "linear",
    points: bool = False,
) -> None:
    """Draws functions of one variable.

    Args:
        ax: the panel.
        x: abscissae, shape (n,).
        ys: label -> ordinates, shape (n,); NaN leaves a gap.
        xlabel: label of the abscissa.
        ylabel: label of the ordinate.
        title: of the panel.
        dashed: labels of the curves drawn dashed, as references lying on top of others are.
        starts: labels of the curves drawn dotted and grey: where a search began.
        colours: label -> colour, for the same thing to have the same one in every panel; others take their turns.
        yscale: of the ordinate; logarithmic only if there is a positive value.
        points: mark the points, where they are few.
    """
    if not any(np.any(np.asarray(y) > 0) for y in ys.values()):
        yscale = "linear"
    marks = {"marker": "o", "markersize": 4} if points else {}
    with matplotlib.rc_context(STYLE):
        for label, y in ys.items():
            style = ":" if label in starts else "--" if label in dashed else "-"
            colour = GREY if label in starts else (colours or {}).get(label)
            given = {} if colour is None else {"color": colour}
            ax.plot(np.asarray(x), np.asarray(y), style, label=label, **given, **marks)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title, yscale=yscale)
        if len(ys) > 1:
            ax.legend()


def convergence(
    ax: Axes,
    steps: ArrayLike,
    loss: ArrayLike,
    *,
    tol: float | None = None,
    ylabel: str = "loss",
    title: str = "",
) -> None:
    """Draws the history of a loss on a logarithmic scale.

    Args:
        ax: the panel.
        steps: step numbers, shape (n,).
        loss: losses, shape (n,); values that are not positive are left out.
        tol: the tolerance asked for, drawn as a line.
        ylabel: of the ordinate.
        title: of the panel.
    """
    loss = np.asarray(loss, dtype=float)
    with matplotlib.rc_context(STYLE):
        ax.plot(np.asarray(steps), np.where(loss > 0, loss, np.nan))
        if tol is not None and tol > 0:
            ax.axhline(tol, color=GREY, linestyle=":", label=f"tolerance {tol:.0e}")
            ax.legend()
        ax.locator_params(axis="x", integer=True)
        ax.set(xlabel="step", ylabel=ylabel, title=title, yscale="log" if np.any(loss > 0) else "linear")
