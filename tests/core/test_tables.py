"""Tables as people and programs write them: the same numbers from all forms, one line about what cannot be read."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pullback.core import InputError, data_file, read_table

ROWS = [[0.0, 1.5], [-2.0, 3e-4], [4.0, -0.25]]
FORMS = {
    "commas": b"0,1.5\n-2,3e-4\n4,-0.25\n",
    "spaces after commas, no last line end": b" 0 , 1.5\n-2, 3E-4\n4, -.25",
    "spaces": b"0   1.5\n  -2 3e-4\n4 -0.25\n",
    "tabs": b"0\t1.5\n-2\t3e-4\n4\t-0.25\n",
    "tabs and spaces": b"0\t1.5\n-2 3e-4\n4 \t -0.25\n",
    "semicolons, decimal commas": b"0;1,5\n-2;3e-4\n4;-0,25\n",
    "tabs, decimal commas": b"0\t1,5\n-2\t3e-4\n4\t-,25\n",
    "spreadsheet": b"\xef\xbb\xbfsep=;\r\n0;1,5\r\n-2;3e-4\r\n4;-0,25\r\n;\r\n",
    "old line ends": b"0,1.5\r-2,3e-4\r4,-0.25\r",
    "utf-16": "0,1.5\n-2,3e-4\n4,-0.25\n".encode("utf-16"),
    "quotes": b'"0","1.5"\n"-2","3e-4"\n"4","-0.25"\n',
    "comments": b"# one\n\n0,1.5\n % two\n-2,3e-4\n4,-0.25\n",
    "a delimiter at every end": b"0,1.5,\n-2,3e-4,\n4,-0.25,\n",
    "Fortran": b" 0.0D+0 1.5D0\n-2.d0 3D-4\n4 -0.25\n",
    "minus signs": "0,1.5\n−2,3e−4\n4,−0.25\n".encode(),
    "compressed": gzip.compress(b"0,1.5\n-2,3e-4\n4,-0.25\n", mtime=0),
}


def read(folder, data, name="t.csv"):
    (folder / name).write_bytes(data)
    return read_table(data_file(folder / name))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_numbers(tmp_path, form):
    _, table = read(tmp_path, FORMS[form]).named(False, ("x", "y"))
    np.testing.assert_array_equal(np.stack([table.numbers(0, "x"), table.numbers(1, "y")], 1), ROWS)


def test_names_of_columns_and_the_index_of_pandas(tmp_path):
    for text in (b",X,Note\n0,1,a\n1,2,b\n", b"Unnamed: 0;x;note\n0;1;a\n1;2;b\n"):
        names, table = read(tmp_path, text).named(True, ())
        assert names == ["x", "note"] and [cells for _, cells in table.rows] == [["1", "a"], ["2", "b"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0,1\n2,nan\n", "line 2, column 'y': nan is not finite"),
        (b"# c\n0,-Infinity\n", "line 2, column 'y': -Infinity is not finite"),
        (b"0,1e999\n", "line 1, column 'y': 1e999 is not finite"),
        (b"0,1\n1,1.o\n", "line 2, column 'y': '1.o' is not a number"),
        (b"0,1_0\n", "'1_0' is not a number"),
        ("0,١\n".encode(), "is not a number"),
        (b"0,\n1,2\n", "line 1, column 'y': '' is not a number"),
        (b'0,"1,500"\n', "'1,500' is not a number"),  # of thousands, or decimal?
        (b"0;1.234,5\n", "'1.234,5' is not a number"),
        (b"0;1,5\n1;2.5\n", "line 2, column 'y': '2.5' has a point, other numbers of this file have decimal commas"),
        (b"0 1,5\n", "line 1 has 2 columns|'0 1' are several numbers between commas"),
        (b"0,1\n1\n", "line 2 has 1 columns, needs 2: x, y"),
        (b"0,1\n1,2,3\n", "line 2 has 3 columns, needs 2: x, y"),
        (b'0,"1\n', "line 1: cannot be read"),
        (b"0,1\n1;2\n", "line 2 has 1 columns"),
        (b"\x00\x01\x02", "not a text file"),
        (b"\xff\xfe\x00", "not a text file"),
        ("0,é\n".encode("latin-1"), "not in UTF-8"),
        (gzip.compress(b"0,1\n", mtime=0)[:-5], "not a whole gzip file"),
        (gzip.compress(b"0,1\n" * 99, mtime=0)[:12] + b"\x00" * 20, "not a whole gzip file"),
        (b"", "is empty"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path, data, message):
    def numbers():
        _, table = read(tmp_path, data).named(False, ("x", "y"))
        return table.numbers(0, "x"), table.numbers(1, "y")

    with pytest.raises(InputError, match=message) as error:
        numbers()
    assert "\n" not in str(error.value) and "t.csv" in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        data_file(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        data_file(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="not an ordinary file"):
        data_file(Path("/dev/null"))
    with pytest.raises(InputError, match="cannot be read"):
        data_file(Path("a" * 5000))
    (tmp_path / "t.csv.gz").write_bytes(FORMS["compressed"])
    assert data_file(tmp_path / "t.csv.gz", (".csv",))
    with pytest.raises(InputError, match=r"unknown kind of file '.gz'; known are .txt"):
        data_file(tmp_path / "t.csv.gz", (".txt",))
