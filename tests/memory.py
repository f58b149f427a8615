"""Memory of a test process: compiled programs are kept for ever, and two workers would come to need all there is."""

import ctypes
import gc
import os
from pathlib import Path

import jax

_MOST = 3 * 2**30  # bytes of a process


def give_back() -> None:
    """Drops what was compiled if the process has much; after each test, and in tests of hundreds of programs."""
    if _resident() > _MOST:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux
        return 0
