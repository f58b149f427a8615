"""trajectory between its steps, and steady states: closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import flows
from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.flows import steady_state, trajectory
from pullback.trust import check_derivatives
from tests.flows.systems import driven, oscillator


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": 1e-10},
        pytest.param({"rtol": 1e-10, "stepper": flows.Dopri8()}, marks=pytest.mark.slow),
        pytest.param({"step_size": 0.01, "stepper": flows.RK4()}, marks=pytest.mark.slow),
        pytest.param({"rtol": 1e-9, "stepper": flows.Kvaerno5()}, marks=pytest.mark.slow),
    ],
)
def test_between_the_steps(options):
    """As exact as at the steps, and so are the derivatives by time, start, its time and a parameter."""
    ts = jnp.linspace(0.1, 3.0, 41)

    def solve(q0, omega, start, ts):
        path = trajectory(oscillator, {"q": q0, "v": 0.3}, jnp.stack([start, 3.0]), omega, max_steps=600, **options)
        return path(ts)["q"]

    def exact(q0, omega, start, ts):
        times = jnp.concatenate([start[None], ts])
        return driven(q0, 0.3, times, omega)[1:]

    args = jnp.asarray(0.7), jnp.asarray(1.7), jnp.asarray(0.1), ts
    np.testing.assert_allclose(solve(*args), exact(*args), atol=2e-8)
    found, wanted = (jax.jit(jax.jacrev(lambda *a, f=f: f(*a)[::8], (0, 1, 2, 3)))(*args) for f in (solve, exact))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-7)


def test_order_between_the_steps():
    """Halving steps of RK4 divides the error in the middle of steps by sixteen, as at their ends."""

    def error(h):
        path = trajectory(lambda t, y, p: jnp.cos(t) * y, jnp.asarray(1.0), jnp.array([0.0, 2.0]), step_size=h,
                          stepper=flows.RK4())  # fmt: skip
        ts = jnp.arange(0.5, 9.5) * 0.2
        return jnp.max(jnp.abs(path(ts) - jnp.exp(jnp.sin(ts))))

    assert 11 < error(0.2) / error(0.1) < 22


def test_backwards_and_outside():
    back = trajectory(lambda t, y, p: 1j * y, jnp.asarray(1.0 + 0j), jnp.array([1.0, -1.0]), rtol=1e-11)
    t = jnp.array([[0.9, 0.2], [-0.4, -1.0]])
    np.testing.assert_allclose(back(t), np.exp(1j * (np.asarray(t) - 1)), rtol=1e-9)
    with pytest.raises(RuntimeError, match="outside of the span"):
        jax.block_until_ready(back(1.1))
    short = trajectory(lambda t, y, p: y**2, 1.0, jnp.array([0.0, 2.0]), max_steps=100, throw=False)
    assert short.result != RESULTS.successful
    with pytest.raises(ConvergenceError, match="trajectory"):
        short.unwrap("trajectory")
    with pytest.raises(InputError, match="trajectory: rtol must be positive"):
        trajectory(lambda t, y, p: y, 1.0, jnp.array([0.0, 2.0]), rtol=0.0)


@pytest.mark.slow
def test_second_order():
    check_derivatives(
        lambda t, k: trajectory(lambda t, y, k: -k * y, 1.0, jnp.array([0.0, 1.0]), k, rtol=1e-11)(t),
        *(0.37, 1.3), samples=1, throw=True,
    )  # fmt: skip


def predators(t, y, p):
    """With a stable state: x' = x (1 − x) − x y, y' = p x y − y / 2, at x = 1/2p, y = 1 − 1/2p."""
    x, z = y["x"], y["z"]
    return {"x": x * (1 - x) - x * z, "z": p * x * z - z / 2}


def test_steady_states():
    start = {"x": 0.6, "z": 0.3}
    found = steady_state(predators, start, 1.25, throw=False)
    np.testing.assert_allclose([found.value["x"], found.value["z"]], [0.4, 0.6], rtol=1e-11)
    # Jacobian [[-x, -x], [p z, 0]]: λ² + x λ + p x z = 0
    roots = np.roots([1, 0.4, 1.25 * 0.4 * 0.6])
    np.testing.assert_allclose(found.stats["growth"], roots.real.max(), rtol=1e-9)
    saddle = steady_state(predators, {"x": 0.98, "z": 0.01}, 1.25, throw=False)
    np.testing.assert_allclose([saddle.value["x"], saddle.value["z"]], [1.0, 0.0], atol=1e-11)
    np.testing.assert_allclose(saddle.stats["growth"], 0.75, rtol=1e-9)
    settled = steady_state(predators, {"x": 0.98, "z": 0.01}, 1.25, settle=60.0)
    np.testing.assert_allclose(settled["x"], 0.4, rtol=1e-11)
    slope = jax.jit(jax.grad(jax.grad(lambda p: steady_state(predators, start, p)["x"])))(1.25)
    np.testing.assert_allclose(slope, 1 / 1.25**3, rtol=1e-9)
    drive = jnp.asarray(1.0)
    complex_ = jax.grad(lambda a: steady_state(lambda t, z, p: drive - (a + 1j) * z, 0.1 + 0j).real)(0.5)
    np.testing.assert_allclose(complex_, (-1 / (0.5 + 1j) ** 2).real, rtol=1e-10)
    with pytest.raises(InputError, match="settle must be"):
        steady_state(predators, start, 1.25, settle=-1.0)
