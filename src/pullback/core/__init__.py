"""Floor 0: what every room shares. Loading it switches JAX to double precision (see `enable_x64`)."""

from pullback.core._precision import enable_x64

enable_x64()

from pullback.core import tags, units  # noqa: E402
from pullback.core._adjoints import Adjoint, Checkpoint, Direct, Implicit, TwoLevel, Uncompute  # noqa: E402
from pullback.core._errors import (  # noqa: E402
    ConvergenceError,
    DerivativeError,
    InputError,
    MissingExtraError,
    PullbackError,
    nearest,
)
from pullback.core._linear_map import linear_map  # noqa: E402
from pullback.core._results import RESULTS  # noqa: E402
from pullback.core._solution import Solution  # noqa: E402

__all__ = [
    # outcomes
    "RESULTS",
    "Solution",
    # adjoints
    "Adjoint",
    "Checkpoint",
    "Direct",
    "Implicit",
    "TwoLevel",
    "Uncompute",
    # derivative rules
    "linear_map",
    # errors
    "ConvergenceError",
    "DerivativeError",
    "InputError",
    "MissingExtraError",
    "PullbackError",
    "nearest",
    # conventions
    "enable_x64",
    "tags",
    "units",
]
