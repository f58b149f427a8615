"""Running experiments: options, run folders, checkpoints, the loop, the optimiser, results."""

from pullback.runs._execute import draw, execute, resume
from pullback.runs._experiment import Experiment
from pullback.runs._inputs import split_member
from pullback.runs._minimise import Minimum, minimise
from pullback.runs._optimisers import LBFGS, Adam, GradientDescent, Loss, Optimiser, Point
from pullback.runs._option import option
from pullback.runs._result import Quantity, Result
from pullback.runs._run import Run
from pullback.runs._second_order import DampedEquations, GaussNewton, LeastSquares, Newton
from pullback.runs._signals import Interrupted
from pullback.runs._sweep import draw_sweep, is_sweep, resume_sweep, sweep, values_of

__all__ = [
    # writing an experiment
    "Experiment",
    "option",
    "Result",
    "Quantity",
    "Run",
    "split_member",
    # optimisation
    "minimise",
    "Minimum",
    "LBFGS",
    "Adam",
    "GradientDescent",
    "Newton",
    "GaussNewton",
    "LeastSquares",
    "DampedEquations",
    "Optimiser",
    "Point",
    "Loss",
    # running one
    "execute",
    "resume",
    "draw",
    "Interrupted",
    # many
    "sweep",
    "resume_sweep",
    "draw_sweep",
    "is_sweep",
    "values_of",
]
