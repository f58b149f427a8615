"""Differentiable programming for physics, on JAX.

`import pullback as pb`, then `pb.linalg.eigh`, `pb.trust.check_derivatives`, … Rooms load on first use
(PEP 562), so importing the package does not load JAX.

Importing it switches JAX to double precision, unless the environment variable JAX_ENABLE_X64 is set.
"""

import importlib
import os
import sys

from pullback._version import __version__ as __version__

_ROOMS = (
    "core",
    "linalg",
    "loops",
    "flows",
    "krylov",
    "elementary",
    "special",
    "external",
    "implicit",
    "operators",
    "trust",
    "schrodinger",
    "lattices",
    "circuits",
    "particles",
    "runs",
    "plots",
    "experiments",
)

__all__ = ["__version__", *_ROOMS]

# Physics needs float64. At import, not with the first room: arrays that are made in between would be single.
if "JAX_ENABLE_X64" not in os.environ:
    os.environ["JAX_ENABLE_X64"] = "1"  # read by JAX when it is imported
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"pullback.{name}")
    raise AttributeError(f"module 'pullback' has no attribute {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__():
    return sorted(__all__)
