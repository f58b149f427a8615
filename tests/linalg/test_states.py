"""Entropy, relative entropy, fidelity and Bures distance along curves of states, against 40 digits and formulas."""

from functools import cache

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback import linalg
from pullback.core import InputError
from tests.spins import PAULI

N = 4
rng = np.random.default_rng(5)
GENERATORS = [(g + g.conj().T) / 2 for g in rng.normal(size=(2, N, N)) + 1j * rng.normal(size=(2, N, N))]
KICK = [0.3, -0.2, 0.1, 0.4]

# weights of ρ and σ; zeros stay zero along the curve
SPECTRA = {
    "full rank": ([0.4, 0.3, 0.2, 0.1], [0.1, 0.5, 0.3, 0.1]),
    "degenerate": ([0.25, 0.25, 0.25, 0.25], [0.4, 0.4, 0.1, 0.1]),
    "rank 2 in rank 4": ([0.5, 0.5, 0, 0], [0.3, 0.3, 0.3, 0.1]),
    "rank 2 and 3": ([0.7, 0.3, 0, 0], [0.5, 0.25, 0.25, 0]),
    "pure in mixed": ([1, 0, 0, 0], [0.3, 0.3, 0.3, 0.1]),
    "pure and rank 2": ([1, 0, 0, 0], [0, 0.5, 0.5, 0]),
    "orthogonal pure": ([1, 0, 0, 0], [0, 1, 0, 0]),
}


def curve(weights, generator):
    """U(t) diag(w(t)) U(t)† with U = exp(−i t G) and zeros that stay, and its Taylor coefficients at t = 0."""

    def exact(t):
        u = mp.expm(-1j * (t + mp.mpf(0.2)) * mp.matrix(generator.tolist()))
        w = [mp.mpf(x) * mp.exp(t * mp.mpf(k)) for x, k in zip(weights, KICK)]
        return u * mp.diag([x / sum(w) for x in w]) * u.H

    with mp.workdps(50):
        h = mp.mpf(10) ** -12
        below, here, above = exact(-h), exact(mp.mpf(0)), exact(h)
        coefficients = here, (above - below) / (2 * h), (above - 2 * here + below) / (2 * h**2)
    return exact, [np.array(c.tolist(), complex) for c in coefficients]


def spectrum(a):
    w, v = mp.eighe((a + a.H) / 2)
    return [mp.re(x) if abs(x) > mp.mpf(10) ** -30 else mp.mpf(0) for x in w], v


def of_matrix(f, a):
    w, v = spectrum(a)
    return v * mp.diag([f(x) if x else mp.mpf(0) for x in w]) * v.H


def exact_entropy(rho):
    return -sum(x * mp.log(x) for x in spectrum(rho)[0] if x)


def trace(a):
    return mp.re(sum(a[i, i] for i in range(a.rows)))


def exact_relative(rho, sigma):
    return -exact_entropy(rho) - trace(rho * of_matrix(mp.log, sigma))


def exact_fidelity(rho, sigma):
    root = of_matrix(mp.sqrt, rho)
    return sum(mp.sqrt(x) for x in spectrum(root * sigma * root)[0]) ** 2


def exact_bures(rho, sigma):
    return trace(rho) + trace(sigma) - 2 * mp.sqrt(exact_fidelity(rho, sigma))


def bures_squared(rho, sigma):
    return linalg.bures_distance(rho, sigma, squared=True)


@cache
def program(function):
    """Value, first and second derivative (reverse over forward) along curves given by their Taylor coefficients."""

    def modes(*curves):
        def f(t):
            return function(*(c[0] + t * c[1] + t**2 * c[2] for c in curves))

        def slope(t):
            return jax.jvp(f, (t,), (1.0,))[1]

        return (f(0.0), *jax.value_and_grad(slope)(0.0))

    return jax.jit(modes)


def differences(f):
    """The same of mpmath's function."""
    with mp.workdps(50):
        h = mp.mpf(10) ** -12
        below, here, above = f(-h), f(mp.mpf(0)), f(h)
        return np.array([float(mp.re(x)) for x in (here, (above - below) / (2 * h), (above - 2 * here + below) / h**2)])


FUNCTIONS = {
    "entropy": (linalg.entropy, exact_entropy),
    "relative_entropy": (linalg.relative_entropy, exact_relative),
    "fidelity": (linalg.fidelity, exact_fidelity),
    "bures_distance": (bures_squared, exact_bures),
}
NESTED = "full rank", "degenerate", "rank 2 in rank 4", "pure in mixed"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_along_states_of_constant_rank(name):
    function, exact = FUNCTIONS[name]
    for point, spectra in SPECTRA.items():
        if (name == "relative_entropy" and point not in NESTED) or (name == "bures_distance" and "pure" in point):
            continue
        generators = GENERATORS[:1] * 2 if point == "orthogonal pure" else GENERATORS
        curves = [curve(w, g) for w, g in zip(spectra, generators)]
        if point == "orthogonal pure":  # at t = 0 only
            rho, coefficients = curves[0]
            with mp.workdps(50):
                start = rho(mp.mpf(0))
            curves[0] = (lambda t: start), [coefficients[0], 0 * coefficients[0], 0 * coefficients[0]]  # noqa: B023
        curves = curves[: 1 if name == "entropy" else 2]
        got = program(function)(*(jnp.array(c) for _, c in curves))
        expected = differences(lambda t: exact(*(c(t) for c, _ in curves)))  # noqa: B023
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9, err_msg=point)


