"""The command: output, exit codes, one line for every mistake, nothing written by a refused run."""

import json
import os
import resource
import shlex
import subprocess
import sys
import textwrap

import pytest

from pullback._version import __version__
from pullback.cli import main

EXPERIMENT = '''
"""A user's own experiment."""
import dataclasses
import numpy as np
from pathlib import Path
from pullback.core import InputError
from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Result, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doubling(Experiment):
    """Doubles the numbers of a file.

    The second paragraph.
    """

    input: Path | None = option(None, "a text file of numbers")
    times: int = option(1, "how often", ge=0, le=60)
    fail: bool = option(False, "do not converge")

    citation = "Ahmes, Rhind papyrus"

    def prepare(self):
        try:
            return np.ones(3) if self.input is None else np.loadtxt(self.input)
        except ValueError as error:
            raise InputError(f"--input: {self.input}: {error}") from None

    def run(self, problem, run):
        run.log("doubling")
        doubled = problem * 2**self.times
        return Result({"x": doubled}, {"sum": problem.sum()}, not self.fail, "do not fail" * self.fail)

    def plot(self, result):
        figure, ax = new_figure()
        x = result.arrays["x"]
        curves(ax, np.arange(x.size), {"x": x}, xlabel="i", ylabel="x")
        return figure
'''


@pytest.fixture
def pullback(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            main(args)
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def doubling(tmp_path):
    path = tmp_path / "doubling.py"
    path.write_text(EXPERIMENT)
    return "doubling.py"


def test_listing_loads_nothing_heavy_and_takes_half_a_second():
    script = "import sys; from pullback.cli import main\ntry: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    heavy = {"jax", "numpy", "scipy", "matplotlib", "rich", "h5py", "equinox"}
    seconds = []
    for args in (["list"], ["--help"], ["run", "--help"], ["--version"]):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert not heavy & set(done.stdout.split())
    assert min(seconds) < 0.5


def test_list_version_show_cite(pullback, doubling):
    code, out, _ = pullback("list")
    line = next(line for line in out.splitlines() if line.startswith("tanh-derivatives "))
    assert code == 0 and line.split(None, 1)[1] == "Derivatives of tanh by nested automatic differentiation."
    assert pullback("--version") == (0, f"pullback {__version__}\n", "")
    code, out, _ = pullback("show", "tanh-derivatives")
    assert code == 0 and "P_{k+1}(t)" in out and "--half-width NUMBER" in out and "> 0; default: 7.0" in out
    assert pullback("cite", doubling) == (0, "Ahmes, Rhind papyrus\n", "")
    code, out, _ = pullback("run", doubling, "--help")
    assert code == 0 and "Doubles the numbers of a file." in out and "--fail / --no-fail" in out
    assert ">= 0 and <= 60; default: 1" in out


def test_a_run_from_beginning_to_end(pullback, doubling, tmp_path):
    (tmp_path / "numbers.txt").write_text("1 2 3")
    code, out, err = pullback("run", doubling, "--input", "numbers.txt", "--times", "2", "--out", "result")
    assert (code, err) == (0, "")
    assert out.startswith("run folder: result\ndoubling\nsum  6\n") and "figure: result/figure.png" in out
    (tmp_path / "numbers.txt").unlink()
    (tmp_path / doubling).unlink()

    code, out, _ = pullback("show", "result")
    assert code == 0 and "times = 2" in out and "state       done" in out and "sum  6" in out
    code, out, _ = pullback("resume", "result")
    assert code == 0 and "this run is finished" in out
    (tmp_path / "result/figure.png").unlink()
    assert "missing; draw it with: pullback plot result" in pullback("show", "result")[1]
    assert pullback("plot", "result") == (0, "result/figure.png\n", "")
    for file in ("result.h5", "figure.png"):
        (tmp_path / "result" / file).unlink()
    code, _, err = pullback("plot", "result")
    assert code == 2 and "not finished yet; continue with: pullback resume result" in err
    assert "state       interrupted" in pullback("show", "result")[1]
    code, out, _ = pullback("resume", "result")  # from the folder's copies of the input and of the experiment
    assert code == 0 and "sum  6" in out


def test_not_converged(pullback, doubling):
    code, _, err = pullback("run", doubling, "--fail", "--out", "result", "--quiet")
    assert code == 3 and err == "pullback: not converged: do not fail\n"
    assert pullback("resume", "result", "--quiet")[0] == 3
    assert "state       not converged" in pullback("show", "result")[1]


def test_quiet_prints_nothing(pullback, doubling):
    assert pullback("run", doubling, "--quiet") == (0, "", "")


SCRIPT = "import sys; from pullback.cli import main; main(sys.argv[1:])"


@pytest.mark.parametrize(
    ("command", "environment", "code"),
    [
        ("run doubling.py --out r >&-", {"MPLBACKEND": "module://not_installed.backend_inline"}, 0),
        pytest.param("run doubling.py --out r >&- 2>&- <&-", {}, 0, marks=pytest.mark.slow),
        pytest.param("run doubling.py --out r > /dev/full", {}, 0, marks=pytest.mark.slow),
        pytest.param("run doubling.py --out r", {"JAX_PLATFORMS": "nonsense"}, 2, marks=pytest.mark.slow),
        pytest.param("run doubling.py --out r", {"JAX_PLATFORMS": "cuda"}, 2, marks=pytest.mark.slow),
        pytest.param("doctor", {"JAX_PLATFORMS": "nonsense"}, 2, marks=pytest.mark.slow),
        pytest.param("list > /dev/full", {}, 2, marks=pytest.mark.slow),
        ("list >&-", {}, 0),
    ],
)
def test_surroundings_that_are_not_as_usual(doubling, tmp_path, command, environment, code):
    """Closed or full outputs, a notebook's figures, devices that are not there: no traceback, and whole runs."""
    words = [sys.executable, "-c", SCRIPT]
    line = " ".join(map(shlex.quote, words)) + " " + command
    where = {"cwd": tmp_path, "env": os.environ | environment}
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, **where)
    told = [text for text in done.stderr.splitlines() if "cpu_aot_loader" not in text]
    assert done.returncode == code and len(told) == (code == 2)
    assert code == 0 or told[0].startswith("pullback: error: ")
    assert (tmp_path / "r/figure.png").exists() == (command.startswith("run") and code == 0)


