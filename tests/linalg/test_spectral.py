"""Projectors and density matrices: degenerate shells, smearing, fixed particle number, zero temperature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg import density_matrix, funmh, spectral, spectral_projector
from pullback.trust import check_derivatives
from tests.linalg.references import levels_matrix, ring

A, S, O = map(jnp.asarray, levels_matrix([0.0, 0.0, 1.0, 1.0, 1.0, 2.0], dtype=complex))


@pytest.mark.optimised
def test_projectors_at_degenerate_shells():
    def projectors(t):
        a = A + t * S
        empty = spectral_projector(a, 0) + spectral_projector(a, 6)
        return spectral_projector(a, 2), spectral_projector(a, interval=(0.5, 1.5)), empty

    p, middle, _ = projectors(0.0)
    np.testing.assert_allclose(p @ p, p, atol=1e-14)
    np.testing.assert_allclose(jnp.trace(middle), 3, atol=1e-14)
    check_derivatives(projectors, 0.0, samples=1, throw=True)


@pytest.mark.parametrize("gap", [1e-5, 1e-9, 1e-13])
def test_near_degeneracies_cost_no_digits(gap):
    """First and second derivatives where the occupied levels are split by `gap`, against perturbation theory."""
    levels = np.array([0.0, gap, 2.5 * gap, 1.0, 1.0 + gap, 2.0])
    a, s, o = map(jnp.asarray, levels_matrix(levels))

    def value(t):
        return jnp.sum(o * spectral_projector(a + t * s, 3))

    w, u = np.linalg.eigh(np.asarray(a))
    so, ss = u.T @ np.asarray(o) @ u, u.T @ np.asarray(s) @ u
    f, e = slice(0, 3), slice(3, 6)
    x = ss[e, f] / (w[f] - w[e][:, None])  # C_ef of the first order
    first = 2 * np.sum(so[e, f] * x)
    second = np.sum(so[e, e] * (x @ x.T)) - np.sum(so[f, f] * (x.T @ x))
    x2 = (ss[e, e] @ x - x @ ss[f, f]) / (w[f] - w[e][:, None])
    second = 2 * (second + 2 * np.sum(so[e, f] * x2))
    assert jax.grad(value)(0.0) == pytest.approx(first, rel=1e-12)
    assert jax.grad(jax.grad(value))(0.0) == pytest.approx(second, rel=1e-10)


def test_fixed_particle_number():
    """The chemical potential responds to the matrix, to temperature and to the number of electrons."""

    def f(t, temperature, n):
        a = A + t * S
        mu = spectral(a).chemical_potential(n, temperature, "gaussian")
        return density_matrix(a, n_electrons=n, temperature=temperature), mu

    check_derivatives(f, 0.0, 0.3, 3.2, modes=("vjp", "fwd-fwd"), samples=1, throw=True)


@pytest.mark.parametrize("smearing", ["fermi", "gaussian", "cold"])
def test_smearings(smearing):
    d = density_matrix(A, n_electrons=3.2, temperature=0.2, smearing=smearing)
    assert jnp.trace(d).real == pytest.approx(3.2, abs=1e-13)
    gradient = jax.grad(lambda n: jnp.trace(density_matrix(A, n_electrons=n, temperature=0.2, smearing=smearing)).real)
    assert gradient(3.2) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.0, 1e-4, 1e-2])
def test_zero_temperature_with_a_gap_is_the_projector(temperature):
    def derivatives(f):
        value = lambda t: jnp.sum(O * f(A + t * S)).real  # noqa: E731
        return [value(0.0), jax.grad(value)(0.0), jax.jvp(jax.grad(value), (0.0,), (1.0,))[1]]

    got = derivatives(lambda a: density_matrix(a, n_electrons=2, temperature=temperature))
    np.testing.assert_allclose(got, derivatives(lambda a: spectral_projector(a, 2)), rtol=1e-9)


def test_a_metallic_ring():
    """Eight sites, half filling: the Fermi level is degenerate; bond order against the sum over k."""
    a, t = jnp.asarray(ring(8)), 0.1
    k = 2 * np.pi * np.arange(8) / 8
    occupation = 1 / (1 + np.exp(-2 * np.cos(k) / t))
    d = density_matrix(a, n_electrons=4, temperature=t)
    assert d[0, 1] == pytest.approx(np.mean(occupation * np.cos(k)), abs=1e-14)
    energy = lambda a: jnp.sum(a * density_matrix(a, n_electrons=4, temperature=t))  # noqa: E731
    check_derivatives(energy, a + 0.0, modes=("vjp",), order=1, samples=1, throw=True)


def test_one_decomposition_for_all():
    calls = jax.jit(lambda a: (s := spectral(a)) and (s.apply(jnp.exp), s.trace(jnp.tanh), s.projector(2))).lower(A)
    assert calls.as_text().count("heevd") + calls.as_text().count("lapack_zheevd") in (1, 2)
    batch = spectral(jnp.stack([A, A + 0.1 * S]))
    np.testing.assert_allclose(batch.trace(jnp.exp)[1], jnp.trace(funmh(A + 0.1 * S, jnp.exp)), rtol=1e-13)
    assert batch.density_matrix(n_electrons=2.5, temperature=0.1).shape == (2, 6, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectral_projector(A, 3), "degenerate level is cut"),
        (lambda: spectral_projector(A, 7), "from 0 to n = 6"),
        (lambda: spectral_projector(A), "either k or interval"),
        (lambda: spectral_projector(A, interval=(0.5, 1.0)), "a level lies at"),
        (lambda: density_matrix(A, 1.0), "a level lies at mu"),
        (lambda: density_matrix(A), "either mu or n_electrons"),
        (lambda: density_matrix(A, n_electrons=7, temperature=0.1), "n_electrons"),
        (lambda: density_matrix(A, n_electrons=2.5), "whole number"),
        (lambda: density_matrix(A, 0.5, temperature=-1.0), "negative"),
        (lambda: density_matrix(A, 0.5, temperature=1.0, smearing="fermy"), "Did you mean 'fermi'"),  # type: ignore
        (lambda: density_matrix(A + jnp.eye(6, k=1), 0.5), "Hermitian"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
