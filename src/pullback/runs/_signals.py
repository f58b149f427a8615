"""Ctrl-C and SIGTERM: inside a loop they wait until the state is saved, elsewhere they stop at once."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The run was stopped by a signal, its state is saved; the message says how to continue."""


class StopSignal:
    """Whether the user asked to stop. A second signal does not wait any more.

    Attributes:
        requested: a signal arrived while `deferred` was in force.
    """

    def __init__(self):
        self.requested = False
        self._deferring = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Takes over SIGINT and SIGTERM; does nothing outside the main thread, which alone may."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A stretch in which the first signal only sets `requested`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.requested or not self._deferring:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after the present step; press Ctrl-C again to stop at once", file=sys.stderr)
