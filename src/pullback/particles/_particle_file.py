"""Reading particles from CSV files, with every way a file can be wrong told in one line."""

import dataclasses
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from pullback.core import InputError, data_file, is_number, nearest, table_rows, text_lines

_NUMBERS = ("x", "y", "diameter")
_COLUMNS = (*_NUMBERS, "species")
_BOX = re.compile(r"#\s*box\s*[:=]?\s*(\S+)\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class ParticleData:
    """Discs as they stand in a file: finite, of positive diameter, at different places.

    Attributes:
        positions: shape (n, 2).
        diameters: shape (n,).
        species: number of each disc's species, shape (n,).
        names: of the species: those of the file, in the order in which they occur, or the different diameters.
        box: side of the square box, if the file says it.
    """

    positions: Float[np.ndarray, "n 2"]
    diameters: Float[np.ndarray, " n"]
    species: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    box: float | None


def read_particles(path: Path) -> ParticleData:
    """Reads the columns x, y, diameter and, if there is one, species (any text).

    The first line names the columns; without such a line they are x, y, diameter and maybe species in this order. Lines
    that start with # are comments, but for `# box: 9.5`, the side of the box. Without species, discs of equal diameter
    are one.

    Raises:
        InputError: the file is missing, empty, not a CSV file, lacks a column or has an unknown one, or holds what are
            no discs: fewer than three, not finite, no positive diameter, two at the same place.
    """
    path = data_file(path, (".csv", ".txt"))
    lines = text_lines(path)
    rows = table_rows(lines)
    if not rows:
        raise InputError(f"{path}: the file holds no particles")
    columns = _columns(path, rows)
    rows = rows[1:] if _is_header(rows[0][1]) else rows
    numbers, labels = _cells(path, rows, columns)
    return _checked(path, [number for number, _ in rows], numbers, labels, _box(path, lines))


def _box(path: Path, lines: list[str]) -> float | None:
    sides = [match[1] for match in map(_BOX.fullmatch, map(str.strip, lines)) if match]
    if not sides:
        return None
    if len(sides) > 1:
        raise InputError(f"{path}: the box is given {len(sides)} times")
    try:
        return float(sides[0])
    except ValueError:
        raise InputError(f"{path}: box {sides[0]!r} is not a number") from None


def _is_header(cells: list[str]) -> bool:
    return all(not is_number(cell) for cell in cells[: len(_NUMBERS)])


def _columns(path: Path, rows: list[tuple[int, list[str]]]) -> list[str]:
    """The names of the columns."""
    first = rows[0][1]
    if not _is_header(first):
        if not len(_NUMBERS) <= len(first) <= len(_COLUMNS):
            raise InputError(
                f"{path}: line {rows[0][0]} has {len(first)} columns; needs x, y, diameter and maybe species, or their "
                "names in a first line"
            )
        return list(_COLUMNS[: len(first)])
    names = [cell.lower() for cell in first]
    for name in names:
        if name not in _COLUMNS:
            raise InputError(f"{path}: unknown column {name!r}.{nearest(name, _COLUMNS)}")
    missing = [name for name in _NUMBERS if name not in names]
    if missing:
        raise InputError(
            f"{path}: needs columns x, y, diameter; {', '.join(missing)} missing, found {', '.join(names)}"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a column name appears twice: {', '.join(names)}")
    return names


def _cells(
    path: Path, rows: list[tuple[int, list[str]]], columns: list[str]
) -> tuple[Float[np.ndarray, "n 3"], list[str] | None]:
    """x, y, diameter of each row, and the species if there is such a column."""
    for number, cells in rows:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}: line {number} has {len(cells)} columns, expected {len(columns)}: {', '.join(columns)}"
            )
    numbers = np.empty((len(rows), len(_NUMBERS)))
    for j, name in enumerate(_NUMBERS):
        for i, (number, cells) in enumerate(rows):
            cell = cells[columns.index(name)]
            if not is_number(cell):
                raise InputError(f"{path}: line {number}, column {name!r}: {cell!r} is not a number")
            numbers[i, j] = float(cell)
            if not np.isfinite(numbers[i, j]):
                raise InputError(f"{path}: line {number}, column {name!r}: {cell}; all numbers must be finite")
    if "species" not in columns:
        return numbers, None
    labels = [cells[columns.index("species")] for _, cells in rows]
    if "" in labels:
        raise InputError(f"{path}: line {rows[labels.index('')][0]}: the species is empty")
    return numbers, labels


def _checked(
    path: Path, lines: list[int], numbers: Float[np.ndarray, "n 3"], labels: list[str] | None, box: float | None
) -> ParticleData:
    if len(numbers) < 3:
        raise InputError(f"{path}: needs at least 3 particles, found {len(numbers)}")
    positions, diameters = numbers[:, :2], numbers[:, 2]
    if diameters.min() <= 0:
        worst = int(np.argmin(diameters))
        raise InputError(f"{path}: line {lines[worst]}: diameter {diameters[worst]:g}; diameters must be positive")
    if labels is None:
        labels = [f"{diameter:.6g}" for diameter in diameters]
    places: dict[tuple[float, float], int] = {}
    for line, (x, y) in zip(lines, positions.tolist()):
        if (x, y) in places:
            raise InputError(
                f"{path}: lines {places[x, y]} and {line}: two particles at the same place, ({x:g}, {y:g}), push each "
                "other in no direction; move one a little"
            )
        places[x, y] = line
    names = tuple(dict.fromkeys(labels))
    return ParticleData(positions, diameters, np.array([names.index(label) for label in labels]), names, box)
