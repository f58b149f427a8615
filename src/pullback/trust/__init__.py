"""Whether a derivative can be believed: checks against differences of values, for every mode and order."""

from pullback.trust._chaos import evolution_strategies, lyapunov_spectrum
from pullback.trust._conformance import TOLERANCE, Case, Outcome, cases, check_conformance
from pullback.trust._cut import clip_gradient, truncated
from pullback.trust._derivatives import MODES, DerivativeReport, Row, check_derivatives, directional_derivative
from pullback.trust._diagnose import VERDICTS, Verdict, diagnose
from pullback.trust._shadowing import shadowing
from pullback.trust._transformations import TRANSFORMATIONS, Subject, check_transformations, primitive_subjects

__all__ = [
    "MODES",
    "TOLERANCE",
    "TRANSFORMATIONS",
    "VERDICTS",
    "Case",
    "DerivativeReport",
    "Outcome",
    "Row",
    "Subject",
    "Verdict",
    "cases",
    "check_conformance",
    "check_derivatives",
    "check_transformations",
    "clip_gradient",
    "diagnose",
    "directional_derivative",
    "evolution_strategies",
    "lyapunov_spectrum",
    "primitive_subjects",
    "shadowing",
    "truncated",
]
