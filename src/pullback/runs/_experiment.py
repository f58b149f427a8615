"""Experiments: one frozen dataclass per problem; its fields are the options.

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Pendulum(Experiment):
        \"\"\"Period of the pendulum. (one line for `pullback list`; then equations and source)\"\"\"

        angle: float = option(1.0, "release angle in radians", gt=0, lt=3.14)

An experiment says what is computed and drawn. Everything around it (folder, log, checkpoints, progress,
resuming, exit codes) belongs to the runner.
"""

import abc
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pullback.runs._option import options_of
from pullback.runs._result import Result
from pullback.runs._run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# options that the commands themselves take
_RESERVED = {"out", "quiet", "help", "over", "processes", "scheduler", "show"}


class Experiment(abc.ABC):
    """The interface of an experiment. Subclasses are frozen, keyword-only dataclasses with `option` fields.

    The first line of the docstring is the summary of `pullback list`; the rest (equations, options explained,
    source) is the page of `pullback show NAME` and of the gallery.

    Attributes:
        citation: reference(s) of what the experiment reproduces, printed by `pullback cite NAME`.
    """

    citation: ClassVar[str]

    def __init_subclass__(cls):
        if "__post_init__" in vars(cls):
            raise TypeError(f"{cls.__name__}.__post_init__ would replace the option checks: check in prepare()")

    def __post_init__(self):
        for option in options_of(type(self)):
            if option.name in _RESERVED:
                raise TypeError(f"{type(self).__name__}.{option.name}: the command itself has {option.flag}")
            object.__setattr__(self, option.name, option.check(getattr(self, option.name)))

    @abc.abstractmethod
    def prepare(self) -> Any:
        """Reads and checks the input and returns the problem that `run` solves.

        Called before the run folder is made, and again by `resume`; it writes nothing.

        Raises:
            InputError: the input cannot be used.
        """

    @abc.abstractmethod
    def run(self, problem: Any, run: Run) -> Result:
        """Solves the problem. Loops go through `run.loop` (or `minimise`), so that they can be resumed.

        The result must follow from the options and the problem alone (no clock, no fresh random numbers).
        """

    @abc.abstractmethod
    def plot(self, result: Result) -> "Figure":
        """The figure, drawn from the saved result alone."""


def experiment_name(experiment: type[Experiment]) -> str:
    """The name on the command line: the file's name with hyphens; in a Python session, the class's name."""
    file = experiment_file(experiment)
    return file.stem.replace("_", "-") if file else experiment.__name__.lower()


def experiment_file(experiment: type[Experiment]) -> Path | None:
    """The file that defines the experiment, or None for a class typed into a Python session."""
    try:
        file = Path(inspect.getfile(experiment))
    except (TypeError, OSError):
        return None
    return file.resolve() if file.is_file() else None
