"""Maps of functions of two variables."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from pullback.plots._figure import STYLE


def field(
    ax: Axes, x: ArrayLike, y: ArrayLike, values: ArrayLike, *, label: str, title: str = "", log: bool = False
) -> None:
    """Draws a function of x and y as colours, with a bar.

    Args:
        ax: the panel.
        x: abscissae, shape (n,), in bohr.
        y: ordinates, shape (m,), in bohr.
        values: shape (n, m); NaN is left white.
        label: of the bar, with the unit.
        title: of the panel.
        log: whether the colours are logarithmic; zeros are then drawn as the smallest value.
    """
    values = np.asarray(values, float)
    norm = None
    if log:
        positive = values[np.isfinite(values) & (values > 0)]
        low = positive.min() if positive.size else 1e-16
        values, norm = np.maximum(values, low), LogNorm(low, max(np.nanmax(values, initial=low), 2 * low))
    with matplotlib.rc_context(STYLE):
        image = ax.pcolormesh(np.asarray(x), np.asarray(y), values.T, shading="nearest", cmap="viridis", norm=norm)
        ax.figure.colorbar(image, ax=ax, label=label)
        ax.set(xlabel="$x$ / bohr", ylabel="$y$ / bohr", title=title, aspect="equal")
        ax.grid(visible=False)
