"""Sweeps: one experiment at all points of a grid of options, a table of what came out, and its figure.

All run folders are made first, with their options and the copies of the user's files; then each is resumed, by this
process or by Dask's workers on this machine or on a cluster. So a sweep that is killed at any instant has lost nothing
but what its runs did since their last checkpoints, and continuing it is resuming what is unfinished. `sweep.json` is
written when all folders stand; the table and the figure are made from the results in the folders.
"""

import contextlib
import csv
import dataclasses
import datetime
import io
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback.core import InputError, MissingExtraError, PullbackError, nearest
from pullback.runs._execute import resume as resume_run
from pullback.runs._experiment import Experiment, experiment_file, experiment_name
from pullback.runs._files import CONFIG, FIGURE, RESULT, write_atomically
from pullback.runs._folder import locked, make_folder, new_folder, versions
from pullback.runs._inputs import read_inputs
from pullback.runs._option import Option, named_option
from pullback.runs._progress import choose_progress
from pullback.runs._result import Result
from pullback.runs._signals import Interrupted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SWEEP, TABLE = "sweep.json", "table.csv"
_MOST_RUNS = 10_000
_MOST_PANELS = 6
_PATIENCE = "20s"  # for a scheduler to answer

Over = Mapping[str, Sequence[Any]]


def sweep(
    experiment: type[Experiment],
    over: Over,
    options: Mapping[str, Any] | None = None,
    out: Path | None = None,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    show: Sequence[str] = (),
    quiet: bool = False,
) -> Result:
    """Runs an experiment at all points of a grid, as `pullback sweep` does.

    Args:
        experiment: its class, from a file.
        over: option -> its values; every combination is one run.
        options: the other options that are not at their defaults.
        out: the folder to make, by default `runs/<name>-sweep-<date>-<time>`.
        processes: how many work at a time, each on one run; None: as many as there are processors.
        scheduler: the address of a Dask scheduler, whose workers work instead; they see the same folders.
        show: which numbers of the summaries the figure shows; none: those that vary.
        quiet: show nothing.

    Returns:
        The table: the swept options, whether each run converged, and all numbers of the runs' summaries, one entry of
        each array for each run, in the order of the grid; also in the folder, as `result.h5` and `table.csv`.

    Raises:
        InputError: a value or an input cannot be used (before anything runs), or the folder is taken.
        MissingExtraError: several processes need the extra "sweep".
        Interrupted: Ctrl-C; `resume` continues.
    """
    points = _points(experiment, over, options or {})
    if experiment_file(experiment) is None:
        raise InputError(f"sweep: {experiment.__name__} was defined in a Python session; put the class into a file")
    for point in points:
        read_inputs(point)
        point.prepare()
    name = experiment_name(experiment)
    default = Path("runs") / f"{name}-sweep-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    with _workers(len(points), processes, scheduler) as finish:
        folder = make_folder(default if out is None else Path(out), out)
        with locked(folder):
            if any((folder / entry).exists() for entry in (SWEEP, CONFIG)):
                raise InputError(f"--out: {folder} is not empty; choose a new folder, or: pullback resume {folder}")
            for run, point in zip(_names(len(points)), points):
                with new_folder(point, folder / run):
                    pass
            content = {
                "experiment": name,
                "over": {key: [_plain(value) for value in values] for key, values in over.items()},
                "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "versions": versions(),
            }
            write_atomically(folder / SWEEP, (json.dumps(content, indent=2) + "\n").encode())
            return _work(folder, read_sweep(folder), finish, show=show, quiet=quiet)


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep."""
    return (folder / SWEEP).exists()


def resume_sweep(
    folder: Path,
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    show: Sequence[str] = (),
    quiet: bool = False,
) -> Result:
    """Continues a sweep: runs that are finished are only read. See `sweep`."""
    with locked(folder):
        described = read_sweep(folder)
        with _workers(len(_waiting(folder, described)), processes, scheduler) as finish:
            return _work(folder, described, finish, show=show, quiet=quiet)


def draw_sweep(folder: Path, show: Sequence[str] = ()) -> Path:
    """Makes table and figure anew from the runs that are finished; returns the figure's path.

    Args:
        folder: of the sweep.
        show: which numbers of the summaries are drawn; none: those that vary.
    """
    with locked(folder):
        described = read_sweep(folder)
        _write(folder, _table(folder, described, {}), list(described.over), show)
    return folder / FIGURE


def values_of(option: Option, text: str) -> tuple[Any, ...]:
    """The values that `--over NAME=text` stands for.

    FIRST:LAST:COUNT are equal steps, both ends included, FIRST:LAST:COUNT:log equal ratios; or values separated by
    commas, of an option that takes several by semicolons.

    Raises:
        InputError: it is none of these, or the option does not take a value.
    """
    pieces = _steps(text) or [piece.strip() for piece in text.split(";" if option.takes_several else ",")]
    values = tuple(map(option.parse, pieces))
    if len(set(values)) < len(values):
        raise InputError(f"--over {option.name}: needs different values, got {text!r}")
    return values


def _steps(text: str) -> list[str]:
    """The numbers of FIRST:LAST:COUNT or FIRST:LAST:COUNT:log, rounded so that 0.1 is 0.1; none if it is not that."""
    try:
        first, last, count, *scale = text.split(":")
        ends, number = np.array([float(first), float(last)]), int(count)
        logarithmic = {(): False, ("log",): True}[tuple(scale)]
    except (ValueError, KeyError):
        return []
    if not 1 <= number <= _MOST_RUNS or not np.isfinite(ends).all() or (logarithmic and ends.min() <= 0):
        raise InputError(
            f"--over: {text!r} needs finite ends{', above zero,' if logarithmic else ''} and 1 to {_MOST_RUNS} values"
        )
    spaced = np.geomspace if logarithmic else np.linspace
    return [f"{value:.15g}" for value in spaced(ends[0], ends[1], number)]


def _points(experiment: type[Experiment], over: Over, options: Mapping[str, Any]) -> list[Experiment]:
    """The experiments, with their options checked."""
    for name in [*over, *options]:
        named_option(experiment, name)
    if not over or not all(over.values()):
        raise InputError("sweep: needs an option with its values, as in --over g=0.5:1.5:11")
    count = int(np.prod([float(len(values)) for values in over.values()]))
    if count > _MOST_RUNS:
        raise InputError(f"sweep: {count} runs, at most {_MOST_RUNS} are possible")
    grid = itertools.product(*over.values())
    return [experiment(**{**options, **dict(zip(over, point))}) for point in grid]


@dataclasses.dataclass(frozen=True)
class _Sweep:
    """What `sweep.json` says.

    Attributes:
        experiment: its name.
        over: option -> its values.
    """

    experiment: str
    over: dict[str, list[Any]]

    @property
    def grid(self) -> list[tuple[Any, ...]]:
        """The values of each run."""
        return list(itertools.product(*self.over.values()))

    @property
    def runs(self) -> list[str]:
        """The names of the runs' folders."""
        return _names(len(self.grid))


