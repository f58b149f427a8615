"""Packings with known answers: a crystal in a strained box, stripes that reduce to one dimension, rattlers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from pullback import particles
from pullback.core import ConvergenceError, InputError


def hexagonal(columns, heights):
    """Rows of discs at unit distance, shifted by half a disc from row to row, the rows `heights` apart."""
    y = np.concatenate([[0], np.cumsum(heights)])[:-1]
    return np.stack(
        [np.arange(columns) + (np.arange(y.size) % 2)[:, None] / 2, 0 * np.arange(columns) + y[:, None]], -1
    )


@pytest.fixture(scope="module")
def crystal():
    rows = np.full(4, np.sqrt(3) / 2)
    x = jnp.asarray(hexagonal(4, rows).reshape(-1, 2))
    return particles.SoftDiscs(jnp.full(16, 1.1), jnp.array([4.0, rows.sum()])), x


def test_two_discs_across_the_boundary():
    discs = particles.SoftDiscs(jnp.array([1.0, 2.0]), 5.0)
    x = jnp.array([[0.2, 4.9], [4.9, 0.3]])  # nearest images at (0.3, −0.4)
    np.testing.assert_allclose(discs.separations(x), [[0.3, -0.4]], atol=1e-15)
    np.testing.assert_allclose(discs.energy(x), (1 - 0.5 / 1.5) ** 2 / 2, rtol=1e-15)
    push = (1 - 0.5 / 1.5) / 1.5
    np.testing.assert_allclose(discs.force(x), push * np.array([[0.6, -0.8], [-0.6, 0.8]]), rtol=1e-14)
    np.testing.assert_allclose(discs.pressure(x), push * 0.5 / (2 * 25), rtol=1e-14)
    np.testing.assert_allclose(discs.force(jnp.zeros((2, 2))), 0)


@pytest.mark.slow
def test_a_crystal_follows_its_box(crystal):
    """Energy and pressure of the hexagonal lattice are known; scaling the box moves it affinely."""
    discs, x = crystal
    overlap = 1 - 1 / 1.1
    np.testing.assert_allclose(discs.energy(x), 48 * overlap**2 / 2, rtol=1e-14)
    np.testing.assert_allclose(discs.pressure(x), 48 * overlap / 1.1 / (2 * discs.area), rtol=1e-14)
    near = discs.near(x, 0.5)
    assert near.pairs.shape == (48, 2)

    @jax.jit
    def move(strain, growth):
        stretched = particles.SoftDiscs(near.diameters + growth, near.box * (1 + strain))
        stretched = jax.tree.unflatten(jax.tree.structure(near), [*jax.tree.leaves(stretched)[:2], near.pairs])
        return particles.equilibrium(stretched, x)

    by_box, by_diameter = jax.jit(lambda: jax.jacfwd(move, (0, 1))(0.0, 0.0))()
    np.testing.assert_allclose(by_box, x - x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(by_diameter, 0, atol=1e-12)


@pytest.mark.slow
def test_stripes_reduce_to_one_dimension():
    """Rows a, a, b, b of a strained crystal: by symmetry only their distances change, and all rows press alike."""

    def distances(b):
        sigma = np.array([1.15, (1.15 + b) / 2, b, (1.15 + b) / 2])
        r = lambda h: np.sqrt(0.25 + h**2)  # noqa: E731
        press = lambda h, s: (1 - r(h) / s) / s * h / r(h)  # noqa: E731

        def solve(p):
            return np.array([brentq(lambda h, s=s: press(h, s) - p, 0.7, 1.1, xtol=1e-15) for s in sigma])

        p = brentq(lambda p: solve(p).sum() - 3.5, 0.02, 0.12, xtol=1e-15)
        return solve(p)

    step = 1e-4
    heights = distances(1.2)
    slopes = (8 * (distances(1.2 + step) - distances(1.2 - step)) - distances(1.2 + 2 * step)
              + distances(1.2 - 2 * step)) / (12 * step)  # fmt: skip
    x = jnp.asarray(hexagonal(4, heights).reshape(-1, 2))
    rows = np.repeat([0, 1, 2, 3], 4)
    large = np.isin(rows, [2, 3])
    discs = particles.SoftDiscs(jnp.where(large, 1.2, 1.15), jnp.array([4.0, 3.5])).near(x, 0.3)
    found = jax.jit(particles.response)(discs, x, jnp.asarray(large, float))
    assert found.force <= 1e-12 and found.residual < 1e-12
    assert found.zero_modes == 2 and found.lowest_stiffness > 1e-3
    np.testing.assert_allclose(found.positions, x, atol=1e-12)
    expected = np.concatenate([[0], np.cumsum(slopes)])[rows]
    np.testing.assert_allclose(found.derivative[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(found.derivative[:, 1], expected - expected.mean(), atol=1e-9)


def test_rattlers_are_found_and_released(crystal):
    """A small disc in a vacancy of the crystal, put in touch with a neighbour."""
    discs, x = crystal
    small = particles.SoftDiscs(discs.diameters.at[5].set(0.5), discs.box)
    x = x.at[5].add(jnp.array([0.25, 0.02]))
    touching = small.overlaps(x) > 0
    assert 1 <= int(jnp.sum(touching & jnp.any(small.pairs == 5, axis=1))) < 3
    free = np.asarray(particles.rattlers(small, x))
    assert free.nonzero()[0].tolist() == [5]
    assert particles.contact_numbers(small, x)[0] in (5, 6)
    moved = particles.release(small, x, jnp.asarray(free))
    np.testing.assert_array_equal(np.delete(moved, 5, axis=0), np.delete(x, 5, axis=0))
    assert float(small.overlaps(moved)[jnp.any(small.pairs == 5, axis=1)].max()) <= -0.05


def test_contact_changes():
    """Two discs with a gap of 0.1 close it when both grow by 0.1; a pair that overlaps by 0.2 opens at −0.2."""
    discs = particles.SoftDiscs(jnp.array([1.0, 1.0, 1.0]), 10.0)
    x = jnp.array([[1.0, 1.0], [2.1, 1.0], [1.0, 1.8]])
    grow, shrink = particles.next_contact_changes(discs, x, jnp.ones(3), jnp.zeros((3, 2)))
    np.testing.assert_allclose([grow, shrink], [0.1, 0.2], rtol=1e-12)


@pytest.mark.slow
def test_far_from_rest(crystal):
    discs, x = crystal
    with pytest.raises(ConvergenceError, match="settle: "):
        particles.settle(discs, x + 0.3 * jnp.sin(17.0 * jnp.arange(32.0)).reshape(16, 2))


def test_mixture():
    discs = particles.bidisperse(9, 0.8)
    np.testing.assert_allclose(discs.packing_fraction, 0.8, rtol=1e-14)
    assert (np.asarray(discs.diameters) == 1.4).sum() == 4
    x = particles.random_positions(discs, 3)
    np.testing.assert_array_equal(x, particles.random_positions(discs, 3))
    assert float(x.min()) >= 0 and float(x.max()) <= float(discs.box)


@pytest.mark.parametrize(
    ("diameters", "box", "message"),
    [
        ([1.0], 5.0, "two or more discs"),
        ([1.0, -1.0], 5.0, "diameter -1.0 of disc 2"),
        ([1.0, np.nan], 5.0, "positive and finite"),
        ([1.0, 3.0], 5.0, "half of the box"),
        ([1.0, 1.0], -5.0, "box must be positive"),
        ([1.0, 1.0], [5.0, 5.0, 5.0], "one side or two"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_discs(diameters, box, message):
    with pytest.raises(InputError, match=message):
        particles.SoftDiscs(jnp.asarray(diameters), jnp.asarray(box))


def test_bad_mixture():
    with pytest.raises(InputError, match="positive and finite"):
        particles.bidisperse(9, -0.8)
