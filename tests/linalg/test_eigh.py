"""eigh at regular and degenerate spectra: every mode, first to third order, against 40-digit arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg import eigh, eigvalsh
from pullback.trust import check_derivatives, directional_derivative
from tests.linalg.references import levels_matrix, line_derivatives, projector_loss, projector_value, ring

FIRST = ("jvp", "vjp")
SECOND = ("fwd-rev", "rev-rev", "fwd-fwd", "rev-fwd")
THIRD = ("fwd-fwd-fwd", "rev-rev-rev", "fwd-fwd-rev", "fwd-rev-rev")
TOLERANCE = {1: 1e-9, 2: 1e-8, 3: 1e-6}

CASES = {
    "regular": (*levels_matrix([-1.0, -0.3, 0.4, 1.0, 1.7, 2.5]), 3),
    "triple": (*levels_matrix([0.0, 0.0, 0.0, 1.0, 1.0, 2.5]), 3),
    "triple, complex": (*levels_matrix([0.0, 0.0, 0.0, 1.0, 1.0, 2.5], dtype=complex), 3),
    "split by 1e-10": (*levels_matrix([0.0, 1e-10, 2e-10, 1.0, 1.0 + 1e-10, 2.5]), 3),
    "ring of 6, 3 filled": (ring(6), *levels_matrix(np.arange(6.0))[1:], 3),
    "zero matrix": (np.zeros((4, 4)), *levels_matrix(np.arange(4.0))[1:], 4),
}


def slope(loss, mode):
    order = 1 + mode.count("-")
    return float(jax.jit(lambda t: directional_derivative(loss, t, [1.0] * order, mode))(0.0))


SLOW = {"triple, complex", "split by 1e-10", "zero matrix"}


@pytest.mark.optimised
@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def test_gauge_invariant_functions_at_every_order(case):
    a, s, o, k = CASES[case]
    loss = projector_loss(eigh, a, s, o, k)
    want = line_derivatives(projector_value(o, k), a, s, (1, 2, 3))
    for mode in FIRST + SECOND + (THIRD if case == "triple" else THIRD[2:3]):
        order = 1 + mode.count("-")
        assert slope(loss, mode) == pytest.approx(want[order - 1], rel=TOLERANCE[order], abs=1e-9), mode


def test_jnp_eigh_is_wrong_at_the_same_point_without_any_nan():
    a, s, o, k = CASES["triple"]
    want = line_derivatives(projector_value(o, k), a, s, (1,))[0]
    theirs = slope(projector_loss(jnp.linalg.eigh, a, s, o, k), "vjp")
    assert np.isfinite(theirs)
    assert abs(theirs / want - 1) > 0.01
    assert slope(projector_loss(eigh, a, s, o, k), "vjp") == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("batch", [(), pytest.param((2,), marks=pytest.mark.slow)])
def test_single_vectors_at_regular_points(dtype, batch):
    a, *_ = levels_matrix([-1.0, -0.3, 0.4, 1.7], dtype=dtype)
    a = jnp.broadcast_to(jnp.asarray(a), (*batch, 4, 4))

    def densities(a):
        w, v = eigh(a)
        return w, jnp.abs(v) ** 2

    check_derivatives(densities, a, samples=1, throw=True)


def test_values_are_those_of_numpy():
    a, *_ = levels_matrix([0.0, 0.0, 1.0, 3.0], dtype=complex)
    w, v = eigh(jnp.asarray(a))
    np.testing.assert_allclose(v @ jnp.diag(w) @ v.conj().T, a, atol=1e-14)
    np.testing.assert_allclose(eigvalsh(jnp.asarray(a)), np.linalg.eigvalsh(a), atol=1e-14)


def test_eigenvalue_derivatives():
    a, *_ = levels_matrix([-1.0, -0.3, 0.4, 1.7], dtype=complex)
    check_derivatives(eigvalsh, jnp.asarray(a), throw=True)


def test_a_constant_shift_changes_no_vector():
    a, _, o, k = CASES["triple"]
    loss = projector_loss(eigh, a, np.eye(6), o, k)
    w = np.linalg.eigvalsh(a)
    assert slope(loss, "vjp") == pytest.approx(2 * k * w[:k].sum(), abs=1e-13)


def test_single_vectors_of_a_multiplet_are_finite():
    g = jax.grad(lambda a: eigh(a)[1][0, 0])(jnp.eye(3))
    assert jnp.isfinite(g).all()


@pytest.mark.slow
def test_vmap_jit_and_scan_agree():
    a, s, o, k = CASES["triple"]
    loss = projector_loss(eigh, a, s, o, k)
    ts = jnp.array([0.0, 0.1])
    one_by_one = jnp.stack([jax.grad(loss)(t) for t in ts])
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(ts), one_by_one, rtol=1e-11)
    np.testing.assert_allclose(jax.lax.map(jax.jit(jax.grad(loss)), ts), one_by_one, rtol=1e-11)


def test_float32_with_a_tight_multiplet():
    """32 occupied levels within 1e-5 and a gap of 1 above: well conditioned, so single precision must do."""
    rng = np.random.default_rng(1)
    a, s, o = levels_matrix(np.concatenate([1e-5 * rng.uniform(size=32), 1 + rng.uniform(size=32)]))

    def grad(eigh, dtype):
        loss = projector_loss(eigh, a.astype(dtype), s.astype(dtype), jnp.asarray(o, dtype), 32)
        return float(jax.jit(jax.grad(loss))(jnp.zeros((), dtype)))

    want = grad(lambda a: eigh(a, degeneracy_tol=1e-3), np.float64)
    assert grad(eigh, np.float32) == pytest.approx(want, rel=1e-4)


def test_degeneracy_tol_is_a_choice_of_blocks():
    """Two levels 1e-6 apart: their own vectors with the default, one block with a wider tolerance."""
    a = jnp.diag(jnp.array([0.0, 1e-6, 1.0]))
    ds = jnp.zeros((3, 3)).at[0, 1].set(1.0).at[1, 0].set(1.0)
    rotation = lambda **kw: jax.jvp(lambda a: jnp.abs(eigh(a, **kw)[1]), (a,), (ds,))[1][1, 0]  # noqa: E731
    assert abs(rotation()) == pytest.approx(1e6, rel=1e-6)
    assert rotation(degeneracy_tol=1e-3) == 0


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(3), "square"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "Hermitian"),
        (np.array([[np.nan, 0], [0, 1.0]]), "NaN"),
        (np.zeros((0, 0)), "at least one row"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_input(a, message):
    with pytest.raises(InputError, match=message):
        eigh(jnp.asarray(a))


def test_bad_tolerance():
    with pytest.raises(InputError, match="degeneracy_tol"):
        eigh(jnp.eye(2), degeneracy_tol=-1.0)
