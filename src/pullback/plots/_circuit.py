"""Figures of quantum circuits."""

from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from pullback.plots._figure import COLOURS, STYLE

if TYPE_CHECKING:
    from pullback.circuits import Circuit

_ROW = 14  # columns' widths in one row of wires, in units of the distance of wires


def circuit_diagram(circuit: "Circuit", *, max_moments: int = 60) -> Figure:
    """Draws a circuit: wires from left to right, boxes for gates, dots for controls, broken into rows.

    Args:
        circuit: the circuit.
        max_moments: how many moments are drawn; what follows is shown by dots at the end.
    """
    columns, more = circuit.columns(max_moments)
    rows: list[list[tuple[float, float, list]]] = [[]]
    at = 0.0
    for column in columns:
        width = max([1.0, *(0.45 + 0.13 * len(text) for cell in column.cells for text in cell.labels.values())])
        if at + width > _ROW and rows[-1]:
            rows.append([])
            at = 0.0
        rows[-1].append((at + width / 2, width, column.cells))
        at += width
    ends = [row[-1][0] + row[-1][1] / 2 if row else 1.0 for row in rows]
    height = len(rows) * (circuit.n + 0.6)
    size = 0.5 * (max(ends) + 1.2), 0.5 * height
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=150)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set(xlim=(-0.9, max(ends) + 0.3), ylim=(height - 0.5, -0.8))
        ax.set_axis_off()
        for k, (row, end) in enumerate(zip(rows, ends)):
            top = k * (circuit.n + 0.6)
            for q in range(circuit.n):
                ax.plot([0, end], [top + q] * 2, color="#555555", linewidth=0.8, zorder=0)
                ax.text(-0.1, top + q, f"$q_{{{q}}}$", ha="right", va="center")
                if more and row is rows[-1]:
                    ax.text(end + 0.05, top + q, "…", va="center")
            for x, width, cells in row:
                for cell in cells:
                    _draw_cell(ax, cell, x, top, width)
    return figure


def _draw_cell(ax, cell, x, top, width):
    if not cell.labels:
        return
    ax.plot([x, x], [top + min(cell.labels), top + max(cell.labels)], color=COLOURS[0], linewidth=1.2, zorder=1)
    for q, text in cell.labels.items():
        y = top + q
        match text:
            case "●" | "○":
                ax.add_patch(
                    Circle(
                        (x, y), 0.1, facecolor=COLOURS[0] if text == "●" else "white", edgecolor=COLOURS[0], zorder=3
                    )
                )
            case "⊕":
                ax.add_patch(Circle((x, y), 0.2, facecolor="white", edgecolor=COLOURS[0], zorder=2))
                ax.plot([x - 0.2, x + 0.2], [y, y], color=COLOURS[0], linewidth=1.2, zorder=3)
                ax.plot([x, x], [y - 0.2, y + 0.2], color=COLOURS[0], linewidth=1.2, zorder=3)
            case "×":
                ax.plot([x - 0.12, x + 0.12], [y - 0.12, y + 0.12], color=COLOURS[0], linewidth=1.5, zorder=3)
                ax.plot([x - 0.12, x + 0.12], [y + 0.12, y - 0.12], color=COLOURS[0], linewidth=1.5, zorder=3)
            case _:
                half = min(width - 0.14, 0.4 + 0.13 * len(text)) / 2
                colour = "#F6E3D5" if text == "noise" else "#DCEAF5" if "(" in text else "#F2F2F2"
                box = FancyBboxPatch(
                    (x - half, y - 0.32), 2 * half, 0.64, boxstyle="round,pad=0,rounding_size=0.08",
                    facecolor=colour, edgecolor="#333333", linewidth=0.8, zorder=2,
                )  # fmt: skip
                ax.add_patch(box)
                ax.text(x, y, text, ha="center", va="center", fontsize=7.5, zorder=3)
