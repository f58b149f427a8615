"""lindblad and trajectories: exact two-level solutions, SciPy's exponential, derivatives of means, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import Estimate, InputError, TwoLevel
from pullback.flows import PiecewiseConstant, lindblad, trajectories
from pullback.trust import check_derivatives

X, Z = jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.diag(jnp.array([1.0, -1.0]))
LOWER = jnp.array([[0.0, 1.0], [0.0, 0.0]])  # from the excited state 1 to the ground state 0
GROUND = np.array([1.0, 0.0])


def torrey(t, omega, gamma):
    """Excited population of a driven two-level system (H. C. Torrey, Phys. Rev. 76, 1059 (1949))."""
    kappa = np.sqrt(omega**2 - (gamma / 4) ** 2)
    decay = np.exp(-3 * gamma * t / 4) * (np.cos(kappa * t) + 3 * gamma / (4 * kappa) * np.sin(kappa * t))
    return omega**2 / (gamma**2 + 2 * omega**2) * (1 - decay)


def fluorescence(omega, gamma, ts, **options):
    return lindblad([(X, lambda t, p: omega / 2)], [jnp.sqrt(gamma) * LOWER], GROUND, ts, **options)


def test_resonance_fluorescence():
    """By odeint (the drive is a function of time for all it knows) and by exponentials; far away the steady state."""
    ts, (omega, gamma) = np.array([0.0, 0.7, 2.0, 5.0]), (1.3, 0.4)
    found = fluorescence(omega, gamma, ts, rtol=1e-11, atol=1e-12, throw=False)
    np.testing.assert_allclose(found.value[:, 1, 1].real, torrey(ts, omega, gamma), atol=1e-10)
    assert found.converged and found.stats["trace_drift"] < 1e-12 and found.stats["negative"] > -1e-11
    exact = lindblad(omega / 2 * X, [jnp.sqrt(gamma) * LOWER], GROUND, ts)
    np.testing.assert_allclose(exact[:, 1, 1].real, torrey(ts, omega, gamma), atol=1e-14)
    delta = 0.8
    last = lindblad(omega / 2 * X + delta / 2 * Z, [jnp.sqrt(gamma) * LOWER], GROUND, [0.0, 400.0])[-1]
    np.testing.assert_allclose(last[1, 1].real, omega**2 / 4 / (delta**2 + gamma**2 / 4 + omega**2 / 2), rtol=1e-12)


def liouvillian(H, jumps):
    """Of row-major vectors, by Kronecker products."""
    eye, out = np.eye(len(H)), 0
    for L in jumps:
        s = L.conj().T @ L
        out = out + np.kron(L, L.conj()) - np.kron(s, eye) / 2 - np.kron(eye, s.T) / 2
    return out - 1j * (np.kron(H, eye) - np.kron(eye, H.T))


@pytest.mark.parametrize("n", [3, 9])
def test_any_system(n):
    """Up to eight states by exponentials, beyond by odeint."""
    rng = np.random.default_rng(n)
    H, *jumps = (rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)) for _ in range(3))
    H, jumps = (H + H.conj().T) / 4, [L / 5 for L in jumps]
    psi = rng.normal(size=n) + 0j
    psi /= np.linalg.norm(psi)
    found = lindblad(H, jumps, psi, [0.0, 0.8], rtol=1e-10, atol=1e-11)[-1]
    exact = (scipy.linalg.expm(0.8 * liouvillian(H, jumps)) @ np.outer(psi, psi.conj()).ravel()).reshape(n, n)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_pulses():
    """Between jumps of a drive by exponentials, or by odeint if another drive is smooth; results at any times."""
    pulse, ts = PiecewiseConstant([0.0, 0.5, 1.2], [0.9, -0.4]), np.array([0.0, 0.3, 1.0, 2.0])
    jumps = [0.3 * LOWER]
    rho, t, exact = np.outer(GROUND, GROUND).ravel() + 0j, 0.0, {0.0: GROUND[0]}
    for end, value in ((0.3, 0.9), (0.5, 0.9), (1.0, -0.4), (1.2, -0.4), (2.0, 0.0)):
        rho = scipy.linalg.expm((end - t) * liouvillian(np.asarray(Z + value * X), [np.asarray(0.3 * LOWER)])) @ rho
        t, exact[end] = end, rho[0]
    for H in ([Z, (X, pulse)], [Z, (X, pulse), (X, lambda t, p: 0 * t)]):
        found = lindblad(H, jumps, GROUND, ts, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found[:, 0, 0], [exact[t] for t in ts], atol=1e-9)


@pytest.mark.parametrize("constant", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_all_modes(constant):
    def states(rho, ts, p):
        drive = p[0] if constant else lambda t, q: q * jnp.cos(t)
        options = {} if constant else {"adjoint": TwoLevel(), "max_steps": 100, "rtol": 1e-10, "atol": 1e-10}
        return lindblad([Z, (X, drive)], [jnp.sqrt(p[1]) * LOWER], (rho + rho.conj().T) / 2, ts, p[0], **options)

    rho, ts = jnp.array([[0.3, 0.1j], [-0.1j, 0.7]]), jnp.array([0.0, 0.5, 1.2])
    modes = ("vjp", "fwd-rev") if constant else ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd")
    check_derivatives(states, rho, ts, (0.4, 0.5), samples=1, modes=modes, throw=True)


def excited(params, key, n):
    omega, gamma = params
    psi = trajectories(omega / 2 * X, [jnp.sqrt(gamma) * LOWER], GROUND, [0.0, 1.0, 2.0], key, n=n, steps=100)
    return jnp.abs(psi[:, -1, 1]) ** 2


def test_trajectories():
    """Mean, gradient and second derivatives within four standard errors of the exact ones; norms are one."""
    params = jnp.array([1.3, 0.4])
    draws = jax.jit(lambda p: excited(p, jax.random.key(3), 4000))
    estimate = Estimate.of(draws(params))
    assert abs(estimate.value - torrey(2.0, *params)) < 4 * estimate.error + 2e-3
    assert estimate.error < 0.01
    mean = lambda p, key: jnp.mean(excited(p, key, 500))  # noqa: E731
    keys = jax.random.split(jax.random.key(5), 12)
    slopes = jax.jit(jax.vmap(jax.grad(mean), (None, 0)))(params, keys)
    exact = np.array([_slope(lambda x, k=k: torrey(2.0, *params.at[k].set(x)), params[k]) for k in (0, 1)])
    errors = np.std(slopes, 0) / np.sqrt(len(keys) - 1)
    assert np.all(np.abs(np.mean(np.asarray(slopes), 0) - exact) < 4 * errors + 4e-3)
    assert np.all(errors < 0.05)
    tangents = jax.jit(lambda p, v: jax.jvp(draws, (p,), (v,))[1].mean())(params, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(tangents, jax.jit(jax.grad(lambda p: draws(p).mean()))(params)[1], rtol=1e-9)


@pytest.mark.slow
def test_second_derivatives_of_trajectories():
    params, keys = jnp.array([1.3, 0.4]), jax.random.split(jax.random.key(6), 16)
    mean = lambda p, key: jnp.mean(excited(p, key, 2000))  # noqa: E731
    found = jax.jit(jax.vmap(jax.jacfwd(jax.grad(mean)), (None, 0)))(params, keys)
    exact = _slope(lambda x: _slope(lambda y: torrey(2.0, x, y), params[1]), params[0])
    error = np.std(found[:, 0, 1]) / 4
    assert abs(np.mean(found[:, 0, 1]) - exact) < 4 * error + 4e-3 and error < 0.05


def _slope(f, x, h=1e-4):
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"H": X @ Z}, "not Hermitian"),
        ({"H": lambda t, u, p: X @ u}, "H must be a matrix"),
        ({"jumps": LOWER}, "a list of matrices"),
        ({"jumps": [jnp.eye(3)]}, "does not fit"),
        ({"rho0": jnp.array([[0.0, 1.0], [0.0, 1.0]])}, "rho0 is not Hermitian"),
        ({"rho0": jnp.ones((2, 3))}, "square matrix"),
        ({"rho0": jnp.array([jnp.nan, 0])}, "NaN or infinite"),
        ({"ts": [1.0, 0.0]}, "ts must increase"),
        ({"rtol": -1.0}, "rtol must be positive"),
    ],
)
def test_refusals(no_type_checks, change, text):
    with pytest.raises(InputError, match=text):
        lindblad(**({"H": X, "jumps": [LOWER], "rho0": GROUND, "ts": [0.0, 1.0]} | change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n": 0}, "must be positive"),
        ({"steps": 1}, "chance of a jump"),
        ({"jumps": []}, "take propagate"),
        ({"psi0": jnp.eye(2)}, "must be a vector"),
        ({"H": [(X, PiecewiseConstant([0.0, 1.0], [1.0]))]}, "drives that jump"),
    ],
)
def test_refusals_of_trajectories(no_type_checks, change, text):
    given = {"H": X, "jumps": [LOWER], "psi0": GROUND, "ts": [0.0, 1.0], "key": jax.random.key(0), "n": 4, "steps": 50}
    with pytest.raises(InputError, match=text):
        trajectories(**(given | change))


def test_single_precision():
    f32 = partial(jnp.asarray, dtype=jnp.float32)
    found = lindblad(f32(0.65 * X), [f32(0.4**0.5 * LOWER)], f32(GROUND), f32([0.0, 2.0]))
    assert found.dtype == jnp.complex64
    np.testing.assert_allclose(found[-1, 1, 1].real, torrey(2.0, 1.3, 0.4), atol=1e-5)
