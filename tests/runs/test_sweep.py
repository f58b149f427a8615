"""Sweeps: the grid, the table, what goes wrong in single runs, killed sweeps, several processes."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pullback.core import InputError, MissingExtraError
from pullback.runs import Interrupted, Result, draw_sweep, resume_sweep, sweep, values_of
from pullback.runs import _sweep as module
from pullback.runs._option import named_option
from tests.runs.ramp import Ramp

EXPERIMENT = Path(__file__).with_name("ramp.py")
PULLBACK = [sys.executable, "-c", "from pullback.cli import main; main()"]
ALONE = {"processes": 1, "quiet": True}


def rows(folder: Path) -> list[list[str]]:
    return list(csv.reader((folder / "table.csv").read_text().splitlines()))


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("slope", "0.5:1.5:5", (0.5, 0.75, 1.0, 1.25, 1.5)),
        ("slope", "1e-2:1:3:log", (0.01, 0.1, 1.0)),
        ("slope", "1:-1:3", (1.0, 0.0, -1.0)),
        ("slope", "0:0.3:4", (0.0, 0.1, 0.2, 0.3)),
        ("slope", "1e-20:3e-20:3", (1e-20, 2e-20, 3e-20)),
        ("slope", "7", (7.0,)),
        ("steps", "2:8:4", (2, 4, 6, 8)),
        ("steps", "2, 3,5", (2, 3, 5)),
        ("way", "up,down", ("up", "down")),
        ("sizes", "4;4,6;8", ((4,), (4, 6), (8,))),
    ],
)
def test_values(name, text, values):
    assert values_of(named_option(Ramp, name), text) == values


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("slope", "1:2", "--slope: needs a number, got '1:2'"),
        ("slope", "1:2:3:cubic", "needs a number"),
        ("slope", "-1:1:3:log", "above zero"),
        ("slope", "1:2:0", "1 to 10000 values"),
        ("slope", "1,1.0", "different values"),
        ("slope", "", "needs a number"),
        ("slope", "1:nan:3", "finite ends"),
        ("steps", "1:2:3", "needs an integer, got 1.5"),
        ("steps", "0,1", "must be >= 1"),
        ("way", "left", "one of up, down"),
    ],
)
def test_values_that_are_none(name, text, message):
    with pytest.raises(InputError, match=message):
        values_of(named_option(Ramp, name), text)


def test_the_table_of_a_grid(tmp_path):
    folder = tmp_path / "s"
    over = {"slope": (1.0, 2.5), "steps": (3, 4), "way": ("up", "down")}
    table = sweep(Ramp, over, {"limit": 9.0}, folder, **ALONE)
    head, *body = rows(folder)
    assert head == ["run", "slope", "steps", "way", "converged", "height", "sign", "even"]
    grid = itertools.product((1.0, 2.5), (3, 4), ("up", "down"))
    expected = [(a, n, way, (a if way == "up" else -a) * n) for a, n, way in grid]
    for line, (a, n, way, height) in zip(body, expected, strict=True):
        assert line[1:] == [str(a), str(n), way, str(height <= 9), str(height), way, "nan" if n == 3 else "1.0"]
    assert not table.converged and "1 of 8 runs have not converged; 007: too high" in table.message
    kept = Result.load(folder / "result.h5").arrays
    assert np.array_equal(kept["height"], [height for *_, height in expected])
    assert (folder / "007" / "result.h5").exists() and (folder / "figure.png").stat().st_size > 10_000


def test_a_run_that_fails_is_told_and_done_again(tmp_path, monkeypatch):
    folder = tmp_path / "s"
    table = sweep(Ramp, {"slope": (1.0, 13.0, 2.0)}, None, folder, **ALONE)
    assert np.array_equal(table.arrays["height"], [3, np.nan, 6], equal_nan=True)
    assert not table.converged and "002: the thirteenth stair is missing" in table.message
    done = []
    monkeypatch.setattr(module, "resume_run", lambda folder, quiet: done.append(folder.name))
    resume_sweep(folder, **ALONE)
    assert done == ["002"]


def test_interrupted_and_continued(tmp_path, monkeypatch):
    over = {"slope": (1.0, 2.0, 3.0)}
    whole = sweep(Ramp, over, None, tmp_path / "whole", **ALONE)
    one_run = module.resume_run

    def interrupted(folder, quiet):
        if folder.name == "002":
            raise KeyboardInterrupt
        return one_run(folder, quiet=quiet)

    monkeypatch.setattr(module, "resume_run", interrupted)
    with pytest.raises(Interrupted, match="pullback resume"):
        sweep(Ramp, over, None, tmp_path / "s", **ALONE)
    assert [(tmp_path / "s" / run / "result.h5").exists() for run in ("001", "002", "003")] == [True, False, False]
    monkeypatch.setattr(module, "resume_run", one_run)
    assert (
        np.isnan(Result.load(tmp_path / "s/result.h5").arrays["height"][1:]).all() if draw_sweep(tmp_path / "s") else 0
    )
    continued = resume_sweep(tmp_path / "s", **ALONE)
    assert continued.arrays.keys() == whole.arrays.keys()
    assert all(np.array_equal(continued.arrays[key], whole.arrays[key]) for key in whole.arrays)
    assert (tmp_path / "s/table.csv").read_bytes() == (tmp_path / "whole/table.csv").read_bytes()


def test_refused_before_anything_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "s"
    with pytest.raises(InputError, match="the ground is flat"):
        sweep(Ramp, {"slope": (1.0, 0.0)}, None, folder, **ALONE)
    with pytest.raises(InputError, match=r"no option --slpoe\. Did you mean 'slope'"):
        sweep(Ramp, {"slpoe": (1.0, 2.0)}, None, folder, **ALONE)
    with pytest.raises(InputError, match="needs an option with its values"):
        sweep(Ramp, {}, None, folder, **ALONE)
    with pytest.raises(InputError, match="at most 10000"):
        sweep(Ramp, {"slope": range(1, 102), "steps": range(1, 102)}, None, folder, **ALONE)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pullback\[sweep\]"):
        sweep(Ramp, {"slope": (1.0, 2.0)}, None, folder, processes=2, quiet=True)
    assert not folder.exists()
    sweep(Ramp, {"slope": (1.0,)}, None, folder, **ALONE)
    with pytest.raises(InputError, match="pullback resume"):
        sweep(Ramp, {"slope": (1.0,)}, None, folder, **ALONE)
    with pytest.raises(InputError, match=r"--show: .*no number 'hight'\. Did you mean 'height'"):
        draw_sweep(folder, ["hight"])
    (folder / "sweep.json").write_text("{}")
    with pytest.raises(InputError, match="not the description of a sweep"):
        resume_sweep(folder, **ALONE)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_two_processes_stopped_in_the_middle(tmp_path, stop):
    over, slopes = "slope=1:8:8", np.linspace(1, 8, 8)
    command = [*PULLBACK, "sweep", str(EXPERIMENT), "--over", over, "--pause", "0.5", "--processes", "2", "--out"]
    assert subprocess.run([*command, str(tmp_path / "whole")], check=False).returncode == 0
    # Tests that run in the background of a shell have children that ignore Ctrl-C.
    attentive = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {command[2]}"
    process = subprocess.Popen([*command[:2], attentive, *command[3:], str(tmp_path / "s")])
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("s/*/result.h5"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(stop)
    assert process.wait(60) == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    time.sleep(5)  # orphaned workers notice
    done = subprocess.run([*PULLBACK, "resume", str(tmp_path / "s"), "--processes", "2"], check=False)
    assert done.returncode == 0
    assert (tmp_path / "s/table.csv").read_bytes() == (tmp_path / "whole/table.csv").read_bytes()
    assert np.array_equal(Result.load(tmp_path / "s/result.h5").arrays["height"], 3 * slopes)


@pytest.mark.slow
def test_workers_of_a_scheduler(tmp_path):
    pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(tmp_path / "scheduler.json")], env=environment,
    )  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard",
         "--scheduler-file", str(tmp_path / "scheduler.json")], env=environment,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "scheduler.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        table = sweep(Ramp, {"slope": (1.0, 2.0, 4.0)}, None, tmp_path / "s", scheduler=address, quiet=True)
        assert np.array_equal(table.arrays["height"], [3, 6, 12])
    finally:
        worker.terminate()
        scheduler.terminate()
        worker.wait(30), scheduler.wait(30)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        sweep(Ramp, {"slope": (1.0, 2.0)}, None, tmp_path / "t", scheduler=address, quiet=True)
    assert not (tmp_path / "t").exists()
