"""Symmetry sectors: all of them together are the whole spectrum; their states are states of the whole space."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import operators
from pullback.core import InputError
from pullback.lattices import (
    FermionModel,
    OperatorModel,
    Sector,
    SectorModel,
    SpinModel,
    hubbard,
    ring,
    square,
)
from pullback.trust import check_derivatives
from tests.lattices.references import hubbard_matrix, kronecker, spin_kronecker

RNG = np.random.default_rng(0)


def heisenberg(*args, **options):
    return OperatorModel(operators.heisenberg(*args, **options))


def transverse_ising(n, g):
    return SpinModel(ring(n), {"zz": -1.0, "x": -1.0 * g})


def levels_of(model, sectors):
    """The levels of all these sectors that exist."""
    levels = []
    for sector in sectors:
        try:
            part = model.in_sector(sector)
        except InputError as error:
            if "no state" not in str(error):
                raise
            continue
        matrix = np.asarray(jax.jit(SectorModel.matrix)(part))
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-14)
        levels.append(np.linalg.eigvalsh(matrix))
    return np.sort(np.concatenate(levels))


def heisenberg_sectors(n):
    """Every momentum and magnetisation; parity and spin inversion where they go with these."""
    for k, twice in itertools.product(range(n), range(-n, n + 1, 2)):
        signs = itertools.product((1, -1) if 2 * k % n == 0 else (None,), (1, -1) if twice == 0 else (None,))
        for parity, inversion in signs:
            yield Sector(magnetisation=twice / 2, momentum=k, parity=parity, spin_inversion=inversion)


def test_all_sectors_of_a_ring():
    """Every momentum; parity and spin inversion where they go with it."""
    model = SpinModel(ring(6), {"xx+yy": 0.25, "zz": 0.3, "x": 0.2})
    sectors = [
        Sector(momentum=k, parity=parity, spin_inversion=inversion)
        for k in range(6)
        for parity in ((1, -1) if k in (0, 3) else (None,))
        for inversion in (1, -1)
    ]
    exact = np.linalg.eigvalsh(kronecker(6, ring(6).bonds, model.couplings).real)
    np.testing.assert_allclose(levels_of(model, sectors), exact, atol=1e-12)


@pytest.mark.slow
def test_all_sectors_of_the_heisenberg_ring():
    model = SpinModel(ring(8), {"xx+yy": 0.25, "zz": 0.3})
    exact = np.linalg.eigvalsh(kronecker(8, ring(8).bonds, model.couplings).real)
    levels = levels_of(model, heisenberg_sectors(8))
    assert levels.size == 256
    np.testing.assert_allclose(levels, exact, atol=1e-12)


def test_all_sectors_of_a_hubbard_ring():
    """Fermion signs: three sites, momenta, parity, spin exchange; against matrices of c and c†."""
    sectors = [Sector(momentum=k, spin_inversion=z) for k in (1, 2) for z in (1, -1)]
    sectors += [Sector(momentum=0, parity=p, spin_inversion=z) for p in (1, -1) for z in (1, -1)]
    exact = np.linalg.eigvalsh(hubbard_matrix(3, ring(3).bonds, 1.0, 3.0))
    np.testing.assert_allclose(levels_of(hubbard(ring(3), 1.0, 3.0), sectors), exact, atol=1e-12)


@pytest.mark.slow
def test_all_sectors_of_a_hubbard_ring_with_numbers_of_particles():
    sectors = []
    for up, down, k in itertools.product(range(5), range(5), range(4)):
        signs = itertools.product((1, -1) if k in (0, 2) else (None,), (1, -1) if up == down else (None,))
        sectors += [Sector(particles=(up, down), momentum=k, parity=p, spin_inversion=z) for p, z in signs]
    exact = np.linalg.eigvalsh(hubbard_matrix(4, ring(4).bonds, 1.0, 3.0))
    np.testing.assert_allclose(levels_of(hubbard(ring(4), 1.0, 3.0), sectors), exact, atol=1e-12)


def test_hubbard_ring_with_flux():
    model = hubbard(ring(3), 1.0, 3.0, phase=0.3)
    exact = hubbard_matrix(3, ring(3).bonds, 1.0, 3.0, 0.3)
    np.testing.assert_allclose(model.matrix(), exact, atol=1e-13)
    psi = RNG.normal(size=64) + 1j * RNG.normal(size=64)
    np.testing.assert_allclose(model.apply(jnp.asarray(psi)), exact @ psi, atol=1e-12)
    sectors = [Sector(momentum=k) for k in range(3)]
    np.testing.assert_allclose(levels_of(model, sectors), np.linalg.eigvalsh(exact), atol=1e-12)


def test_spinless_fermions():
    """Free ones: levels are sums of −2t cos k, for odd numbers of particles with k = 2πm/L."""
    model = FermionModel(ring(6), {"hop": -1.0}, spinless=True)
    band = -2 * np.cos(2 * np.pi * np.arange(6) / 6)
    exact = sorted(sum(three) for three in itertools.combinations(band, 3))
    sectors = [Sector(particles=3, momentum=k) for k in range(6)]
    np.testing.assert_allclose(levels_of(model, sectors), exact, atol=1e-12)


def test_spins_of_one():
    model = heisenberg(4, spin=1.0)
    exact = spin_kronecker(4, ring(4).bonds, 1.0, lambda a, b: sum(x @ y for x, y in zip(a, b)))
    np.testing.assert_allclose(model.matrix(), exact, atol=1e-13)
    psi = RNG.normal(size=81)
    np.testing.assert_allclose(model.apply(jnp.asarray(psi)), exact @ psi, atol=1e-12)
    sectors = [Sector(momentum=k, spin_inversion=z) for k in range(4) for z in (1, -1)]
    np.testing.assert_allclose(levels_of(model, sectors), np.linalg.eigvalsh(exact), atol=1e-12)
    half = model.in_sector(Sector(magnetisation=2.0)).matrix()
    total = np.rint(np.diag(spin_kronecker(4, [(i, i) for i in range(4)], 1.0, lambda a, b: b[2])).real)
    np.testing.assert_allclose(half, exact[np.ix_(total == 2, total == 2)].real, atol=1e-13)


def test_two_directions():
    """A 2 × 3 torus, and the same translations as permutations."""
    lattice = square(2, 3)
    model = SpinModel(lattice, {"zz": -1.0, "x": -0.7})
    sectors = [Sector(momentum=k, shape=(2, 3)) for k in np.ndindex(2, 3)]
    levels = levels_of(model, sectors)
    np.testing.assert_allclose(levels, np.linalg.eigvalsh(model.matrix()), atol=1e-12)
    steps = ((3, 4, 5, 0, 1, 2), 1.0 + 0j), ((1, 2, 0, 4, 5, 3), 1.0 + 0j)
    same = model.in_sector(Sector(permutations=steps))
    np.testing.assert_allclose(same.matrix(), model.in_sector(sectors[0]).matrix(), atol=1e-14)


@pytest.mark.usefixtures("no_type_checks")
def test_lists_and_whole_numbers_of_any_type():
    assert Sector(particles=[1, 1.0]) == Sector(particles=(1, 1))
    assert Sector(momentum=np.array([0, 1]), shape=[2, 3]) == Sector(momentum=(0, 1), shape=(2, 3))


def test_one_magnon_of_a_long_ring():
    """J (cos k − 1) above the ferromagnet, in milliseconds: no table of 2^(L/2) numbers is made."""
    sites, k = 60, 7
    model = heisenberg(sites, -1.0)
    part = model.in_sector(Sector(magnetisation=sites / 2 - 1, momentum=k))
    assert part.dimension == 1
    exact = -sites / 4 + 1 - np.cos(2 * np.pi * k / sites)
    assert float(part.matrix()[0, 0].real) == pytest.approx(exact, abs=1e-12)
    assert model.in_sector(Sector(magnetisation=sites / 2 - 1)).dimension == sites


def random_families(rng):
    """(a model, its dense matrix, sectors that make up its space), at random."""
    n = int(rng.integers(3, 7))
    J, U = rng.normal(size=2)
    totals = rng.random() < 0.5
    if rng.random() < 0.5:
        model = SpinModel(ring(n), {"xx+yy": J, "zz": U})
        numbers = [{"magnetisation": m - n / 2} for m in range(n + 1)] if totals else [{}]

        def self_dual(given):
            return given.get("magnetisation", 0) == 0
    else:
        n = min(n, 4)
        model = hubbard(ring(n), J, U)
        pairs = itertools.product(range(n + 1), repeat=2)
        numbers = [{"particles": pair} for pair in pairs] if totals else [{}]

        def self_dual(given):
            return len(set(given.get("particles", ()))) < 2

    translations, reflections, inversions = rng.random(3) < [0.7, 0.6, 0.6]
    sectors = []
    for given in numbers:
        for k in range(n) if translations else (None,):
            mirrored = reflections and (k is None or 2 * k % n == 0)
            for parity in (1, -1) if mirrored else (None,):
                for z in (1, -1) if inversions and self_dual(given) else (None,):
                    sectors.append(Sector(**given, momentum=k, parity=parity, spin_inversion=z))
    return model, sectors


@pytest.mark.slow
def test_three_hundred_random_sectors():
    """Dimensions add up to the whole space, and all levels are those of the dense matrix; states have length one."""
    rng, count = np.random.default_rng(5), 0
    while count < 300:
        model, sectors = random_families(rng)
        space = model.dimension
        exact = np.linalg.eigvalsh(np.asarray(model.matrix()))
        levels = levels_of(model, sectors)
        assert levels.size == space, sectors
        np.testing.assert_allclose(levels, exact, atol=1e-11)
        count += len(sectors)


@pytest.mark.parametrize(
    ("model", "sector"),
    [
        pytest.param(heisenberg(6), Sector(momentum=1, magnetisation=1.0), marks=pytest.mark.slow),
        (hubbard(ring(4), 1.0, 2.0, phase=0.2), Sector(momentum=1, particles=(2, 1))),
    ],
    ids=["spins", "fermions"],
)
def test_states_of_a_sector_are_states_of_the_whole_space(model, sector):
    part = model.in_sector(sector)
    psi = RNG.normal(size=part.dimension) + 1j * RNG.normal(size=part.dimension)
    psi = jnp.asarray(psi / np.linalg.norm(psi))
    full = part.expand(psi)
    assert float(jnp.linalg.norm(full)) == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(part.expand(part.apply(psi)), model.apply(full), atol=1e-13)
    np.testing.assert_allclose(part.matrix() @ psi, part.apply(psi), atol=1e-14)


@pytest.mark.slow
def test_derivatives():
    sector = Sector(momentum=1)
    psi = jnp.asarray(RNG.normal(size=9) + 1j * RNG.normal(size=9))

    def results(zz, x, psi):
        part = SpinModel(ring(6), {"zz": zz, "x": x}).in_sector(sector)
        return part.apply(psi), part.matrix(), part.expand(psi)

    check_derivatives(results, -1.0, -0.7, psi, modes=("jvp", "vjp", "fwd-rev"), samples=1, throw=True)


def test_single_couplings_share_the_derivative_of_their_orbit():
    """dE/dθ_i of a symmetric model is that of the whole space: ⟨P_i⟩, the same for all i."""
    model = transverse_ising(6, 0.8)
    symmetric = Sector(momentum=0, parity=1)
    part = jax.jit(jax.grad(lambda m: jnp.linalg.eigvalsh(m.in_sector(symmetric).matrix())[0]))(model)
    full = jax.jit(jax.grad(lambda m: jnp.linalg.eigvalsh(m.matrix())[0]))(model)
    for kind in model.couplings:
        np.testing.assert_allclose(part.couplings[kind], full.couplings[kind], atol=1e-13)


def test_terms_that_conserve_only_together():
    """σxσx and σyσy change the magnetisation, their sum does not."""
    model = SpinModel(ring(4), {"xx": 0.25, "yy": 0.25, "zz": 0.25})
    same = heisenberg(4).in_sector(Sector(magnetisation=0.0))
    np.testing.assert_allclose(model.in_sector(Sector(magnetisation=0.0)).matrix(), same.matrix(), atol=1e-15)


UNEVEN = SpinModel(ring(4), {"zz": -1.0, "x": np.array([1.0, 1.0, 1.0, 0.9])})


@pytest.mark.parametrize(
    ("model", "sector", "message"),
    [
        (UNEVEN, {"momentum": 0}, "does not conserve"),
        (transverse_ising(4, 1.0), {"magnetisation": 0.0}, "does not conserve"),
        (SpinModel(ring(4), {"zz": 1.0, "z": 0.1}), {"spin_inversion": 1}, "does not conserve"),
        (heisenberg(4), {"magnetisation": 3.0}, "no state"),
        (heisenberg(4), {"magnetisation": 0.5}, "no magnetisation 0.5"),
        (heisenberg(4), {"momentum": 1, "parity": 1}, "no state"),
        (heisenberg(4), {"parity": 2}, "1, -1 or None"),
        (heisenberg(4), {"particles": 2}, "give the magnetisation"),
        (heisenberg(4), {"momentum": (0, 0)}, "needs shape"),
        (heisenberg(4), {"momentum": (0, 0), "shape": (2, 3)}, "4 sites"),
        (heisenberg(4), {"permutations": (((0, 0, 1, 2), 1),)}, "not a permutation"),
        (hubbard(ring(3)), {"magnetisation": 0.5}, r"particles=\(up, down\)"),
        (heisenberg(4), {"magnetisation": 0.0, "particles": 1}, "one of them"),
        (heisenberg(6), {"magnetisation": 1, "spin_inversion": 1}, "spin inversion goes with"),
        (heisenberg(5), {"magnetisation": 0.5, "momentum": 0, "spin_inversion": -1}, "spin inversion goes with"),
        (heisenberg(4, spin=1.0), {"magnetisation": 1, "spin_inversion": 1}, "spin inversion goes with"),
        (hubbard(ring(3)), {"particles": (2, 1), "spin_inversion": 1}, "spin inversion goes with"),
        (hubbard(ring(3)), {"particles": (1.5, 1)}, "particles is a whole number"),
        (hubbard(ring(3)), {"particles": (1, 1, 1)}, "or .up, down."),
        (heisenberg(64), {"magnetisation": 31}, "more than integers"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_sectors(model, sector, message):
    with pytest.raises(InputError, match=message):
        model.in_sector(Sector(**sector))


def test_traced_couplings_are_checked():
    def level(x):
        model = SpinModel(ring(4), {"zz": -1.0, "x": x * jnp.arange(1.0, 5.0)})
        return model.in_sector(Sector(momentum=0)).diagonal

    with pytest.raises(Exception, match="does not conserve"):
        jax.block_until_ready(jax.jit(level)(1.0))
