"""Floor 1: solutions of differential equations as differentiable functions."""

from diffrax import Bosh3, Dopri5, Dopri8, Heun, Kvaerno3, Kvaerno4, Kvaerno5, Midpoint, Tsit5

from pullback.core import Backsolve, Checkpoint, Direct, Reversible, TwoLevel
from pullback.flows._events import Event, Path
from pullback.flows._odeint import odeint
from pullback.flows._steady_state import steady_state
from pullback.flows._steppers import RK4, Euler
from pullback.flows._symplectic import symplectic
from pullback.flows._trajectory import Trajectory, trajectory

__all__ = [
    "odeint",
    "steady_state",
    "symplectic",
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
    # steppers
    "RK4",
    "Bosh3",
    "Dopri5",
    "Dopri8",
    "Euler",
    "Heun",
    "Kvaerno3",
    "Kvaerno4",
    "Kvaerno5",
    "Midpoint",
    "Tsit5",
]