def read_sweep(folder: Path) -> _Sweep:
    """The description of a sweep. Raises `InputError` where there is none."""
    try:
        content = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        over = content["over"]
        if not over or not all(isinstance(values, list) and values for values in over.values()):
            raise ValueError("the entry 'over' is damaged")
        return _Sweep(str(content["experiment"]), over)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{folder / SWEEP}: not the description of a sweep ({error})") from error


def _names(count: int) -> list[str]:
    return [f"{number:0{max(3, len(str(count)))}d}" for number in range(1, count + 1)]


def _waiting(folder: Path, described: _Sweep) -> list[str]:
    """The runs that have no result."""
    return [name for name in described.runs if not (folder / name / RESULT).exists()]


def _work(folder: Path, described: _Sweep, finish: "_Finish", *, show: Sequence[str], quiet: bool) -> Result:
    """Finishes all runs, then writes table and figure."""
    progress = choose_progress(quiet=quiet)
    waiting, total = _waiting(folder, described), len(described.runs)
    progress.say(f"sweep folder: {folder}, {len(waiting)} of {total} runs to do")
    errors: dict[str, str] = {}
    try:
        with progress.task("runs", total) as report:
            for done, (place, error) in enumerate(
                finish([folder / name for name in waiting]), total - len(waiting) + 1
            ):
                if error:
                    errors[place.name] = error
                    progress.say(f"{place}: {error}")
                report(done, {})
    except KeyboardInterrupt as interruption:
        message = f"interrupted; continue with: pullback resume {shlex.quote(str(folder))}"
        raise Interrupted(message) from interruption
    table = _table(folder, described, errors)
    _write(folder, table, list(described.over), show)
    progress.present(table)
    progress.say(f"table: {folder / TABLE}\nfigure: {folder / FIGURE}")
    return table


# From run folders to (folder, what went wrong), as the runs end.
_Finish = Callable[[list[Path]], Iterator[tuple[Path, str]]]


