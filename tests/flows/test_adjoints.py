"""Adjoints of odeint: published gradients by each, memory, and digits that are lost and said to be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pullback import flows
from pullback.core import RESULTS, Backsolve, ConvergenceError, Direct, InputError, Reversible, TwoLevel
from pullback.flows import odeint
from tests.flows.systems import LORENZ, LORENZ_GRADIENT, VAN_DER_POL_GRADIENT, lorenz, van_der_pol

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
SQUARED = {
    "lorenz": (lorenz, jnp.ones(3), 5.0, LORENZ, LORENZ_GRADIENT),
    "van der pol": (van_der_pol, jnp.array([2.0, 0.0]), 10.0, 5.0, VAN_DER_POL_GRADIENT),
}


@pytest.mark.parametrize(
    ("name", "adjoint"),
    [
        pytest.param("van der pol", Reversible(checkpoint_every=20), marks=pytest.mark.slow),
        pytest.param("van der pol", Direct(), marks=pytest.mark.slow),
        pytest.param("van der pol", TwoLevel(), marks=pytest.mark.slow),
        pytest.param("lorenz", Reversible(checkpoint_every=20), marks=pytest.mark.slow),
        pytest.param("lorenz", Reversible(0.9, 50), marks=pytest.mark.slow),
        pytest.param("lorenz", Direct(), marks=pytest.mark.slow),
    ],
)
def test_published_gradients(name, adjoint):
    """And by the last time, 2 x·f there, against SciPy's DOP853."""
    f, start, end, params, gradient = SQUARED[name]

    def loss(x0, params, end):
        times = jnp.array([0.0, 1.0]) * end
        return jnp.sum(odeint(f, x0, times, params, adjoint=adjoint, max_steps=2500, **TIGHT)[-1] ** 2)

    by_x, by_params, by_end = jax.jit(jax.grad(loss, (0, 1, 2)))(start, params, end)
    np.testing.assert_allclose([*by_x, *jax.tree.leaves(by_params)], gradient, rtol=1e-7)
    x = solve_ivp(lambda t, x: np.asarray(f(t, x, params)), (0, end), start, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(by_end, 2 * x @ np.asarray(f(end, x, params)), rtol=1e-6)


@pytest.mark.parametrize("name", ["van der pol", pytest.param("lorenz", marks=pytest.mark.slow)])
def test_backsolve_refuses_what_contracts(name):
    f, start, _, params, _ = SQUARED[name]
    times = jnp.array([0.0, 10.0])

    def loss(x0, **options):
        found = odeint(f, x0, times, params, adjoint=Backsolve(), **options)
        return found if "throw" in options else jnp.sum(found[-1] ** 2)

    found = loss(start, throw=False)
    assert found.result == RESULTS.irreversible and found.stats["round_trip"] > 0.1
    with pytest.raises(ConvergenceError, match="TwoLevel"):
        found.unwrap("odeint")
    with pytest.raises(RuntimeError, match="half of the digits"):
        jax.block_until_ready(jax.jit(jax.grad(loss))(start))


def test_backsolve_of_a_conservative_flow():
    """Two turns of a harmonic oscillator, with states between that take part."""
    ts = jnp.linspace(0, 4 * jnp.pi, 4)

    def loss(q0, omega):
        field = lambda t, y, w: jnp.stack([w * y[1], -w * y[0]])  # noqa: E731
        return jnp.sum(odeint(field, jnp.stack([q0, 0.3]), ts, omega, rtol=1e-10, adjoint=Backsolve())[:, 0] ** 2)

    def exact(q0, omega):
        return jnp.sum((q0 * jnp.cos(omega * ts) + 0.3 * jnp.sin(omega * ts)) ** 2)

    found, wanted = (jax.jit(jax.grad(f, (0, 1)))(0.7, 1.1) for f in (loss, exact))
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_reversible_says_what_it_has_lost():
    """A decay by e^−40: the way back has no digits left, coupled loosely; tightly, the pair parts on the way there."""
    decay = lambda t, y, k: -k * y  # noqa: E731
    times = jnp.array([0.0, 40.0])
    options = {"step_size": 0.02, "stepper": flows.RK4(), "max_steps": 2000}
    loose = odeint(decay, jnp.asarray(1.0), times, 1.0, adjoint=Reversible(0.9), throw=False, **options)
    assert loose.result == RESULTS.irreversible
    np.testing.assert_allclose(loose.value[-1], np.exp(-40.0), rtol=1e-4)
    tight = odeint(decay, jnp.asarray(1.0), times, 1.0, adjoint=Reversible(1.0), throw=False, **options)
    assert tight.result in (RESULTS.parted, RESULTS.irreversible)
    end = lambda k: odeint(decay, jnp.asarray(1.0), times, k, adjoint=Reversible(0.9), **options)[-1]  # noqa: E731
    with pytest.raises(RuntimeError, match="half of the digits"):
        jax.block_until_ready(jax.jit(jax.grad(end))(1.0))
    stored = odeint(decay, jnp.asarray(1.0), times, 1.0, adjoint=Reversible(0.9, 50), throw=False, **options)
    assert stored.result == RESULTS.successful and stored.stats["round_trip"] < 1e-8
    parted = odeint(van_der_pol, jnp.array([2.0, 0.0]), jnp.array([0.0, 10.0]), 5.0, adjoint=Reversible(), throw=False)
    assert parted.result in (RESULTS.parted, RESULTS.irreversible)


def test_memory_of_a_reversible_method_is_that_of_its_steps_lengths():
    """64 variables: no state is stored, 24 bytes a step are."""

    def size(adjoint, n):
        def loss(y0, k):
            field = lambda t, y, k: -k * jnp.roll(y, 1)  # noqa: E731
            times = jnp.array([0.0, 1.0])
            return jnp.sum(odeint(field, y0, times, k, step_size=1 / n, stepper=flows.RK4(), adjoint=adjoint,
                                  max_steps=n)[-1] ** 2)  # fmt: skip

        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(jnp.ones(64), 1.0).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few, many = size(Reversible(), 1000), size(Reversible(), 11_000)
    assert (many - few) / 10_000 < 80
    assert few < 150_000


def test_refused_options():
    with pytest.raises(InputError, match="coupling must be positive"):
        Reversible(0.0)
    with pytest.raises(InputError, match="must not be larger than 1"):
        Reversible(1.1)
    with pytest.raises(InputError, match="checkpoint_every must be positive"):
        Reversible(checkpoint_every=0)
