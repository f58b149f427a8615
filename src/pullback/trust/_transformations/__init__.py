"""The table of transformations: every public function under everything that JAX does to functions.

`_subject.py` says what a row is, `_subjects.py` lists them, `_check.py` has the transformations and runs them.
"""

from pullback.trust._transformations._check import TRANSFORMATIONS, check_transformations
from pullback.trust._transformations._subject import Subject
from pullback.trust._transformations._subjects import primitive_subjects

__all__ = ["TRANSFORMATIONS", "Subject", "check_transformations", "primitive_subjects"]
