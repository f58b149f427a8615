"""odeint: published gradients, closed forms, times, batches, stiff problems, refusals."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import flows
from pullback.core import (
    RESULTS,
    Backsolve,
    Checkpoint,
    ConvergenceError,
    Direct,
    InputError,
    Reversible,
    TwoLevel,
    Uncompute,
)
from pullback.flows import odeint
from pullback.trust import check_derivatives
from pullback.trust._derivatives import directional_derivative
from tests.flows.systems import (
    LORENZ,
    LORENZ_GRADIENT,
    LORENZ_VALUE,
    VAN_DER_POL_GRADIENT,
    VAN_DER_POL_VALUE,
    driven,
    lorenz,
    oscillator,
    van_der_pol,
)


@pytest.mark.parametrize(
    "adjoint",
    [None, pytest.param(TwoLevel(), marks=pytest.mark.slow), pytest.param(Checkpoint(7), marks=pytest.mark.slow)],
)
def test_lorenz(adjoint):
    """T = 5, |x(T)|², by 50-digit Taylor series."""

    def loss(x0, params):
        ts = jnp.array([0.0, 5.0])
        return jnp.sum(
            odeint(lorenz, x0, ts, params, rtol=1e-13, atol=1e-13, stepper=flows.Dopri8(), adjoint=adjoint)[-1] ** 2
        )

    value, (by_x, by_params) = jax.jit(jax.value_and_grad(loss, (0, 1)))(jnp.ones(3), LORENZ)
    np.testing.assert_allclose(value, LORENZ_VALUE, rtol=1e-9)
    np.testing.assert_allclose([*by_x, *by_params], LORENZ_GRADIENT, rtol=1e-7)


def test_van_der_pol():
    """μ = 5, T = 10, |x(T)|², by 50-digit Taylor series."""

    def loss(x0, mu):
        return jnp.sum(odeint(van_der_pol, x0, jnp.array([0.0, 10.0]), mu, rtol=1e-11, atol=1e-11)[-1] ** 2)

    value, (by_x, by_mu) = jax.jit(jax.value_and_grad(loss, (0, 1)))(jnp.array([2.0, 0.0]), 5.0)
    np.testing.assert_allclose(value, VAN_DER_POL_VALUE, rtol=1e-8)
    np.testing.assert_allclose([*by_x, by_mu], VAN_DER_POL_GRADIENT, rtol=1e-7)


SECOND, THIRD = ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd"), ("fwd-fwd-rev", "rev-rev-rev")
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        (TIGHT | {"stepper": flows.Dopri5()}, ("vjp", "fwd-rev")),
        pytest.param(TIGHT | {"stepper": flows.Dopri8()}, SECOND, marks=pytest.mark.slow),
        pytest.param(TIGHT | {"adjoint": TwoLevel()}, SECOND, marks=pytest.mark.slow),
        pytest.param({"step_size": 0.003, "stepper": flows.RK4()}, SECOND, marks=pytest.mark.slow),
        pytest.param(TIGHT, THIRD, marks=pytest.mark.slow),
        ({"step_size": 0.003, "stepper": flows.RK4(), "adjoint": Reversible()}, ("vjp", "fwd-rev")),
        pytest.param(TIGHT | {"adjoint": Reversible(), "max_steps": 500}, THIRD[:1], marks=pytest.mark.slow),
        pytest.param(TIGHT | {"adjoint": Reversible(checkpoint_every=30)}, ("jvp", "fwd-rev"), marks=pytest.mark.slow),
        pytest.param(TIGHT | {"adjoint": Direct(), "max_steps": 400}, SECOND, marks=pytest.mark.slow),
        pytest.param(TIGHT | {"adjoint": Backsolve()}, SECOND, marks=pytest.mark.slow),
    ],
)
def test_all_modes_in_state_times_and_parameters(options, modes):
    """Against differences of the exact solution, which knows nothing of steps."""
    drive = jnp.asarray(1.0)

    def solve(q0, ts, omega):
        field = lambda t, y, omega: oscillator(t * drive, y, omega)  # noqa: E731
        return odeint(field, {"q": q0, "v": 0.3 * q0}, ts, omega, **{"max_steps": 2000, **options})["q"]

    args = jnp.asarray(0.7), jnp.array([0.1, 0.4, 1.3, 2.0]), jnp.asarray(1.7)
    np.testing.assert_allclose(solve(*args), driven(0.7, 0.21, args[1], 1.7), atol=1e-9)
    functions = [solve, lambda q0, ts, omega: driven(q0, 0.3 * q0, ts, omega)]
    directions = [tuple(jnp.cos(k + jnp.arange(a.size).reshape(a.shape)) for a in args) for k in range(3)]
    weights = jnp.array([0.3, -1.0, 0.7, 0.9])

    def derivatives(f, args):
        phi = lambda x: weights @ f(*x)  # noqa: E731
        return [directional_derivative(phi, args, directions[: mode.count("-") + 1], mode) for mode in modes]

    found, wanted = (jax.jit(partial(derivatives, f))(args) for f in functions)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_backwards_in_time_and_complex_states():
    ts = jnp.array([2.0, 1.0, -0.5])
    found = odeint(lambda t, y, w: -1j * w * y, jnp.asarray(1 + 0.5j), ts, 1.3, rtol=1e-11)
    np.testing.assert_allclose(found, (1 + 0.5j) * np.exp(-1.3j * (np.asarray(ts) - 2)), rtol=1e-9)
    check_derivatives(
        lambda y, w: odeint(lambda t, y, w: -1j * w * y, y, ts, w, rtol=1e-11),
        1 + 0.5j,
        1.3,
        samples=1,
        order=1,
        throw=True,
    )


def test_batches_take_each_its_own_steps():
    """Members that take 10 and 300 steps; values, gradients and numbers of steps are those of single solves."""

    def loss(mu):
        found = odeint(van_der_pol, jnp.array([2.0, 0.0]), jnp.array([0.0, 3.0]), mu, throw=False)
        return jnp.sum(found.value[-1]), found.steps

    mus = jnp.array([0.01, 3.0, 30.0])
    (found, steps), slopes = jax.jit(jax.vmap(jax.value_and_grad(loss, has_aux=True)))(mus)
    alone = jax.jit(jax.value_and_grad(loss, has_aux=True))
    for k, mu in enumerate(mus):
        (value, number), slope = alone(mu)
        np.testing.assert_allclose([found[k], slopes[k]], [value, slope], rtol=1e-9)
        assert steps[k] == number
    assert steps[2] > 3 * steps[0]


# The variational equations by SciPy's Radau with rtol = 3e-14, atol = 3e-20; at 1e-11 the same to 12 digits.
ROBERTSON = [
    [-1.6990235086822902e-01, -6.8650652667169909e-02, 1.3730807973446241e-01],
    [1.8364784997015588e-06, -3.4141785280503810e-06, -2.3571921138463258e-06],
    [1.6990051438972917e-01, 6.8654066845698039e-02, -1.3730572254234846e-01],
]


@pytest.mark.slow
def test_robertson():
    """Stiff kinetics, t = 40: k_j ∂y_i/∂k_j against the variational equations."""

    def field(t, y, k):
        a, b, c = k[0] * y[0], k[1] * y[1] ** 2, k[2] * y[1] * y[2]
        return jnp.stack([-a + c, a - b - c, b])

    def end(k):
        return odeint(
            field,
            jnp.array([1.0, 0.0, 0.0]),
            jnp.array([0.0, 40.0]),
            k,
            rtol=1e-9,
            atol=1e-13,
            stepper=flows.Kvaerno5(),
        )[-1]

    k = jnp.array([0.04, 3e7, 1e4])
    found = jax.jit(jax.jacrev(end))(k) * k
    np.testing.assert_allclose(found, ROBERTSON, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(end))(k) * k, found, rtol=1e-9)


def test_what_goes_wrong_is_said():
    two = jnp.array([0.0, 1.0])
    few = odeint(lorenz, jnp.ones(3), jnp.array([0.0, 50.0]), (10.0, 28.0, 2.7), max_steps=20, throw=False)
    assert few.result == RESULTS.max_steps_reached and few.steps == 20
    pole = odeint(lambda t, y, p: y**2, jnp.asarray(1.0), jnp.array([0.0, 2.0]), throw=False)  # 1 / (1 − t)
    assert pole.result != RESULTS.successful
    with pytest.raises(ConvergenceError, match="odeint"):
        odeint(lambda t, y, p: y**2, jnp.asarray(1.0), jnp.array([0.0, 2.0]))
    nan = odeint(lambda t, y, p: jnp.nan * y, jnp.asarray(1.0), two, throw=False)
    assert nan.result != RESULTS.successful
    blown = odeint(
        lambda t, y, p: y**2, jnp.asarray(1.0), jnp.array([0.0, 3.0]), step_size=0.1, stepper=flows.RK4(), throw=False
    )
    assert blown.result == RESULTS.nonfinite
    many = odeint(lambda t, y, p: -y, jnp.asarray(1.0), two, step_size=1e-3, max_steps=100, throw=False)
    assert many.result == RESULTS.max_steps_reached


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ts": [0.0, 1.0, 0.5]}, "must increase"),
        ({"ts": [0.0, 0.0]}, "must increase"),
        ({"ts": [0.0]}, "two times or more"),
        ({"y0": [np.nan, 1.0]}, "NaN or infinite"),
        ({"f": lambda t, y, p: y[:1]}, "must stay float64"),
        ({"f": lambda t, y, p: (y, y)}, "structure of y0"),
        ({"f": lambda t, y, p: 1j * y}, "Pass a complex y0"),
        ({"rtol": -1.0}, "rtol must be positive"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"stepper": flows.RK4()}, "no estimate of its error"),
        ({"stepper": "rk4"}, "give one of diffrax"),
        ({"adjoint": Uncompute()}, "adjoint must be"),
        ({"max_steps": 0}, "at least one step"),
        ({"rtol": 1e-20}, "below rounding"),
        ({"ts": [0.0, np.inf]}, "must increase"),
        ({"adjoint": Backsolve(), "step_size": 0.1}, "Backsolve chooses its own steps"),
        ({"adjoint": Reversible(), "stepper": flows.Kvaerno5()}, "for explicit methods"),
    ],
)
def test_refusals(no_type_checks, change, text):
    options = {"f": lambda t, y, p: -y, "y0": jnp.ones(2), "ts": jnp.array([0.0, 1.0])} | change
    with pytest.raises(InputError, match=text):
        odeint(options.pop("f"), jnp.asarray(options.pop("y0")), jnp.asarray(options.pop("ts")), **options)


def test_a_network_among_the_parameters_is_refused_by_name():
    """Its activation is no array; closed over it is welcome, and its weights are differentiated."""
    network = eqx.nn.MLP(1, 1, 4, 1, jnp.tanh, dtype=float, key=jax.random.key(0))
    ts, start = jnp.array([0.0, 0.5]), jnp.ones(1)
    with pytest.raises(InputError, match=r"odeint: params\.activation is .*close over"):
        odeint(lambda t, y, net: net(y), start, ts, network)
    weights, rest = eqx.partition(network, eqx.is_inexact_array)

    def end(weights):
        net = eqx.combine(weights, rest)
        return odeint(lambda t, y, _: net(y), start, ts)[-1, 0]

    slope = jax.grad(end)(weights)
    step = 1e-6
    moved = [end(eqx.tree_at(lambda w: w.layers[1].bias, weights, weights.layers[1].bias + s)) for s in (step, -step)]
    np.testing.assert_allclose(slope.layers[1].bias[0], (moved[0] - moved[1]) / (2 * step), rtol=1e-6)
