"""Files with spectra and states: what is read, and how each wrong one is refused."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import read_levels, read_state


def write(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_text(content)
    return path


@pytest.mark.parametrize(
    "text", ["energy\n3\n-1.5\n2e0\n", "\ufeff# levels\n\n 3 \n-1.5\n2\n", "3\n-1.5\n2", "E/J\r\n3\r\n-1.5\r\n2\r\n"]
)
def test_levels(tmp_path, text):
    np.testing.assert_array_equal(read_levels(write(tmp_path, "levels.csv", text)), [-1.5, 2, 3])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("levels.csv", "", "empty"),
        ("levels.csv", "# nothing\n\n", "no numbers"),
        ("levels.csv", "energy\n", "no numbers"),
        ("levels.csv", "energy\n1\ntwo\n", "line 3: 'two' is not a number"),
        ("levels.csv", "1,2\n3,4\n", "line 1 has 2 columns"),
        ("levels.csv", "energy\n1\n2 3\n", "line 3 has 2 columns"),
        ("levels.csv", "k,energy\n1,2\n", "2 columns"),
        ("levels.csv", "1\nnan\n", "line 2: nan is not finite"),
        ("levels.csv", "1\n-inf\n", "line 2: -inf is not finite"),
        ("levels.csv", "1\n", "two different energies"),
        ("levels.csv", "1\n1\n1\n", "two different energies"),
        ("levels.csv", b"\x00\xfe\xff\x01", "not a text file"),
        ("levels.pdf", "1\n2\n", "unknown kind of file '.pdf'"),
    ],
)
def test_no_levels(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_levels(write(tmp_path, name, content))
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_levels(tmp_path / "levels.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "amplitude\n3\n0\n-4\n0\n"),
        ("a.npz", {"state": np.array([3, 0, -4, 0])}),
        ("b.csv", "3e300\n0\n-4e300\n0"),
    ],
)
def test_states_are_normalised(tmp_path, name, content):
    np.testing.assert_allclose(read_state(write(tmp_path, name, content)), [0.6, 0, -0.8, 0], rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "1\n2\n3\n", r"2\^n amplitudes"),
        ("a.csv", "1\n", r"2\^n amplitudes"),
        ("a.csv", "0\n0\n", "zero"),
        ("a.npz", {"psi": np.ones(4)}, "array 'state', found psi"),
        ("a.npz", {"state": np.ones((2, 2))}, r"shape \(2, 2\)"),
        ("a.npz", {"state": np.array([1, 1j])}, "real numbers"),
        ("a.npz", {"state": np.array([1, np.nan])}, "number 2 is nan"),
        ("a.npz", b"no archive", "not an NPZ file"),
    ],
)
def test_no_state(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_state(write(tmp_path, name, content))
