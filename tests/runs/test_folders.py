"""Run folders: made once, held by one process, whole or absent, nothing left behind."""

import json
import threading
import time
from pathlib import Path

import pytest

from pullback.core import InputError
from pullback.runs import draw, execute, resume
from pullback.runs._folder import is_locked, locked, new_folder, read_config
from tests.runs.chaotic_map import ChaoticMap


def test_default_folders_are_never_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with new_folder(ChaoticMap(), None) as one, new_folder(ChaoticMap(), None) as two:
        assert one != two and one.parent == two.parent == Path("runs")
        assert one.name.startswith("chaotic-map-20") and is_locked(one) and is_locked(two)
    assert not is_locked(one)


def test_the_configuration_says_everything(tmp_path):
    with new_folder(ChaoticMap(steps=7), tmp_path / "run") as folder:
        config = read_config(folder)
    assert config["experiment"] == "chaotic-map" and config["options"] == {"steps": 7, "size": 100}
    assert {"pullback", "jax", "jaxlib", "numpy"} <= config["versions"].keys()
    assert config["file"].endswith("chaotic_map.py") and (folder / "experiment.py").exists()
    assert config["date"] and config["platform"]


def test_out_must_be_new_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_folder(ChaoticMap(), tmp_path / "empty"):
        pass
    with pytest.raises(InputError, match="is not empty"), new_folder(ChaoticMap(), tmp_path / "empty"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), new_folder(ChaoticMap(), tmp_path / "file"):
        pass


def test_two_runs_that_want_the_same_folder(tmp_path):
    """They begin at the same moment; one gets the folder, the other an error."""
    both, outcomes = threading.Barrier(2), []

    def begin():
        both.wait()
        try:
            with new_folder(ChaoticMap(), tmp_path / "run"):
                time.sleep(0.05)
            outcomes.append("done")
        except InputError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("another process" in outcome or "is not empty" in outcome for outcome in outcomes) == [
        False,
        True,
    ]
    assert "done" in outcomes


def test_a_folder_is_held_by_one_process(tmp_path):
    execute(ChaoticMap(), tmp_path / "run", quiet=True)
    with locked(tmp_path / "run"):
        for call in (resume, draw):
            with pytest.raises(InputError, match="another process is working in this run folder"):
                call(tmp_path / "run")
    resume(tmp_path / "run", quiet=True)


@pytest.mark.parametrize("out", ["file/below/run", "/proc/run"])
def test_an_unwritable_place_is_an_error_before_the_work(tmp_path, out):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write|MiB free"):
        execute(ChaoticMap(), tmp_path / out)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="0 MiB free, this run needs 32 MiB"):
        execute(ChaoticMap(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_at_the_start_leaves_nothing(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
        execute(ChaoticMap(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"experiment": "x"}'])
def test_a_folder_that_holds_no_run(tmp_path, text):
    with pytest.raises(InputError, match="no such run folder"):
        resume(tmp_path / "missing")
    with pytest.raises(InputError, match=r"holds no run \(config.json is missing\)"):
        resume(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="not the configuration of a run"):
        resume(tmp_path)


def test_an_option_that_no_longer_exists(tmp_path):
    with new_folder(ChaoticMap(), tmp_path / "run") as folder:
        config = read_config(folder)
        config["options"]["stepz"] = 3
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"has no option 'stepz' any more.*Did you mean 'steps'"):
        resume(folder)
