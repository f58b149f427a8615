"""Floor 0: what every room shares."""

from pullback.core import tags, units
from pullback.core._adjoints import Adjoint, Backsolve, Checkpoint, Direct, Implicit, Reversible, TwoLevel, Uncompute
from pullback.core._checked import are_checked_under_jit, checks_under_jit
from pullback.core._compat import is_varying, vary_like
from pullback.core._device import require_device
from pullback.core._error_if import error_if
from pullback.core._errors import (
    ConvergenceError,
    DerivativeError,
    InputError,
    MissingDerivativeError,
    MissingExtraError,
    PullbackError,
    nearest,
)
from pullback.core._estimate import Estimate
from pullback.core._forms import all_finite, distance, inexact_arrays, keeps_form, only_arrays
from pullback.core._fused import fused
from pullback.core._hoist import hoist, refuse_mixture
from pullback.core._linear_map import linear_map
from pullback.core._live import instantiated, is_live, jvp_of_live
from pullback.core._numbers import complex_dtype, refuse_half, result_type, whole_number
from pullback.core._results import RESULTS
from pullback.core._solution import Solution, by_throw
from pullback.core._tables import Table, data_file, npz_arrays, read_table, real_numbers, text_lines

__all__ = [
    # outcomes
    "Estimate",
    "RESULTS",
    "Solution",
    "by_throw",
    # adjoints
    "Adjoint",
    "Backsolve",
    "Checkpoint",
    "Direct",
    "Implicit",
    "Reversible",
    "TwoLevel",
    "Uncompute",
    # derivative rules
    "fused",
    "hoist",
    "instantiated",
    "is_live",
    "is_varying",
    "jvp_of_live",
    "linear_map",
    "refuse_mixture",
    "vary_like",
    # errors
    "ConvergenceError",
    "DerivativeError",
    "InputError",
    "MissingDerivativeError",
    "MissingExtraError",
    "PullbackError",
    "nearest",
    # checks
    "are_checked_under_jit",
    "checks_under_jit",
    "require_device",
    "error_if",
    # numbers
    "all_finite",
    "complex_dtype",
    "distance",
    "inexact_arrays",
    "keeps_form",
    "only_arrays",
    "refuse_half",
    "result_type",
    "whole_number",
    # files
    "Table",
    "data_file",
    "npz_arrays",
    "read_table",
    "real_numbers",
    "text_lines",
    # conventions
    "tags",
    "units",
]
