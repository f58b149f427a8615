"""Dominant eigenpairs of general operators, against LAPACK and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.krylov import Arnoldi, eigs
from pullback.trust import check_derivatives

N = 90
_rng = np.random.default_rng(0)
A = _rng.normal(size=(N, N)) / N**0.5 + np.diag([3.0, 2.2] + [0.0] * (N - 2))
B = _rng.normal(size=(N, N)) / N**0.5


@pytest.mark.parametrize(
    ("which", "key"),
    [
        ("LM", np.abs),
        pytest.param("LR", np.real, marks=pytest.mark.slow),
        pytest.param("SR", lambda w: -np.real(w), marks=pytest.mark.slow),
    ],
)
def test_against_lapack(which, key):
    """Four pairs, among them complex ones; residuals of right and left vectors."""
    every = np.linalg.eigvals(A)
    w, vl, v = eigs(A, 4, which=which, left=True)
    np.testing.assert_allclose(np.sort(key(w))[::-1], np.sort(key(every))[::-1][:4], rtol=1e-8)
    np.testing.assert_allclose(A @ v, v * w, atol=1e-8)
    np.testing.assert_allclose(vl.conj().T @ A, w[:, None] * vl.conj().T, atol=1e-7)
    np.testing.assert_allclose(vl.conj().T @ v, np.eye(4), atol=1e-12)


@pytest.mark.slow
def test_all_modes():
    def f(t):
        w, v = eigs(lambda u: A @ u + t * (B @ u), shape=N, tol=1e-12)
        return w[0].real + jnp.abs(v[3, 0]) ** 2

    check_derivatives(f, 0.1, samples=1, throw=True)


@pytest.mark.slow
def test_projector_on_a_double_eigenvalue():
    """Eigenvalues 2, 2, and a gap: second derivatives of the joint projector, against the dense perturbation series."""
    spectrum = np.concatenate([[2.0, 2.0], np.linspace(-1, 1, N - 2)])
    basis = np.linalg.qr(B + np.eye(N))[0] @ (np.eye(N) + 0.3 * np.triu(B, 1))
    a = basis @ np.diag(spectrum) @ np.linalg.inv(basis)

    def f(t):
        _, vl, v = eigs(lambda u: a @ u + t * (B @ u), 2, shape=N, left=True, tol=1e-13)
        return (v @ vl.conj().T)[0, 1].real

    def contour(t):  # the projector as a contour integral of the resolvent: exact to rounding, no eigenvectors
        z = 2 + 0.7 * np.exp(2j * np.pi * np.arange(200) / 200)
        resolvents = np.linalg.inv(z[:, None, None] * np.eye(N) - a - t * B)
        return ((z - 2)[:, None, None] * resolvents).mean(0)[0, 1].real

    h = 1e-2
    stencil = np.array([contour(k * h) for k in range(-3, 4)])
    first = stencil @ [-1, 9, -45, 0, 45, -9, 1] / (60 * h)
    second = stencil @ [2, -27, 270, -490, 270, -27, 2] / (180 * h**2)
    np.testing.assert_allclose(jax.grad(f)(0.0), first, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(jax.grad(f), (0.0,), (1.0,))[1], second, rtol=1e-5)


@pytest.mark.slow
def test_transfer_matrix_of_a_wide_ising_strip():
    """The 2D Ising model on a cylinder, matrix-free: log λ_max against the exact product formula (Onsager, Kaufman)."""
    width, coupling = 8, 0.4

    def transfer(k):
        states = np.arange(2**width)
        spins = 1 - 2.0 * (states[:, None] >> np.arange(width) & 1)
        row = jnp.exp(k * jnp.asarray((spins * np.roll(spins, 1, 1)).sum(1)))
        hop = jnp.array([[1.0, 0.0], [0.0, 1.0]]) * jnp.exp(k) + jnp.array([[0.0, 1.0], [1.0, 0.0]]) * jnp.exp(-k)

        def apply(u):
            u = u.reshape((2,) * width)
            for axis in range(width):
                u = jnp.moveaxis(jnp.tensordot(hop, u, (1, axis)), 0, axis)
            return row * u.reshape(-1)

        return apply

    def free_energy(k):
        return jnp.log(eigs(transfer(k), shape=2**width)[0][0].real) / width

    def exact(k):
        q = (2 * np.arange(width) + 1) * np.pi / width
        cosh = np.cosh(2 * k) / np.tanh(2 * k) - np.cos(q)
        return 0.5 * np.log(2 * np.sinh(2 * k)) + np.arccosh(cosh).sum() / (2 * width)

    value, slope = jax.value_and_grad(free_energy)(coupling)
    h = 1e-5
    np.testing.assert_allclose(value, exact(coupling), rtol=1e-10)
    np.testing.assert_allclose(slope, (exact(coupling + h) - exact(coupling - h)) / (2 * h), rtol=1e-8)


@pytest.mark.slow
def test_failures():
    with pytest.raises(InputError, match="at most"):
        eigs(A, N)
    with pytest.raises(InputError, match="zero or not finite"):
        eigs(A, v0=np.zeros(N))
    with pytest.raises(InputError, match="v0 or shape"):
        eigs(lambda u: u)
    with pytest.raises((InputError, TypeError), match="which"):
        eigs(A, which="SM")
    with pytest.raises(ConvergenceError, match="max_steps"):
        eigs(A, 3, max_steps=1)
    with pytest.raises(ConvergenceError, match="NaN"):
        eigs(lambda u: u * jnp.nan, shape=N)
    double = jnp.diag(jnp.array([*np.arange(N - 1), N - 2.0]))
    with pytest.raises(ConvergenceError, match="equals the next one"):
        eigs(double)
    with pytest.raises((ConvergenceError, RuntimeError)):  # one start vector sees one of the two; the derivative both
        jax.jvp(lambda a: eigs(a, solver=Arnoldi(copies=False))[1][0], (double,), (jnp.array(B),))
    assert eigs(double[30:, 30:], throw=False).result == RESULTS.not_separated


def test_what_is_not_a_number_is_refused():
    assert eigs(jnp.full((4, 4), jnp.nan), throw=False).result == RESULTS.nonfinite
    assert not jax.jit(lambda a: eigs(a, throw=False).converged)(jnp.full((4, 4), jnp.inf))


def test_success_is_the_residual_of_what_is_returned():
    """A product in single precision: Arnoldi's own estimate falls below any tolerance, |A v − λ v| does not."""

    def rough(u):
        return (A.astype(np.float32) @ u.astype(np.float32)).astype(u.dtype)

    for tol, result in ((1e-10, RESULTS.stalled), (1e-5, RESULTS.successful)):
        solution = eigs(jax.jit(rough), shape=N, tol=tol, solver=Arnoldi(copies=False), throw=False)
        w, v = (np.asarray(a) for a in solution.value)
        assert solution.result == result
        image = A.astype(np.float32) @ v.astype(np.complex64)
        exact = np.linalg.norm(image - w * v)
        assert 1e-9 < exact < 1e-5
        np.testing.assert_allclose(solution.residual, exact, rtol=0.5)
