"""Reading tables that users have: rows of text files, arrays of NPZ files. The rooms check what the numbers mean."""

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pullback.core._errors import InputError


def data_file(path: Path, suffixes: Sequence[str]) -> Path:
    """`path`, if it is a file of a known kind that is not empty.

    Raises:
        InputError: it is not.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; known are {', '.join(suffixes)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return path


def text_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InputError: the file is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file") from error


def table_rows(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line that is neither empty nor a comment (#); separated by , ; tab or spaces."""
    return [
        (number, [cell.strip() for cell in row])
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
        for row in csv.reader([line.strip()], delimiter=_delimiter(line.strip()), skipinitialspace=True)
    ]


def is_number(text: str) -> bool:
    """Whether a cell can be read as a floating-point number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file, as real numbers.

    Raises:
        InputError: the file is not of its kind, or holds something else than real numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: real_numbers(path, name, file[name]) for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an NPZ file of numbers ({error})") from error


def real_numbers(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """`values` in double precision, if they are real numbers.

    Raises:
        InputError: they are not.
    """
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: {name} holds {values.dtype}, real numbers are needed")
    return np.asarray(values, dtype=float)


def _delimiter(line: str) -> str:
    return next((mark for mark in ",;\t" if mark in line), " ")
