"""Reading densities from CSV, NPZ and HDF5 files, with every way a file can be wrong told in one line."""

import dataclasses
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pullback.core import InputError, data_file, npz_arrays, read_table, real_numbers

_AXES = ("x", "y", "z")
_LARGEST_RATIO = 2000  # of the size of an array over that of its file, compressed
_NAMES = re.compile(r"density(?:_(\d+))?")


@dataclasses.dataclass(frozen=True, eq=False)
class DensityData:
    """Densities as they stand in a file: positive and finite, not yet normalised.

    Attributes:
        axes: the points along x (along y, and z), increasing.
        densities: state number -> density at the points, in row-major order in two and three dimensions. The number is
            None for a density that was given none.
    """

    axes: tuple[Float[np.ndarray, " _"], ...]
    densities: dict[int | None, Float[np.ndarray, " points"]]


def read_densities(path: Path) -> DensityData:
    """Reads `x` and `density`, or `density_0`, `density_2`, … (the numbers are those of the states).

    CSV: one column each, named in the first line; without such a line the columns are x and density. Lines that
    start with # or % are comments. NPZ and HDF5: one-dimensional arrays of these names; with `y` (and `z`) beside `x`,
    the points along each axis, a density is an array with one axis for each.

    Raises:
        InputError: the file is missing, empty, not of its kind, lacks an array, or holds values that are no density.
    """
    tables = dict.fromkeys((".csv", ".txt", ".tsv"), _read_csv)
    readers = {**tables, ".npz": npz_arrays, ".h5": _read_h5, ".hdf5": _read_h5}
    path = data_file(path, tuple(readers))
    kind = path.suffix.lower()
    return _checked(path, readers.get(kind, _read_csv)(path))  # .gz: a table


def _checked(path: Path, columns: dict[str, np.ndarray]) -> DensityData:
    found = ", ".join(columns) or "nothing"
    if "x" not in columns:
        raise InputError(f"{path}: needs 'x' and 'density' (or 'density_0', 'density_1', …), found {found}")
    matches = {name: _NAMES.fullmatch(name) for name in columns}
    densities = {None if match[1] is None else int(match[1]): columns[name] for name, match in matches.items() if match}
    if not densities:
        raise InputError(f"{path}: needs 'density' (or 'density_0', 'density_1', …) beside 'x', found {found}")
    if None in densities and len(densities) > 1:
        raise InputError(f"{path}: 'density' beside {found}: number it, as in 'density_0'")
    names = [name for name in _AXES if name in columns]
    if names != list(_AXES[: len(names)]):
        raise InputError(f"{path}: 'z' needs 'y' beside it")
    axes = tuple(_axis(path, name, columns[name]) for name in names)
    shape, have = tuple(axis.size for axis in axes), "has" if len(axes) == 1 else "have"
    for state, rho in densities.items():
        name = "density" if state is None else f"density_{state}"
        if rho.shape != shape:
            raise InputError(f"{path}: {name} has shape {rho.shape}, {', '.join(names)} {have} {shape}")
        _require_finite(path, name, rho)
        if rho.min() < 0:
            raise InputError(
                f"{path}: {name} is negative at point {int(np.argmin(rho)) + 1} ({rho.min():g}); set noise to zero"
            )
        if not rho.any():
            raise InputError(f"{path}: {name} is zero everywhere")
    return DensityData(axes, {state: rho.reshape(-1) for state, rho in densities.items()})


def _axis(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim != 1 or x.size < 5:
        raise InputError(f"{path}: needs at least 5 points in one row or column, got shape {x.shape} for {name}")
    _require_finite(path, name, x)
    if not np.all(np.diff(x) > 0):
        i = int(np.argmax(np.diff(x) <= 0))
        raise InputError(f"{path}: {name} must increase, but {x[i]:g} is followed by {x[i + 1]:g} (point {i + 2})")
    return x


def _require_finite(path: Path, name: str, values: np.ndarray) -> None:
    values = values.reshape(-1)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(f"{path}: {name} is {values[bad[0]]} at point {int(bad[0]) + 1}; all must be finite")


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    table = read_table(path)
    if not table.rows:
        raise InputError(f"{path}: the file holds no rows")
    first = [cell.lower() for cell in table.rows[0][1]]
    names, table = table.named(any(_NAMES.fullmatch(cell) or cell == "x" for cell in first), ("x", "density"))
    return {name: table.numbers(column, name) for column, name in enumerate(names)}


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    import h5py  # slow to load, and seldom needed

    try:
        with h5py.File(path, "r") as file:
            wanted = {name: dataset for name, dataset in file.items() if name in _AXES or _NAMES.fullmatch(name)}
            wanted = {name: dataset for name, dataset in wanted.items() if isinstance(dataset, h5py.Dataset)}
            for name, dataset in wanted.items():
                if dataset.nbytes > _LARGEST_RATIO * path.stat().st_size:  # HDF5 would try to read it
                    raise InputError(f"{path}: damaged: {name} has {dataset.nbytes} bytes, more than the file can hold")
            return {name: real_numbers(path, name, np.asarray(dataset[()])) for name, dataset in wanted.items()}
    except InputError:
        raise
    except Exception as error:  # damaged files raise many kinds
        raise InputError(f"{path}: not an HDF5 file, or damaged ({' '.join(str(error).split())})") from error
