"""Maps that are defined by equations: fixed points, roots and minima as differentiable functions."""

from pullback.core import Implicit
from pullback.implicit._argmin import argmin
from pullback.implicit._constraints import AugmentedLagrangian
from pullback.implicit._iterations import Anderson, Picard
from pullback.implicit._linear import Dense, Neumann
from pullback.implicit._modes import Find
from pullback.implicit._newton import Newton
from pullback.implicit._root import fixed_point, root
from pullback.implicit._rule import attach

__all__ = [
    # solution maps
    "argmin",
    "attach",
    "fixed_point",
    "root",
    # solvers
    "Anderson",
    "AugmentedLagrangian",
    "Newton",
    "Picard",
    # derivatives
    "Dense",
    "Find",
    "Implicit",
    "Neumann",
]
