"""Reading spectra and states from files, with every way a file can be wrong told in one line."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from pullback.core import InputError, data_file, is_number, npz_arrays, table_rows, text_lines


def read_levels(path: Path) -> Float[np.ndarray, " levels"]:
    """Energies from a CSV or text file of one column, in ascending order whatever the order of the file.

    A first line that is no number is a header; lines that start with # are comments.

    Raises:
        InputError: the file is missing, empty, not text, has other than one column of finite numbers, or fewer than
            two different energies.
    """
    path = data_file(path, (".csv", ".txt"))
    levels = np.sort(_column(path))
    if np.ptp(levels) == 0:
        raise InputError(f"{path}: needs at least two different energies, got {levels.size} of {levels[0]:g}")
    return levels


def read_state(path: Path) -> Float[np.ndarray, " states"]:
    """Real amplitudes of a state, normalised: one column of a CSV or text file, or the array `state` of an NPZ file.

    Raises:
        InputError: the file is missing, empty, not of its kind, does not hold finite real numbers, is zero, or its
            length is not a power of two.
    """
    path = data_file(path, (".csv", ".txt", ".npz"))
    state = _npz_state(path) if path.suffix.lower() == ".npz" else _column(path)
    if state.ndim != 1 or state.size < 2 or state.size & (state.size - 1):
        raise InputError(f"{path}: a state of n spins has 2^n amplitudes in one row or column, got shape {state.shape}")
    _require_finite(path, state)
    if not state.any():
        raise InputError(f"{path}: the state is zero")
    state = state / np.abs(state).max()  # so that the norm neither overflows nor underflows
    return state / np.linalg.norm(state)


def _column(path: Path) -> Float[np.ndarray, " n"]:
    rows = table_rows(text_lines(path))
    if rows and len(rows[0][1]) == 1 and not is_number(rows[0][1][0]):
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path}: the file holds no numbers")
    for number, cells in rows:
        if len(cells) != 1:
            raise InputError(f"{path}: line {number} has {len(cells)} columns, needs one: {' '.join(cells)[:40]!r}")
        if not is_number(cells[0]):
            raise InputError(f"{path}: line {number}: {cells[0][:40]!r} is not a number")
    values = np.array([float(cells[0]) for _, cells in rows])
    _require_finite(path, values)
    return values


def _npz_state(path: Path) -> np.ndarray:
    arrays = npz_arrays(path)
    if "state" not in arrays:
        raise InputError(f"{path}: needs an array 'state', found {', '.join(arrays) or 'nothing'}")
    return arrays["state"]


def _require_finite(path: Path, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(f"{path}: number {int(bad[0]) + 1} is {values[bad[0]]}; all must be finite")