def test_a_reader_that_goes_away(doubling, tmp_path):
    """As behind `| head -1`: the run ends as it would, and nothing is said."""
    words = [sys.executable, "-c", SCRIPT, "run", doubling, "--out", "r"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0 and b"Traceback" not in told and b"Exception" not in told
    assert (tmp_path / "r/figure.png").exists()


def test_default_folders(pullback, doubling, tmp_path):
    for _ in range(2):
        assert pullback("run", doubling, "--quiet")[0] == 0
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2 and all(folder.name.startswith("doubling-20") for folder in folders)
    config = json.loads((folders[0] / "config.json").read_text())
    assert config["options"] == {"input": None, "times": 1, "fail": False}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lits"], "No such command 'lits'. Did you mean 'list'?"),
        (["run", "tanh-derivativ"], "no experiment 'tanh-derivativ'. Did you mean 'tanh-derivatives'?"),
        (["show", "tanh-derivativ"], "no experiment 'tanh-derivativ'. Did you mean 'tanh-derivatives'?"),
        (["cite", "tanh-derivativ"], "no experiment 'tanh-derivativ'. Did you mean 'tanh-derivatives'?"),
        (["run", "missing.py"], "missing.py: no such experiment file"),
        (["run", "empty.py"], "must define one subclass of Experiment, found none"),
        (["run", "broken.py"], "not a Python file: invalid syntax"),
        (["run", "doubling.py", "--tims", "3"], "No such option '--tims'"),
        (["run", "doubling.py", "--times"], "Option '--times' requires an argument."),
        (["run", "doubling.py", "--times", "three"], "--times: needs an integer, got 'three'"),
        (["run", "doubling.py", "--times", "-1"], "--times: must be >= 0, got -1"),
        (["run", "doubling.py", "stray"], "Got unexpected extra argument (stray)"),
        (["run", "doubling.py", "--input", "missing.csv"], "--input: missing.csv is no such file"),
        (["run", "doubling.py", "--input", "."], "--input: . is a folder"),
        (["run", "doubling.py", "--input", "empty.txt"], "--input: empty.txt is empty"),
        (["run", "doubling.py", "--input", "words.txt"], "--input: words.txt: could not convert"),
        (["run", "doubling.py", "--out", "empty.txt/run"], "empty.txt is not a folder"),
        (["run", "doubling.py", "--out", "full"], "--out: full is not empty"),
        (["resume", "missing"], "missing: no such run folder"),
        (["resume", "full"], "full: holds no run"),
        (["resume"], "Missing argument 'DIR'."),
    ],
)
@pytest.mark.usefixtures("doubling")
def test_every_mistake_is_one_line_and_writes_nothing(pullback, tmp_path, args, message):
    (tmp_path / "empty.py").write_text("x = 1")
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "words.txt").write_text("one two")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thing").write_text("")
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    code, out, err = pullback(*args)
    assert (code, out) == (2, "")
    assert err.startswith("pullback: error: ") and err.count("\n") == 1 and message in err
    after = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    assert {path.name for path in after - before} <= {".lock"}


