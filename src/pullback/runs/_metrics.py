"""`metrics.jsonl`: one line per report of a loop, in step with the checkpoints.

Each checkpoint records the length of the file. Resuming cuts the file back to that length, so that no line is
lost and none is written twice, and a half-written last line disappears.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from pullback.runs._files import append, unwritable


class Metrics:
    """The metrics file of a run; `path` None writes nothing.

    Attributes:
        length: bytes of the lines written so far.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self.length = 0

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        """Appends one line, with the time added; numbers that JSON cannot hold (nan, inf) become null."""
        if self._path is None:
            return
        finite = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in entry.items()}
        line = json.dumps({**finite, "time": round(time.time(), 3)}) + "\n"
        append(self._path, line)
        self.length += len(line)  # json.dumps writes ASCII: one byte per character

    def sync(self) -> None:
        """Makes sure that the lines are on the disk, as a checkpoint is about to count on them."""
        if self._path is None:
            return
        try:
            with open(self._path, "ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self._path, error) from error

    def cut(self) -> None:
        """Removes what lies beyond `length`."""
        if self._path is None or not self._path.exists():
            return
        try:
            self.length = min(self.length, self._path.stat().st_size)
            os.truncate(self._path, self.length)
        except OSError as error:
            raise unwritable(self._path, error) from error
