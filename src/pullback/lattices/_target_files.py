"""Reading spectra and states from files, with every way a file can be wrong told in one line."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from pullback.core import InputError, data_file, npz_arrays, read_table


def read_levels(path: Path) -> Float[np.ndarray, " levels"]:
    """Energies from a CSV or text file of one column, in ascending order whatever the order of the file.

    A first line that is no number is a header; lines that start with # or % are comments.

    Raises:
        InputError: the file is missing, empty, not text, has other than one column of finite numbers, or fewer than
            two different energies.
    """
    path = data_file(path, (".csv", ".txt", ".tsv"))
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
    path = data_file(path, (".csv", ".txt", ".tsv", ".npz"))
    state = _npz_state(path) if path.suffix.lower() == ".npz" else _column(path)
    if state.ndim != 1 or state.size < 2 or state.size & (state.size - 1):
        raise InputError(f"{path}: a state of n spins has 2^n amplitudes in one row or column, got shape {state.shape}")
    _require_finite(path, state)
    if not state.any():
        raise InputError(f"{path}: the state is zero")
    state = state / np.abs(state).max()  # so that the norm neither overflows nor underflows
    return state / np.linalg.norm(state)


def _column(path: Path) -> Float[np.ndarray, " n"]:
    table = read_table(path)
    first = table.rows[0][1] if table.rows else []
    _, table = table.named(bool(first) and not any(map(table.is_number, first)), ("number",))
    if not table.rows:
        raise InputError(f"{path}: the file holds no numbers")
    if len(table.rows[0][1]) != 1:
        raise table.error(table.rows[0][0], f" has {len(table.rows[0][1])} columns, needs one")
    return table.numbers(0, "")


def _npz_state(path: Path) -> np.ndarray:
    arrays = npz_arrays(path)
    if "state" not in arrays:
        raise InputError(f"{path}: needs an array 'state', found {', '.join(arrays) or 'nothing'}")
    return arrays["state"]


def _require_finite(path: Path, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(f"{path}: number {int(bad[0]) + 1} is {values[bad[0]]}; all must be finite")
