"""Lyapunov exponents and smoothed gradients against exact and published numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import ConvergenceError, InputError
from pullback.flows import odeint
from pullback.trust import evolution_strategies, lyapunov_spectrum

SIGMA, BETA = 10.0, 8 / 3


def lorenz(t, x, rho):
    return jnp.stack([SIGMA * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - BETA * x[2]])


def runge_kutta(x, rho, h):
    k1 = lorenz(0, x, rho)
    k2 = lorenz(0, x + h / 2 * k1, rho)
    k3 = lorenz(0, x + h / 2 * k2, rho)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + lorenz(0, x + h * k3, rho))


def test_logistic_map():
    """r = 4: log 2, for almost every start."""
    (found,) = lyapunov_spectrum(lambda x: 4 * x * (1 - x), jnp.array([0.3]), 100_000)
    np.testing.assert_allclose(found, np.log(2), atol=2e-3)


def test_lorenz():
    """0.9056, 0, −14.5723 (J. C. Sprott); the sum is −(σ + 1 + β), exactly."""
    h = 0.005
    step = lambda x: runge_kutta(x, 28.0, h)  # noqa: E731
    found = jax.jit(lambda x: lyapunov_spectrum(step, x, 200_000, every=10, transient=4000, dt=h, throw=False))(
        jnp.ones(3)
    )
    np.testing.assert_allclose(found.value, [0.9056, 0.0, -14.5723], atol=6e-3)
    np.testing.assert_allclose(jnp.sum(found.value), -(SIGMA + 1 + BETA), atol=1e-4)
    assert 0 < found.residual < 0.05
    few = jax.jit(lambda x: lyapunov_spectrum(step, x, 20_000, k=1, every=10, transient=4000, dt=h))(jnp.ones(3))
    np.testing.assert_allclose(few, [0.9056], atol=0.05)


def test_a_linear_map_and_a_flow():
    matrix = jnp.diag(jnp.array([0.5, -2.0, 1.0]))
    found = lyapunov_spectrum(lambda x: {"a": matrix @ x["a"]}, {"a": jnp.array([1.0, 0.0, 1.0])}, 20)
    np.testing.assert_allclose(np.sort(found)[::-1], np.log([2.0, 1.0, 0.5]), atol=1e-12)
    flow = lambda x: odeint(lambda t, x, p: -0.7 * x, x, jnp.array([0.0, 0.1]), step_size=0.05)[-1]  # noqa: E731
    np.testing.assert_allclose(lyapunov_spectrum(flow, jnp.ones(1), 10, dt=0.1), [-0.7], rtol=1e-8)


def test_what_goes_wrong_is_said():
    with pytest.raises(ConvergenceError, match="lyapunov_spectrum"):
        lyapunov_spectrum(lambda x: x**2, jnp.array([3.0]), 20)
    with pytest.raises(InputError, match="multiple of every"):
        lyapunov_spectrum(lambda x: x, jnp.ones(2), 10, every=3)
    with pytest.raises(InputError, match="between 1 and"):
        lyapunov_spectrum(lambda x: x, jnp.ones(2), 10, k=3)
    with pytest.raises(InputError, match="step makes 1 numbers of 2"):
        lyapunov_spectrum(lambda x: x[:1], jnp.ones(2), 10)
    with pytest.raises(InputError, match="real numbers"):
        evolution_strategies(lambda x: x, 1j, jax.random.key(0), sigma=0.1)
    with pytest.raises(InputError, match="sigma must be positive"):
        evolution_strategies(lambda x: x, 1.0, jax.random.key(0), sigma=0.0)


def test_evolution_strategies_of_a_quadratic_form():
    """The gradient of a quadratic form is not changed by smoothing; errors are honest in 100 trials."""
    a = jnp.array([[2.0, 0.3], [0.3, -1.0]])
    x = {"u": jnp.array([0.4, 1.2])}

    def deviations(key):
        found = evolution_strategies(lambda x: x["u"] @ a @ x["u"], x, key, sigma=0.5, pairs=100)
        return (found.value["u"] - 2 * a @ x["u"]) / found.error["u"]

    z = jax.vmap(deviations)(jax.random.split(jax.random.key(1), 100))
    assert abs(jnp.mean(z)) < 0.3 and 0.8 < jnp.std(z) < 1.25


@pytest.mark.slow
def test_the_mean_height_of_lorenz_grows_with_rho():
    """d⟨z⟩/dρ at 28 is 1.01; the gradient of one trajectory of this length is about 1e17."""
    h, time = 0.005, 50.0

    def mean_height(rho, x):
        def move(x, _):
            x = runge_kutta(x, rho, h)
            return x, x[2]

        x = jax.lax.fori_loop(0, 2000, lambda _, x: runge_kutta(x, rho, h), x)
        return jnp.mean(jax.lax.scan(move, x, None, int(time / h))[1])

    starts = jnp.array([0.0, 0.0, 25.0]) + 5 * jax.random.normal(jax.random.key(0), (16, 3))
    average = lambda rho: jnp.mean(jax.vmap(mean_height, (None, 0))(rho, starts))  # noqa: E731
    found = jax.jit(lambda key: evolution_strategies(average, 28.0, key, sigma=0.5, pairs=64))(jax.random.key(2))
    assert found.error < 0.25 and abs(found.value - 1.01) < 3 * found.error
