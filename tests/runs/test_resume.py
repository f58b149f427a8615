"""Killed at any moment, a run that is resumed ends in the same arrays, bit for bit."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from pullback.core import InputError
from pullback.runs import Interrupted, Result, execute, resume
from pullback.runs._folder import new_folder
from tests.runs.chaotic_map import ChaoticMap

EXPERIMENT = Path(__file__).with_name("chaotic_map.py")
PULLBACK = [sys.executable, "-c", "from pullback.cli import main; main()"]


def same(one: Result, other: Result) -> bool:
    return one.summary == other.summary and {name: array.tobytes() for name, array in one.arrays.items()} == {
        name: array.tobytes() for name, array in other.arrays.items()
    }


def metrics(folder: Path):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def wait_for(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def steps_are_in_order(folder: Path) -> bool:
    """No line of the metrics is lost, written twice or out of order."""
    steps = [(line["loop"], line["step"]) for line in metrics(folder)]
    return steps == sorted(set(steps), key=lambda entry: (entry[0] != "map", entry[1])) and steps[-1] == (
        "fit",
        60,
    )


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, kills):
    steps = 1000 * kills
    options = ["--steps", str(steps), "--size", "10000"]
    expected = execute(ChaoticMap(steps=steps, size=10000), tmp_path / "exact", quiet=True)
    folder = tmp_path / "run"
    command, moments = [*PULLBACK, "run", str(EXPERIMENT), "--out", str(folder), *options], random.Random()
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for((folder / "metrics.jsonl").exists, process)
        time.sleep(moments.uniform(0, 1.2))
        process.kill()
        process.wait()
        command = [*PULLBACK, "resume", str(folder)]
    assert same(resume(folder, quiet=True), expected)
    assert same(Result.load(folder / "result.h5"), expected)
    assert steps_are_in_order(folder)


# Instants that a random kill would hardly meet: the process kills itself there.
INSTANTS = {
    "before a checkpoint is renamed": "checkpoint-fit.npz",
    "before the result is renamed": "result.h5",
    "before the figure is renamed": "figure.png",
}
KILL_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
from pullback.experiments import load_file
from pullback.runs import execute

rename = os.replace
def replace(source, target):
    if Path(target).name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = replace
execute(load_file(Path(sys.argv[1]))(), Path(sys.argv[3]), quiet=True)
"""


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return execute(ChaoticMap(), tmp_path_factory.mktemp("exact") / "run", quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("instant", INSTANTS)
def test_killed_at_the_worst_instants(tmp_path, exact, instant):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILL_BEFORE_RENAME, str(EXPERIMENT), INSTANTS[instant], str(folder)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert (folder / f".{INSTANTS[instant]}.tmp").exists() and not (folder / INSTANTS[instant]).exists()
    assert same(resume(folder, quiet=True), exact)
    assert (folder / "figure.png").stat().st_size > 1000


class Killed(BaseException):
    """Nothing but a test catches this."""


@pytest.mark.parametrize("instant", INSTANTS)
def test_stopped_at_the_worst_instants(tmp_path, exact, monkeypatch, instant):
    """As above within this process, and with half a line of metrics left behind."""
    folder, rename = tmp_path / "run", os.replace

    def replace(source, target):
        if Path(target).name == INSTANTS[instant]:
            raise Killed
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed):
        execute(ChaoticMap(), folder, quiet=True)
    monkeypatch.setattr(os, "replace", rename)
    assert not (folder / INSTANTS[instant]).exists()
    if instant == "before a checkpoint is renamed":
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"loop": "fit", "step": 3')
    assert same(resume(folder, quiet=True), exact)
    assert (folder / "figure.png").stat().st_size > 1000 and steps_are_in_order(folder)


def test_killed_before_the_first_checkpoint(tmp_path, exact):
    with new_folder(ChaoticMap(), tmp_path / "run"):
        pass
    assert same(resume(tmp_path / "run", quiet=True), exact)


def test_resuming_a_finished_run_says_so_and_draws_a_missing_figure(tmp_path, capsys):
    result = execute(ChaoticMap(), tmp_path / "run", quiet=True)
    log = (tmp_path / "run/log.txt").read_text()
    assert same(resume(tmp_path / "run"), result)
    assert "this run is finished" in capsys.readouterr().out
    (tmp_path / "run/figure.png").unlink()
    resume(tmp_path / "run")
    assert "its figure is drawn" in capsys.readouterr().out and (tmp_path / "run/figure.png").exists()
    assert (tmp_path / "run/log.txt").read_text() == log


def test_ctrl_c_saves_and_tells_how_to_continue(tmp_path):
    folder = tmp_path / "a run"
    command = [*PULLBACK, "run", str(EXPERIMENT), "--out", str(folder), "--steps", "100000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for((folder / "metrics.jsonl").exists, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"pullback: interrupted; continue with: pullback resume '{folder}'" in error
    assert "Traceback" not in error
    assert (folder / "checkpoint-map.npz").exists()
    saved = int(re.search(r"map stopped at step (\d+)", (folder / "log.txt").read_text()).group(1))
    assert metrics(folder)[-1]["step"] == saved


def test_an_interrupt_outside_the_loops_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ChaoticMap, "plot", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted, match="continue with: pullback resume"):
        execute(ChaoticMap(), tmp_path / "run", quiet=True)
    assert (tmp_path / "run/result.h5").exists() and not (tmp_path / "run/figure.png").exists()


@pytest.fixture
def small_files_only():
    """The system refuses files beyond 50 kB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    jax.config.update("jax_enable_compilation_cache", False)  # it writes files too
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    jax.config.update("jax_enable_compilation_cache", True)


@pytest.mark.usefixtures("small_files_only")
def test_a_disk_that_fills_up_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*checkpoint-map.npz: File too large"):
        execute(ChaoticMap(size=10_000), tmp_path / "run", quiet=True)
    assert "cannot write" in (tmp_path / "run/log.txt").read_text()
    assert not list((tmp_path / "run").glob("*.npz*"))


def test_a_run_whose_disk_was_full_can_go_on(tmp_path, exact, monkeypatch):
    rename = os.replace

    def full(source, target):
        if Path(target).name == "checkpoint-fit.npz":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        execute(ChaoticMap(), tmp_path / "run", quiet=True)
    monkeypatch.setattr(os, "replace", rename)
    assert same(resume(tmp_path / "run", quiet=True), exact)


def test_a_bug_in_an_experiment_shows_its_traceback_and_logs_it(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ChaoticMap, "run", broken)
    with pytest.raises(ZeroDivisionError):
        execute(ChaoticMap(), tmp_path / "run", quiet=True)
    assert "ZeroDivisionError: a bug" in (tmp_path / "run/log.txt").read_text()


def test_a_class_without_a_file_cannot_be_resumed(tmp_path):
    namespace = {"__name__": "session"}
    exec("from tests.runs.chaotic_map import ChaoticMap\nclass Typed(ChaoticMap):\n    pass", namespace)
    with new_folder(namespace["Typed"](), tmp_path / "run"):
        pass
    with pytest.raises(InputError, match="was defined in a Python session"):
        resume(tmp_path / "run")