def test_bures_metric_is_the_quantum_fisher_information():
    w = np.array([0.6, 0.4, 0, 0])
    coefficients = jnp.array(curve(w, GENERATORS[0])[1])
    still = coefficients * jnp.array([1, 0, 0])[:, None, None]
    value, slope, metric = program(bures_squared)(coefficients, still)
    levels, u = np.linalg.eigh(coefficients[0])
    sums = levels[:, None] + levels[None, :]
    elements = np.abs(u.conj().T @ coefficients[1] @ u) ** 2
    fisher = 2 * np.sum(np.where(sums > 1e-12, elements / np.where(sums > 1e-12, sums, 1), 0))
    np.testing.assert_allclose([value, slope, metric], [0, 0, fisher / 2], atol=1e-12)
    distance = jax.value_and_grad(lambda t: linalg.bures_distance(coefficients[0] + t * coefficients[1], still[0]))
    assert jax.tree.all(jax.tree.map(lambda x: abs(x) < 1e-7, distance(0.0)))


def test_a_qubit():
    """Bloch vectors: the entropy of (1 ± r)/2; 2F = 1 + r·s + √((1 − r²)(1 − s²)) (Hübner); real and under vmap."""
    pauli = jnp.array([PAULI["X"], PAULI["Z"]], float)

    def state(r):
        return (jnp.eye(2) + jnp.einsum("...i,ijk->...jk", r, pauli)) / 2

    def on_paper(r, s):
        return (1 + r @ s + jnp.sqrt((1 - r @ r) * (1 - s @ s))) / 2

    r, s = jnp.array([[0.3, 0.5], [0.1, -0.2]]), jnp.array([[0.1, 0.4], [0.7, 0.7]])
    modes = [jax.value_and_grad, jax.hessian]
    for mode in modes:
        got = jax.jit(jax.vmap(mode(lambda r, s: linalg.fidelity(state(r), state(s)))))(r, s)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-9), got, jax.vmap(mode(on_paper))(r, s))
    batch = linalg.entropy(state(r))
    p = (1 + np.linalg.norm(r, axis=1)) / 2
    np.testing.assert_allclose(batch, -p * np.log(p) - (1 - p) * np.log(1 - p), rtol=1e-13)


def test_where_the_rank_grows():
    """(1 − p) |0><0| + p |1><1|: the slope −log τ for +∞ in both modes, and +∞ as a value outside of the support."""
    pure, other = jnp.diag(jnp.array([1.0, 0.0])), jnp.diag(jnp.array([0.0, 1.0]))

    def mixed(p):
        return linalg.entropy((1 - p) * pure + p * other)

    slope = -np.log(32 * np.finfo(float).eps) + 1  # + 1 from the level that loses weight
    assert jax.grad(mixed)(0.0) == pytest.approx(slope, rel=1e-12)
    assert jax.jvp(mixed, (0.0,), (1.0,))[1] == jax.grad(mixed)(0.0)
    second = jax.grad(jax.grad(lambda t: mixed(t**2)))(0.0)  # +∞ on paper
    assert 60 < second < 75
    assert linalg.relative_entropy(pure, other) == jnp.inf
    assert linalg.relative_entropy(pure, (pure + other) / 2) == pytest.approx(np.log(2), rel=1e-14)
    assert jnp.isfinite(jax.grad(lambda s: linalg.relative_entropy(pure, s))(other)).all()


def test_thermal_state():
    """dS = β dE, and the relative entropy to the thermal state is β times the excess of free energy."""
    h = jnp.array(GENERATORS[0])
    beta = 0.7

    def thermal(b):
        rho = linalg.expm(-b * h)
        return rho / jnp.trace(rho)

    ds = jax.grad(lambda b: linalg.entropy(thermal(b)))(beta)
    de = jax.grad(lambda b: jnp.trace(thermal(b) @ h).real)(beta)
    assert ds == pytest.approx(beta * float(de), rel=1e-12)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_input():
    with pytest.raises(InputError, match="positive semidefinite"):
        linalg.entropy(jnp.diag(jnp.array([1.2, -0.2])))
    with pytest.raises(InputError, match="same size"):
        linalg.fidelity(jnp.eye(2), jnp.eye(3))