def test_bugs_show_their_traceback(doubling, tmp_path, monkeypatch):
    (tmp_path / doubling).write_text(EXPERIMENT.replace('run.log("doubling")', "1 / 0"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        main(["run", doubling, "--quiet", "--out", "result"])
    assert "ZeroDivisionError" in (tmp_path / "result/log.txt").read_text()


def test_show_survives_a_half_written_line_of_metrics(pullback, tmp_path, doubling):
    pullback("run", doubling, "--quiet", "--out", "result")
    (tmp_path / "result/metrics.jsonl").write_text('{"loop": "fit", "step": 3}\n{"loop": "fi')
    assert "step = 3" in pullback("show", "result")[1]
    (tmp_path / "result/metrics.jsonl").write_text('{"loop": "fit", "step": 3}\n{"lo\x00p": 3,,}\n')
    assert "damaged = line 2 of metrics.jsonl cannot be read" in pullback("show", "result")[1]


CHANGES = [lambda b: b[:-20], lambda b: b[:700] + b"\x01" + b[701:], lambda _: b"", lambda _: b"\x00" * 600]


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_result_is_one_line(pullback, tmp_path, doubling, change):
    pullback("run", doubling, "--quiet", "--out", "result")
    result = tmp_path / "result/result.h5"
    result.write_bytes(change(result.read_bytes()))
    for command in ("show", "resume", "plot"):
        code, _, err = pullback(command, "result")
        assert code == 2 and err.startswith("pullback: error: result/result.h5: not the result of a run, or damaged")
        assert err.count("\n") == 1


def test_a_helper_module_beside_the_experiment(pullback, doubling, tmp_path):
    (tmp_path / "my_helper.py").write_text("factor = 3")
    text = "from my_helper import factor\n" + textwrap.dedent(EXPERIMENT).replace("2**self.times", "factor")
    (tmp_path / doubling).write_text(text)
    assert pullback("run", doubling, "--quiet", "--out", "result")[0] == 0
    (tmp_path / "result/result.h5").unlink()
    assert pullback("resume", "result", "--quiet")[0] == 0


@pytest.mark.slow
def test_doctor(pullback):
    code, out, _ = pullback("doctor")
    assert code == 0 and "known faults of JAX  none" in out and "double precision     on" in out


def test_check_prints_both_sides_and_fails_if_ours_is_wrong(pullback, monkeypatch):
    code, out, err = pullback("check", "--primitive", "eigvalsh")
    triple = next(line for line in out.splitlines() if "triple level" in line)
    assert (code, err) == (0, "")
    assert triple.split()[-10:] == ["ok"] * 7 + ["WRONG"] * 3
    assert pullback("check", "--primitive", "pfafian") == (
        2, "", "pullback: error: no primitive 'pfafian' in the conformance table. Did you mean 'pfaffian'?\n"
    )  # fmt: skip

    monkeypatch.setattr("pullback.trust._conformance._check._judge", lambda *_: "wrong")
    code, out, _ = pullback("check", "--primitive", "eigvalsh")
    assert code == 1 and "WRONG" in out
