"""Dense decompositions and matrix functions with exact derivatives, also where spectra are degenerate."""

from pullback.linalg._banded import solve_banded, solve_tridiagonal
from pullback.linalg._cholesky import cholesky
from pullback.linalg._det import det, slogdet
from pullback.linalg._eig import eig, eigvals
from pullback.linalg._eigh import eigh, eigvalsh
from pullback.linalg._eigh_tridiagonal import eigh_tridiagonal
from pullback.linalg._expm import expm, expm_multiply
from pullback.linalg._funm import cosm, fractional_power, funm, logm, signm, sinm, sqrtm
from pullback.linalg._norms import ky_fan_norm, nuclear_norm, schatten_norm, spectral_norm
from pullback.linalg._pfaffian import pfaffian, slogpfaffian
from pullback.linalg._pinv import lstsq, pinv, polar
from pullback.linalg._qr import lq, qr
from pullback.linalg._schur import schur
from pullback.linalg._spectral import Spectral, density_matrix, funmh, spectral, spectral_projector
from pullback.linalg._states import bures_distance, entropy, fidelity, relative_entropy
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
    "bures_distance",
    "cholesky",
    "cosm",
    "density_matrix",
    "det",
    "eig",
    "eigh",
    "eigh_tridiagonal",
    "eigvals",
    "eigvalsh",
    "entropy",
    "expm",
    "expm_multiply",
    "fidelity",
    "fractional_power",
    "funm",
    "funmh",
    "ky_fan_norm",
    "logm",
    "low_rank",
    "lq",
    "lstsq",
    "nuclear_norm",
    "pfaffian",
    "pinv",
    "polar",
    "qr",
    "relative_entropy",
    "schatten_norm",
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
    "spectral_norm",
    "spectral_projector",
    "sqrtm",
    "svd",
    "svd_truncated",
    "svdvals",
]
