"""Figures: one style, one function per kind of figure."""

from pullback.plots._circuit import circuit_diagram
from pullback.plots._discs import discs
from pullback.plots._field import field
from pullback.plots._figure import COLOURS, GREY, new_figure
from pullback.plots._graph import graph
from pullback.plots._levels import levels, place_values
from pullback.plots._lines import convergence, curves
from pullback.plots._phase_portrait import phase_portrait

__all__ = [
    "COLOURS",
    "GREY",
    "circuit_diagram",
    "new_figure",
    "curves",
    "convergence",
    "levels",
    "place_values",
    "discs",
    "field",
    "graph",
    "phase_portrait",
]
