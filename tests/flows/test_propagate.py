"""propagate: exact formulas, orders, norms, memory, drives, forms of H, all modes, refusals."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from pullback import flows, lattices, operators
from pullback.core import RESULTS, Checkpoint, ConvergenceError, InputError, TwoLevel, Uncompute
from pullback.flows import (
    Chebyshev,
    CommutatorFree,
    Eigh,
    Magnus,
    PiecewiseConstant,
    SplitOperator,
    Taylor,
    odeint,
    propagate,
)
from pullback.trust import check_derivatives

X, Z = jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.diag(jnp.array([1.0, -1.0]))
Y = jnp.array([[0, -1j], [1j, 0]])
UP = jnp.array([1.0, 0.0])
EVERY = ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd")
ONCE_REVERSE = ("jvp", "vjp", "fwd-fwd")


def sweep(t, params):
    v, g = params
    return v * t / 2 * Z + g * X


def test_landau_zener():
    """P = exp(−2π g²/v) to stay on a diabatic level; the adiabatic states at the ends leave corrections of 1/T³."""
    v, g, T = 2.0, 0.45, 400.0

    @jax.jit
    def stays(params):
        first, last = (jnp.linalg.eigh(sweep(t, params))[1] for t in (-T, T))
        end = propagate(sweep, first[:, 0], np.array([-T, T]), params, method=Magnus(4), step_size=0.005)[-1]
        return jnp.abs(last[:, 1].conj() @ end) ** 2

    assert abs(stays((v, g)) - np.exp(-2 * np.pi * g**2 / v)) < 1e-8


def rabi(t, params):
    omega, amplitude = params
    return omega / 2 * Z + amplitude * jnp.cos(1.3 * t) * X


def test_rabi_with_counter_rotating_terms():
    ts, params = jnp.array([0.0, 2.0, 7.0]), (1.1, 0.6)
    slope = lambda t, y, p: -1j * (rabi(t, p) @ y)  # noqa: E731
    witness = odeint(slope, UP.astype(complex), ts, params, rtol=1e-13, atol=1e-13, stepper=flows.Dopri8())
    found = propagate(rabi, UP, ts, params, method=Magnus(6), rtol=1e-13)
    np.testing.assert_allclose(found, witness, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "order"),
    [(Magnus(2), 2), (Magnus(4), 4), (Magnus(6), 6), (CommutatorFree(2), 2), (CommutatorFree(4), 4)],
)
def test_orders(method, order):
    run = jax.jit(
        lambda n: propagate(rabi, jnp.eye(2), np.array([0.0, 3.0]), (1.1, 0.6), method=method, step_size=3 / n)
    )
    exact = propagate(rabi, jnp.eye(2), np.array([0.0, 3.0]), (1.1, 0.6), method=Magnus(6), steps=400)[-1]
    errors = [float(jnp.max(jnp.abs(run(n)[-1] - exact))) for n in (16.0, 32.0)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15


def test_norms_and_memory():
    """10^5 steps: the norm is kept to 1e-13, and the gradient needs no more memory than that of 100 steps."""

    def loss(steps, amplitude):
        end = propagate(rabi, UP, np.array([0.0, 300.0]), (1.1, amplitude), steps=steps)[-1]
        return jnp.abs(end[0]) ** 2, end

    programs = [jax.jit(jax.grad(partial(loss, n), has_aux=True)).lower(0.6).compile() for n in (100, 100_000)]
    sizes = [p.memory_analysis().temp_size_in_bytes for p in programs]
    assert sizes[0] == sizes[1] < 20_000
    slope, end = programs[1](0.6)
    assert abs(jnp.linalg.norm(end) - 1) < 1e-13
    # Another 10^5 steps, by differences.
    h = 1e-5
    up, down = (loss(100_000, 0.6 + s * h)[0] for s in (1, -1))
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-5)


def ring(n):
    """A chain of n spins in a transverse field as a model, as a sum of words, and as a dense matrix by NumPy."""
    couplings = np.linspace(0.5, 1.5, n)
    model = lattices.SpinModel(lattices.ring(n), {"zz": -1.0, "x": couplings})
    words = [(f"Z{i} Z{(i + 1) % n}", -1.0) for i in range(n)] + [(f"X{i}", couplings[i]) for i in range(n)]
    bits = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1)
    dense = np.diag(-np.sum(bits * np.roll(bits, -1, 1), 1).astype(float))
    for i in range(n):
        dense[np.arange(2**n), np.arange(2**n) ^ (1 << (n - 1 - i))] += couplings[i]
    return model, operators.PauliSum(n, words), dense


@pytest.mark.parametrize("n", [6, pytest.param(10, marks=pytest.mark.slow)])
def test_spins_without_a_matrix(n):
    model, words, dense = ring(n)
    w, v = np.linalg.eigh(dense)
    psi = np.random.default_rng(0).normal(size=2**n) + 0j
    psi /= np.linalg.norm(psi)
    ts = np.array([0.0, 0.5, 2.0])
    exact = [v @ (np.exp(-1j * t * w) * (v.T @ psi)) for t in ts]
    for H in (model, words, model.apply, scipy.sparse.csr_array(dense), dense, lambda t, u, p: dense @ u):
        np.testing.assert_allclose(propagate(H, psi, ts, rtol=1e-10), exact, atol=1e-9)
    np.testing.assert_allclose(propagate(model, psi, ts[::-1])[-1], v @ (np.exp(2j * w) * (v.T @ psi)), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("form", [0, 1, 2])
def test_a_model_that_is_driven(form):
    """H(t) = −Σ zz + (1 + cos t) Σ x: as a model for each time, and as a sum of drives, against SciPy's integrator."""
    n = 3
    lattice = lattices.ring(n)
    zz, x = (lattices.SpinModel(lattice, {kind: c}) for kind, c in (("zz", -1.0), ("x", 1.0)))
    psi = np.ones(2**n) / 2 ** (n / 2)
    ts = np.array([0.0, 1.5])
    a, b = (np.asarray(m.matrix()) for m in (zz, x))
    slope = lambda t, y: -1j * ((a + (1 + 0.3 * np.cos(t)) * b) @ y)  # noqa: E731
    exact = scipy.integrate.solve_ivp(slope, ts, psi + 0j, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    drive = lambda t, p: 1 + p * jnp.cos(t)  # noqa: E731
    forms = (
        [zz, (x, drive)],
        lambda t, p: lattices.SpinModel(lattice, {"zz": -1.0, "x": drive(t, p)}),
        lambda t, u, p: a @ u + drive(t, p) * (b @ u),
    )
    found = jax.jit(lambda p: propagate(forms[form], psi, ts, p, rtol=1e-8, throw=False))(0.3)
    assert found.converged and found.residual < 1e-8
    np.testing.assert_allclose(found.value[-1], exact, atol=2e-8)


@pytest.mark.slow
def test_many_drives_share_one_grid():
    """Twelve smooth ones and twelve that jump at other times: against a product of exponentials by SciPy."""
    rng = np.random.default_rng(1)
    operators_of = [(m + m.T) / 2 for m in rng.normal(size=(24, 4, 4))]
    jumps = np.sort(rng.uniform(0.1, 0.9, (12, 3)), axis=1)
    values = rng.normal(size=(12, 2)) / 3
    pulses = [PiecewiseConstant(t, v) for t, v in zip(jumps, values)]
    smooth = [lambda t, p, k=k: p * jnp.sin((k + 1) * t) / 6 for k in range(12)]
    H = [jnp.diag(jnp.arange(4.0)), *zip(operators_of, [*pulses, *smooth])]
    found = jax.jit(lambda p: propagate(H, jnp.eye(4), np.array([0.0, 1.0]), p, rtol=1e-9, throw=False))(1.0)

    def at(t):
        total = np.diag(np.arange(4.0))
        for m, times, v in zip(operators_of[:12], jumps, values):
            j = np.searchsorted(times, t, "right") - 1
            total = total + (v[j] if 0 <= j < 2 else 0) * m
        return total + sum(np.sin((k + 1) * t) / 6 * m for k, m in enumerate(operators_of[12:]))

    edges = np.unique([0.0, 1.0, *jumps.ravel()])
    exact = np.eye(4)
    for a, b in itertools.pairwise(edges):
        solve = scipy.integrate.solve_ivp(
            lambda t, y: (-1j * at(t) @ y.reshape(4, 4)).ravel(),
            (a, b), exact.ravel() + 0j, "DOP853", rtol=1e-11, atol=1e-12, max_step=(b - a) / 2,
        )  # fmt: skip
        # The right end belongs to the next piece: it is not looked at.
        exact = solve.y[:, -1].reshape(4, 4)
    np.testing.assert_allclose(found.value[-1], exact, atol=2e-8)
    assert found.steps < 1000 and found.converged


@pytest.mark.slow
def test_pieces_are_exact():
    """Constant between jumps: one exponential each, in compiled programs, whatever is differentiated."""
    values, times = jnp.array([0.3, -0.7, 0.4]), jnp.array([0.0, 0.5, 1.5, 2.5])
    run = lambda v, t: propagate([Z, (X, PiecewiseConstant(t, v))], UP, np.array([0.0, 2.0]), throw=False)  # noqa: E731
    found = jax.jit(run)(values, times)
    exact = UP
    for v, h in zip(values, (0.5, 1.0, 0.5)):
        exact = scipy.linalg.expm(-1j * h * (Z + v * X)) @ exact
    np.testing.assert_allclose(found.value[-1], exact, atol=1e-14)
    assert found.steps == 3
    end = lambda v, t: run(v, t).value[-1]  # noqa: E731
    check_derivatives(end, values, times.at[0].set(-0.1), samples=1, modes=("vjp",), throw=True)


def swept(t, p):
    return p[0] * t * Z + p[1] * X


@pytest.mark.parametrize(
    ("H", "options", "modes"),
    [
        (lambda t, p: p[0] * t * Z + p[1] * X + 0.2 * Y, {"steps": 2}, ("vjp",)),
        pytest.param(lambda t, p: p[0] * t * Z + p[1] * X + 0.2 * Y, {"steps": 5}, EVERY, marks=pytest.mark.slow),
        pytest.param(swept, {"steps": 3, "method": Magnus(6)}, ("vjp", "fwd-rev"), marks=pytest.mark.slow),
        pytest.param(
            lambda t, u, p: p[0] * t * (Z @ u) + p[1] * (X @ u), {"steps": 3, "method": Taylor((-3.0, 3.0))},
            ("vjp", "fwd-rev"), marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda t, p: p[0] * Z + p[1] * X, {"method": Eigh(), "steps": 2}, ("vjp", "rev-rev"), marks=pytest.mark.slow
        ),
        pytest.param(swept, {"steps": 4, "adjoint": TwoLevel()}, ONCE_REVERSE, marks=pytest.mark.slow),
        pytest.param(swept, {"steps": 4, "adjoint": Uncompute(2)}, ONCE_REVERSE, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_all_modes(H, options, modes):
    """By the state, the times, the parameters, and what H closes over."""

    def states(psi, ts, p, shift):
        if H.__code__.co_argcount == 3:
            return propagate(lambda t, u, p: H(t, u, p) + shift * u, psi, ts, p, **options)
        return propagate(lambda t, p: H(t, p) + shift * Z, psi, ts, p, **options)

    ts = jnp.array([0.1, 0.5, 1.2])
    check_derivatives(states, jnp.array([1.0, 0.3j]), ts, (1.0, 0.7), 0.2, samples=1, modes=modes, throw=True)


def test_only_what_is_differentiated_is():
    """√c at c = 0, which nobody differentiates, has an infinite slope."""
    end = lambda p, c: propagate(lambda t, q: q * X + jnp.sqrt(c) * t * Z, UP, np.array([0.0, 1.0]), p, steps=4)[-1]  # noqa: E731
    slope = jax.jit(jax.grad(lambda p: end(p, 0.0)[0].real))(0.7)
    np.testing.assert_allclose(slope, -np.sin(0.7), rtol=1e-12)


@pytest.mark.slow
def test_vmap():
    ts = np.array([0.0, 1.0, 2.0])
    run = lambda p: propagate(rabi, UP, ts, p, rtol=1e-8)  # noqa: E731
    batch = (jnp.array([0.3, 1.1, 4.0]), jnp.array([0.1, 0.6, 2.0]))
    found = jax.jit(jax.vmap(run))(batch)
    for k in range(3):
        np.testing.assert_allclose(found[k], run(jax.tree.map(lambda a, k=k: a[k], batch)), atol=1e-7)


@pytest.mark.slow
def test_single_precision():
    H = lambda t, p: p * jnp.cos(t) * X.astype(jnp.float32) + Z.astype(jnp.float32)  # noqa: E731
    found = propagate(H, UP.astype(jnp.float32), jnp.array([0.0, 2.0], jnp.float32), jnp.float32(0.4), rtol=1e-5)
    assert found.dtype == jnp.complex64
    exact = propagate(lambda t, p: p * jnp.cos(t) * X + Z, UP, np.array([0.0, 2.0]), 0.4, rtol=1e-10)
    np.testing.assert_allclose(found, exact, atol=3e-5)


GRID = jnp.arange(-10.0, 10.0, 20 / 128)
KINETIC = jnp.asarray((2 * np.pi * np.fft.fftfreq(128, 20 / 128)) ** 2 / 2)


def packet(q, p):
    return jnp.exp(-((GRID - q) ** 2) / 2 + 1j * p * GRID) / np.pi**0.25


@pytest.mark.parametrize("order", [4, pytest.param(2, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)])
def test_a_driven_coherent_state(order):
    """V = x²/2 − a x cos 2t: a Gaussian stays one, around the classical q'' = −q + a cos 2t."""

    def end(a, n):
        V = lambda t, a: GRID**2 / 2 - a * GRID * jnp.cos(2 * t)  # noqa: E731
        return propagate((KINETIC, V), packet(1.0, 0.0), np.array([0.0, 3.0]), a, method=SplitOperator(order), steps=n)

    def overlap(a, n):
        c = -a / 3  # q = c cos 2t + (1 − c) cos t
        q, p = c * np.cos(6) + (1 - c) * np.cos(3), -2 * c * np.sin(6) - (1 - c) * np.sin(3)
        return jnp.abs(jnp.sum(packet(q, p).conj() * end(a, n)[-1])) * 20 / 128

    errors = [1 - float(overlap(0.8, n)) ** 2 for n in {2: (40, 80), 4: (10, 20), 6: (4, 8)}[order]]
    assert errors[1] < 1e-4 and abs(np.log2(errors[0] / errors[1]) - 2 * order) < 1  # quadratic in the error
    found = propagate(
        (KINETIC, lambda t, p: GRID**2 / 2), packet(1.0, 0.5), np.array([0.0, 2 * np.pi]),
        method=SplitOperator(4), rtol=1e-7, throw=False,
    )  # fmt: skip
    np.testing.assert_allclose(found.value[-1], -found.value[0], atol=1e-6)  # one period: the phase of ω/2
    assert found.converged and found.stats["norm_drift"] < 1e-13


def test_what_is_absorbed():
    """V − iγ/2 takes |ψ|² down by e^{−γt}; undoing it is refused."""
    V = lambda t, gamma: GRID**2 / 2 - 0.5j * gamma  # noqa: E731
    run = partial(
        propagate, (KINETIC, V), packet(1.0, 0.0), np.array([0.0, 1.0, 2.0]), method=SplitOperator(2), steps=20
    )
    norms = lambda gamma: jnp.sum(jnp.abs(run(gamma, adjoint=Checkpoint())) ** 2, 1) * 20 / 128  # noqa: E731
    np.testing.assert_allclose(norms(0.3), np.exp(-0.3 * np.arange(3)), rtol=1e-12)
    slope = jax.grad(lambda gamma: norms(gamma)[-1])(0.3)
    np.testing.assert_allclose(slope, -2 * np.exp(-0.6), rtol=1e-10)
    with pytest.raises(InputError, match="absorbs cannot be undone"):
        run(0.3)


def test_what_goes_wrong_is_said():
    ts = np.array([0.0, 1.0])
    few = propagate(rabi, UP, np.array([0.0, 50.0]), (1.1, 0.6), max_steps=64, throw=False)
    assert few.result == RESULTS.max_steps_reached and few.residual > 1e-8
    coarse = propagate(rabi, UP, np.array([0.0, 7.0]), (1.1, 0.6), steps=4, throw=False)
    exact = propagate(rabi, UP, np.array([0.0, 7.0]), (1.1, 0.6), rtol=1e-11)[-1]
    error = jnp.linalg.norm(coarse.value[-1] - exact)
    assert 0.5 < coarse.residual / error < 2  # an estimate that is one
    long = propagate(lambda t, p: 200 * (Z + t * X), UP, ts, steps=2, throw=False)
    assert long.result == RESULTS.nonfinite
    wrong = propagate(lambda t, u, p: 50.0 * (Z @ u), UP, ts, method=Chebyshev((-1.0, 1.0)), steps=2, throw=False)
    assert wrong.result == RESULTS.outside_bounds
    with pytest.raises(ConvergenceError, match="bounds"):
        propagate(lambda t, u, p: 50.0 * (Z @ u), UP, ts, method=Chebyshev((-1.0, 1.0)), steps=2)
    with pytest.raises(Exception, match="not Hermitian"):
        jax.block_until_ready(jax.jit(lambda a: propagate(a * Y @ Z, UP, ts))(1.0))
    with pytest.raises(Exception, match="ts must increase"):
        jax.block_until_ready(jax.jit(lambda ts: propagate(Z, UP, ts))(jnp.array([0.0, 1.0, 0.5])))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"H": X @ Z}, "not Hermitian"),
        ({"H": lambda t, p: 1j * t * X}, "not Hermitian"),
        ({"H": lambda t, u, p: (X @ Z) @ u}, "not Hermitian"),
        ({"H": jnp.full((2, 2), jnp.nan)}, "not finite"),
        ({"H": jnp.eye(3)}, "do not fit"),
        ({"H": "XX"}, "H must be a matrix"),
        ({"H": lambda: X}, "function of 0 arguments"),
        ({"H": [Z, (X, lambda t: t)]}, "a drive must be"),
        ({"H": [Z, (X,)]}, "not one of operators and of pairs"),
        ({"H": [lambda t, p: Z, (X, lambda t, p: t)]}, "do not depend on time"),
        ({"H": lambda t, p: jnp.eye(3)}, "do not fit"),
        ({"H": (KINETIC, KINETIC), "method": SplitOperator()}, "has the shape"),
        ({"method": SplitOperator()}, "needs H = "),
        ({"method": 4}, "give one such as"),
        ({"H": lambda t, u, p: X @ u, "method": Magnus(4)}, "needs an H that is a matrix"),
        ({"psi0": jnp.array([jnp.nan, 0])}, "NaN or infinite"),
        ({"psi0": "up"}, "arrays of numbers"),
        ({"ts": [0.0]}, "two times or more"),
        ({"ts": [0.0, 1.0, 0.5]}, "must increase"),
        ({"ts": [0.0, np.inf]}, "finite"),
        ({"steps": 0}, "steps must be positive"),
        ({"steps": 2.5}, "whole number"),
        ({"step_size": -0.1}, "step_size must be positive"),
        ({"steps": 3, "step_size": 0.1}, "not both"),
        ({"rtol": 0.0}, "rtol must be positive"),
        ({"H": rabi, "params": (1.0, 1.0), "adjoint": Checkpoint()}, "pass steps="),
    ],
)
def test_refusals(no_type_checks, change, text):
    with pytest.raises(InputError, match=text):
        propagate(**({"H": X, "psi0": UP, "ts": [0.0, 1.0]} | change))


def test_refusals_of_parts(no_type_checks):
    with pytest.raises(InputError, match="order must be one of"):
        Magnus(3)
    with pytest.raises(InputError, match="n values need n"):
        PiecewiseConstant([0.0, 1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="times must increase"):
        PiecewiseConstant([0.0, 2.0, 1.0], [1.0, 2.0])
