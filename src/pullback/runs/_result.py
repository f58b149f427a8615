"""What an experiment returns, and the file it is kept in."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pullback.core import InputError
from pullback.runs._files import write_atomically

_BLOCK = 512  # bytes before the HDF5 data, which HDF5 leaves to its users
_CONVERGED, _MESSAGE, _ABOUT = "converged", "message", "about"  # attributes of the file beside the summary's
_DIGITS = 6
_WIDEST = 24  # characters of a text that moves the next column


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number or text of a summary, and what a reader has to know about it.

    Attributes:
        value: a real number or a text.
        meaning: in a few words, with where it is taken if that is of interest.
        unit: of the number; empty if it has none.
        digits: significant digits that mean something, for display; the file keeps all.
    """

    value: Any
    meaning: str = ""
    unit: str = ""
    digits: int = _DIGITS


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Arrays and a summary, on the host; `save` and `load` keep every bit.

    Attributes:
        arrays: name -> array of numbers or texts, the datasets of `result.h5`; whatever is given, NumPy arrays are
            kept.
        summary: name -> number, text or `Quantity`, the number that the user came for first; printed at the end of a
            run. Plain numbers and texts are kept, as the attributes of `result.h5`; scalar arrays as Python numbers.
        about: name -> (meaning, unit, digits) of the quantities, made from `summary`.
        converged: whether the tolerance asked for was reached; if not, the command exits with code 3.
        message: why not, and the remedy.
    """

    arrays: Mapping[str, Any]
    summary: Mapping[str, Any]
    converged: bool = True
    message: str = ""
    about: Mapping[str, tuple[str, str, int]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        about, summary = dict(self.about), {}
        for name, value in self.summary.items():
            if isinstance(value, Quantity):
                about[name] = value.meaning, value.unit, value.digits
                value = value.value
            summary[name] = _scalar(name, value)
        object.__setattr__(self, "arrays", {name: _array(name, value) for name, value in self.arrays.items()})
        object.__setattr__(self, "summary", summary)
        object.__setattr__(self, "about", about)

    def save(self, path: Path) -> None:
        """Writes the HDF5 file `path`, atomically. Raises `InputError` where it cannot be written."""
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", track_order=True, userblock_size=_BLOCK) as file:
            for name, array in self.arrays.items():
                if array.dtype.kind == "U":
                    file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
                else:
                    file.create_dataset(name, data=array)
            for name, value in self.summary.items():
                file.attrs[name] = value
            file.attrs[_CONVERGED] = self.converged
            file.attrs[_MESSAGE] = self.message
            file.attrs[_ABOUT] = json.dumps(self.about)
        body = buffer.getvalue()[_BLOCK:]
        write_atomically(path, _seal(body) + body)

    @classmethod
    def load(cls, path: Path | str) -> "Result":
        """Reads what `save` wrote. Raises `InputError` where `path` is no such file, or not as it was written."""
        try:
            data = Path(path).read_bytes()
            if data[:_BLOCK] != _seal(data[_BLOCK:]):
                raise ValueError("its checksum is wrong")
            with h5py.File(io.BytesIO(data), "r") as file:
                arrays = {name: _dataset(dataset) for name, dataset in file.items()}
                summary: dict[str, Any] = dict(file.attrs)
            converged, message = bool(summary.pop(_CONVERGED)), str(summary.pop(_MESSAGE))
            about = {name: (m, u, d) for name, (m, u, d) in json.loads(summary.pop(_ABOUT)).items()}
            return cls(arrays, summary, converged, message, about)
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: not the result of a run, or damaged ({error}); delete it and resume the run"
            ) from error

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, number with its unit, meaning) of each entry of the summary."""
        rows = []
        for name, value in self.summary.items():
            meaning, unit, digits = self.about.get(name, ("", "", _DIGITS))
            text = f"{value:.{digits}g}" if isinstance(value, float) else str(value)
            rows.append((name, f"{text} {unit}".rstrip(), meaning))
        return rows

    def __str__(self) -> str:
        rows = self.rows()
        names = max((len(name) for name, _, _ in rows), default=0)
        numbers = max((len(number) for _, number, meaning in rows if meaning and len(number) <= _WIDEST), default=0)
        lines = [f"{name:<{names}}  {number:<{numbers}}  {meaning}".rstrip() for name, number, meaning in rows]
        return "\n".join(lines if self.converged else [*lines, f"not converged: {self.message}"])


def _seal(body: bytes) -> bytes:
    """The block with the checksum of the HDF5 data, without which a damaged file may be read for ever, or wrongly."""
    return f"pullback result, SHA-256 {hashlib.sha256(body).hexdigest()}\n".encode().ljust(_BLOCK, b"\0")


def _array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biufcU" or "/" in name:
        raise TypeError(
            f"array {name!r} of dtype {array.dtype}: a result holds arrays of numbers or texts, with no '/' in names"
        )
    return array


def _scalar(name: str, value: Any) -> float | int | str:
    if name in (_CONVERGED, _MESSAGE, _ABOUT):
        raise TypeError(f"{name!r} is a field of the result, not an entry of its summary")
    if isinstance(value, (str, int, float)) and not isinstance(value, np.generic):
        return value
    if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "biuf":
        raise TypeError(f"summary entry {name!r} must be a real number or a text, got {value!r}")
    return np.asarray(value).item()


def _dataset(dataset: Any) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset):
        raise KeyError(f"{dataset.name} is a group")
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[()], dtype=str)
    return dataset[()] if dataset.shape else np.asarray(dataset[()])
