"""Dense decompositions and matrix functions with exact derivatives, also where spectra are degenerate."""

from pullback.linalg._eigh import eigh, eigvalsh
from pullback.linalg._funmh import funmh

__all__ = [
    "eigh",
    "eigvalsh",
    "funmh",
]
