"""Compiles `kernels.cpp` and its headers for this machine; without a compiler everything works without it.

The library is kept in the user's cache folder. Its name tells the sources, the processor and jaxlib that it was made
for: no other is loaded, and those of other machines and environments that share the folder stay.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from pullback.circuits._engine._native._operations import header

_HERE = Path(__file__).parent
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")


def library() -> Path:
    """Where the compiled library is, or would be."""
    sources = [path.read_bytes() for path in (*sorted(_HERE.glob("*.h")), _HERE / "kernels.cpp")]
    parts = [*sources, header().encode(), repr((_FLAGS, _processor(), version("jaxlib"))).encode()]
    return _cache() / f"circuits-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.so"


def build() -> Path:
    """Compiles the library, if it is not there yet.

    Raises:
        OSError: there is no compiler, or it fails, or the folder cannot be written.
    """
    import jax

    target = library()
    if target.exists():
        return target
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None or sys.platform == "win32":
        raise OSError("there is no C++ compiler")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "kernels.so"
        (Path(folder) / "operations.h").write_text(header())
        include = "-I", folder, "-isystem", jax.ffi.include_dir()
        command = [compiler, *_FLAGS, *include, str(_HERE / "kernels.cpp"), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{compiler} failed: {done.stderr.strip()[-500:]}")
        made.replace(target)
    return target


def _cache() -> Path:
    """The user's cache folder, as the system has it; PULLBACK_CACHE_DIR is another."""
    if own := os.environ.get("PULLBACK_CACHE_DIR"):
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pullback"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pullback"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return platform.machine() + next((x for x in lines if x.startswith(("flags", "Features"))), "")
