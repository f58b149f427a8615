"""Whether a derivative can be believed: checks against differences of values, for every mode and order."""

from pullback.trust._conformance import TOLERANCE, Case, Outcome, cases, check_conformance
from pullback.trust._derivatives import MODES, DerivativeReport, Row, check_derivatives, directional_derivative

__all__ = [
    "MODES",
    "TOLERANCE",
    "Case",
    "DerivativeReport",
    "Outcome",
    "Row",
    "cases",
    "check_conformance",
    "check_derivatives",
    "directional_derivative",
]
