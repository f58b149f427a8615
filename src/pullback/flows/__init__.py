"""Floor 1: solutions of differential equations as differentiable functions."""

from diffrax import (
    Bosh3,
    Dopri5,
    Dopri8,
    Heun,
    ItoMilstein,
    Kvaerno3,
    Kvaerno4,
    Kvaerno5,
    Midpoint,
    ReversibleHeun,
    Tsit5,
)

from pullback.core import Backsolve, Checkpoint, Direct, Reversible, TwoLevel, Uncompute
from pullback.flows._events import Event, Path
from pullback.flows._hamiltonian import PiecewiseConstant
from pullback.flows._lindblad import lindblad, trajectories
from pullback.flows._odeint import odeint
from pullback.flows._propagate import propagate
from pullback.flows._sdeint import sdeint
from pullback.flows._steady_state import steady_state
from pullback.flows._steppers import RK4, Euler
from pullback.flows._symplectic import symplectic
from pullback.flows._trajectory import Trajectory, trajectory
from pullback.flows._unitary import Chebyshev, CommutatorFree, Eigh, Magnus, SplitOperator, Taylor

__all__ = [
    "lindblad",
    "odeint",
    "propagate",
    "sdeint",
    "steady_state",
    "symplectic",
    "trajectories",
    "trajectory",
    "Trajectory",
    # events
    "Event",
    "Path",
    # adjoints
    "Backsolve",
    "Checkpoint",
    "Direct",
    "Reversible",
    "TwoLevel",
    "Uncompute",
    # drives
    "PiecewiseConstant",
    # methods of propagate
    "Chebyshev",
    "CommutatorFree",
    "Eigh",
    "Magnus",
    "SplitOperator",
    "Taylor",
    # steppers
    "RK4",
    "Bosh3",
    "Dopri5",
    "Dopri8",
    "Euler",
    "Heun",
    "ItoMilstein",
    "Kvaerno3",
    "Kvaerno4",
    "Kvaerno5",
    "Midpoint",
    "ReversibleHeun",
    "Tsit5",
]
