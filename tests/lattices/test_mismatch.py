"""Distances of spectra and states: values, derivatives at degeneracies, what a target that splits a multiplet does."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.lattices import (
    SpectrumFit,
    SpinModel,
    broadened_mismatch,
    ground_state_mismatch,
    level_mismatch,
    ring,
)
from pullback.linalg import eigvalsh
from pullback.runs import Run, minimise
from pullback.trust import check_derivatives

SITES = 4
UNIFORM = {"zz": -jnp.ones(SITES), "x": -0.7 * jnp.ones(SITES)}
LEVELS = np.linalg.eigvalsh(SpinModel(ring(SITES), UNIFORM).matrix())


def levels(couplings):
    return eigvalsh(SpinModel(ring(SITES), couplings).matrix())


def multiplets(w):
    return np.split(np.arange(w.size), np.flatnonzero(np.diff(w) > 1e-8) + 1)


def test_the_uniform_ring_is_degenerate():
    assert sorted(len(m) for m in multiplets(LEVELS))[-3:] == [2, 2, 4]


def test_level_mismatch_is_the_least_over_all_pairings():
    rng = np.random.default_rng(0)
    w, t = np.sort(rng.normal(size=(2, 5)))
    least = min(np.mean((w[list(order)] - t) ** 2) for order in itertools.permutations(range(5)))
    assert float(level_mismatch(w, t)) == pytest.approx(least, rel=1e-14)


def test_broadened_mismatch_is_the_integral_it_says():
    rng = np.random.default_rng(1)
    w, t, width = rng.normal(size=5), rng.normal(size=5), 0.3
    energies = np.linspace(-8, 8, 4001)[:, None]

    def broadened(levels):
        return np.exp(-((energies - levels) ** 2) / (2 * width**2)).mean(axis=1)

    integral = np.trapezoid((broadened(w) - broadened(t)) ** 2, energies[:, 0])
    assert float(broadened_mismatch(w, t, width)) == pytest.approx(integral / (np.sqrt(np.pi) * width), rel=1e-10)


def test_gradients_at_a_degenerate_ring():
    """Target levels equal within each multiplet: both distances are smooth there."""
    target = LEVELS.copy()
    for k, multiplet in enumerate(multiplets(LEVELS)):
        target[multiplet] += 0.1 * np.sin(k)

    def losses(couplings):
        w = levels(couplings)
        return level_mismatch(w, target), broadened_mismatch(w, target, 0.7)

    check_derivatives(losses, UNIFORM, order=1, samples=2, throw=True)


def test_broadened_mismatch_is_smooth_even_where_the_target_splits_a_multiplet():
    target = LEVELS + 0.1 * np.sin(np.arange(LEVELS.size))
    check_derivatives(lambda c: broadened_mismatch(levels(c), target, 0.7), UNIFORM, order=1, samples=2, throw=True)


def test_where_the_target_splits_a_multiplet_the_gradient_leads_down():
    """A ridge: along −g the loss falls at least as fast as |g|² says, and rising against it is not faster."""
    target = np.sort(LEVELS + 0.1 * np.sin(np.arange(LEVELS.size)))
    loss = jax.jit(lambda c: level_mismatch(levels(c), target))
    gradient = jax.jit(jax.grad(loss))(UNIFORM)
    slope = sum(float(jnp.sum(g**2)) for g in gradient.values())

    def moved(step):
        return float(loss(jax.tree.map(lambda x, g: x - step * g, UNIFORM, gradient)))

    step = 1e-4 / np.sqrt(slope)
    here = moved(0.0)
    down, up = (moved(step) - here) / step, (moved(-step) - here) / step
    assert slope > 1e-5
    assert down <= -slope + 1e-5
    assert down + up < -1e-3 * slope  # a kink, not a smooth slope


def test_free_fermions_hide_couplings():
    """On a ring with zz and x alone, L + 1 numbers decide the spectrum; a longitudinal field shows all couplings."""
    rng = np.random.default_rng(0)
    couplings = {kind: jnp.asarray(rng.uniform(0.5, 1.5, SITES)) for kind in ("zz", "x", "z")}

    def rank(kinds):
        jacobian = jax.jit(jax.jacfwd(levels))({kind: couplings[kind] for kind in kinds})
        return np.linalg.matrix_rank(np.concatenate(list(jacobian.values()), axis=1), tol=1e-10)

    assert rank(("zz", "x")) == SITES + 1
    assert rank(("zz", "x", "z")) == 3 * SITES


def test_the_lectures_state():
    """E0 and loss of the open source demonstration; they fix which field sits beside which bond."""
    model = SpinModel(ring(4), {"zz": -np.arange(1, 5) / 10, "x": -np.arange(5, 9) / 10})
    target = np.arange(1.0, 17) / np.linalg.norm(np.arange(1.0, 17))
    assert float(eigvalsh(model.matrix())[0]) == pytest.approx(-2.71453417, abs=5e-9)
    assert float(ground_state_mismatch(model.matrix(), target)) == pytest.approx(0.14090354289295, abs=5e-15)


def test_the_best_couplings_for_the_lectures_state():
    """The even part of (1 … 16) is constant, so the best ground state is the paramagnet's: loss 1 − 136/(4√1496)."""
    target = np.arange(1.0, 17) / np.linalg.norm(np.arange(1.0, 17))
    found = minimise(
        Run.null(),
        "couplings",
        lambda x: ground_state_mismatch(SpinModel(ring(4), x).matrix(), target),
        {"zz": -jnp.arange(1, 5) / 10, "x": -jnp.arange(5, 9) / 10},
        tol=0.0,
        gtol=1e-7,
        max_steps=500,
    )
    assert found.converged and found.loss == pytest.approx(1 - 136 / (4 * np.sqrt(1496)), abs=1e-12)
    np.testing.assert_allclose(found.x["zz"], 0, atol=1e-5)


def test_a_fit_compares_in_units_of_the_target():
    """Levels 1, 3 and 5 have the standard deviation √(8/3); those of the model are ±1, twice."""
    fit = SpectrumFit(np.array([1.0, 3.0, 5.0]))
    model = SpinModel(ring(2), {"x": np.array([1.0, 0.0])})
    np.testing.assert_allclose(fit.levels(model), [-1, -1, 1], atol=1e-14)
    assert float(fit.distance(model)) == pytest.approx((4 + 16 + 16) / 3 / (8 / 3))
    shifted = SpectrumFit(np.array([1.0, 3.0, 5.0]), shift=True)
    means = np.array([-1, -1, 1]) + 1 / 3 - np.array([-2, 0, 2])
    assert float(shifted.distance(model)) == pytest.approx(np.mean(means**2) / (8 / 3))
    coarse = broadened_mismatch(jnp.array([-1, -1, 1.0]), jnp.array([1, 3, 5.0]), 0.5 * np.sqrt(8 / 3))
    assert float(fit.distance(model, 0.5)) == pytest.approx(float(coarse))


def test_degenerate_ground_states_have_finite_derivatives():
    matrix = SpinModel(ring(3), {"zz": -1.0}).matrix()
    gradient = jax.jit(jax.grad(ground_state_mismatch))(matrix, np.ones(8) / np.sqrt(8))
    assert np.isfinite(gradient).all()


def test_derivatives_of_the_state():
    target = np.arange(1.0, 17) / np.linalg.norm(np.arange(1.0, 17))

    def loss(couplings):
        return ground_state_mismatch(SpinModel(ring(SITES), couplings).matrix(), target)

    check_derivatives(loss, UNIFORM, modes=("jvp", "vjp", "fwd-rev"), samples=1, throw=True)
