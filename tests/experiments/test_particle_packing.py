"""particle-packing: the derivative against packings minimised again, rattlers, files, what is refused."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.particle_packing import ParticlePacking
from pullback.runs import Run


def solve(**options):
    experiment = ParticlePacking(**options)
    return experiment, experiment.run(experiment.prepare(), Run.null())


@pytest.fixture(scope="module")
def packing():
    return solve(discs=18, seed=0)


def test_derivative_and_certificates(packing):
    _, result = packing
    summary, arrays = result.summary, result.arrays
    assert result.converged and result.message == ""
    assert summary["difference"] < 1e-6 and summary["residual"] < 1e-12 and summary["max_force"] < 1e-13
    assert summary["rattlers"] > 0 and summary["zero_modes"] == 2 + 2 * summary["rattlers"]
    assert summary["lowest_stiffness"] > 0
    scale = np.abs(arrays["derivative"]).max()
    np.testing.assert_allclose(arrays["derivative"], arrays["differences"], atol=1e-6 * scale)
    np.testing.assert_allclose(arrays["derivative"].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(arrays["derivative"][arrays["rattlers"]], 0, atol=1e-12)


def test_the_saved_packing_is_at_rest(packing):
    """Forces of the contacts in the file, by NumPy alone, cancel at every disc; pressure by the virial."""
    _, result = packing
    arrays, box = result.arrays, float(result.arrays["box"])
    i, j = arrays["contacts"].T
    d = arrays["positions"][i] - arrays["positions"][j]
    d -= box * np.round(d / box)
    r, sigma = np.linalg.norm(d, axis=1), (arrays["diameters"][i] + arrays["diameters"][j]) / 2
    np.testing.assert_allclose(1 - r / sigma, arrays["overlaps"], atol=1e-12)
    push = ((1 - r / sigma) / sigma / r)[:, None] * d
    force = np.zeros_like(arrays["positions"])
    np.add.at(force, i, push)
    np.add.at(force, j, -push)
    np.testing.assert_allclose(force, 0, atol=1e-12)
    assert result.summary["energy"] == pytest.approx(np.sum((1 - r / sigma) ** 2) / 2, rel=1e-12)
    assert result.summary["pressure"] == pytest.approx(np.sum(push * d) / (2 * box**2), rel=1e-12)
    assert np.pi / 4 * np.sum(arrays["diameters"] ** 2) / box**2 == pytest.approx(0.9)


def test_figure(packing):
    experiment, result = packing
    left, middle, right = experiment.plot(result).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["small", "large ↑", "rattlers"]
    held = int((~result.arrays["rattlers"]).sum())
    assert sum(line.get_xdata().size for line in middle.lines[:2]) == held
    assert right.get_yscale() == "log"


@pytest.mark.slow
def test_a_file_gives_the_same_packing(packing, tmp_path):
    """The packing found, written to a file in other units and shifted out of the box."""
    _, result = packing
    arrays, box = result.arrays, float(result.arrays["box"])
    rows = [
        f"{x - 3 * box:.17g},{y:.17g},{d:.17g},{'ab'[kind]}"
        for (x, y), d, kind in zip(arrays["positions"], arrays["diameters"], arrays["species"])
    ]
    path = tmp_path / "particles.csv"
    path.write_text("\n".join(["x,y,diameter,species", *rows]))
    experiment = ParticlePacking(input=path, box=box, species="b")
    problem = experiment.prepare()
    assert any("wrapped: 18 of 18" in note for note in problem.notes)
    again = experiment.run(problem, Run.null())
    assert again.converged
    np.testing.assert_allclose(again.arrays["derivative"], arrays["derivative"], atol=1e-7)


@pytest.mark.slow
def test_below_jamming():
    experiment, result = solve(discs=8, packing_fraction=0.4)
    assert not result.converged and "below jamming" in result.message
    assert result.summary["rattlers"] == 8
    assert len(experiment.plot(result).axes) == 3


@pytest.mark.slow
def test_not_at_rest():
    _, result = solve(discs=8, max_steps=3)
    assert not result.converged and "--max-steps" in result.message


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({}, "1,1,1\n3,3,1\n5,5,1\n", "add --box"),
        ({"box": 7.0, "discs": 5}, "1,1,1\n3,3,1\n5,5,1\n", "--discs: the discs are those of --input"),
        ({"box": 1.5}, "1,1,1\n3,3,1\n5,5,1\n", "half of the box"),
        ({"box": 7.0, "species": "2"}, "1,1,1\n3,3,1\n5,5,1\n", "--species: no species '2'"),
        ({"box": 2.0}, "0.5,1,1\n1.5,1,1\n2.5,1,1\n", "same place"),
    ],
)
def test_bad_files(tmp_path, options, content, message):
    path = tmp_path / "particles.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        ParticlePacking(input=path, **options).prepare()
    assert "\n" not in str(error.value)


def test_options_that_make_no_sense():
    with pytest.raises(InputError, match="--box goes with --input"):
        ParticlePacking(box=5.0).prepare()
    with pytest.raises(InputError, match="half of the box"):
        ParticlePacking(discs=3, ratio=10.0).prepare()
