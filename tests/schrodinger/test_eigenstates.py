"""Levels against published and closed-form values; derivatives of states in every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import ConvergenceError, InputError
from pullback.schrodinger import (
    DoubleWell,
    Grid,
    Harmonic,
    Morse,
    PoschlTeller,
    density,
    eigenstates,
    kinetic,
)
from pullback.trust import check_derivatives


@pytest.mark.parametrize(
    ("potential", "ends", "levels"),
    [
        (lambda x: x**4, (-5, 5), [0.66798625916, 2.39364401648, 4.69679538686]),
        (DoubleWell(), (-6, 6), [-2.66144806683, -2.65173171692, -0.51029303813, -0.18078943306]),
        (PoschlTeller(), (-24, 24), [-4.5, -2, -0.5]),
        (Morse(), (-2.5, 14), list(Morse().levels(4))),
        (Harmonic(omega=1.3, center=0.4), (-8, 8), list(1.3 * (np.arange(5) + 0.5))),
    ],
)
def test_levels(potential, ends, levels):
    energies, _ = eigenstates(potential, kinetic(Grid.between(*map(float, ends), 200), "sinc"), len(levels))
    np.testing.assert_allclose(energies, levels, atol=2e-10)


def test_closed_form_levels():
    np.testing.assert_allclose(Morse().levels(2), [-10 + np.sqrt(20) / 2 - 1 / 8, -10 + 1.5 * np.sqrt(20) - 9 / 8])
    np.testing.assert_allclose(PoschlTeller(3.0).levels(3), [-4.5, -2, -0.5])
    assert PoschlTeller(2.5).levels(3).size == 3
    with pytest.raises(InputError, match="4 levels were asked for"):
        PoschlTeller(3.0).levels(4)
    with pytest.raises(InputError, match="are bound"):
        Morse().levels(5)


def test_the_notebooks_discretisation():
    """300 points, h = 2/300, central differences cut off at the ends, V = x^2/2."""
    x = jnp.linspace(-1, 1, 300, endpoint=False)
    grid = Grid(x)
    energies, psi = eigenstates(x**2 / 2, kinetic(grid), 3)
    assert grid.spacing == pytest.approx(2 / 300, rel=1e-14)
    np.testing.assert_allclose(energies, [1.29069472084642, 5.04360726, 11.18531661], atol=5e-9)
    assert float(energies[0]) == pytest.approx(1.29069472084642, abs=1e-10)
    target = jnp.where(jnp.abs(x) < 0.5, 1 - jnp.abs(x), 0.0) ** 2
    loss = jnp.sum(jnp.abs(grid.weights * psi[:, 0] ** 2 - target / target.sum()))
    assert float(loss) == pytest.approx(0.38652714355, abs=1e-10)


@pytest.mark.parametrize("scheme", ["fd2", "fd8"])
def test_states_are_orthonormal_and_their_signs_fixed(scheme):
    grid = Grid.between(-6.0, 6.0, 120)
    _, psi = eigenstates(Harmonic(), kinetic(grid, scheme), 4)
    np.testing.assert_allclose(psi.T @ (grid.weights[:, None] * psi), np.eye(4), atol=1e-12)
    for column in psi.T:
        assert column[int(jnp.argmax(jnp.abs(column) >= jnp.abs(column).max() / 2))] > 0
    assert float(grid.integrate(density(psi))) == pytest.approx(4)
    occupied = density(psi, jnp.array([2.0, 1.0, 0.0, 0.0]))
    np.testing.assert_allclose(occupied, 2 * psi[:, 0] ** 2 + psi[:, 1] ** 2)


@pytest.mark.parametrize(
    ("scheme", "modes"),
    [pytest.param("fd2", ("jvp", "vjp"), marks=pytest.mark.slow), ("fd6", ("vjp", "fwd-rev"))],
)
def test_derivatives(scheme, modes):
    """The eigensolvers have every mode tested in tests/linalg."""
    operator = kinetic(Grid.between(-3.0, 3.0, 12), scheme)

    def observables(potential):
        energies, psi = eigenstates(potential, operator, 2)
        return energies, jnp.sum(operator.grid.x[:, None] ** 2 * psi**4, axis=0)

    point = operator.grid.x**2 / 2 + 0.3 * operator.grid.x
    assert check_derivatives(observables, point, modes=modes, samples=1, throw=True).ok


@pytest.mark.slow
def test_derivatives_with_respect_to_a_model():
    """Hellmann-Feynman: the levels of the oscillator are omega (n + 1/2)."""
    operator = kinetic(Grid.between(-9.0, 9.0, 80), "sinc")
    slope = jax.jacfwd(lambda omega: eigenstates(Harmonic(omega), operator, 3)[0])(1.2)
    np.testing.assert_allclose(slope, [0.5, 1.5, 2.5], atol=1e-9)


def test_a_wall_does_not_make_levels_degenerate():
    """A tolerance relative to the largest eigenvalue would: the derivatives of the lowest states would then be lost."""
    operator = kinetic(Grid.between(-4.0, 4.0, 24), "fd4")
    wall = 1e9 * (jnp.arange(24) == 0)
    gradient = jax.jit(jax.grad(lambda v: eigenstates(v + wall, operator, 2)[1][12, 1] ** 2))(operator.grid.x**2 / 2)
    inner = kinetic(Grid(operator.grid.x[1:]), "fd4")
    without = jax.jit(jax.grad(lambda v: eigenstates(v, inner, 2)[1][11, 1] ** 2))(operator.grid.x[1:] ** 2 / 2)
    np.testing.assert_allclose(gradient[1:], without, atol=2e-3)


def test_bad_requests():
    operator = kinetic(Grid.between(0.0, 1.0, 9))
    with pytest.raises(InputError, match="between 1 and n = 9"):
        eigenstates(jnp.zeros(9), operator, 10)
    with pytest.raises(InputError, match=r"shape \(8,\)"):
        eigenstates(jnp.zeros(8), operator)


def test_a_pair_of_a_ring_is_not_cut():
    """Plane waves: 0, then pairs n²/2 · (2π/L)²; two of three levels have no states of their own."""
    ring = kinetic(Grid(jnp.linspace(0, 2 * jnp.pi, 24, endpoint=False), "periodic"), "fourier")
    energies, _ = eigenstates(jnp.zeros(24), ring, 3)
    np.testing.assert_allclose(energies, [0, 0.5, 0.5], atol=1e-12)
    with pytest.raises(ConvergenceError, match="equals the next one"):
        eigenstates(jnp.zeros(24), ring, 2)
