"""Couplings up to the symmetries of the spectrum: hidden by random ones, found again."""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import SpinModel, chain, closest_equivalent, ring, square
from tests.spins import PAULI


def disguised(model, rng):
    """The same Hamiltonian after a random symmetry, written out without the library's tables of signs."""
    n = model.lattice.sites
    is_ring = len(model.lattice.bonds) == n
    sites = np.roll(np.arange(n)[:: rng.choice([1, -1])], rng.integers(n) if is_ring else 0)
    turns = [PAULI[letter] for letter in rng.choice(["I", "X", "Y", "Z"], n)]

    def sign(word, place):
        return np.prod(
            [np.trace(turns[i] @ PAULI[p] @ turns[i].conj().T @ PAULI[p]).real / 2 for p, i in zip(word.upper(), place)]
        )

    couplings = {}
    for kind, values in model.couplings.items():
        places = model.lattice.bonds if len(kind) == 2 else [(i,) for i in range(n)]
        where = {frozenset(place): k for k, place in enumerate(places)}
        moved = [values[where[frozenset(int(sites[i]) for i in place)]] for place in places]
        couplings[kind] = np.array([sign(kind, place) * value for place, value in zip(places, moved)])
    return SpinModel(model.lattice, couplings)


@pytest.mark.parametrize("kinds", [("zz", "x", "z"), ("zz", "x"), ("xx", "yy", "z")])
@pytest.mark.parametrize("lattice", [ring(5), chain(5), ring(2)], ids=["ring", "chain", "pair"])
def test_random_symmetries_are_undone(lattice, kinds):
    rng = np.random.default_rng(3)
    counts = {kind: len(lattice.bonds) if len(kind) == 2 else lattice.sites for kind in kinds}
    true = SpinModel(lattice, {kind: rng.normal(size=count) for kind, count in counts.items()})
    for _ in range(4):
        other = disguised(true, rng)
        np.testing.assert_allclose(np.linalg.eigvalsh(other.matrix()), np.linalg.eigvalsh(true.matrix()), atol=1e-12)
        found = closest_equivalent(other, true)
        for kind, values in true.couplings.items():
            np.testing.assert_array_equal(found.couplings[kind], values)


def test_turns_that_break_a_term_are_not_taken():
    """σ·σ with a negative coupling is no ferromagnet in disguise."""
    ferro, antiferro = (SpinModel(ring(4), {"xx+yy+zz": J}) for J in (-1.0, 1.0))
    np.testing.assert_array_equal(closest_equivalent(ferro, antiferro).couplings["xx+yy+zz"], -1)
    ising, anti_ising = (SpinModel(ring(4), {"zz": J}) for J in (-1.0, 1.0))
    np.testing.assert_array_equal(closest_equivalent(ising, anti_ising).couplings["zz"], 1)


def test_a_frustrated_ring_stays_frustrated():
    """The product of the signs around the ring is no matter of turns: one bond stays wrong."""
    found = closest_equivalent(SpinModel(ring(5), {"zz": 1.0}), SpinModel(ring(5), {"zz": -1.0}))
    assert sorted(np.asarray(found.couplings["zz"])) == [-1, -1, -1, -1, 1]


@pytest.mark.parametrize(
    ("model", "reference", "message"),
    [
        (SpinModel(square(3, 3), {"zz": 1.0}), SpinModel(square(3, 3), {"zz": 1.0}), "ring.*chain"),
        (SpinModel(ring(3), {"zz": 1.0}), SpinModel(ring(4), {"zz": 1.0}), "different models"),
        (SpinModel(ring(3), {"zz": 1.0}), SpinModel(ring(3), {"zz": 1.0, "x": 1.0}), "different models"),
        (SpinModel(ring(3), {"xy": 1.0}), SpinModel(ring(3), {"xy": 1.0}), "direction"),
    ],
)
def test_no_comparison(model, reference, message):
    with pytest.raises(InputError, match=message):
        closest_equivalent(model, reference)
