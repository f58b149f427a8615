"""Lattices: sites, and the bonds between them."""

from collections.abc import Iterable

import equinox as eqx

from pullback.core import InputError


class Lattice(eqx.Module):
    """A graph: sites 0 … n − 1, and bonds, each a pair of different sites.

    Nothing in it is differentiated. The order of the bonds is that of the couplings a model puts on them.

    Attributes:
        sites: number of sites.
        bonds: pairs of sites, none twice in either order.

    Examples:
        >>> Lattice(3, [(0, 1), (1, 2)]) == chain(3)
        True
    """

    sites: int = eqx.field(static=True)
    bonds: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __init__(self, sites: int, bonds: Iterable[tuple[int, int]]):
        """The lattice of these bonds.

        Raises:
            InputError: no site; a bond to a site that does not exist, from a site to itself, or given twice.
        """
        self.sites = sites
        self.bonds = tuple((int(i), int(j)) for i, j in bonds)
        if sites < 1:
            raise InputError(f"a lattice needs at least one site, got {sites}")
        for i, j in self.bonds:
            if not (0 <= i < sites and 0 <= j < sites):
                raise InputError(f"bond ({i}, {j}): the sites are 0 to {sites - 1}")
            if i == j:
                raise InputError(f"bond ({i}, {j}) joins a site to itself")
        pairs = [frozenset(bond) for bond in self.bonds]
        twice = [bond for bond, pair in zip(self.bonds, pairs) if pairs.count(pair) > 1]
        if twice:
            raise InputError(f"bond {twice[0]} is given twice: add the couplings up on one bond")


def chain(n: int) -> Lattice:
    """n sites in a row with open ends; bond i joins i and i + 1."""
    return Lattice(n, [(i, i + 1) for i in range(n - 1)])


def ring(n: int) -> Lattice:
    """n sites in a circle; bond i joins i and i + 1 (mod n), so the last one joins n − 1 and 0.

    No bond counts twice: a ring of two sites has one bond, that of `chain(2)`. (Formulas for the ring summed over
    sites count it twice there; double its coupling to compare.)
    """
    return chain(n) if n <= 2 else Lattice(n, [(i, (i + 1) % n) for i in range(n)])


def square(rows: int, columns: int, *, periodic: bool = True) -> Lattice:
    """A rectangle of the square lattice; site (r, c) is r * columns + c, bonds go right and down.

    The bonds of each site follow each other, the one to the right first. A direction of two sites has one bond
    between them, as in `ring`.
    """

    def steps(n: int) -> int:
        return n if periodic and n > 2 else n - 1

    bonds = []
    for r in range(rows):
        for c in range(columns):
            if c < steps(columns):
                bonds.append((r * columns + c, r * columns + (c + 1) % columns))
            if r < steps(rows):
                bonds.append((r * columns + c, (r + 1) % rows * columns + c))
    return Lattice(rows * columns, bonds)
