"""From an experiment to a finished run folder: begin, continue, draw again.

The order of the steps makes every instant safe to be killed at: input checked → folder with configuration →
checkpoints → `result.h5` → `figure.png`. Each file is whole or absent, and what is absent is made by
`resume`.
"""

import io
import shlex
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pullback.core import InputError, PullbackError, require_device
from pullback.experiments import experiment_names, load_experiment, load_file
from pullback.runs._experiment import Experiment
from pullback.runs._files import FIGURE, RESULT, write_atomically
from pullback.runs._folder import COPY, locked, new_folder, read_config, restore_experiment, versions
from pullback.runs._inputs import check_inputs, read_inputs, require_unchanged
from pullback.runs._progress import choose_progress
from pullback.runs._result import Result
from pullback.runs._run import Run
from pullback.runs._signals import Interrupted, StopSignal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def execute(experiment: Experiment, out: Path | None = None, *, quiet: bool = False) -> Result:
    """Runs `experiment` in a new run folder, as `pullback run` does.

    Args:
        experiment: with its options.
        out: the folder to make, by default `runs/<name>-<date>-<time>`.
        quiet: show nothing.

    Returns:
        The result, also kept in the folder, with the figure.

    Raises:
        InputError: the input or the folder cannot be used.
        Interrupted: Ctrl-C or SIGTERM; the folder holds the state, and `resume` continues.
    """
    require_device()
    files = read_inputs(experiment)
    problem = experiment.prepare()
    require_unchanged(experiment, files)  # since the copies were taken
    with new_folder(experiment, None if out is None else Path(out), files) as folder:
        return _work(experiment, problem, folder, quiet=quiet, opening=f"run folder: {folder}")


def resume(folder: Path, *, quiet: bool = False) -> Result:
    """Continues the run in `folder` from its last checkpoint; options and the user's files come from the folder.

    The result is the same, bit for bit, as that of an uninterrupted run. A finished run is only loaded (and
    its figure drawn, if it is missing).

    Raises:
        InputError: the folder holds no run, another process is working in it, or its copies of the user's files are
            missing or changed.
        Interrupted: as for `execute`.
    """
    folder = Path(folder)
    config = read_config(folder)
    with locked(folder):
        experiment = restore_experiment(_experiment_class(folder, config), config, folder)
        check_inputs(experiment, config, folder)
        if (folder / RESULT).exists():
            result = Result.load(folder / RESULT)
            missing = not (folder / FIGURE).exists()
            if missing:
                _draw(experiment, result, folder)
            display = choose_progress(quiet=quiet)
            display.say(f"{folder}: this run is finished{', its figure is drawn' if missing else ''}")
            display.present(result)
            return result
        require_device()
        then, now = config["versions"], versions()
        changed = [f"{name} {then[name]} -> {now[name]}" for name in now if then.get(name, now[name]) != now[name]]
        opening = f"resumed: {folder}" + (
            f"\nversions have changed, the last digits may differ: {', '.join(changed)}" if changed else ""
        )
        return _work(experiment, experiment.prepare(), folder, quiet=quiet, opening=opening)


def draw(folder: Path) -> Path:
    """Draws the figure of a finished run again, from its saved result; returns the figure's path.

    Raises:
        InputError: the folder holds no finished run.
    """
    folder = Path(folder)
    config = read_config(folder)
    if not (folder / RESULT).exists():
        raise InputError(f"{folder}: not finished yet; continue with: pullback resume {shlex.quote(str(folder))}")
    with locked(folder):
        experiment = restore_experiment(_experiment_class(folder, config), config, folder)
        return _draw(experiment, Result.load(folder / RESULT), folder)


def _work(experiment: Experiment, problem: Any, folder: Path, *, quiet: bool, opening: str) -> Result:
    """Runs in a locked folder up to the result and the figure. Whatever stops it is written to the log."""
    stop = StopSignal()
    run = Run(folder, progress=choose_progress(quiet=quiet), stop=stop)
    start = time.monotonic()
    with stop.installed():
        try:
            run.log(opening)
            result = experiment.run(problem, run)
            result.save(folder / RESULT)
            run.present(result)
            run.log(f"{time.monotonic() - start:.1f} s")
            run.log(f"figure: {_draw(experiment, result, folder)}")
            return result
        except KeyboardInterrupt as interruption:
            message = f"interrupted; continue with: pullback resume {shlex.quote(str(folder))}"
            run.note(f"{interruption}\n{message}")
            raise Interrupted(message) from interruption
        except PullbackError as error:
            run.note(f"error: {error}")
            raise
        except Exception:
            run.note(traceback.format_exc())
            raise


def _draw(experiment: Experiment, result: Result, folder: Path) -> Path:
    buffer = io.BytesIO()
    figure: Figure = experiment.plot(result)
    figure.savefig(buffer, format="png", backend="agg")  # whatever MPLBACKEND says
    write_atomically(folder / FIGURE, buffer.getvalue())
    return folder / FIGURE


def _experiment_class(folder: Path, config: dict[str, Any]) -> type[Experiment]:
    if (folder / COPY).exists():
        origin = Path(config["file"] or folder).parent
        return load_file(folder / COPY, config["class"], imports=origin)
    if config["experiment"] not in experiment_names():
        raise InputError(
            f"{folder}: its experiment {config['class']} was defined in a Python session; "
            "put the class into a file to have runs that can be resumed"
        )
    return load_experiment(config["experiment"])
