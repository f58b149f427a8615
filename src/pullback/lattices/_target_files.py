"""Reading spectra and states from files, with every way a file can be wrong told in one line."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pullback.core import InputError


def read_levels(path: Path) -> Float[np.ndarray, " levels"]:
    """Energies from a CSV or text file of one column, in ascending order whatever the order of the file.

    A first line that is no number is a header; lines that start with # are comments.

    Raises:
        InputError: the file is missing, empty, not text, has other than one column of finite numbers, or fewer than
            two different energies.
    """
    path = _existing(Path(path), (".csv", ".txt"))
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
    path = _existing(Path(path), (".csv", ".txt", ".npz"))
    state = _npz_state(path) if path.suffix.lower() == ".npz" else _column(path)
    if state.ndim != 1 or state.size < 2 or state.size & (state.size - 1):
        raise InputError(f"{path}: a state of n spins has 2^n amplitudes in one row or column, got shape {state.shape}")
    _require_finite(path, state)
    if not state.any():
        raise InputError(f"{path}: the state is zero")
    state = state / np.abs(state).max()  # so that the norm neither overflows nor underflows
    return state / np.linalg.norm(state)


def _existing(path: Path, suffixes: tuple[str, ...]) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; known are {', '.join(suffixes)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return path


def _column(path: Path) -> Float[np.ndarray, " n"]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file") from error
    rows = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if rows and not _is_number(rows[0][1]) and len(_cells(rows[0][1])) == 1:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path}: the file holds no numbers")
    for n, text in rows:
        if len(_cells(text)) != 1:
            raise InputError(f"{path}: line {n} has {len(_cells(text))} columns, needs one: {text[:40]!r}")
        if not _is_number(text):
            raise InputError(f"{path}: line {n}: {text[:40]!r} is not a number")
    values = np.array([float(text) for _, text in rows])
    _require_finite(path, values)
    return values


def _cells(text: str) -> list[str]:
    text = text.replace(";", ",")
    return text.split(",") if "," in text else text.split()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _npz_state(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "state" not in file.files:
                raise InputError(f"{path}: needs an array 'state', found {', '.join(file.files) or 'nothing'}")
            state = file["state"]
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an NPZ file of numbers ({error})") from error
    if state.dtype.kind not in "iuf":
        raise InputError(f"{path}: state holds {state.dtype}, real numbers are needed")
    return np.asarray(state, dtype=float)


def _require_finite(path: Path, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(f"{path}: number {int(bad[0]) + 1} is {values[bad[0]]}; all must be finite")
