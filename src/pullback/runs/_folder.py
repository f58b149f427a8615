"""Run folders: made without races, locked while a process works in them, complete from the first moment.

`os.mkdir` is the judge of who owns a new folder, `flock` of who works in it; the system drops the lock of a
killed process. `config.json` is written last, so a folder that has one has all that `resume` needs: the
options and the copies of the user's files.
"""

import contextlib
import datetime
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:
    raise ImportError(
        "pullback.runs locks run folders with fcntl, which Windows has not; run it in the Windows Subsystem for Linux"
    ) from None

from pullback._version import __version__
from pullback.core import InputError, nearest
from pullback.experiments import is_builtin
from pullback.runs._experiment import Experiment, experiment_file, experiment_name
from pullback.runs._files import CONFIG, require_space, unwritable, write_atomically
from pullback.runs._inputs import InputFile, read_inputs, recorded_options, restored_options, write_inputs
from pullback.runs._option import options_of

COPY = "experiment.py"  # of the user's own experiment file
_LOCK = ".lock"
_SPACE = 32 * 2**20  # bytes free below which no run starts
_ENTRIES: dict[str, Any] = {  # of the configuration, and their types
    "experiment": str,
    "class": str,
    "file": (str, type(None)),
    "options": dict,
    "files": dict,
    "versions": dict,
}
_VERSIONED = ("jax", "jaxlib", "numpy", "scipy", "equinox", "optax")


@contextlib.contextmanager
def new_folder(
    experiment: Experiment, out: Path | None, files: Mapping[str, list[InputFile]] | None = None
) -> Iterator[Path]:
    """Makes the folder of a new run and holds its lock.

    Args:
        experiment: what is run; its options and the user's files go into the folder.
        files: the files that its options name, as `read_inputs` gives them; by default they are read now.
        out: where; it must not exist yet, or be empty. By default `runs/<name>-<date>-<time>[-n]`.

    Raises:
        InputError: the folder is taken or cannot be written, or the disk is full; nothing is left behind.
    """
    name = experiment_name(type(experiment))
    folder = make_folder(Path("runs") / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}" if out is None else out, out)
    with locked(folder):
        if set(os.listdir(folder)) - {_LOCK}:
            raise InputError(
                f"--out: {folder} is not empty; choose a new folder, or resume it: pullback resume {folder}"
            )
        try:
            _write_config(experiment, name, folder, read_inputs(experiment) if files is None else files)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise unwritable(folder, error) from error
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        yield folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a run folder. Raises `InputError` if another process holds it."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another process is working in this run folder") from None
        except OSError as error:
            raise InputError(f"{folder}: this file system cannot lock files ({error.strerror})") from error
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether some process is working in the run folder."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a run folder. Raises `InputError` where there is none."""
    path = folder / CONFIG
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run folder")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not _ENTRIES.keys() <= config.keys():
            raise ValueError("entries are missing")
        wrong = [name for name, kind in _ENTRIES.items() if not isinstance(config[name], kind)]
        if wrong:
            raise ValueError(f"the entry {wrong[0]!r} is damaged")
        for entry in (entry for group in config["files"].values() for entry in group):
            if not all(isinstance(entry[key], str) for key in ("copy", "original", "sha256")):
                raise ValueError("the entry 'files' is damaged")
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no run ({CONFIG} is missing); start one with: pullback run") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the configuration of a run ({error})") from error
    return config


def restore_experiment(experiment: type[Experiment], config: Mapping[str, Any], folder: Path) -> Experiment:
    """The experiment with the options of `config`, reading the folder's copies of the user's files."""
    options = restored_options(experiment, config["options"], folder)
    known = {option.name for option in options_of(experiment)}
    for name in options:
        if name not in known:
            raise InputError(
                f"{folder}: {config['experiment']} has no option {name!r} any more "
                f"(the run was made by pullback {config['versions'].get('pullback')}).{nearest(name, known)}"
            )
    return experiment(**options)


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    installed = {name: metadata.version(name) for name in _VERSIONED}
    return {"pullback": __version__, "python": platform.python_version(), **installed}


def make_folder(wanted: Path, out: Path | None) -> Path:
    """Makes a new folder; a default place (`out` is None) gets a number if it is taken. Raises `InputError`."""
    parent = wanted.absolute().parent
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(f"cannot write {wanted}: {existing} is not a folder")
    try:
        require_space(existing, _SPACE)
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                if out is not None and folder.is_dir():
                    return folder  # an empty one will do: new_folder looks, with the lock held
                if out is not None:
                    raise
        raise InputError(f"{parent}: a thousand runs were started within one second")
    except OSError as error:
        raise unwritable(wanted, error) from error


def _write_config(experiment: Experiment, name: str, folder: Path, files: Mapping[str, list[InputFile]]) -> None:
    file = experiment_file(type(experiment))
    own_file = None if file is None or is_builtin(file) else file
    if own_file is not None:
        write_atomically(folder / COPY, own_file.read_bytes())
    config = {
        "experiment": name,
        "class": type(experiment).__name__,
        "file": None if own_file is None else str(own_file),
        "options": recorded_options(experiment, files),
        "files": write_inputs(files, folder),
        "command": sys.argv,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "versions": versions(),
    }
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
