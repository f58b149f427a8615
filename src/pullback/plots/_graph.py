"""Pictures of weighted graphs."""

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from pullback.plots._figure import COLOURS, GREY, STYLE

_LINE, _LINES = 14, 2  # letters of a name in a line, lines
_CROWDED = 24  # edges, beyond which weights are not written


def graph(
    ax: Axes,
    names: Sequence[str],
    edges: Int[np.ndarray, "edges 2"],
    weights: Float[np.ndarray, " edges"],
    *,
    side: Int[np.ndarray, " nodes"],
    title: str = "",
) -> None:
    """Draws the nodes on a circle, filled by their side; edges between the sides are coloured.

    Args:
        ax: the panel.
        names: of the nodes, written beside them; long ones are shortened.
        edges: pairs of numbers of nodes.
        weights: of the edges, written on them where they differ and are few.
        side: 0 (A) or 1 (B) of each node.
        title: of the panel.
    """
    phase = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    x, y = np.cos(phase), np.sin(phase)
    written = len(edges) <= _CROWDED and np.ptp(weights) > 0
    with matplotlib.rc_context(STYLE):
        for (a, b), weight in zip(edges, weights):
            cut = side[a] != side[b]
            colour, width = (COLOURS[1], 1.8) if cut else ("#BBBBBB", 1.0)
            ax.plot(x[[a, b]], y[[a, b]], color=colour, linewidth=width, zorder=1)
            if written:  # off the middle, where edges of a regular polygon cross
                place = 0.62 * np.array([x[a], y[a]]) + 0.38 * np.array([x[b], y[b]])
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                ax.text(place[0], place[1], f"{weight:.3g}", ha="center", va="center", fontsize=7, color=GREY, bbox=box)
        for number, (label, face) in enumerate((("A", "white"), ("B", COLOURS[0]))):
            here = side == number
            ax.scatter(x[here], y[here], c=face, edgecolors="black", s=110, zorder=2, label=label)
        ax.plot([], [], color=COLOURS[1], label="cut")
        for angle, name in zip(phase, names):
            c, s = np.cos(angle), np.sin(angle)
            ax.text(
                1.13 * c, 1.13 * s, _shortened(name), fontsize=8, parse_math=False,
                ha="center" if abs(c) < 0.3 else "left" if c > 0 else "right",
                va="center" if abs(s) < 0.9 else "bottom" if s > 0 else "top",
            )  # fmt: skip
        ax.set(xlim=(-1.9, 1.9), ylim=(-1.45, 1.35), aspect="equal", title=title)
        ax.set_axis_off()
        ax.legend(loc="lower left", bbox_to_anchor=(0, -0.06), ncols=3, handletextpad=0.3, columnspacing=1.2)


def _shortened(name: str) -> str:
    lines = textwrap.wrap(name, _LINE) or [""]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1][: _LINE - 1] + "…"]
    return "\n".join(lines)
