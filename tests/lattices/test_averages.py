"""Averages: of states against Kronecker products, at temperatures against exact diagonalisation and free spins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import Sector, SpinModel, chain, correlations, expectations, ring, thermal
from pullback.operators import PauliSum, heisenberg
from pullback.trust import check_derivatives
from tests.spins import product

RNG = np.random.default_rng(0)


def random_state(size):
    psi = RNG.normal(size=size) + 1j * RNG.normal(size=size)
    return jnp.asarray(psi / np.linalg.norm(psi))


def test_correlations():
    psi = random_state(8)
    found = jax.jit(lambda psi: (correlations(psi, "zz"), correlations(psi, "xy")))(psi)
    for word, values in zip(("zz", "xy"), found):
        for i in range(3):
            for j in range(3):
                exact = psi.conj() @ product({i: word[0]}, 3) @ product({j: word[1]}, 3) @ psi
                assert complex(values[i, j]) == pytest.approx(complex(exact), abs=1e-14)


def test_expectations_need_no_couplings():
    psi = random_state(16)
    values = expectations(SpinModel(chain(4), {"xy": 0.0, "z": 0.0}), psi)
    for i, (word, sites) in enumerate([("xy", (0, 1)), ("xy", (1, 2)), ("xy", (2, 3))]):
        exact = psi.conj() @ product(dict(zip(sites, word)), 4) @ psi
        assert float(values["xy"][i]) == pytest.approx(float(exact.real), abs=1e-14)
    assert values["z"].shape == (4,)
    words = expectations(PauliSum(4, {"X1 Y2": 0.0, "Z0 X1 Z3": 0.0}), psi)
    exact = psi.conj() @ product({0: "z", 1: "x", 3: "z"}, 4) @ psi
    np.testing.assert_allclose(words, [values["xy"][1], exact.real], atol=1e-14)


def test_spins_in_a_field_are_free():
    """Degenerate levels throughout: n ln(2 cosh βh), and its derivatives."""
    beta, h = 0.7, 1.3

    def results(beta, h):
        bath = thermal(SpinModel(ring(3), {"z": h}), beta)
        return bath.log_partition, bath.energy, bath.specific_heat, bath.expect(np.eye(8))

    exact = 3 * np.log(2 * np.cosh(beta * h)), -3 * h * np.tanh(beta * h), 3 * (beta * h / np.cosh(beta * h)) ** 2, 1
    np.testing.assert_allclose(jax.jit(results)(beta, h), exact, rtol=1e-12)
    curved = jax.jit(jax.grad(jax.grad(lambda beta: results(beta, h)[0])))(beta)  # d² ln Z / dβ² = C / β²
    assert float(curved) == pytest.approx(exact[2] / beta**2, rel=1e-11)


@pytest.mark.slow
def test_derivatives_of_thermal_averages():
    def results(beta, h):
        bath = thermal(SpinModel(ring(3), {"z": h, "zz": 0.2}), beta)
        return bath.log_partition, bath.energy, bath.specific_heat, bath.density_matrix

    check_derivatives(results, 0.7, 1.3, samples=1, throw=True)


@pytest.mark.slow
def test_sectors_add_up():
    beta = 1.7
    whole = np.linalg.eigvalsh(heisenberg(4).matrix())
    parts = [thermal(heisenberg(4), beta, Sector(magnetisation=float(m))).log_partition for m in range(-2, 3)]
    assert np.exp(parts).sum() == pytest.approx(np.exp(-beta * whole).sum(), rel=1e-12)


def test_large_beta_does_not_overflow():
    bath = thermal(SpinModel(ring(3), {"z": 1.0}), 1e4)
    assert float(bath.energy) == pytest.approx(-3)
    assert float(bath.log_partition) == pytest.approx(3e4)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_words():
    with pytest.raises(InputError, match="two of the letters"):
        correlations(jnp.ones(4), "zzz")
    with pytest.raises(InputError, match="length 2"):
        correlations(jnp.ones(5), "zz")
