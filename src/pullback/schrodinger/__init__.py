"""One particle on a line, in a plane or in space: grids, kinetic operators, eigenstates, and potentials from densities.

Hartree atomic units: lengths in bohr, energies in hartree, ħ = electron mass = 1. H = -1/(2m) d²/dx² + V(x).
"""

from pullback.schrodinger._amplitude_mismatch import AmplitudeMismatch
from pullback.schrodinger._density_file import DensityData, read_densities
from pullback.schrodinger._design import Design, Distance, design, distance, is_reachable, resample
from pullback.schrodinger._eigenstates import density, eigenstates
from pullback.schrodinger._excess_energy import excess_energy, newton_step
from pullback.schrodinger._grid import Boundary, Grid
from pullback.schrodinger._inversion import amplitude, invert_density
from pullback.schrodinger._kinetic import Dense, Kinetic, Scheme, Tridiagonal, kinetic
from pullback.schrodinger._potentials import DoubleWell, Harmonic, Morse, PoschlTeller
from pullback.schrodinger._product import Product, ProductGrid, product_kinetic
from pullback.schrodinger._response import NormalEquations, normal_equations, response
from pullback.schrodinger._targets import Target, TargetName, target

__all__ = [
    # discretisation
    "Grid",
    "Boundary",
    "Kinetic",
    "Scheme",
    "Tridiagonal",
    "Dense",
    "kinetic",
    "ProductGrid",
    "Product",
    "product_kinetic",
    # the forward problem
    "eigenstates",
    "density",
    "Harmonic",
    "Morse",
    "PoschlTeller",
    "DoubleWell",
    # the inverse problem
    "design",
    "Design",
    "distance",
    "Distance",
    "is_reachable",
    "resample",
    "amplitude",
    "invert_density",
    "excess_energy",
    "newton_step",
    "response",
    "NormalEquations",
    "normal_equations",
    "AmplitudeMismatch",
    "read_densities",
    "DensityData",
    "target",
    "Target",
    "TargetName",
]
