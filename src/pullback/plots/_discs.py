"""Pictures of discs in a periodic box."""

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb

from pullback.plots._figure import COLOURS, STYLE


def discs(
    ax: Axes,
    positions: Float[np.ndarray, "n 2"],
    diameters: Float[np.ndarray, " n"],
    *,
    box: float,
    species: Int[np.ndarray, " n"],
    labels: tuple[str, ...],
    hollow: Bool[np.ndarray, " n"],
    bonds: Int[np.ndarray, "bonds 2"],
    arrows: Float[np.ndarray, "n 2"],
    unit: str,
    title: str = "",
) -> None:
    """Draws discs, bonds between them, and an arrow at each; what crosses the boundary is drawn on both sides.

    Args:
        ax: the panel.
        positions: of the centres; they are wrapped into the box.
        diameters: of the discs.
        box: side of the square box.
        species: number of each disc's species, which gives its colour.
        labels: of the species, for the legend.
        hollow: discs to be drawn without filling.
        bonds: pairs of discs joined by a line, along the shortest way.
        arrows: vectors at the discs, scaled to be seen, with a key.
        unit: what an arrow of length one means, for the key.
        title: of the panel.
    """
    wrapped = np.mod(positions, box)
    largest = np.linalg.norm(arrows, axis=1).max(initial=0)
    with matplotlib.rc_context(STYLE):
        images, which = _images(wrapped, diameters / 2, box)
        for number, label in enumerate(labels):
            colour = COLOURS[number % len(COLOURS)]
            for empty in (False, True):
                chosen = (species[which] == number) & (hollow[which] == empty)
                width = diameters[which[chosen]]
                face = (*to_rgb(colour), 0.0 if empty else 0.3)
                ax.add_collection(
                    EllipseCollection(
                        width, width, np.zeros_like(width), units="xy", offsets=images[chosen],
                        offset_transform=ax.transData, facecolors=[face], edgecolors=colour, linewidths=0.9,
                    )
                )  # fmt: skip
            ax.plot([], [], "o", color=colour, alpha=0.5, label=label)
        if hollow.any():
            ax.plot([], [], "o", color="#777777", fillstyle="none", label="rattlers")
        ax.add_collection(LineCollection(list(_segments(wrapped, bonds, box)), colors="#999999", linewidths=0.7))
        if largest > 0:
            length = _round_down(largest)
            quiver = ax.quiver(
                *wrapped.T, *arrows.T, angles="xy", scale_units="xy", scale=largest / (0.09 * box), width=0.0045,
                zorder=3,
            )  # fmt: skip
            ax.quiverkey(quiver, 0.78, -0.045, length, f"{length:g} {unit}", labelpos="E", coordinates="axes")
        ax.set(xlim=(0, box), ylim=(0, box), xticks=[], yticks=[], aspect="equal", title=title)
        ax.spines[:].set_visible(True)
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.005), ncols=len(labels) + 1, handletextpad=0.2, borderpad=0.2)


def _images(x, radius, box):
    """Centres of all images that show in the box, and whose they are."""
    shifts = box * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 1, 2)
    everywhere = x + shifts
    seen = np.all((everywhere > -radius[:, None]) & (everywhere < box + radius[:, None]), axis=2)
    return everywhere[seen], np.nonzero(seen)[1]


def _segments(x, bonds, box):
    """A line from each end of each bond, so that both sides show those that cross the boundary."""
    start, end = x[bonds[:, 0]], x[bonds[:, 1]]
    d = end - start
    d = d - box * np.round(d / box)
    return np.concatenate([np.stack([start, start + d], axis=1), np.stack([end, end - d], axis=1)])


def _round_down(value):
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(k for k in (1, 2, 5) if k * power <= value))
