"""Numerical derivatives of a function of one real variable, with an estimate of their own error.

Central differences on a ladder of steps, extrapolated to step zero (Ridders, Adv. Eng. Softw. 4, 75 (1982)). The
noise of the function is measured first (Moré and Wild, SIAM J. Sci. Comput. 33, 1292 (2011)), because it limits
how small a step may be; the entry of the extrapolation table with the smallest estimated error is returned.
"""

import math
from collections.abc import Callable

import numpy as np

_LADDER = 0.5 ** np.arange(1, 18)  # in units of the direction, which the caller scales
_COLUMNS = 6


def noise_level(phi: Callable[[float], complex], spacing: float = 1e-9, points: int = 9) -> float:
    """Standard deviation of the rounding noise of `phi` near 0, from a table of high differences."""
    values = np.array([phi(spacing * (i - points // 2)) for i in range(points)])
    floor = np.finfo(np.float64).eps * float(np.max(np.abs(values)))
    levels, table = [], values
    for k in range(1, points - 2):
        table = np.diff(table)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        if k >= 3:
            levels.append(math.sqrt(gamma * float(np.mean(np.abs(table) ** 2))))
    return max(floor, float(np.median(levels)))


def derivative(phi: Callable[[float], complex], order: int, noise: float) -> tuple[float, float]:
    """The derivative of `phi` of the given order (0, 1, 2, 3) at 0, and an estimate of its error."""
    if order == 0:
        return float(np.real(phi(0.0))), noise
    weights = np.array([(-1.0) ** i * math.comb(order, i) for i in range(order + 1)])
    offsets = order / 2 - np.arange(order + 1)
    best, best_error = math.nan, math.inf
    previous: list[float] = []
    for h in _LADDER:
        values = np.array([np.real(phi(h * s)) for s in offsets])
        rounding = noise * float(np.sum(np.abs(weights))) / h**order
        row = [float(weights @ values) / h**order]
        for m, below in enumerate(previous[:_COLUMNS], start=1):
            row.append(row[-1] + (row[-1] - below) / (4.0**m - 1))
            error = max(abs(row[m] - row[m - 1]), abs(row[m] - below)) + rounding
            if error < best_error:
                best, best_error = row[m], error
        previous = row
        if rounding > 10 * best_error:
            break
    return best, best_error
