"""`pullback doctor`: is this machine's installation sound?

The known faults of some jaxlib releases take the whole process with them, so they are provoked in another.
"""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from pullback._version import __version__

_PACKAGES = (
    *("jax", "jaxlib", "equinox", "jaxtyping", "lineax", "optimistix", "optax", "diffrax"),
    *("numpy", "scipy", "h5py", "matplotlib", "rich", "click"),
)

_FAULT_SECONDS = 120


def examine() -> tuple[str, bool]:
    """The report, and whether everything is well."""
    import jax
    import jax.numpy as jnp

    from pullback.circuits._engine import _native  # (any room switches double precision on)

    double = jnp.zeros(()).dtype == jnp.float64
    fault = _find_fault()
    writable = os.access(Path.cwd(), os.W_OK)
    rows = [
        ("pullback", __version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
        ("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
        *((name, _version(name)) for name in _PACKAGES),
        ("devices", ", ".join(str(device) for device in jax.devices())),
        ("double precision", "on" if double else "off (JAX_ENABLE_X64 is set in the environment)"),
        ("compilation cache", os.environ.get("JAX_COMPILATION_CACHE_DIR", "off")),
        (
            "circuits in C++",
            "yes" if _native.is_available() else "no (pullback doctor --build compiles them)",
        ),
        ("this folder", "writable" if writable else "NOT writable: runs need --out elsewhere"),
        ("known faults of JAX", fault or "none"),
    ]
    missing = [name for name in _PACKAGES if _version(name) == "missing"]
    width = max(len(name) for name, _ in rows)
    report = "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
    return report, not fault and not missing


def build() -> tuple[str, bool]:
    """Compiles the accelerator of circuits; what to say of it, and whether it is there."""
    from pullback.circuits._engine._native._build import build

    try:
        return f"circuits run in C++: {build()}", True
    except OSError as error:
        return f"circuits run without C++, somewhat slower: {error}", False


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _find_fault() -> str:
    """Which known fault this installation of JAX has; empty where it has none."""
    remedy = "install another jaxlib, or set XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type="
    command = [sys.executable, "-m", "pullback.cli._faults"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FAULT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"HANG in products of rank 7 or 8: {remedy}"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"CRASH (signal {-done.returncode}) in products of rank 7 or 8: {remedy}"
    return f"{(done.stdout or done.stderr).strip().splitlines()[-1]}: {remedy}"
