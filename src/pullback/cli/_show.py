"""`pullback show`: an experiment's page, or the state of a run folder."""

import inspect
import json
import shlex
from pathlib import Path

from pullback.experiments import load_experiment
from pullback.runs import Result, is_sweep
from pullback.runs._files import FIGURE, METRICS, RESULT
from pullback.runs._folder import is_locked, read_config
from pullback.runs._option import options_of
from pullback.runs._sweep import read_sweep


def describe_experiment(name: str) -> str:
    """The docstring, the options and the references of an experiment."""
    experiment = load_experiment(name)
    options = options_of(experiment)
    flags = [f"{option.flag} {option.metavar}" for option in options]
    width = max(map(len, flags), default=0)
    table = [f"  {flag:<{width}}  {option.help}  [{option.describe()}]" for flag, option in zip(flags, options)]
    page = [
        name,
        inspect.getdoc(experiment) or "",
        "Options:",
        "\n".join(table),
        f"Reference: {experiment.citation}",
    ]
    return "\n\n".join(page)


def describe_folder(folder: Path) -> str:
    """What was asked for in a run folder, how far it is, and what came out; of a sweep the same."""
    if is_sweep(folder):
        return _describe_sweep(folder)
    config = read_config(folder)
    lines = [
        f"experiment  {config['experiment']}",
        f"date        {config.get('date')}",
        f"versions    {', '.join(f'{name} {version}' for name, version in config['versions'].items())}",
        f"platform    {config.get('platform')}",
        *(f"file        {entry['original']}" for group in config["files"].values() for entry in group),
        "options",
        *(f"  {name} = {value}" for name, value in config["options"].items()),
    ]
    last = _last_metrics(folder / METRICS)
    if last:
        lines += ["last metrics", *(f"  {name} = {value}" for name, value in last.items())]
    return "\n".join([*lines, *_state(folder)])


def _describe_sweep(folder: Path) -> str:
    sweep = read_sweep(folder)
    runs = sweep.runs
    done = sum((folder / run / RESULT).exists() for run in runs)
    return "\n".join(
        [
            f"experiment  {sweep.experiment}",
            *(f"over        {name} = {', '.join(map(str, values))}" for name, values in sweep.over.items()),
            f"runs        {done} of {len(runs)} finished, {folder / runs[0]} to {folder / runs[-1]}",
            *_state(folder),
        ]
    )


def _state(folder: Path) -> list[str]:
    if (folder / RESULT).exists():
        result = Result.load(folder / RESULT)
        figure = folder / FIGURE
        drawn = str(figure) if figure.exists() else f"missing; draw it with: pullback plot {shlex.quote(str(folder))}"
        return [
            f"state       {'done' if result.converged else 'not converged'}",
            str(result),
            f"figure      {drawn}",
        ]
    if is_locked(folder):
        return ["state       running"]
    return [f"state       interrupted; continue with: pullback resume {shlex.quote(str(folder))}"]


def _last_metrics(path: Path) -> dict[str, float | int | str | None]:
    """The last whole line; a run that was killed may have left a part of one after it."""
    if not path.exists():
        return {}
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        return dict(json.loads(lines[-1])) if lines else {}
    except (ValueError, TypeError, RecursionError):
        return {"damaged": f"line {len(lines)} of {path.name} cannot be read"}
