"""The clock of a loop: how many steps to take at once, and when to save."""

import contextlib
import time
from collections.abc import Iterator

_CHUNK_SECONDS = 0.2  # of work between two looks at the state
_GROWTH = 8  # of the chunk, at most, from one to the next: the first ones are too short to be measured well
_SAVE_SECONDS = 1.0  # between checkpoints, at least
_SAVE_SHARE = 0.02  # of the time, at most, goes into checkpoints


class Pace:
    """Chunks of a fifth of a second (or of a fixed number of steps), a checkpoint every second or more."""

    def __init__(self, chunk: int | None):
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 step, got {chunk}")
        self._fixed = chunk is not None
        self._chunk = chunk or 1
        self._saved_at = time.monotonic()
        self._save_interval = _SAVE_SECONDS

    def steps(self, remaining: int) -> int:
        """The size of the next chunk."""
        return min(self._chunk, remaining)

    @contextlib.contextmanager
    def advancing(self) -> Iterator[None]:
        """Around a chunk: measures it, and sizes the next one."""
        start = time.monotonic()
        yield
        elapsed = max(time.monotonic() - start, 1e-6)
        if not self._fixed:
            self._chunk = max(1, min(int(self._chunk * _CHUNK_SECONDS / elapsed), self._chunk * _GROWTH))

    def save_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved_at >= self._save_interval

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Around a checkpoint: a slow one makes the next ones rarer."""
        start = time.monotonic()
        yield
        self._saved_at = time.monotonic()
        self._save_interval = max(_SAVE_SECONDS, (self._saved_at - start) / _SAVE_SHARE)
