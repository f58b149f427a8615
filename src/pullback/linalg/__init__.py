"""Dense decompositions and matrix functions with exact derivatives, also where spectra are degenerate."""

from pullback.linalg._banded import solve_banded, solve_tridiagonal
from pullback.linalg._cholesky import cholesky
from pullback.linalg._det import det, slogdet
from pullback.linalg._eig import eig, eigvals
from pullback.linalg._eigh import eigh, eigvalsh
from pullback.linalg._eigh_tridiagonal import eigh_tridiagonal
from pullback.linalg._expm import expm, expm_multiply
from pullback.linalg._funm import cosm, fractional_power, funm, logm, signm, sinm, sqrtm
from pullback.linalg._pfaffian import pfaffian, slogpfaffian
from pullback.linalg._pinv import lstsq, pinv, polar
from pullback.linalg._qr import lq, qr
from pullback.linalg._schur import schur
from pullback.linalg._spectral import Spectral, density_matrix, funmh, spectral, spectral_projector
from pullback.linalg._svd import low_rank, svd, svd_truncated, svdvals
from pullback.linalg._sylvester import (
    solve_continuous_lyapunov,
    solve_discrete_lyapunov,
    solve_lyapunov,
    solve_sylvester,
    solve_triangular,
)

__all__ = [
    "Spectral",
    "cholesky",
    "cosm",
    "density_matrix",
    "det",
    "eig",
    "eigh",
    "eigh_tridiagonal",
    "eigvals",
    "eigvalsh",
    "expm",
    "expm_multiply",
    "fractional_power",
    "funm",
    "funmh",
    "logm",
    "low_rank",
    "lq",
    "lstsq",
    "pfaffian",
    "pinv",
    "polar",
    "qr",
    "schur",
    "signm",
    "sinm",
    "slogdet",
    "slogpfaffian",
    "solve_banded",
    "solve_continuous_lyapunov",
    "solve_discrete_lyapunov",
    "solve_lyapunov",
    "solve_sylvester",
    "solve_triangular",
    "solve_tridiagonal",
    "spectral",
    "spectral_projector",
    "sqrtm",
    "svd",
    "svd_truncated",
    "svdvals",
]