@contextlib.contextmanager
def _workers(count: int, processes: int | None, scheduler: str | None) -> Iterator[_Finish]:
    """Who does the runs: this process, or those of Dask. `count` is the number of runs."""
    processes = min(processes or os.cpu_count() or 1, count)
    if scheduler is None and processes <= 1:
        yield lambda folders: ((folder, _finish(folder)) for folder in folders)
        return
    try:
        import distributed
    except ImportError:
        raise MissingExtraError("distributed", "sweep", "a sweep in several processes") from None
    with contextlib.ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            cluster = distributed.LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                silence_logs=50,
            )
            address = stack.enter_context(cluster)
        try:
            client = stack.enter_context(distributed.Client(address, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler: no Dask scheduler answers at {scheduler} ({error})") from error

        def finish(folders: list[Path]) -> Iterator[tuple[Path, str]]:
            # Not pure: that a scheduler did a run in a folder of this name once does not count.
            futures = {client.submit(_finish, folder.absolute(), pure=False): folder for folder in folders}
            return ((futures[future], _outcome(future)) for future in distributed.as_completed(futures))

        yield finish


def _finish(folder: Path) -> str:
    """Does one run; what the user has to know if it has no result."""
    try:
        resume_run(folder, quiet=True)
    except PullbackError as error:
        return str(error)
    return ""


def _outcome(future: Any) -> str:
    try:
        return future.result()
    except Exception as error:  # a bug, whose traceback is in the run's log, or a worker that died again and again
        return f"{type(error).__name__}: {error}"


def _table(folder: Path, described: _Sweep, errors: Mapping[str, str]) -> Result:
    """All summaries as columns."""
    grid, names = described.grid, described.runs
    results = {name: Result.load(folder / name / RESULT) for name in names if (folder / name / RESULT).exists()}
    columns: dict[str, Any] = {"run": names}
    columns |= {name: [point[k] for point in grid] for k, name in enumerate(described.over)}
    columns["converged"] = [name in results and results[name].converged for name in names]
    for key in dict.fromkeys(key for result in results.values() for key in result.summary):
        column = key if key not in columns else f"result_{key}"
        columns[column] = [results[name].summary.get(key) if name in results else None for name in names]
    arrays = {key: _column(values) for key, values in columns.items()}
    bad = [name for name, converged in zip(names, columns["converged"]) if not converged]
    message = ""
    if bad:
        why = errors.get(bad[0]) or (results[bad[0]].message if bad[0] in results else "it has no result")
        message = f"{len(bad)} of {len(names)} runs have not converged; {bad[0]}: {why}"
    return Result(arrays, {"runs": len(names), "converged runs": len(names) - len(bad)}, not bad, message)


def _column(values: list[Any]) -> np.ndarray:
    """Numbers if all are, with NaN where there is none; else texts."""
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return np.asarray([np.nan if value is None else value for value in values])
    return np.asarray(["" if value is None else _text(value) for value in values])


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _write(folder: Path, table: Result, over: Sequence[str], show: Sequence[str]) -> None:
    figure = _figure(table, over, show)  # first: a name that is not there is told before anything is written
    table.save(folder / RESULT)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.arrays)
    writer.writerows(zip(*(column.tolist() for column in table.arrays.values())))
    write_atomically(folder / TABLE, text.getvalue().encode())
    picture = io.BytesIO()
    figure.savefig(picture, format="png", backend="agg")
    write_atomically(folder / FIGURE, picture.getvalue())


def _figure(table: Result, over: Sequence[str], show: Sequence[str]) -> "Figure":
    """Numbers of the summaries, one panel each, against the first option; a curve for each choice of the others."""
    from pullback.plots import curves, new_figure

    arrays = table.arrays
    numbers = [
        name for name, column in arrays.items() if name not in ("run", "converged", *over) and column.dtype.kind in "if"
    ]
    for name in show:
        if name not in numbers:
            raise InputError(f"--show: the summaries have no number {name!r}.{nearest(name, numbers)}")
    chosen = list(show) or [name for name in numbers if len(set(arrays[name][~np.isnan(arrays[name])])) > 1]
    chosen = chosen[:_MOST_PANELS] or ["converged"]
    first, *others = over
    x = arrays[first] if arrays[first].dtype.kind in "if" else np.unique(arrays[first], return_inverse=True)[1]
    labels = np.array([", ".join(f"{name} = {arrays[name][i]}" for name in others) for i in range(x.size)])
    order = np.argsort(x, kind="stable")
    columns = min(3, len(chosen))
    figure, axes = new_figure(-(-len(chosen) // columns), columns)
    for ax in np.ravel(axes)[len(chosen) :]:
        ax.set_visible(False)
    for ax, name in zip(np.ravel(axes), chosen):
        y = arrays[name][order]
        lines = {label: y[labels[order] == label] for label in dict.fromkeys(labels)}
        curves(ax, np.unique(x), lines, xlabel=first, ylabel=name, points=True)
        if arrays[first].dtype.kind not in "if":
            ax.set_xticks(np.unique(x), np.unique(arrays[first]))
    return figure
