"""Lattices: sites, bonds, and graphs that are none."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import Lattice, chain, ring, square


def test_ring_and_chain():
    assert chain(4).bonds == ((0, 1), (1, 2), (2, 3))
    assert ring(4).bonds == ((0, 1), (1, 2), (2, 3), (3, 0))
    assert chain(1).bonds == ()


def test_a_ring_of_two_sites_has_one_bond():
    assert ring(2) == chain(2)
    assert ring(2).bonds == ((0, 1),)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (2, 3), (2, 2), (1, 5), (4, 1)])
def test_square(rows, columns, periodic):
    """Neighbours are the sites at distance one, around the corner if periodic."""
    lattice = square(rows, columns, periodic=periodic)
    r, c = np.divmod(np.arange(rows * columns), columns)
    down, right = abs(r[:, None] - r), abs(c[:, None] - c)
    if periodic:
        down, right = np.minimum(down, rows - down), np.minimum(right, columns - right)
    adjacent = np.zeros((rows * columns, rows * columns), int)
    for i, j in lattice.bonds:
        adjacent[i, j] += 1
        adjacent[j, i] += 1
    np.testing.assert_array_equal(adjacent, (down + right == 1).astype(int))


@pytest.mark.parametrize(
    ("sites", "bonds", "message"),
    [
        (0, [], "at least one site"),
        (3, [(0, 3)], "sites are 0 to 2"),
        (3, [(1, 1)], "to itself"),
        (3, [(0, 1), (1, 0)], "twice"),
    ],
)
def test_no_lattice(sites, bonds, message):
    with pytest.raises(InputError, match=message):
        Lattice(sites, bonds)
