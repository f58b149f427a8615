"""Files that are either whole or absent.

A file is written under a temporary name in its own folder, synced to the disk and renamed over the old one,
and the rename itself is synced. A process killed at any instant leaves the old file or the new one, never a
part.
"""

import os
import shutil
from pathlib import Path

from pullback.core import InputError

# What a run folder holds, beside the checkpoints and the copies of the user's files.
CONFIG, RESULT, FIGURE = "config.json", "result.h5", "figure.png"
LOG, METRICS = "log.txt", "metrics.jsonl"


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces `path` by `data`, all or nothing.

    Raises:
        InputError: the disk is full or the folder cannot be written; `path` is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def append(path: Path, text: str) -> None:
    """Appends `text` to `path`. Raises `InputError` where that fails."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise unwritable(path, error) from error


def require_space(folder: Path, needed: int) -> None:
    """Raises `InputError` unless the disk of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: the disk has {free / 2**20:.0f} MiB free, this run needs {needed / 2**20:.0f} MiB: "
            "free some space or choose another disk with --out"
        )


def unwritable(path: Path, error: OSError) -> InputError:
    """The error to raise where the system refused to write `path`."""
    return InputError(f"cannot write {path}: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
