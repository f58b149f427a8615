"""Reading particles from CSV files, with every way a file can be wrong told in one line."""

import dataclasses
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from pullback.core import InputError, Table, data_file, nearest, read_table

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
    that start with # or % are comments, but for `# box: 9.5`, the side of the box. Without species, discs of equal
    diameter are one.

    Raises:
        InputError: the file is missing, empty, not a CSV file, lacks a column or has an unknown one, or holds what are
            no discs: fewer than three, not finite, no positive diameter, two at the same place.
    """
    table = read_table(data_file(path, (".csv", ".txt", ".tsv")))
    if not table.rows:
        raise InputError(f"{path}: the file holds no particles")
    box = _box(table)
    first = table.rows[0][1]
    header = not any(map(table.is_number, first[: len(_NUMBERS)]))
    names = _COLUMNS if len(first) == len(_COLUMNS) else _NUMBERS
    columns, table = table.named(header, names)
    _check_names(path, columns)
    numbers = np.stack([table.numbers(columns.index(name), name) for name in _NUMBERS], axis=1)
    return _checked(table, numbers, _labels(table, columns), box)


def _box(table: Table) -> float | None:
    sides = [(line, match[1]) for line, text in table.comments if (match := _BOX.fullmatch(text))]
    if not sides:
        return None
    if len(sides) > 1:
        raise InputError(f"{table.path}: the box is given {len(sides)} times")
    [(line, side)] = sides
    if not table.is_number(side):
        raise table.error(line, f"box {side!r} is not a number")
    return table.number(line, side)


def _check_names(path: Path, columns: list[str]) -> None:
    for name in columns:
        if name not in _COLUMNS:
            raise InputError(f"{path}: unknown column {name!r}.{nearest(name, _COLUMNS)}")
    missing = [name for name in _NUMBERS if name not in columns]
    if missing:
        raise InputError(
            f"{path}: needs columns x, y, diameter; {', '.join(missing)} missing, found {', '.join(columns)}"
        )


def _labels(table: Table, columns: list[str]) -> list[str] | None:
    """The species, if there is such a column."""
    if "species" not in columns:
        return None
    labels = [cells[columns.index("species")] for _, cells in table.rows]
    if "" in labels:
        raise table.error(table.rows[labels.index("")][0], "the species is empty")
    return labels


def _checked(
    table: Table, numbers: Float[np.ndarray, "n 3"], labels: list[str] | None, box: float | None
) -> ParticleData:
    path, lines = table.path, [line for line, _ in table.rows]
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
