"""Shared by all tests: run-time checks of shapes and types, double precision, one thread per worker."""

import os
from importlib.metadata import version

# Two xdist workers on two cores: threads inside a worker only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the tests' time is compilation, of programs that run once: unoptimised code compiles five times faster. With
# PULLBACK_OPTIMISED=1 (the second part of `make test`) programs are compiled as users have them.
if os.environ.get("PULLBACK_OPTIMISED") != "1":
    flags = [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
    if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 12):  # later ones end the process at an unknown flag
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))

import jaxtyping
import pytest
from jaxtyping import install_import_hook

# For the whole test session: rooms load on first use, also inside a test.
install_import_hook("pullback", "beartype.beartype")

pytest_plugins = ["tests.room_times"]


@pytest.fixture
def no_type_checks():
    """For tests of error messages: what a user sees, who has no run-time type checks installed."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def bounded_memory():
    from tests.memory import give_back  # not before the environment is set

    yield
    give_back()
