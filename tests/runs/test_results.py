"""Results: every bit survives the file; what cannot be kept is refused."""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.runs import Quantity, Result

ARRAYS = {
    "real": np.array([0.1, -0.0, np.nan, np.inf, 5e-324]),
    "complex": np.array([[1 + 2j, complex(np.nan, -0.0)]]),
    "single": np.linspace(0, 1, 7, dtype=np.float32),
    "whole": np.array([2**63 - 1, -(2**63)]),
    "small": np.array([255], np.uint8),
    "truth": np.array([True, False]),
    "scalar": np.asarray(0.1),
    "empty": np.zeros((0, 3)),
    "transposed": np.arange(6.0).reshape(2, 3).T,
}
SUMMARY = {"z": 0.1 + 0.2, "a": 7, "text": "Schrödinger", "nan": float("nan"), "yes": True}


def test_every_bit_survives(tmp_path):
    result = Result(ARRAYS, SUMMARY, converged=False, message="raise max_steps")
    result.save(tmp_path / "result.h5")
    loaded = Result.load(tmp_path / "result.h5")
    assert list(loaded.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        back = loaded.arrays[name]
        assert back.dtype == array.dtype and back.shape == array.shape
        assert back.tobytes() == array.tobytes()
    assert list(loaded.summary) == list(SUMMARY)
    assert repr(loaded.summary) == repr(SUMMARY)
    assert loaded.converged is False and loaded.message == "raise max_steps"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["result.h5"]


def test_the_file_is_plain_hdf5(tmp_path):
    Result({"x": np.arange(3.0)}, {"energy": -0.5}).save(tmp_path / "result.h5")
    with h5py.File(tmp_path / "result.h5") as file:
        assert file["x"][:].tolist() == [0, 1, 2]
        assert file.attrs["energy"] == -0.5 and file.attrs["converged"]


def test_jax_values_are_taken_to_the_host():
    result = Result({"x": jnp.arange(3)}, {"loss": jnp.asarray(0.25), "steps": np.int32(4)})
    assert type(result.arrays["x"]) is np.ndarray
    assert type(result.summary["loss"]) is float and type(result.summary["steps"]) is int


@pytest.mark.parametrize(
    ("arrays", "summary", "message"),
    [
        ({"x": np.array([None])}, {}, "numbers or texts"),
        ({"a/b": np.zeros(1)}, {}, "no '/' in names"),
        ({}, {"x": np.zeros(2)}, "real number or a text"),
        ({}, {"x": 1j}, "real number or a text"),
        ({}, {"converged": 1}, "field of the result"),
        ({}, {"x": Quantity(np.zeros(2))}, "real number or a text"),
    ],
)
def test_what_cannot_be_kept_is_refused(arrays, summary, message):
    with pytest.raises(TypeError, match=message):
        Result(arrays, summary)


def test_a_foreign_or_truncated_file_is_refused(tmp_path):
    path = tmp_path / "result.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="not the result of a run"):
        Result.load(path)
    with h5py.File(path, "w") as file:
        file["group/x"] = 1.0
    with pytest.raises(InputError, match="not the result of a run"):
        Result.load(path)
    Result({"x": np.arange(1000.0)}, {}).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="not the result of a run"):
        Result.load(path)


QUANTITIES = {
    "error": Quantity(jnp.asarray(1.2345e-7), "largest, at x = 2 bohr", "hartree", 2),
    "energy": Quantity(-0.51234567890123, digits=9),
    "steps": Quantity(np.int64(12), "of the optimiser"),
    "nodes": "a " * 40,
}


def test_quantities_keep_all_digits_and_say_what_they_mean(tmp_path):
    Result({}, QUANTITIES).save(tmp_path / "result.h5")
    loaded = Result.load(tmp_path / "result.h5")
    assert loaded.summary["error"] == 1.2345e-7 and loaded.summary["energy"] == -0.51234567890123
    assert type(loaded.summary["steps"]) is int
    assert str(loaded).splitlines() == [
        "error   1.2e-07 hartree  largest, at x = 2 bohr",
        "energy  -0.512345679",
        "steps   12               of the optimiser",
        "nodes   " + ("a " * 40).rstrip(),
    ]


def test_it_prints_its_summary():
    text = str(Result({}, {"energy": -0.5, "steps": 3}, converged=False, message="raise max_steps"))
    assert text.splitlines() == ["energy  -0.5", "steps   3", "not converged: raise max_steps"]
