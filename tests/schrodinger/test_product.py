"""Two and three dimensions: published levels, exact ones, and potentials found again from densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import schrodinger as sch
from pullback.core import InputError
from pullback.experiments.inverse_schrodinger import InverseSchrodinger
from pullback.runs import Run


@pytest.mark.slow
def test_henon_heiles_levels():
    """NUMBERS of the literature, degenerate pairs among them; the slope is the mean of ∂V/∂λ (Hellmann-Feynman)."""
    grid = sch.ProductGrid((sch.Grid.between(-7.0, 7.0, 40),) * 2)
    operator = sch.product_kinetic(grid, "sinc")

    def potential(strength):
        return lambda x, y: jnp.minimum((x**2 + y**2) / 2 + strength * (x**2 * y - y**3 / 3), 15.0)

    energies, states = sch.eigenstates(potential(0.111803), operator, 6)
    published = [0.99859478, 1.99007683, 1.99007683, 2.95624331, 2.98532654, 2.98532654]
    np.testing.assert_allclose(energies, published, atol=2e-6)
    x, y = grid.coordinates
    slope = jax.grad(lambda s: sch.eigenstates(potential(s), operator)[0][0])(0.111803)
    np.testing.assert_allclose(slope, grid.integrate(states[:, 0] ** 2 * (x**2 * y - y**3 / 3)), atol=1e-7)


def test_matrix_apply_and_inverse():
    lines = sch.Grid.between(-1.0, 2.0, 9), sch.Grid.between(0.0, 1.0, 8, "periodic"), sch.Grid.between(0.0, 2.0, 10)
    operator = sch.product_kinetic(sch.ProductGrid(lines), "fd4", mass=0.7)
    phi = jnp.asarray(np.random.default_rng(0).normal(size=operator.grid.n))
    matrix = operator.matrix()
    np.testing.assert_allclose(operator.apply(phi), matrix @ phi, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        operator.inverse(phi, 1.5), jnp.linalg.solve(matrix + 1.5 * jnp.eye(phi.size), phi), rtol=1e-9, atol=1e-12
    )


@pytest.mark.slow
def test_potential_from_a_file_in_two_dimensions(tmp_path):
    """An anisotropic oscillator: the density is a Gaussian, the potential exact up to the grid's error."""
    x, y = np.linspace(-4, 4, 31), np.linspace(-5, 5, 33)
    density = np.exp(-1.2 * x[:, None] ** 2 - 0.8 * y**2)
    file = tmp_path / "density.npz"
    np.savez(file, x=x, y=y, density=density)
    experiment = InverseSchrodinger(input=file, kinetic="fd8")
    result = experiment.run(experiment.prepare(), Run.null())
    assert result.converged
    potential = result.arrays["potential"].reshape(31, 33)
    near = density > 1e-3
    error = potential - (1.2 * x[:, None]) ** 2 / 2 - (0.8 * y) ** 2 / 2
    assert np.ptp(error[near]) < 1e-3
    assert len(experiment.plot(result).axes) == 7  # four panels, three colour bars


@pytest.mark.slow
def test_two_dots_in_three_dimensions():
    experiment = InverseSchrodinger(target="double-dot")
    result = experiment.run(experiment.prepare(), Run.null())
    assert result.converged
    assert result.summary["model_error"] < 2e-4  # hartree; about 1e-4, as the last step of the optimiser has it


def test_refusals(tmp_path):
    file = tmp_path / "density.npz"
    np.savez(file, x=np.arange(6.0), y=np.arange(7.0), density=np.ones((7, 6)))
    with pytest.raises(InputError, match="shape"):
        InverseSchrodinger(input=file).prepare()
    with pytest.raises(InputError, match="ground state"):
        InverseSchrodinger(target="henon-heiles", states=(1,)).prepare()
    with pytest.raises(InputError, match="two or three"):
        sch.ProductGrid((sch.Grid.between(0.0, 1.0, 9),))
