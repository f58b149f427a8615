"""sdeint: geometric Brownian motion on the same path, strong orders, Ornstein–Uhlenbeck, all modes, refusals."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import Checkpoint, InputError, TwoLevel, Uncompute
from pullback.flows import Euler, Heun, ItoMilstein, ReversibleHeun, Tsit5, sdeint
from pullback.trust import check_derivatives

MU, SIGMA = 0.3, 0.6
SCHEMES = (Euler(), ItoMilstein(), Heun(), ReversibleHeun())
ITO = (Euler, ItoMilstein)


def growth(t, y, p):
    return p[0] * y


def noise(t, y, p):
    return p[1] * y


@pytest.mark.parametrize(("method", "order"), [(SCHEMES[0], 0.5), *((m, 1.0) for m in SCHEMES[1:])])
def test_geometric_brownian_motion(method, order):
    """y = exp((μ − σ²/2) t + σ W) (Itô), exp(μ t + σ W) (Stratonovich), on one Brownian tree."""
    shift = SIGMA**2 / 2 if isinstance(method, ITO) else 0.0

    def error(key, steps):
        found = sdeint(growth, noise, 1.0, jnp.array([0.0, 0.5, 1.0]), key, (MU, SIGMA), method=method, steps=steps)
        tree = diffrax.VirtualBrownianTree(0.0, 1.0, 2.0**-20, jax.ShapeDtypeStruct((), float), key)
        return found[-1] - jnp.exp(MU - shift + SIGMA * tree.evaluate(0.0, 1.0))

    keys = jax.random.split(jax.random.key(2), 200)
    errors = [jnp.sqrt(jnp.mean(jax.jit(jax.vmap(lambda k, n=n: error(k, n)))(keys) ** 2)) for n in (8, 64)]
    assert abs(np.log(errors[0] / errors[1]) / np.log(8) - order) < 0.15
    assert errors[1] < (0.1 if order < 1 else 0.02)


def test_ornstein_uhlenbeck():
    """Mean x e^{−kt} and variance (D/k)(1 − e^{−2kt}) of 2000 paths; the gradient is that of every path."""
    k, D, x, t = 1.3, 0.5, 0.8, 1.0
    run = lambda x, key: sdeint(  # noqa: E731
        lambda t, y, p: -p * y, lambda t, y, p: (2 * D) ** 0.5, x, [0.0, t], key, k, method=Euler(), steps=100
    )[-1]
    keys = jax.random.split(jax.random.key(0), 2000)
    ends, slopes = jax.jit(jax.vmap(jax.value_and_grad(run), (None, 0)))(x, keys)
    variance = D / k * (1 - np.exp(-2 * k * t))
    assert abs(ends.mean() - x * np.exp(-k * t)) < 4 * np.sqrt(variance / 2000)
    assert abs(ends.var() / variance - 1) < 4 * np.sqrt(2 / 2000) + 0.02
    np.testing.assert_allclose(slopes, (1 - k * t / 100) ** 100, rtol=1e-12)  # of the steps that were made


@pytest.mark.parametrize(
    ("method", "adjoint"),
    [
        (ReversibleHeun(), None),
        *(pytest.param(m, None, marks=pytest.mark.slow) for m in SCHEMES[:3]),
        pytest.param(Heun(), TwoLevel(), marks=pytest.mark.slow),
        pytest.param(ReversibleHeun(), Uncompute(2), marks=pytest.mark.slow),
        pytest.param(ReversibleHeun(), Checkpoint(2), marks=pytest.mark.slow),
    ],
)
def test_all_modes(method, adjoint):
    """By the start, the increments, the parameters and what the functions close over; two noises for both y."""

    def ends(y, dw, p, shift):
        drift = lambda t, y, p: jnp.sin(y) * p[0] + shift * t  # noqa: E731
        matrix = lambda t, y, p: p[1] * jnp.outer(jnp.cos(y), jnp.array([1.0, 0.3, -0.5]))  # noqa: E731
        diagonal = lambda t, y, p: p[1] * jnp.cos(y)  # noqa: E731
        given = (diagonal, dw[:, :2]) if isinstance(method, ItoMilstein) else (matrix, dw)
        return sdeint(drift, given[0], y, [0.0, 0.4, 1.0], given[1], p, method=method, steps=4, adjoint=adjoint)

    dw = 0.3 * np.random.default_rng(0).normal(size=(8, 3))
    modes = (
        ("vjp", "fwd-rev") if method == ReversibleHeun() and adjoint is None else ("jvp", "vjp", "fwd-rev", "rev-rev")
    )
    check_derivatives(ends, jnp.array([0.3, 1.2]), dw, (0.4, 0.7), 0.1, samples=1, modes=modes, throw=True)


@pytest.mark.slow
def test_reversible_memory():
    """The path is made from its key again on the way back: no states, no increments."""
    steps = 2000

    def end(y):
        key, ts = jax.random.key(0), [0.0, 1.0]
        return sdeint(growth, noise, y, ts, key, (MU, SIGMA), method=ReversibleHeun(), steps=steps)[-1]

    y = jnp.ones(100)
    program = jax.jit(jax.value_and_grad(lambda y: jnp.sum(end(y)))).lower(y).compile()
    assert program.memory_analysis().temp_size_in_bytes < steps * 60  # times; the states would take 800 bytes a step
    value, slope = program(y)
    np.testing.assert_allclose(slope.sum(), value, rtol=1e-10)  # a linear equation: its solution is its derivative


def test_complex_and_single():
    """A phase that diffuses, z' = i z ∘ dW: |z| is kept to the order of the scheme."""
    still, turning = (lambda t, y, p: 0 * y), (lambda t, y, p: 1j * y)
    z = sdeint(still, turning, 1.0 + 0j, [0.0, 1.0], jax.random.key(4), method=Heun(), steps=500)
    assert abs(abs(z[-1]) - 1) < 1e-2 and abs(jnp.angle(z[-1])) > 0.05
    one = jnp.float32(1.0)
    found = sdeint(growth, noise, one, [0.0, 1.0], jax.random.key(4), (MU, SIGMA), method=Heun(), steps=50)
    assert found.dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"drift": lambda t, y, p: jnp.ones(3)}, "drift"),
        ({"diffusion": lambda t, y, p: jnp.ones((3, 2))}, "diffusion"),
        ({"diffusion": lambda t, y, p: 1j * y}, "diffusion"),
        ({"y0": jnp.array([jnp.nan, 1.0])}, "NaN or infinite"),
        ({"ts": [0.0, 1.0, 0.5]}, "ts must increase"),
        ({"ts": [1.0, 0.0]}, "ts must increase"),
        ({"steps": 0}, "steps must be positive"),
        ({"path": jnp.ones((3, 2))}, "need increments of shape"),
        ({"path": "seed"}, "must be a key"),
        ({"method": Tsit5()}, "give one of"),
        ({"method": ItoMilstein(), "diffusion": lambda t, y, p: jnp.ones((2, 3))}, "Milstein"),
        ({"adjoint": Uncompute()}, "is not undone"),
        ({"drift": lambda t, y, p: 1e200 * y**3}, "NaN or infinite"),
    ],
)
def test_refusals(no_type_checks, change, text):
    given = {"drift": growth, "diffusion": noise, "y0": jnp.ones(2), "ts": [0.0, 1.0], "path": jax.random.key(0),
             "params": (MU, SIGMA), "method": Heun(), "steps": 10}  # fmt: skip
    with pytest.raises(InputError, match=text):
        sdeint(**(given | change))
