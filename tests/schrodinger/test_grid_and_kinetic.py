"""Grids, and kinetic operators against the exact levels of boxes and rings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.schrodinger import Grid, Harmonic, Tridiagonal, eigenstates, kinetic

DIFFERENCES = {"fd2": 2, "fd4": 4, "fd6": 6, "fd8": 8}


def box_error(scheme, n, level=2):
    """Relative error of a level of the box of length pi, whose levels are k^2/2."""
    grid = Grid.between(0.0, np.pi, n)
    energies, _ = eigenstates(jnp.zeros(n), kinetic(grid, scheme), level + 1)
    return float(energies[level] / ((level + 1) ** 2 / 2) - 1)


@pytest.mark.parametrize("scheme", DIFFERENCES)
def test_order_of_the_differences_between_walls(scheme):
    coarse, fine = box_error(scheme, 19), box_error(scheme, 39)  # spacings pi/20 and pi/40
    assert np.log2(coarse / fine) == pytest.approx(DIFFERENCES[scheme], abs=0.15)


@pytest.mark.parametrize("scheme", DIFFERENCES)
def test_order_of_the_differences_on_a_ring(scheme):
    def error(n):
        grid = Grid.between(0.0, 2 * np.pi, n, "periodic")
        return float(jnp.linalg.eigvalsh(kinetic(grid, scheme).matrix())[5] - 4.5)

    assert np.log2(error(24) / error(48)) == pytest.approx(DIFFERENCES[scheme], abs=0.2)


def test_sine_dvr_is_exact_in_the_box():
    grid = Grid.between(0.0, np.pi, 12)
    exact = np.arange(1, 13) ** 2 / 2
    np.testing.assert_allclose(jnp.linalg.eigvalsh(kinetic(grid, "sinc").matrix()), exact, rtol=1e-12)


@pytest.mark.parametrize("n", [12, 13])
def test_fourier_dvr_is_exact_on_the_ring(n):
    grid = Grid.between(0.0, 2 * np.pi, n, "periodic")
    exact = np.sort(np.fft.fftfreq(n, 1 / n) ** 2 / 2)
    np.testing.assert_allclose(jnp.linalg.eigvalsh(kinetic(grid, "fourier").matrix()), exact, rtol=1e-12, atol=1e-12)


def test_mass_divides():
    grid = Grid.between(0.0, 1.0, 9)
    np.testing.assert_allclose(kinetic(grid, mass=0.5).matrix(), 2 * kinetic(grid).matrix())


@pytest.mark.parametrize("scheme", ["fd2", "fd8"])
def test_apply_is_the_matrix(scheme):
    grid = Grid.between(0.0, 1.0, 11)
    operator, phi = kinetic(grid, scheme), jax.random.normal(jax.random.key(0), (11,))
    np.testing.assert_allclose(operator.apply(phi), operator.matrix() @ phi, rtol=1e-12)
    assert isinstance(operator, Tridiagonal) == (scheme == "fd2")


@pytest.mark.slow
def test_non_uniform_points_converge_to_second_order():
    def error(n):
        stretched = np.sinh(np.linspace(-2.2, 2.2, n)) * 1.8  # dense in the middle
        energies, psi = eigenstates(Harmonic(), kinetic(Grid(stretched)), 2)
        norms = [float(jnp.sum(Grid(stretched).weights * column**2)) for column in psi.T]
        np.testing.assert_allclose(norms, 1, rtol=1e-12)
        return float(energies[1] - 1.5)

    assert np.log2(error(100) / error(200)) == pytest.approx(2, abs=0.1)


def test_non_uniform_scheme_meets_the_uniform_one():
    points = np.linspace(-1, 1, 30)
    bent = points.copy()
    bent[-1] += 1e-4  # enough for the grid to count as not equidistant
    uniform, general = kinetic(Grid(points)), kinetic(Grid(bent))
    assert Grid(points).uniform and not Grid(bent).uniform
    np.testing.assert_allclose(uniform.matrix(), general.matrix(), atol=1.0, rtol=3e-3)
    np.testing.assert_allclose(general.matrix(), general.matrix().T)


def test_rounded_points_are_equidistant():
    assert Grid(np.round(np.linspace(-2, 5, 200), 5)).uniform
    assert not Grid(np.linspace(-2, 5, 200) + 1e-3 * np.linspace(0, 1, 200) ** 2).uniform


def test_weights_integrate():
    grid = Grid.between(0.0, np.pi, 50)
    assert float(grid.integrate(jnp.sin(grid.x) ** 2)) == pytest.approx(np.pi / 2, rel=1e-12)
    ring = Grid.between(0.0, 1.0, 10, "periodic")
    assert float(ring.integrate(jnp.ones(10))) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize(
    ("x", "boundary", "message"),
    [
        (np.arange(3.0), "hard-wall", "at least 5 points"),
        (np.array([0.0, 1, 2, 2, 3]), "hard-wall", "must increase"),
        (np.array([0.0, 1, np.nan, 2, 3]), "hard-wall", "point 2 is not finite"),
        (np.array([0.0, 1, 2, 3, 5]), "periodic", "equidistant"),
    ],
)
def test_bad_grids(x, boundary, message):
    with pytest.raises(InputError, match=message):
        Grid(x, boundary)


def test_schemes_that_do_not_fit():
    uneven = Grid(np.array([0.0, 1, 2, 3, 5]))
    with pytest.raises(InputError, match="equidistant"):
        kinetic(uneven, "fd4")
    with pytest.raises(InputError, match="not equidistant"):
        _ = uneven.spacing
    with pytest.raises(InputError, match="'periodic', got 'hard-wall'"):
        kinetic(Grid.between(0.0, 1.0, 9), "fourier")
    with pytest.raises(InputError, match="more than 8 points"):
        kinetic(Grid.between(0.0, 1.0, 7), "fd8")
    with pytest.raises(InputError, match="use at most 5000"):
        kinetic(Grid.between(0.0, 1.0, 5001), "fd4")
    with pytest.raises(InputError, match="mass"):
        kinetic(Grid.between(0.0, 1.0, 9), mass=0.0)
    with pytest.raises(InputError, match="outside jit"):
        jax.jit(lambda x: Grid(x).weights)(jnp.arange(9.0))
