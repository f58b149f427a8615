"""Spin models against Kronecker products, free fermions and published energies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import Lattice, OperatorModel, SpinModel, chain, ring, square
from pullback.linalg import eigvalsh
from pullback.operators import heisenberg, transverse_ising
from pullback.trust import check_derivatives
from tests.lattices.references import kronecker
from tests.spins import ising_ring_levels

RNG = np.random.default_rng(0)
CASES = {
    "Ising ring": (ring(5), ("zz", "x", "z")),
    "XYZ chain": (chain(4), ("xx", "yy", "zz")),
    "Heisenberg, square": (square(2, 3), ("xx+yy+zz", "z")),
    "sums on sites": (chain(3), ("x+z", "y")),
    "with directions": (Lattice(4, [(3, 1), (0, 2), (1, 0)]), ("xy", "yz", "y")),
    "one spin": (chain(1), ("x", "z")),
}


def random_model(lattice, kinds):
    counts = {kind: len(lattice.bonds) if len(kind.split("+")[0]) == 2 else lattice.sites for kind in kinds}
    return SpinModel(lattice, {kind: RNG.normal(size=count) for kind, count in counts.items()})


@pytest.mark.parametrize("case", CASES)
def test_matrix_and_product_are_those_of_kronecker_products(case):
    model = random_model(*CASES[case])
    exact = kronecker(model.lattice.sites, model.lattice.bonds, model.couplings)
    matrix = jax.jit(SpinModel.matrix)(model)
    np.testing.assert_allclose(matrix, exact, atol=1e-14)
    assert jnp.iscomplexobj(matrix) == np.iscomplexobj(np.real_if_close(exact))
    psi = RNG.normal(size=model.dimension) + 1j * RNG.normal(size=model.dimension)
    np.testing.assert_allclose(jax.jit(SpinModel.apply)(model, jnp.asarray(psi)), exact @ psi, atol=1e-13)


def test_derivatives():
    model = random_model(*CASES["with directions"])
    psi = jnp.asarray(RNG.normal(size=model.dimension) + 0j)
    modes = ("jvp", "vjp", "fwd-rev")
    check_derivatives(lambda m, psi: (m.apply(psi), m.matrix()), model, psi, modes=modes, samples=1, throw=True)


def test_the_gradient_of_an_energy_is_a_model_of_expectation_values():
    """Hellmann–Feynman: dE0/dθ = ⟨P⟩."""
    model = random_model(ring(4), ("zz", "x"))
    slope = jax.jit(jax.grad(lambda m: eigvalsh(m.matrix())[0]))(model)
    _, vectors = np.linalg.eigh(kronecker(4, model.lattice.bonds, model.couplings).real)
    psi = vectors[:, 0]
    for kind, slopes in slope.couplings.items():
        for place, unit in enumerate(np.eye(4)):
            expectation = psi @ kronecker(4, model.lattice.bonds, {kind: unit}).real @ psi
            assert float(slopes[place]) == pytest.approx(expectation, abs=1e-13)


@pytest.mark.parametrize("sites", [5, 6])
def test_all_levels_of_the_ising_ring_are_those_of_free_fermions(sites):
    levels = jax.jit(lambda g: eigvalsh(transverse_ising(sites, g).matrix()))
    for g in (0.5, 1.0, 1.5):
        np.testing.assert_allclose(levels(g), ising_ring_levels(sites, g), atol=1e-12)


def test_ground_energy_of_ten_spins():
    """Free fermions in 30 digits: g, E0, dE0/dg."""
    ground = jax.jit(jax.value_and_grad(lambda g: eigvalsh(transverse_ising(10, g).matrix())[0]))
    for g, energy, slope in [
        (0.5, -10.63560440934797, -2.589695682344021),
        (1.0, -12.78490644299932, -6.392453221499662),
        (1.5, -16.72302491394843, -8.752422808593873),
    ]:
        np.testing.assert_allclose(ground(g), (energy, slope), rtol=1e-12)


@pytest.mark.parametrize(("sites", "energy"), [(4, -0.5), (6, -0.4671292729553), (8, -0.4563866761171)])
def test_heisenberg_rings(sites, energy):
    assert np.linalg.eigvalsh(heisenberg(sites).matrix())[0] / sites == pytest.approx(energy, abs=1e-12)


def test_two_spins():
    """One bond: singlet and triplet."""
    np.testing.assert_allclose(np.linalg.eigvalsh(heisenberg(2).matrix()), [-0.75, 0.25, 0.25, 0.25], atol=1e-15)


def test_single_precision_stays():
    model = SpinModel(ring(3), {"zz": jnp.float32(1.0), "x": jnp.ones(3, jnp.float32)})
    assert model.matrix().dtype == jnp.float32
    assert model.apply(jnp.ones(8, jnp.float32)).dtype == jnp.float32
    assert SpinModel(ring(3), {"zz": 1}).matrix().dtype == jnp.float64


@pytest.mark.parametrize(
    ("couplings", "message"),
    [
        ({}, "at least one kind"),
        ({"zw": 1.0}, "Pauli words"),
        ({"zz+x": 1.0}, "Pauli words"),
        ({"zzz": 1.0}, "Pauli words"),
        ({"zz": np.ones(2)}, "3 of them"),
        ({"x": 1j}, "real numbers"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_couplings(couplings, message):
    with pytest.raises(InputError, match=message):
        SpinModel(ring(3), couplings)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_sizes():
    with pytest.raises(InputError, match=r"use apply\(\)"):
        OperatorModel(transverse_ising(15, 1.0)).matrix()
    with pytest.raises(InputError, match=r"shape \(8,\), got \(4,\)"):
        SpinModel(ring(3), {"x": 1.0}).apply(jnp.ones(4))
