"""f(A) x and traces without a matrix, against SciPy's dense functions and Bessel functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.special

from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.krylov import expm_multiply, funm_multiply, logdet, trace
from pullback.trust import check_derivatives

N = 40
_rng = np.random.default_rng(0)
_general = _rng.normal(size=(N, N)) + 1j * _rng.normal(size=(N, N))
GENERAL = _general / N**0.5
HERMITIAN = (GENERAL + GENERAL.conj().T) / 2
VECTOR = _rng.normal(size=N)


@pytest.mark.parametrize("t", [-3j, -0.7, 0.3 + 0.2j, 0.0, -60j])
def test_exponentials(t):
    series = expm_multiply(HERMITIAN, VECTOR, t, hermitian=True)
    np.testing.assert_allclose(series, scipy.linalg.expm(t * HERMITIAN) @ VECTOR, rtol=0, atol=3e-12)
    if abs(t) < 10:
        exact = scipy.linalg.expm(t * GENERAL) @ VECTOR
        np.testing.assert_allclose(expm_multiply(GENERAL, VECTOR, t), exact, rtol=0, atol=1e-13 * abs(exact).max())


def test_nilpotent_operator():
    """A shift by one site: the worst of non-normal operators, whose exponential is exact."""

    def shift(u):
        return jnp.concatenate([u[1:], jnp.zeros(1)])

    last = jnp.zeros(12).at[-1].set(1.0)
    exact = 2.0 ** np.arange(11, -1, -1) / scipy.special.factorial(np.arange(11, -1, -1))
    np.testing.assert_allclose(expm_multiply(shift, last, 2.0), exact, rtol=1e-13)


@pytest.mark.parametrize("hermitian", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_all_modes_in_generator_time_and_vector(hermitian):
    hop = jnp.diag(jnp.ones(5), 1)
    hop = hop + hop.T if hermitian else hop

    def f(theta, t, x):
        psi = expm_multiply(
            lambda u: theta[0] * (hop @ u) + theta[1] * jnp.arange(6) * u,
            x,
            -1j * t,
            hermitian=hermitian,
            max_steps=60 if hermitian else 6,
        )
        return jnp.abs(psi) ** 2 @ jnp.sin(jnp.arange(6))

    check_derivatives(f, jnp.array([0.8, 0.2]), 1.3, jnp.array(VECTOR[:6]), samples=1, throw=True)


def test_long_evolution_needs_little_memory():
    """A particle on a long chain: amplitude i^n J_n(2t); reverse mode keeps a few of the 800 vectors."""
    n = 2000

    def hopping(u):
        return -jnp.roll(u, 1) - jnp.roll(u, -1)

    def there(t):
        psi = expm_multiply(hopping, jnp.zeros(n).at[0].set(1.0), -1j * t, hermitian=True)
        return jnp.abs(psi[3]) ** 2

    program = jax.jit(jax.value_and_grad(there)).lower(300.0).compile()
    value, slope = program(300.0)
    bessel, derivative = scipy.special.jv(3, 600.0), scipy.special.jvp(3, 600.0)
    np.testing.assert_allclose([value, slope], [bessel**2, 4 * bessel * derivative], rtol=1e-9)
    assert program.memory_analysis().temp_size_in_bytes < 20 * 16 * n + 200_000


def test_functions_of_trees_and_parameters():
    """f closes over a parameter; the vector is a tree; the operator is a matrix that is differentiated."""
    a = HERMITIAN.real + 4 * np.eye(N)

    def apply(tree):
        image = a @ jnp.concatenate([tree["a"], tree["b"].ravel()])
        return {"a": image[:10], "b": image[10:].reshape(5, 6)}

    tree = {"a": jnp.array(VECTOR[:10]), "b": jnp.array(VECTOR[10:]).reshape(5, 6)}
    out = funm_multiply(apply, tree, jnp.sqrt)
    exact = scipy.linalg.sqrtm(a).real @ VECTOR
    np.testing.assert_allclose(jnp.concatenate([out["a"], out["b"].ravel()]), exact, rtol=1e-12)

    def power(p):
        return funm_multiply(a, VECTOR, lambda w: w**p).sum()

    w, v = np.linalg.eigh(a)
    np.testing.assert_allclose(jax.grad(power)(0.3), (v @ (w**0.3 * np.log(w) * (v.T @ VECTOR))).sum(), rtol=1e-10)


def test_traces():
    """Many samples of a small matrix: value and slope within a few standard errors; log det of a diagonal exact."""
    a = HERMITIAN.real + 4 * np.eye(N)
    estimate = trace(a, jnp.exp, N, key=jax.random.key(1), samples=400)
    exact = np.exp(np.linalg.eigvalsh(a)).sum()
    assert abs(estimate.value - exact) < 4 * estimate.error < 0.1 * exact
    slope = jax.grad(lambda c: logdet(lambda u: a @ u + c * u, N, key=jax.random.key(2), samples=400).value)(0.5)
    np.testing.assert_allclose(slope, (1 / (np.linalg.eigvalsh(a) + 0.5)).sum(), rtol=0.02)
    diagonal = jnp.linspace(0.1, 3.0, 30)
    np.testing.assert_allclose(
        logdet(jnp.diag(diagonal), 30, key=jax.random.key(0), samples=2).value, jnp.log(diagonal).sum(), rtol=1e-12
    )


def test_bad_input():
    with pytest.raises(ConvergenceError, match="max_steps"):
        expm_multiply(HERMITIAN, VECTOR, -100j, hermitian=True, max_steps=50)
    with pytest.raises(ConvergenceError, match="max_steps"):
        expm_multiply(GENERAL, VECTOR, 100.0, max_steps=10)
    with pytest.raises(ConvergenceError):
        logdet(np.diag([-1.0, 1.0, 2.0]), 3, key=jax.random.key(0))
    short = trace(HERMITIAN, jnp.exp, key=jax.random.key(0), samples=2, max_degree=4, throw=False)
    assert short.result == RESULTS.max_steps_reached and jnp.isfinite(short.value.error)
    assert logdet(2 * jnp.eye(N), key=jax.random.key(0), samples=2, throw=False).converged
    with pytest.raises(ConvergenceError, match="precision"):
        expm_multiply(np.diag(np.arange(1.0, 41.0)), VECTOR, -400.0, hermitian=True)
    with pytest.raises(ConvergenceError, match="bounds"):
        funm_multiply(np.diag([1.0, 2.0, 3.0]), np.ones(3), jnp.exp, bounds=(1.0, 2.0))
    with pytest.raises(InputError, match="square matrix"):
        expm_multiply(np.ones((3, 2)), np.ones(2))
    with pytest.raises(InputError, match="form"):
        expm_multiply(lambda u: u[:2], np.ones(3))
    with pytest.raises(InputError, match="one real or complex number"):
        expm_multiply(HERMITIAN, VECTOR, np.ones(2))
    with pytest.raises(InputError, match="2 samples"):
        trace(HERMITIAN, jnp.exp, N, key=jax.random.key(0), samples=1)


@pytest.mark.parametrize("wrap", [pytest.param(lambda f: f, marks=pytest.mark.slow), jax.jit])
def test_operators_with_one_level(wrap):
    """One state, multiples of the identity, and zero; with derivatives in a direction that splits the level."""
    series = wrap(lambda h, x: expm_multiply(h, x, 0.5, hermitian=True))
    np.testing.assert_allclose(series(jnp.array([[2.0]]), jnp.ones(1)), [np.e], rtol=1e-13)
    for level in (0.3, 2.0, 0.0, 1e-200):
        np.testing.assert_allclose(series(level * jnp.eye(2), jnp.ones(2)), 2 * [np.exp(level / 2)], rtol=1e-13)
    split = jnp.diag(jnp.array([1.0, -1.0]))
    first = wrap(jax.grad(lambda t: series(0.3 * jnp.eye(2) + t * split, jnp.ones(2))[0]))(0.0)
    np.testing.assert_allclose(first, np.exp(0.15) / 2, rtol=1e-11)
    key = jax.random.key(0)
    np.testing.assert_allclose(wrap(lambda h: trace(h, jnp.exp, 1, key=key).value)(jnp.array([[2.0]])), np.exp(2))
    np.testing.assert_allclose(wrap(lambda h: logdet(h, 3, key=key).value)(2 * jnp.eye(3)), 3 * np.log(2), rtol=1e-13)
    nothing = wrap(lambda h: trace(h, lambda w: w, 3, key=key).value)(jnp.zeros((3, 3)))
    np.testing.assert_allclose(nothing, 0, atol=1e-15)
