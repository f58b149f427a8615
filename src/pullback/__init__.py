"""Differentiable programming for physics, on JAX.

`import pullback as pb`, then `pb.linalg.eigh`, `pb.trust.check_derivatives`, … Rooms load on first use
(PEP 562), so importing the package does not load JAX.
"""

import importlib

from pullback._version import __version__ as __version__

_ROOMS = (
    "core",
    "linalg",
    "trust",
    "schrodinger",
    "lattices",
    "runs",
    "plots",
    "experiments",
)

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"pullback.{name}")
    raise AttributeError(f"module 'pullback' has no attribute {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__():
    return sorted(__all__)
