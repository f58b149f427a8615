"""The loop: chunks, metrics, log, interruption and continuation within one process."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.runs import Interrupted, Run
from pullback.runs._progress import Silent
from pullback.runs._signals import StopSignal


@jax.jit
def advance(state, n):
    """A logistic map: a difference in the last bit doubles with every step."""

    def step(_, state):
        return {"x": 3.9 * state["x"] * (1 - state["x"]), "step": state["step"] + 1}

    return jax.lax.fori_loop(0, jnp.minimum(n, 5000 - state["step"]), step, state)


def start():
    return {"x": jnp.linspace(0.1, 0.9, 8), "step": jnp.asarray(0)}


def report(state):
    return {"x0": state["x"][0]}


def never(_state):
    return False


def new_run(folder, stop=None):
    return Run(folder, progress=Silent(), stop=stop or StopSignal())


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


EXACT = np.asarray(advance(start(), 1000)["x"])


@pytest.mark.parametrize("chunk", [None, 1, 7, 1000, 5000])
def test_the_final_state_does_not_depend_on_the_chunks(chunk):
    end = Run.null().loop("map", start(), advance, max_steps=1000, report=report, done=never, chunk=chunk)
    assert int(end["step"]) == 1000 and np.asarray(end["x"]).tobytes() == EXACT.tobytes()


def test_it_stops_when_done():
    end = Run.null().loop(
        "map",
        start(),
        advance,
        max_steps=1000,
        report=report,
        done=lambda state: state["step"] >= 30,
        chunk=10,
    )
    assert int(end["step"]) == 30


def test_no_steps_asked_for():
    end = Run.null().loop("map", start(), advance, max_steps=0, report=report, done=never)
    assert int(end["step"]) == 0


def test_metrics_and_log(tmp_path):
    run = new_run(tmp_path)
    run.log("two\nlines")
    run.loop("map", start(), advance, max_steps=50, report=report, done=never, chunk=10)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [0, 10, 20, 30, 40, 50]
    assert lines[0]["loop"] == "map" and lines[0]["x0"] == 0.1
    assert [line[21:] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["two", "lines"]


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    new_run(tmp_path).loop(
        "map", start(), advance, max_steps=1, report=lambda _: {"a": jnp.nan, "b": -jnp.inf}, done=never
    )
    assert metrics(tmp_path)[0]["a"] is None and metrics(tmp_path)[0]["b"] is None


@pytest.mark.parametrize("stop_at", [0, 300, 990])
def test_interrupted_and_continued(tmp_path, stop_at):
    """The second run passes through the same states as an uninterrupted one, and no line is lost."""
    stop = StopSignal()

    def stopping(state):
        if int(state["step"]) == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return report(state)

    with stop.installed(), pytest.raises(Interrupted, match=f"map stopped at step {stop_at}"):
        new_run(tmp_path, stop).loop("map", start(), advance, max_steps=1000, report=stopping, done=never, chunk=10)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"loop": "map", "st')  # what a process killed later might have left
    run = new_run(tmp_path)
    end = run.loop("map", start(), advance, max_steps=1000, report=report, done=never, chunk=10)
    assert np.asarray(end["x"]).tobytes() == EXACT.tobytes()
    assert [line["step"] for line in metrics(tmp_path)] == list(range(0, 1001, 10))


def test_a_finished_loop_returns_its_state_at_once(tmp_path):
    first = new_run(tmp_path).loop("map", start(), advance, max_steps=1000, report=report, done=never)
    before = (tmp_path / "metrics.jsonl").read_bytes()

    def forbidden(*_):
        raise AssertionError("computed again")

    second = new_run(tmp_path).loop("map", start(), forbidden, max_steps=1000, report=forbidden, done=forbidden)
    assert np.asarray(first["x"]).tobytes() == np.asarray(second["x"]).tobytes()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def two_loops(run):
    first = run.loop("first", start(), advance, max_steps=100, report=report, done=never, chunk=10)
    second = {"x": first["x"] * 0.5, "step": jnp.asarray(0)}
    return run.loop("second", second, advance, max_steps=100, report=report, done=never, chunk=10)


@pytest.mark.parametrize("damaged", ["first", "second", "both"])
def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path, damaged):
    exact = np.asarray(two_loops(new_run(tmp_path))["x"])
    steps = [(line["loop"], line["step"]) for line in metrics(tmp_path)]
    for name in ("first", "second") if damaged == "both" else (damaged,):
        path = tmp_path / f"checkpoint-{name}.npz"
        path.write_bytes(path.read_bytes()[:200])
    again = two_loops(new_run(tmp_path))
    assert np.asarray(again["x"]).tobytes() == exact.tobytes()
    assert [(line["loop"], line["step"]) for line in metrics(tmp_path)] == steps
    assert "is damaged" in (tmp_path / "log.txt").read_text()


def test_the_checkpoint_of_another_program_is_an_error(tmp_path):
    new_run(tmp_path).loop("map", start(), advance, max_steps=10, report=report, done=never)
    other = {"x": jnp.zeros(9), "step": jnp.asarray(0)}
    with pytest.raises(InputError, match="written by a different program"):
        new_run(tmp_path).loop("map", other, advance, max_steps=10, report=report, done=never)


def test_mistakes_in_a_loop_are_found():
    run = Run.null()
    run.loop("map", start(), advance, max_steps=1, report=report, done=never)
    with pytest.raises(ValueError, match="needs a name of its own"):
        run.loop("map", start(), advance, max_steps=1, report=report, done=never)
    with pytest.raises(ValueError, match="needs a name of its own"):
        run.loop("a/b", start(), advance, max_steps=1, report=report, done=never)
    with pytest.raises(RuntimeError, match="took no step at step 0"):
        run.loop("lazy", start(), lambda state, n: state, max_steps=1, report=report, done=never)
    with pytest.raises(TypeError, match="holds arrays only"):
        run.loop("text", {"x": "text"}, advance, max_steps=1, report=report, done=never)
    with pytest.raises(ValueError, match="at least 1 step"):
        run.loop("chunk", start(), advance, max_steps=1, report=report, done=never, chunk=0)


def test_a_full_disk_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="MiB free"):
        new_run(tmp_path).loop("map", start(), advance, max_steps=10, report=report, done=never)
