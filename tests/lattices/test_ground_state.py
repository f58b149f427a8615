"""Ground states against free fermions and published energies, in the whole space and in sectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.krylov import Davidson, Dense, Lanczos, eigsh
from pullback.lattices import (
    OperatorModel,
    Sector,
    SpinModel,
    chain,
    fidelity_susceptibility,
    ground_state,
    hubbard,
    ring,
)
from pullback.operators import FermionSum, PauliSum, SpinSum, heisenberg, j1_j2, transverse_ising
from pullback.trust import check_derivatives
from tests.lattices.references import hubbard_matrix, spin_kronecker
from tests.spins import ising_ring_ground

EVEN = Sector(momentum=0, parity=1, spin_inversion=1)


def ising(sites, sector):
    def all_four(g):
        def energy(g):
            return ground_state(transverse_ising(sites, g), sector=sector).energy

        chi = fidelity_susceptibility(lambda g: transverse_ising(sites, g), g, sector)
        return energy(g), jax.grad(energy)(g), jax.grad(jax.grad(energy))(g), chi

    return jax.jit(all_four)


@pytest.mark.parametrize(
    ("sites", "sector"),
    [
        (10, EVEN),
        pytest.param(10, None, marks=pytest.mark.slow),
        pytest.param(14, None, marks=pytest.mark.slow),
        pytest.param(16, EVEN, marks=pytest.mark.slow),
        pytest.param(20, EVEN, marks=pytest.mark.slow),
    ],
)
def test_ising_ring(sites, sector):
    found = ising(sites, sector)
    for g in (0.5, 1.0, 1.5):
        np.testing.assert_allclose(found(g), ising_ring_ground(sites, g), rtol=1e-9)


@pytest.mark.slow
def test_all_modes():
    """Energy, a projector and χ_F of a small ring, with finite differences as witness."""

    def results(g):
        ground = ground_state(transverse_ising(4, g), sector=Sector(momentum=0))
        chi = fidelity_susceptibility(lambda g: transverse_ising(4, g), g, EVEN)
        return ground.energy, ground.full_state[0] * ground.full_state, chi

    check_derivatives(results, 0.9, samples=1, throw=True)


def test_two_parameters():
    """The metric of a field of any direction: that of the rotation alone is Σ of single spins, (n/4) dφ²."""

    def family(p):
        return SpinModel(ring(3), {"x": -jnp.cos(p[0]) * (1 + p[1]), "z": -jnp.sin(p[0]) * (1 + p[1])})

    metric = jax.jit(lambda p: fidelity_susceptibility(family, p))(jnp.array([0.3, 0.2]))
    np.testing.assert_allclose(metric, [[0.75, 0], [0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("sites", "energy"),
    [(10, -0.4515446354492), pytest.param(12, -0.4489492431204, marks=pytest.mark.slow)],
)
def test_heisenberg_ring(sites, energy):
    sector = Sector(magnetisation=0.0, momentum=0 if sites % 4 == 0 else sites // 2)
    assert float(ground_state(heisenberg(sites), sector=sector).energy) / sites == pytest.approx(energy, abs=1e-12)


def test_majumdar_ghosh():
    """Two dimer states with −3/8 a site, of momentum 0 and π; no single ground state."""
    model = j1_j2(6)
    np.testing.assert_allclose(ground_state(model, k=2).energy, [-2.25, -2.25], atol=1e-12)
    with pytest.raises(ConvergenceError, match="equals the next one"):
        ground_state(model)
    assert float(ground_state(model, sector=Sector(momentum=0, magnetisation=0.0)).energy) == pytest.approx(-2.25)


@pytest.mark.slow
def test_a_twofold_level_of_many_states():
    """More states than are diagonalised as a matrix; the answer tells, if it is not to raise."""
    with pytest.raises(ConvergenceError, match="equals the next one"):
        ground_state(j1_j2(8))
    found = ground_state(j1_j2(8), throw=False)
    assert found.result == RESULTS.not_separated
    assert found.stats["gap"] < 1e-9


@pytest.mark.parametrize("sites", [4, pytest.param(9, marks=pytest.mark.slow)])
def test_what_is_not_a_number_is_refused(sites):
    with pytest.raises(ConvergenceError, match="NaN"):
        ground_state(transverse_ising(sites, jnp.nan))
    found = jax.jit(lambda g: ground_state(transverse_ising(sites, g), throw=False))(jnp.nan)
    assert found.result == RESULTS.nonfinite
    assert jnp.isfinite(found.value.energy)


def test_the_gap_of_the_solution():
    """The first excitation, against the dense matrix."""
    model = transverse_ising(8, 1.2)
    w = np.linalg.eigvalsh(np.asarray(model.matrix()))
    found = ground_state(model, throw=False)
    np.testing.assert_allclose(found.stats["gap"], w[1] - w[0], rtol=0.01)
    assert found.converged


@pytest.mark.slow
def test_majumdar_ghosh_of_twelve():
    np.testing.assert_allclose(ground_state(j1_j2(12), k=2).energy, [-4.5, -4.5], atol=1e-11)


@pytest.mark.optimised
def test_hubbard():
    """The dimer in closed form, with its double occupation dE/dU; a ring against matrices of c and c†."""
    half = Sector(particles=(1, 1))

    def energy(U):
        return ground_state(hubbard(chain(2), 1.0, U), sector=half).energy

    root = np.sqrt(4.0**2 / 4 + 4)
    np.testing.assert_allclose(jax.value_and_grad(energy)(4.0), (2 - root, 0.5 - 1 / root), rtol=1e-12)
    number = np.array([np.bitwise_count(s >> 3) * 10 + np.bitwise_count(s & 7) for s in range(64)])
    part = hubbard_matrix(3, ring(3).bonds, 1.0, 5.0, 0.2)[np.ix_(number == 21, number == 21)]
    found = ground_state(hubbard(ring(3), 1.0, 5.0, phase=0.2), sector=Sector(particles=(2, 1)))
    assert float(found.energy) == pytest.approx(np.linalg.eigvalsh(part)[0], abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("sites", [4, 6])
def test_spins_of_one(sites):
    exact = spin_kronecker(sites, ring(sites).bonds, 1.0, lambda a, b: sum(x @ y for x, y in zip(a, b)))
    sector = Sector(magnetisation=0.0, momentum=0, parity=1)
    energy = ground_state(heisenberg(sites, spin=1.0), sector=sector).energy
    assert float(energy) == pytest.approx(np.linalg.eigvalsh(exact)[0], abs=1e-11)


@pytest.mark.slow
def test_levels_too_close_are_refused():
    """Odd and even ground levels of 14 spins at g = 0.2 are 1e-9 apart: one vector of the two means nothing."""
    with pytest.raises(ConvergenceError):
        ground_state(transverse_ising(14, 0.2))


@pytest.mark.usefixtures("no_type_checks")
def test_bad_numbers():
    with pytest.raises(InputError, match="the space has 4 states"):
        ground_state(transverse_ising(2, 1.0), k=5)
    with pytest.raises(InputError, match="a number or a vector"):
        fidelity_susceptibility(lambda g: transverse_ising(2, g[0, 0]), jnp.ones((2, 2)))


OPERATORS = {
    "SpinModel": lambda: SpinModel(ring(6), {"zz": -1.0, "x": -1.1}),
    "SectorModel": lambda: SpinModel(ring(6), {"zz": -1.0, "x": -1.1}).in_sector(Sector(momentum=0)),
    "FermionModel": lambda: hubbard(chain(2), 1.0, 2.0, phase=0.3),
    "OperatorModel": lambda: OperatorModel(PauliSum(4, {"X0 Y1": 0.3, "Z2 Z3": 1.0, "X3": 0.2, "Z0": 0.4})),
    "FermionSum": lambda: FermionSum(4, {"0^ 1": 1.0, "1^ 0": 1.0, "2^ 2": 0.5, "3^ 3": -0.2}),
    "SpinSum": lambda: SpinSum(2, {"X0 X1": 1.0, "Z0": 0.3, "Z1": 0.1}),
}


@pytest.mark.parametrize(
    "kind", [name if name == "SectorModel" else pytest.param(name, marks=pytest.mark.slow) for name in OPERATORS]
)
def test_models_and_sums_are_operators_of_krylov(kind):
    """They say what they act on; the lowest levels, whole multiplets, are those of the dense matrix."""
    model = OPERATORS[kind]()
    exact = np.linalg.eigvalsh(np.asarray(model.matrix()))
    k = next(k for k in range(1, 9) if exact[k] - exact[k - 1] > 1e-6)
    np.testing.assert_allclose(eigsh(model, k)[0], exact[:k], atol=1e-10)


def test_a_solver_of_ones_own():
    model = SpinModel(ring(8), {"zz": -1.0, "x": -1.1})
    exact = np.linalg.eigvalsh(np.asarray(model.matrix()))[0]
    for solver in (Dense(), Lanczos(copies=False), Davidson(basis=12)):
        np.testing.assert_allclose(ground_state(model, solver=solver).energy, exact, rtol=1e-12)
    with pytest.raises(InputError, match="here is k=2"):
        ground_state(model, 2, solver=Lanczos())
