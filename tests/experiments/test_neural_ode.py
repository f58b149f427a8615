"""neural-ode: a field whose flow is known, tables of trajectories, what the adjoints store."""

import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.experiments.neural_ode import NeuralOde
from pullback.runs import Run

ROTATION = np.array([[-0.2, -1.0], [1.0, -0.2]])


def solve(**options):
    experiment = NeuralOde(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


def spiral(path, *, header="t,trajectory,x0,x1"):
    """Two solutions of a linear equation at irregular times, by the exponential of its matrix."""
    random, rows = np.random.default_rng(0), []
    for name, start in (("a", [1.0, 0.0]), ("b", [-0.5, 1.5])):
        times = np.cumsum(random.uniform(0.1, 0.3, 40))
        rows += [(t, name, *(scipy.linalg.expm(ROTATION * t) @ start)) for t in times]
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return path


def test_a_linear_field_is_found_and_forecast(tmp_path):
    options = {"hidden": 12, "layers": 1, "max_steps": 150, "costs": False}
    experiment, result = solve(input=spiral(tmp_path / "spiral.csv"), **options)
    assert result.summary["forecast_error"] < 0.02 < result.summary["forecast_unchanged"]
    held, model, data = (result.arrays[name] for name in ("held_out", "model", "data"))
    assert held.sum() == 20
    spread = data[~held].std(axis=0)
    errors = ((model - data) / spread)[held]
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), result.summary["forecast_error"], rtol=1e-9)
    points, slopes = result.arrays["map_points"], result.arrays["map_slopes"]
    inside = np.linalg.norm(points, axis=1) < 0.7  # where the trajectories have been
    assert np.abs(slopes - points @ ROTATION.T)[inside].max() < 0.1
    assert len(experiment.plot(result).axes) == 4


def test_what_is_not_finished_is_said(tmp_path):
    _, result = solve(input=spiral(tmp_path / "spiral.csv"), max_steps=3, hidden=4, layers=1, costs=False)
    assert not result.converged and "--max-steps" in result.message


@pytest.mark.slow
def test_the_pendulum_and_what_its_gradient_costs():
    experiment, result = solve()
    assert result.converged
    assert result.summary["forecast_error"] < 0.005 and result.summary["field_error"] < 0.01
    memory = dict(zip(result.arrays["costs_adjoints"].tolist(), result.arrays["costs_memory"]))
    assert memory["direct"][-1] > 100 * memory["checkpoint"][-1]
    assert memory["reversible"][-1] < 1.1 * memory["reversible"][0] and memory["two-level"][-1] < 1
    assert len(experiment.plot(result).axes) == 6


def test_one_coordinate_without_names(tmp_path):
    times = np.linspace(0, 3, 30)
    path = tmp_path / "decay.csv"
    path.write_text("\n".join(f"{t} 1 {np.exp(-t)}" for t in times))
    experiment, result = solve(input=path, hidden=4, layers=1, max_steps=60, costs=False)
    assert result.summary["forecast_error"] < 0.05
    experiment.plot(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no|is empty|no numbers"),
        ("t,trajectory,x0\n0,a,1\n1,a,2\n", "'a' has 2 points, at least 4"),
        ("t,trajectory,x0\n0,a,1\n1,a,2\n1,a,3\n2,a,3\n", "line 4: the times of trajectory 'a' must increase"),
        ("t,trajectory,x0\n0,a,1\n1,a,nan\n2,a,3\n3,a,3\n", "line 3, column 'x0': nan is not finite"),
        ("time,trajectory,x0\n0,a,1\n", "no column is called t"),
        ("t,trajectory\n0,a\n", "no coordinates"),
        ("t,x0\n" + "\n".join(f"{t},1" for t in range(40)), "x0 never changes"),
        ("t,x0\n" + "\n".join(f"{t},{t * t}" for t in range(6)), "too few points for windows of 8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        NeuralOde(input=path).prepare()


def test_options_that_make_no_sense(tmp_path):
    with pytest.raises(InputError, match=r"--adjoint: no adjoint 'revers'.*reversible"):
        NeuralOde(adjoint="revers").prepare()
    with pytest.raises(InputError, match="--noise is that of the built-in data"):
        NeuralOde(input=spiral(tmp_path / "spiral.csv"), noise=0.1).prepare()
