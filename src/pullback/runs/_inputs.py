"""The files that a run reads: copied into its folder, and checked when it is resumed.

Every option of type `Path` names such a file, with the further ones that it refers to (`option(…, also=…)`). The copies
stand in `files/<option>/`, under their own names and in the same places relative to each other, so that one can refer
to another as before. `config.json` has the SHA-256 hash of each. `file.py:name` is a name in a file of Python.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pullback.core import InputError
from pullback.runs._experiment import Experiment
from pullback.runs._files import write_atomically
from pullback.runs._option import Option, options_of

_FOLDER = "files"


class InputFile(NamedTuple):
    """A file of the user.

    Attributes:
        original: where it is.
        copy: the place of its copy, relative to the run folder.
        data: what is in it.
    """

    original: Path
    copy: str
    data: bytes


def split_member(path: Path) -> tuple[Path, str]:
    """(file, name) of `file.py:name`; of other paths (path, "")."""
    file, colon, name = path.name.rpartition(":")
    return (path.with_name(file), name) if colon and file.endswith(".py") and name.isidentifier() else (path, "")


def read_inputs(experiment: Experiment) -> dict[str, list[InputFile]]:
    """option -> its files, each followed by those that it refers to.

    Raises:
        InputError: one is missing, empty, a folder, or cannot be read.
    """
    return {
        option.name: [
            file
            for number, path in enumerate(_paths(getattr(experiment, option.name)))
            for file in _with_companions(option, split_member(path)[0], f"{_FOLDER}/{option.name}{number or ''}")
        ]
        for option in options_of(type(experiment))
        if option.is_file and _paths(getattr(experiment, option.name))
    }


def require_unchanged(experiment: Experiment, files: Mapping[str, list[InputFile]]) -> None:
    """Raises `InputError` if a file is not any more what it was when it was read."""
    if read_inputs(experiment) != files:
        raise InputError("a file changed while it was read; start the run again")


def write_inputs(files: Mapping[str, list[InputFile]], folder: Path) -> dict[str, list[dict[str, str]]]:
    """Writes the copies into a run folder; returns what `config.json` says of them."""
    for file in (file for group in files.values() for file in group):
        (folder / file.copy).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / file.copy, file.data)
    return {
        name: [
            {"copy": file.copy, "original": str(file.original.absolute()), "sha256": _hash(file.data)} for file in group
        ]
        for name, group in files.items()
    }


def recorded_options(experiment: Experiment, files: Mapping[str, list[InputFile]]) -> dict[str, Any]:
    """The options as `config.json` has them: files are named by their copies."""
    copies = {file.original: file.copy for group in files.values() for file in group}
    out = {}
    for option in options_of(type(experiment)):
        value = getattr(experiment, option.name)
        if option.is_file and value is not None:
            own = {file.original: file.copy for file in files.get(option.name, [])} or copies
            value = [_copied(own, path) for path in value] if isinstance(value, tuple) else _copied(own, value)
        out[option.name] = value
    return out


def restored_options(experiment: type[Experiment], options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options of `config.json`, with the paths of the copies; lists were tuples."""
    out = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    for option in options_of(experiment):
        value = out.get(option.name)
        if option.is_file and value is not None:
            out[option.name] = tuple(folder / path for path in value) if isinstance(value, tuple) else folder / value
    return out


def check_inputs(experiment: Experiment, config: Mapping[str, Any], folder: Path) -> None:
    """Raises `InputError` unless the copies in a run folder are what the run began with."""
    recorded = {entry["copy"]: entry for group in config["files"].values() for entry in group}
    for option in options_of(type(experiment)):
        for path in _paths(getattr(experiment, option.name)) if option.is_file else ():
            if os.path.relpath(split_member(path)[0], folder) not in recorded:
                raise InputError(
                    f"{folder}: holds no copy of the file of {option.flag}, {path}: start a new run with it"
                )
    for copy, entry in recorded.items():
        path = folder / copy
        if not path.is_file():
            raise InputError(f"{path}: the run's copy of {entry['original']} is missing: put the file back")
        if _hash(_read(path, str(path))) != entry["sha256"]:
            raise InputError(
                f"{path}: not what the run began with, which was a copy of {entry['original']}: put that file back, or "
                "start a new run"
            )


def _copied(copies: Mapping[Path, str], path: Path) -> str:
    file, name = split_member(path)
    return f"{copies[file]}:{name}" if name else copies[file]


def _paths(value: Any) -> tuple[Path, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _with_companions(option: Option, path: Path, place: str) -> list[InputFile]:
    files = [path, *(option.also(path) if option.also and _data(option, path) else ())]
    below = Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    return [
        InputFile(file, f"{place}/{Path(os.path.abspath(file)).relative_to(below).as_posix()}", _data(option, file))
        for file in dict.fromkeys(files)
    ]


def _data(option: Option, path: Path) -> bytes:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not an ordinary file" if path.exists() else "no such file"
        raise InputError(f"{option.flag}: {path} is {what}")
    data = _read(path, f"{option.flag}: {path}")
    if not data:
        raise InputError(f"{option.flag}: {path} is empty")
    return data


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror or error}") from error


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
