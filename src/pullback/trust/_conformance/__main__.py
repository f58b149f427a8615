"""Writes the exact derivatives of all rows; to run after rows have changed, with mpmath installed.

python -m pullback.trust._conformance
"""

import json
from pathlib import Path

import mpmath

from pullback.trust._conformance._case import DERIVATIVES
from pullback.trust._conformance._exact import exact_derivatives
from pullback.trust._conformance._table import cases

if __name__ == "__main__":
    lines = [f"{json.dumps(str(case))}: {json.dumps(exact_derivatives(case, mpmath))}" for case in cases()]
    Path(str(DERIVATIVES)).write_text("{\n" + ",\n".join(lines) + "\n}\n")
