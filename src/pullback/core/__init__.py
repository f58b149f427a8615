"""Floor 0: what every room shares. Loading it switches JAX to double precision (see `enable_x64`)."""

from pullback.core._errors import (
    ConvergenceError,
    DerivativeError,
    InputError,
    MissingExtraError,
    PullbackError,
    nearest,
)
from pullback.core._precision import enable_x64

enable_x64()

__all__ = [
    "ConvergenceError",
    "DerivativeError",
    "InputError",
    "MissingExtraError",
    "PullbackError",
    "enable_x64",
    "nearest",
]
