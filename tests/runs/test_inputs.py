"""The files that a run reads: all of them are in its folder, and a resumed run reads those and no others."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pullback.core import InputError
from pullback.runs import Experiment, Result, execute, option, resume
from pullback.runs._folder import new_folder


def included(path: Path) -> list[Path]:
    """The files named in lines "include NAME"."""
    return [path.parent / line.split()[1] for line in path.read_text().splitlines() if line.startswith("include")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sums(Experiment):
    """Adds up the numbers of its files."""

    table: Path | None = option(None, "numbers")
    program: Path | None = option(None, "numbers, and the names of files with more", also=included)
    several: tuple[Path, ...] = option((), "more numbers")

    citation = "none"

    def prepare(self):
        files = [*filter(None, (self.table, self.program)), *self.several]
        files += included(self.program) if self.program else []
        return sum(float(word) for file in files for word in file.read_text().split() if word.isdigit())

    def run(self, problem, run):
        return Result({"sum": np.array(problem)}, {})

    def plot(self, result):
        from pullback.plots import new_figure

        return new_figure()[0]


@pytest.fixture
def files(tmp_path):
    """table 1; a program 10 that includes 20 and 40; two files 100 and 200 of one name."""
    texts = {"t.txt": "1", "p/main.txt": "10\ninclude lib/a.txt\ninclude ../b.txt", "p/lib/a.txt": "20", "b.txt": "40"}
    texts |= {"x/n.txt": "100", "y/n.txt": "200"}
    for name, text in texts.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    return tmp_path / "in"


def sums(files):
    return Sums(table=files / "t.txt", program=files / "p/main.txt", several=(files / "x/n.txt", files / "y/n.txt"))


def unfinished(files, folder):
    with new_folder(sums(files), folder):
        return folder


def test_a_run_resumes_without_the_original_files_on_another_machine(files, tmp_path):
    assert execute(sums(files), tmp_path / "whole", quiet=True).arrays["sum"] == 371
    unfinished(files, tmp_path / "run")
    for file in files.rglob("*.txt"):
        file.write_text("5")
    shutil.rmtree(files)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert resume(tmp_path / "moved", quiet=True).arrays["sum"] == 371


def test_the_copies_have_their_names_and_places(files, tmp_path):
    folder = unfinished(files, tmp_path / "run")
    copies = {str(path.relative_to(folder / "files")) for path in folder.rglob("files/**/*") if path.is_file()}
    program = {"program/p/main.txt", "program/p/lib/a.txt", "program/b.txt"}
    assert copies == {"table/t.txt", *program, "several/n.txt", "several1/n.txt"}
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["table"] == "files/table/t.txt"
    assert config["files"]["table"][0]["original"] == str(files / "t.txt")
    # of the text "1": published test value of SHA-256
    assert config["files"]["table"][0]["sha256"].startswith("6b86b273ff34fce19d6b804eff5a3f57")


@pytest.mark.parametrize("copy", ["table/t.txt", "program/p/lib/a.txt", "several1/n.txt"])
def test_a_changed_or_missing_copy_is_refused(files, tmp_path, copy):
    folder = unfinished(files, tmp_path / "run")
    path = folder / "files" / copy
    text = path.read_text()
    path.write_text("7")
    with pytest.raises(InputError, match=f"{copy}: not what the run began with, which was a copy of {files}"):
        resume(folder, quiet=True)
    path.unlink()
    with pytest.raises(InputError, match=f"{copy}: the run's copy of {files}.* is missing"):
        resume(folder, quiet=True)
    path.write_text(text)
    assert resume(folder, quiet=True).arrays["sum"] == 371


def test_a_run_without_copies_is_refused(files, tmp_path):
    """As they were made before: the path of the user's own file, and no copy."""
    folder = unfinished(files, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["options"]["table"] = str(files / "t.txt")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="holds no copy of the file of --table"):
        resume(folder)


def test_a_file_that_changes_while_it_is_read(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Sums, "prepare", lambda self: self.table.write_text("2"))
    with pytest.raises(InputError, match="changed while it was read"):
        execute(sums(files), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["table", "program", "several"])
def test_what_is_no_file_is_one_line_and_writes_nothing(files, tmp_path, name):
    for path, message in (
        (files / "missing", "is no such file"),
        (files, "is a folder"),
        (Path("/dev/null"), "is not an ordinary file"),
        (files / "empty", "is empty"),
    ):
        (files / "empty").write_text("")
        with pytest.raises(InputError, match=f"--{name}: .* {message}"):
            execute(Sums(**{name: (path,) if name == "several" else path}), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
