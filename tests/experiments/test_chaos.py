"""chaos: Lorenz against published numbers, a contraction against its formula, files of the user."""

from pathlib import Path

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.chaos import Chaos
from pullback.runs import Run, execute, resume

FILE = """
def decay(x, p):
    return -p * (x - 1)

def halve(x, p):
    return 0.5 * x + p

def wrong(x, p):
    return x[:1]

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "systems.py"
    path.write_text(FILE)
    return path


def test_a_contraction(file):
    """x → x/2 + p has the fixed point 2p: the gradient stays, and all estimates agree."""
    options = {
        "system": Path(f"{file}:halve"),
        "kind": "map",
        "x0": (0.0,),
        "parameter": 0.7,
        "time": 200.0,
        "average": 40.0,
    }
    experiment = Chaos(**options, members=4, pairs=400, transient=100.0)
    result = experiment.run(experiment.prepare(), Run.null())
    assert result.converged and result.summary["verdict"] == "reliable"
    assert abs(result.summary["derivative"] - 2) < 2e-2
    assert abs(result.summary["evolution"] - 2) < 4 * result.summary["evolution_error"]
    np.testing.assert_allclose(result.arrays["gradients"][1, -1], 2 - 4 / 200, rtol=1e-3)
    np.testing.assert_allclose(result.summary["exponent"], np.log(0.5), rtol=1e-10)
    np.testing.assert_allclose(result.arrays["averages"], 2 * result.arrays["parameters"], rtol=1e-10)
    assert len(experiment.plot(result).axes) == 3


@pytest.mark.slow
def test_lorenz(tmp_path):
    """d⟨z⟩/dρ = 1.01, the exponent 0.906, and growth of the gradient by it."""
    result = execute(Chaos(), tmp_path / "run")
    assert result.converged and result.summary["verdict"] == "chaotic"
    assert abs(result.summary["derivative"] - 1.01) < 0.03
    assert abs(result.summary["evolution"] - 1.01) < 3 * result.summary["evolution_error"] < 0.4
    assert abs(result.summary["exponent"] - 0.9056) < 0.03
    assert abs(result.summary["growth"] / 0.9056 - 1) < 0.1
    # Medians of single trajectories over T: 0.86, 1.00, 1.29, 56, 2.7e5, 1e17 for T = 1, 2, 5, 10, 20, 50.
    for time, size, factor in ((1, 0.86, 1.3), (2, 1.0, 1.3), (5, 1.29, 2), (10, 56, 4), (20, 2.7e5, 8)):
        found = result.arrays["gradients"][1][round(time / 0.01) - 1]
        assert 1 / factor < found / size < factor, (time, found)


@pytest.mark.slow
def test_a_file_is_copied_and_found_again(file, tmp_path):
    options = {"system": Path(f"{file}:decay"), "x0": (2.0, 3.0), "parameter": 0.5, "component": 0, "members": 2}
    result = execute(Chaos(**options, time=2.0, average=4.0, pairs=2), tmp_path / "run")
    file.unlink()
    again = resume(tmp_path / "run")
    assert again.summary["average"] == result.summary["average"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"component": 3}, "must be below 3"),
        ({"x0": (1.0,)}, "lorenz needs 3 numbers"),
        ({"model": "logistic", "x0": (1.0, 2.0)}, "logistic needs 1 numbers"),
        ({"system": Path("systems.py:halve")}, "give the start"),
        ({"system": Path("systems.py:double"), "x0": (1.0,), "parameter": 1.0}, "no function 'double'"),
        ({"system": Path("systems.py:number"), "x0": (1.0,), "parameter": 1.0}, "no function 'number'"),
        ({"system": Path("systems.py:wrong"), "x0": (1.0, 2.0), "parameter": 1.0}, "must return an array like x"),
        ({"system": Path("other.py:f"), "x0": (1.0,), "parameter": 1.0}, "no such file"),
    ],
)
def test_bad_input(options, message, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    with pytest.raises(InputError, match=message):
        Chaos(**options).prepare()
