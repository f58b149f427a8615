"""Compiles `kernels.cpp` for this machine; without a compiler everything works without it.

The file's name tells the sources, the processor and jaxlib that it was made for: no other is loaded.
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

_HERE = Path(__file__).parent
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")


def library() -> Path:
    """Where the compiled library is, or would be."""
    parts = [(_HERE / "kernels.cpp").read_bytes(), repr((_FLAGS, _processor(), version("jaxlib"))).encode()]
    return _HERE / f"kernels-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.so"


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
    with tempfile.TemporaryDirectory(dir=_HERE) as folder:
        made = Path(folder) / "kernels.so"
        command = [compiler, *_FLAGS, "-isystem", jax.ffi.include_dir(), str(_HERE / "kernels.cpp"), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{compiler} failed: {done.stderr.strip()[-500:]}")
        for old in _HERE.glob("kernels-*.so"):
            old.unlink(missing_ok=True)
        made.replace(target)
    return target


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return platform.machine() + next((x for x in lines if x.startswith(("flags", "Features"))), "")
