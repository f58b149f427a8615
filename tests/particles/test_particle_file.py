"""Particle files: what is read, and one line for each way a file can be wrong."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.particles import read_particles


def test_columns_in_any_order(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "# box: 9.5\n# made by hand\nspecies; Diameter; y; x\nbig; 1.4; 2; 1\ntiny; 1; 4; 3\nbig; 1.5; 6; 5\n"
    )
    data = read_particles(path)
    np.testing.assert_array_equal(data.positions, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(data.diameters, [1.4, 1, 1.5])
    assert data.names == ("big", "tiny") and data.species.tolist() == [0, 1, 0] and data.box == 9.5


def test_without_header_and_species(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("1 2 1.4\n3 4 1\n5 6 1.4\n")
    data = read_particles(path)
    assert data.names == ("1.4", "1") and data.species.tolist() == [0, 1, 0] and data.box is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("x,y,diameter\n", "at least 3 particles, found 0"),
        ("1,2,1\n3,4,1\n", "at least 3 particles, found 2"),
        ("1,2\n", "line 1 has 2 columns"),
        ("x,y,diametre\n1,2,1\n", "unknown column 'diametre'. Did you mean 'diameter'"),
        ("x,y,species\n1,2,a\n", "diameter missing"),
        ("x,y,diameter,x\n1,2,1,1\n", "appears twice"),
        ("x,y,diameter\n1,2,1\n3,4\n", "line 3 has 2 columns, needs 3"),
        ("x,y,diameter\n1,2,1\n3,a,1\n", "line 3, column 'y': 'a' is not a number"),
        ("1,2,1\n3,4,1\n5,nan,1\n", "line 3, column 'y': nan"),
        ("1,2,1\n3,4,0\n5,6,1\n", "line 2: diameter 0"),
        ("1,2,1\n3,4,1\n1,2,2\n", "lines 1 and 3: two particles at the same place"),
        ("x,y,diameter,species\n1,2,1,a\n3,4,1,\n5,6,1,a\n", "line 3: the species is empty"),
        ("# box: a\n1,2,1\n3,4,1\n5,6,2\n", "box 'a' is not a number"),
        ("# box: 7\n# box: 8\n1,2,1\n3,4,1\n5,6,2\n", "given 2 times"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "p.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_particles(path)
    assert "\n" not in str(error.value)


def test_not_a_particle_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_particles(tmp_path / "none.csv")
    (tmp_path / "p.xyz").write_text("1")
    with pytest.raises(InputError, match="unknown kind of file"):
        read_particles(tmp_path / "p.xyz")
    (tmp_path / "p.csv").write_bytes(b"\x00\xfe\xff")
    with pytest.raises(InputError, match="not a text file"):
        read_particles(tmp_path / "p.csv")
