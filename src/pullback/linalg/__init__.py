"""Dense decompositions and matrix functions with exact derivatives, also where spectra are degenerate."""

from pullback.linalg._eigh import eigh, eigvalsh
from pullback.linalg._eigh_tridiagonal import eigh_tridiagonal
from pullback.linalg._funmh import funmh
from pullback.linalg._svd import svd, svdvals

__all__ = [
    "eigh",
    "eigh_tridiagonal",
    "eigvalsh",
    "funmh",
    "svd",
    "svdvals",
]
