"""Single precision: a tight multiplet costs no digits.

32 occupied levels within 1e-5 and 32 empty ones a gap of 1 above: the projector on the occupied ones and their energy
are perfectly conditioned, but a rule that divides by the gaps inside the multiplet divides rounding errors by 1e-7.
The reference is perturbation theory in double precision.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.linalg import eigh, spectral_projector

N, OCCUPIED = 64, 32
RNG = np.random.default_rng(0)


def symmetric():
    x = RNG.normal(size=(N, N))
    return (x + x.T) / 2


U = np.linalg.qr(RNG.normal(size=(N, N)))[0]
LEVELS = np.concatenate([1e-5 * np.sort(RNG.uniform(size=OCCUPIED)), 1 + np.linspace(0, 0.5, N - OCCUPIED)])
A = (U * LEVELS) @ U.T
O, H = symmetric(), symmetric()


def gradients():
    """Of Tr(O P) and of Tr(P A) + (Tr P H)², in double precision."""
    occupied, empty = U[:, :OCCUPIED], U[:, OCCUPIED:]

    def of_trace(o):  # d Tr(o P) = 2 Σ_ef o_ef M_ef / (w_f − w_e)
        x = 2 * (empty.T @ o @ occupied) / (LEVELS[:OCCUPIED] - LEVELS[OCCUPIED:, None])
        g = empty @ x @ occupied.T
        return (g + g.T) / 2

    p = occupied @ occupied.T
    return of_trace(O), p + 2 * np.sum(p * H) * of_trace(H)  # Tr(dP A) = 0: P commutes with A and is of fixed rank


def by_vectors(eigh, **options):
    def projector(a):
        v = eigh(a, **options)[1][:, :OCCUPIED]
        return v @ v.T

    return projector


def relative_errors(projector):
    a, o, h = (jnp.asarray(x, jnp.float32) for x in (A, O, H))

    def losses(a):
        p = projector(a)
        return jnp.sum(p * o), jnp.sum(p * a) + jnp.sum(p * h) ** 2

    found = jax.jit(jax.jacrev(losses))(a)
    assert all(g.dtype == jnp.float32 for g in found)
    return [np.linalg.norm(g - want) / np.linalg.norm(want) for g, want in zip(found, gradients())]


@pytest.mark.parametrize(
    "projector",
    [lambda a: spectral_projector(a, OCCUPIED), by_vectors(eigh), by_vectors(eigh, degeneracy_tol=1e-3)],
    ids=["spectral_projector", "eigh", "eigh, degeneracy_tol"],
)
def test_a_tight_multiplet(projector):
    assert max(relative_errors(projector)) < 1e-4


def test_jnp_eigh_fails_there():
    errors = relative_errors(by_vectors(jnp.linalg.eigh))
    assert not max(errors) < 1e-2  # NaN where two levels coincide
