"""Density files: every accepted form, and one clear line for every wrong one."""

import h5py
import numpy as np
import pytest

from pullback.core import InputError
from pullback.schrodinger import read_densities

X = np.linspace(-1.0, 1.0, 7)
RHO = 1 - X**2 / 2


def csv(path, text):
    path.write_text(text)
    return path


def rows(*columns, separator=","):
    return "\n".join(separator.join(repr(float(v)) for v in row) for row in zip(*columns))


@pytest.mark.parametrize("separator", [",", ", ", "\t", " ", ";"])
@pytest.mark.parametrize("header", [False, True])
def test_csv_with_two_columns(tmp_path, header, separator):
    text = (f"x{separator}density\n" if header else "") + rows(X, RHO, separator=separator)
    data = read_densities(csv(tmp_path / "rho.csv", text))
    np.testing.assert_array_equal(data.axes, [X])
    np.testing.assert_array_equal(data.densities[None], RHO)


def test_csv_as_spreadsheets_and_numpy_write_it(tmp_path):
    data = read_densities(csv(tmp_path / "a.csv", "\ufeffX,Density\r\n" + rows(X, RHO).replace("\n", "\r\n")))
    np.testing.assert_array_equal(data.densities[None], RHO)
    np.savetxt(tmp_path / "b.txt", np.stack([X, RHO], 1), header="a comment")
    np.testing.assert_array_equal(read_densities(tmp_path / "b.txt").densities[None], RHO)


def test_columns_in_any_order_and_several_states(tmp_path):
    data = read_densities(csv(tmp_path / "rho.csv", "density_3,note,X,density_0\n" + rows(RHO, 0 * X, X, 2 * RHO)))
    np.testing.assert_array_equal(data.axes, [X])
    np.testing.assert_array_equal(data.densities[3], RHO)
    np.testing.assert_array_equal(data.densities[0], 2 * RHO)
    assert sorted(data.densities) == [0, 3]


def test_npz_and_hdf5(tmp_path):
    np.savez(tmp_path / "rho.npz", x=X, density=RHO.astype(np.float32))
    with h5py.File(tmp_path / "rho.h5", "w") as file:
        file["x"], file["density_1"], file["other"] = X, RHO, "text"
    np.testing.assert_array_equal(read_densities(tmp_path / "rho.npz").densities[None], RHO.astype(np.float32))
    np.testing.assert_array_equal(read_densities(tmp_path / "rho.h5").densities[1], RHO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "holds no rows"),
        ("x,density\n", "at least 5 points"),
        (rows(X[:3], RHO[:3]), "at least 5 points"),
        (rows(X, RHO).replace("0.5", "nan", 1), "line 1, column 'density': nan is not finite"),
        (rows(X, np.where(X[4] == X, np.inf, RHO)), "line 5, column 'density': inf is not finite"),
        (rows(X, RHO - 0.6), "negative at point 1"),
        (rows(X, 0 * X), "zero everywhere"),
        (rows(X[[0, 1, 3, 2, 4, 5]], RHO[:6]), "x must increase, but .*point 4"),
        (rows(X[[0, 1, 1, 2, 3, 4]], RHO[:6]), "x must increase"),
        ("a,b\n1,2\n", "line 1, column 'x': 'a' is not a number"),
        ("x,density\n0,1\n1,one\n", "line 3, column 'density': 'one' is not a number"),
        ("x,rho\n" + rows(X, RHO), "needs 'density' .* found x, rho"),
        ("t,density\n" + rows(X, RHO), "needs 'x' and 'density' .* found t, density"),
        ("x,density,density_1\n" + rows(X, RHO, RHO), "number it"),
        ("x,density,density\n" + rows(X, RHO, RHO), "appears twice"),
        (rows(X, RHO, RHO), "line 1 has 3 columns, needs 2"),
        ("x,density\n0,1\n2\n", "line 3 has 1 columns"),
    ],
)
def test_wrong_csv(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_densities(csv(tmp_path / "rho.csv", text))
    assert "\n" not in str(caught.value) and "rho.csv" in str(caught.value)


def test_wrong_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_densities(tmp_path / "missing.csv")
    with pytest.raises(InputError, match=r"unknown kind of file '.dat'; known are .csv"):
        read_densities(csv(tmp_path / "rho.dat", "1,2"))
    (tmp_path / "rho.csv").write_bytes(b"\x00\xfe\xff\x80")
    for name, message in (("rho.csv", "not a text file"), ("rho.npz", "not an NPZ file"), ("rho.h5", "not an HDF5")):
        (tmp_path / name).write_bytes(b"\x00\xfe\xff\x80")
        with pytest.raises(InputError, match=message):
            read_densities(tmp_path / name)
    np.savez(tmp_path / "text.npz", x=X, density=np.array(["a"] * 7))
    with pytest.raises(InputError, match="real numbers are needed"):
        read_densities(tmp_path / "text.npz")
    np.savez(tmp_path / "keys.npz", x=X, rho=RHO)
    with pytest.raises(InputError, match="found x, rho"):
        read_densities(tmp_path / "keys.npz")
    np.savez(tmp_path / "short.npz", x=X, density=RHO[:5])
    with pytest.raises(InputError, match=r"density has shape \(5,\), x has \(7,\)"):
        read_densities(tmp_path / "short.npz")
