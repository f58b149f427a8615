"""The command: its subcommands, its errors, its exit codes.

Exit codes: 0 done, 1 a bug (with its traceback) or a failed `check`, 2 bad usage or input, 3 not converged,
130 interrupted with the state saved, 141 nobody reads the output any more. What the user did wrong is one line on
standard error, beginning with `pullback: error:`.

Only what a subcommand needs is imported: help, `list` and completion do without JAX, NumPy, Matplotlib and
rich.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pullback._version import __version__
from pullback.cli._run import ExperimentGroup
from pullback.experiments import experiment_names, load_experiment, summary

if TYPE_CHECKING:
    from pullback.runs import Experiment, Result

DONE, FAILED, BAD_INPUT, NOT_CONVERGED, INTERRUPTED, UNHEARD = 0, 1, 2, 3, 130, 141

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_QUIET = click.Option(["--quiet"], is_flag=True, help="Print nothing but errors.")
_PROCESSES = click.Option(
    ["--processes"], type=click.IntRange(min=1), help="How many runs at a time.  [default: as many as processors]"
)
_SCHEDULER = click.Option(["--scheduler"], metavar="ADDRESS", help="A Dask scheduler, whose workers work instead.")
_SHOW = click.Option(["--show"], multiple=True, metavar="NUMBER", help="What a sweep's figure shows; repeat it.")


def _with(*parameters: click.Parameter):
    """Adds shared parameters to a command."""

    def add(command: click.Command) -> click.Command:
        command.params += parameters
        return command

    return add


def _out(what: str) -> click.Option:
    help = f"The folder to make.  [default: runs/<name>-{what}<date>-<time>]"
    return click.Option(["--out"], metavar="DIR", type=click.Path(path_type=Path), help=help)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The entry point: runs the command and exits with its code."""
    _open_streams()
    os.environ["MPLBACKEND"] = "agg"  # figures go to files; a notebook's own backend may not even be installed here
    try:
        code = cli.main(args, prog_name="pullback", standalone_mode=False)
        code = code if isinstance(code, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = BAD_INPUT
    except click.ClickException as error:
        code = _complain(error.format_message())
    except click.Abort as stop:  # click's wrapping of KeyboardInterrupt
        print(f"pullback: {stop.__cause__ or 'interrupted'}", file=sys.stderr)
        code = INTERRUPTED
    except SystemExit:  # how click ends when nobody reads
        code = UNHEARD
    except Exception as error:
        code = _code_of(error)
    _close_output()
    sys.exit(code)


def _code_of(error: Exception) -> int:
    """Tells what went wrong in one line, if it is not a bug. What is one is raised again."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _complain(f"cannot write: {error.strerror}")
    from pullback.core import ConvergenceError, PullbackError, require_device  # loads JAX: only now

    try:
        if not isinstance(error, PullbackError):
            require_device()  # without one, everything fails
            raise error
    except PullbackError as cause:
        error = cause
    return _complain(str(error), NOT_CONVERGED if isinstance(error, ConvergenceError) else BAD_INPUT)


def _open_streams() -> None:
    """Puts the null device in the place of standard streams that are closed: the next file must not take it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115


def _close_output() -> None:
    """Flushes the standard output, as Python will at its end; if nobody takes it, that must not be an error then."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, prog_name="pullback", message="%(prog)s %(version)s")
def cli():
    """Inverse problems in physics, solved by differentiating through the physics."""


@cli.command("list")
def list_experiments():
    """List the experiments."""
    names = experiment_names()
    width = max(map(len, names), default=0)
    for name in names:
        click.echo(f"{name:<{width}}  {summary(name)}")


def _run(experiment: "type[Experiment]", options: dict[str, Any], given: dict[str, Any]) -> int:
    from pullback.runs import execute

    return _exit_code(execute(experiment(**options), **given))


cli.add_command(ExperimentGroup("run", "Run an experiment.", _run, [_out(""), _QUIET]))


def _sweep(experiment: "type[Experiment]", options: dict[str, Any], given: dict[str, Any]) -> int:
    from pullback.runs import sweep, values_of
    from pullback.runs._option import named_option

    over: dict[str, Any] = {}
    for text in given.pop("over"):
        name, equals, values = text.partition("=")
        option = named_option(experiment, name)
        if not equals or option.name in over:
            raise click.UsageError(f"--over {text}: needs each option once, as in --over g=0.5:1.5:21")
        over[option.name] = values_of(option, values)
    return _exit_code(sweep(experiment, over, options, **given))


_OVER = click.Option(
    ["--over"],
    multiple=True,
    metavar="OPTION=VALUES",
    help="FIRST:LAST:COUNT, FIRST:LAST:COUNT:log, or values separated by commas (by semicolons, for an option that "
    "takes several); repeat it for a grid.",
)
cli.add_command(
    ExperimentGroup(
        "sweep",
        "Run an experiment at many values of its options, into one table.",
        _sweep,
        [_OVER, _PROCESSES, _SCHEDULER, _SHOW, _out("sweep-"), _QUIET],
    )
)


@_with(_QUIET, _PROCESSES, _SCHEDULER)
@cli.command()
@_folder
def resume(folder: Path, quiet: bool, **workers: Any) -> int:
    """Continue an interrupted run, or a sweep.

    The result is that of an uninterrupted one, bit for bit. --processes and --scheduler are for sweeps.
    """
    from pullback.runs import is_sweep, resume_sweep
    from pullback.runs import resume as resume_run

    if is_sweep(folder):
        return _exit_code(resume_sweep(folder, quiet=quiet, **workers))
    return _exit_code(resume_run(folder, quiet=quiet))


@cli.command()
@click.argument("target", metavar="NAME|DIR")
def show(target: str):
    """Describe an experiment or a run folder."""
    from pullback.cli._show import describe_experiment, describe_folder

    if Path(target).is_dir():
        click.echo(describe_folder(Path(target)))
    else:
        click.echo(describe_experiment(target))


@_with(_SHOW)
@cli.command()
@_folder
def plot(folder: Path, show: tuple[str, ...]):
    """Draw the figure of a finished run again, or of a sweep as far as it is.

    --show is for sweeps.
    """
    from pullback.runs import draw, draw_sweep, is_sweep

    click.echo(draw_sweep(folder, show) if is_sweep(folder) else draw(folder))


@cli.command()
@click.argument("name", metavar="NAME")
def cite(name: str):
    """Print the references of an experiment."""
    click.echo(load_experiment(name).citation)


@cli.command()
@click.option("--primitive", metavar="NAME", help="Only the rows of one primitive, such as eigh.")
@click.option("--transformations", is_flag=True, help="Every public function under every transformation of JAX.")
def check(primitive: str | None, transformations: bool) -> int:
    """Check the derivatives of every primitive on this machine.

    Prints, for each primitive, kind of point and mode, what pullback and what plain JAX give: ok, WRONG, NaN, or
    - where there is no rule. The reference values are exact.

    With --transformations: whether every public function is the same eagerly and without jit, under jit, vmap, scan,
    checkpoint, linearize and shard_map, in single precision, with JAX's strict flags, for empty batches and for NaN;
    no marks what cannot be, for the reason below the row.
    """
    from pullback.cli import _check
    from pullback.core import require_device

    require_device()
    run_check = _check.check_transformed if transformations else _check.check
    passed = True
    for line, ok in run_check(primitive):
        click.echo(line)
        passed &= ok
    return DONE if passed else FAILED


@cli.command()
@click.option("--build", is_flag=True, help="Compile the accelerator of circuits for this machine.")
def doctor(build: bool) -> int:
    """Check the installation.

    Prints versions, devices and precision, and looks for known faults of the installed JAX.

    With --build the accelerator of circuits is compiled by the system's C++ compiler, into the user's cache folder.
    """
    from pullback.cli import _doctor

    report, healthy = _doctor.build() if build else _doctor.examine()
    click.echo(report)
    return DONE if healthy else BAD_INPUT


def _exit_code(result: "Result") -> int:
    if result.converged:
        return DONE
    print(f"pullback: not converged: {result.message}", file=sys.stderr)
    return NOT_CONVERGED


def _complain(message: str, code: int = BAD_INPUT) -> int:
    print(f"pullback: error: {' '.join(message.split())}", file=sys.stderr)
    return code
