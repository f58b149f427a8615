"""The closed-form inversion, the signs of excited states, and the two ways of Newton."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.schrodinger import (
    DoubleWell,
    Grid,
    Harmonic,
    Morse,
    amplitude,
    distance,
    eigenstates,
    excess_energy,
    invert_density,
    kinetic,
    newton_step,
    normal_equations,
    response,
)


@pytest.mark.parametrize("scheme", ["fd2", "fd4", "sinc"])
@pytest.mark.parametrize("state", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_inversion_is_exact_for_the_discrete_operator(scheme, state):
    operator = kinetic(Grid.between(-4.0, 4.0, 81), scheme)
    energies, psi = eigenstates(DoubleWell(), operator, state + 1)
    found = invert_density(psi[:, state] ** 2, operator, state=state, threshold=1e-6)
    inside = jnp.isfinite(found)
    assert 20 < inside.sum() < 81
    exact = DoubleWell()(operator.grid.x) - energies[state]
    np.testing.assert_allclose(found[inside], exact[inside], atol=1e-7)


def test_inversion_on_a_non_uniform_grid():
    operator = kinetic(Grid(np.sinh(np.linspace(-1.6, 1.6, 61))))
    energies, psi = eigenstates(Harmonic(), operator, 1)
    found = invert_density(3 * psi[:, 0] ** 2, operator)
    np.testing.assert_allclose(found, operator.grid.x**2 / 2 - energies[0], atol=1e-8)


def test_inversion_in_the_continuum():
    """V - E = psi''/2 psi of a Gaussian, to the order of the differences."""
    grid = Grid.between(-4.0, 4.0, 200)
    found = invert_density(jnp.exp(-(grid.x**2)), kinetic(grid, "fd8"), threshold=1e-4)
    inside = jnp.isfinite(found)
    np.testing.assert_allclose(found[inside], (grid.x**2 / 2 - 0.5)[inside], atol=1e-5)


@pytest.mark.parametrize("state", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [80, 117])
def test_signs_of_excited_states(state, n):
    """Also where a grid point falls on a node."""
    grid = Grid.between(-2.2, 8.0, n)
    _, psi = eigenstates(Morse(), kinetic(grid, "sinc"), state + 1)
    found = amplitude(psi[:, state] ** 2, grid, state)
    np.testing.assert_allclose(found, psi[:, state], atol=1e-12)


@pytest.mark.parametrize(
    ("rho", "state", "message"),
    [
        (np.zeros(9), 0, "zero everywhere"),
        (np.full(9, np.nan), 0, "not finite at point 0"),
        (np.arange(9.0) - 1, 0, "negative at point 0"),
        (np.ones(8), 0, r"shape \(8,\)"),
        (np.ones(9), -1, "counted from 0"),
        (np.sin(np.linspace(0, np.pi, 11)[1:-1]) ** 2, 2, "only 0 minima"),
    ],
)
def test_densities_that_are_none(rho, state, message):
    with pytest.raises(InputError, match=message):
        amplitude(rho, Grid.between(0.0, 1.0, 9), state)
    with pytest.raises(InputError, match="need hard walls"):
        amplitude(np.ones(9), Grid.between(0.0, 1.0, 9, "periodic"), 1)


@pytest.fixture(params=["fd2", "fd8"])
def ground_problem(request):
    """A potential, another one, and the ground state of the other."""
    operator = kinetic(Grid.between(-4.0, 4.0, 30), request.param)
    grid = operator.grid
    _, psi = eigenstates(DoubleWell(), operator, 1)
    return grid.x**2 / 2, DoubleWell()(grid.x), jnp.sqrt(grid.weights) * psi[:, 0], operator


def test_excess_energy(ground_problem):
    potential, exact, target, operator = ground_problem
    hamiltonian = np.asarray(operator.matrix() + jnp.diag(potential))
    levels, phi = np.linalg.eigh(hamiltonian)
    excess = jax.jit(lambda v: excess_energy(v, target, operator))
    value, gradient = jax.value_and_grad(excess)(potential)
    assert float(value) == pytest.approx(float(target @ hamiltonian @ target - levels[0]), rel=1e-12)
    np.testing.assert_allclose(gradient, target**2 - phi[:, 0] ** 2, atol=1e-12)
    assert abs(float(gradient.sum())) < 1e-13
    assert abs(float(excess(exact))) < 1e-25
    path = [float(excess(exact + s * (potential - exact))) for s in np.linspace(-1, 2, 13)]
    assert np.all(np.diff(path, 2) > 0)  # convex


def test_newton_converges_quadratically(ground_problem):
    _, exact, target, operator = ground_problem
    newton = jax.jit(lambda v: newton_step(v, target, operator))
    potential, excesses, slopes = exact + 0.02 * operator.grid.x**2, [], []
    for _ in range(6):
        excess, step, slope = newton(potential)
        excesses.append(float(excess))
        slopes.append(float(slope))
        potential = potential + step
    first, second, third, *_, last = excesses
    assert second < 30 * first**2 and third < 30 * second**2 and last < 1e-20
    assert slopes[1] == pytest.approx(-2 * second, rel=0.05)  # Newton's decrement of a parabola
    inside = target**2 > 1e-4 * jnp.max(target**2)
    assert float(jnp.ptp((potential - exact)[inside])) < 1e-8


@pytest.mark.slow
def test_newton_step_from_a_state_that_is_too_narrow(ground_problem):
    """There the state is all rounding where the target is not; the step must lead downhill all the same."""
    *_, target, operator = ground_problem
    narrow = 200 * operator.grid.x**2
    excess, step, slope = newton_step(narrow, target, operator)
    assert float(slope) < 0
    assert float(excess_energy(narrow + step, target, operator)) < float(excess)


def test_response_is_the_derivative():
    states = (0, 2)
    operator = kinetic(Grid.between(-4.0, 4.0, 20), "fd4")
    potential = DoubleWell()(operator.grid.x) + 0.1 * operator.grid.x
    root = jnp.sqrt(operator.grid.weights)

    @jax.jit
    def fixed_sign(v):
        return (root[:, None] * eigenstates(v, operator, max(states) + 1)[1]).T[jnp.array(states)]

    amplitudes, jacobian = jax.jit(lambda v: response(v, operator, states))(potential)
    signs = jnp.sign(jnp.sum(amplitudes * fixed_sign(potential), axis=1))
    np.testing.assert_allclose(signs[:, None] * amplitudes, fixed_sign(potential), atol=1e-12)
    np.testing.assert_allclose(signs[:, None, None] * jacobian, jax.jit(jax.jacfwd(fixed_sign))(potential), atol=1e-11)


@pytest.mark.slow
def test_normal_equations_are_those_of_the_mismatch():
    operator = kinetic(Grid.between(-4.0, 4.0, 20), "fd4")
    potential, states, root = DoubleWell()(operator.grid.x), (0, 1), jnp.sqrt(operator.grid.weights)
    targets = root * eigenstates(Harmonic(), operator, 2)[1].T
    regulariser = 1e-3 * jnp.eye(20)

    def mismatch(v):
        found = root * eigenstates(v, operator, 2)[1].T
        return distance(found, targets, "amplitude") + v @ regulariser @ v

    matrices = {"regulariser": regulariser, "metric": jnp.eye(20)}
    equations = jax.jit(lambda v: normal_equations(v, targets, operator, states, **matrices))(potential)
    np.testing.assert_allclose(2 * equations.gradient, jax.jit(jax.grad(mismatch))(potential), atol=1e-11)
    damped = equations.step(jnp.asarray(1e6))  # far damped: along steepest descent
    np.testing.assert_allclose(damped * 1e6 * equations.scale, -equations.gradient, rtol=1e-3, atol=1e-8)


def test_distances():
    found, target = jnp.array([[0.6, 0.8]]), jnp.array([[0.8, 0.6]])
    assert float(distance(found, target)) == pytest.approx(0.56)
    assert float(distance(-found, target, "amplitude")) == pytest.approx(0.08)
    assert float(distance(found, target, "kl")) == pytest.approx(0.28 * np.log(16 / 9))
    assert float(distance(jnp.array([[0.6, 0.8]]), jnp.array([[0.0, 1.0]]), "kl")) == pytest.approx(-np.log(0.64))


def test_an_excited_state_is_inverted_under_jit():
    grid = Grid.between(0.0, 1.0, 30)
    density = 2 * np.sin(2 * np.pi * grid.x) ** 2
    box = kinetic(grid, "sinc")
    potential = jax.jit(lambda rho: invert_density(rho, box, state=1))(density)
    np.testing.assert_allclose(potential, -2 * np.pi**2, atol=1e-8)  # the box has no potential, and E = 4 π²/2
