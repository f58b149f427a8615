"""Matrix-free eigenvalues, functions and traces of linear operators, with exact derivatives."""

from pullback.core import Estimate, Implicit
from pullback.krylov._arnoldi import Arnoldi
from pullback.krylov._davidson import Davidson
from pullback.krylov._dense import Dense
from pullback.krylov._eigs import eigs
from pullback.krylov._eigsh import eigsh
from pullback.krylov._expm_multiply import expm_multiply
from pullback.krylov._funm_multiply import funm_multiply
from pullback.krylov._lanczos import Lanczos
from pullback.krylov._svds import svds
from pullback.krylov._trace import logdet, trace

__all__ = [
    "eigsh",
    "eigs",
    "svds",
    "expm_multiply",
    "funm_multiply",
    "trace",
    "logdet",
    "Estimate",
    # solvers
    "Arnoldi",
    "Davidson",
    "Dense",
    "Lanczos",
    # derivatives
    "Implicit",
]
