"""The conformance table: every primitive at every kind of point, with exact derivatives along a line.

Read by the tests (every row must pass in every mode), by `pullback check` (ours and plain JAX side by side) and by the
docs. The rows are declared in the files `_rows_*.py`, one entry for each function; `_case.py` says what a row is,
`_exact.py` computes its derivatives in multi-precision arithmetic (stored in `derivatives.json`), `_check.py` runs it.
"""

from pullback.trust._conformance._case import Case
from pullback.trust._conformance._check import TOLERANCE, Outcome, check_conformance
from pullback.trust._conformance._table import cases

__all__ = [
    "TOLERANCE",
    "Case",
    "Outcome",
    "cases",
    "check_conformance",
]
