"""Timing by alternating runs: ours, theirs, ours, theirs, …; medians and the ratio of medians."""

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def alternate(
    ours: Callable[..., Any], theirs: Callable[..., Any], *args: Any, seconds: float = 2.0
) -> tuple[float, float]:
    """Median seconds of ours(*args) and theirs(*args), after one call of each to compile."""
    jax.block_until_ready((ours(*args), theirs(*args)))
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for f, record in zip((ours, theirs), times):
            start = time.perf_counter()
            jax.block_until_ready(f(*args))
            record.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_row(label: str, ours: float, theirs: float) -> None:
    print(f"{label:34s} ours {1e3 * ours:9.3f} ms   theirs {1e3 * theirs:9.3f} ms   ratio {ours / theirs:6.3f}")
