"""qr and lq: every shape and mode, real and complex, dependent columns; every mode of differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._qr import lq, qr
from pullback.trust import check_derivatives

SHAPES = [(5, 3), (3, 3), (3, 5), (1, 3), (3, 1)]


def draw(*shape, dtype=float, seed=0):
    rng = np.random.default_rng([seed, *shape])
    z = rng.normal(size=shape)
    return jnp.asarray(z + 1j * rng.normal(size=shape) if dtype is complex else z)


def projector(q):
    return q @ q.conj().T


@pytest.mark.parametrize("dtype", [complex, pytest.param(float, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["complete", pytest.param("reduced", marks=pytest.mark.slow)])
def test_values(mode, dtype):
    for m, n in SHAPES[:3]:
        a, k = draw(m, n, dtype=dtype), m if mode == "complete" else min(m, n)
        q, r = qr(a, mode)
        assert q.shape == (m, k) and r.shape == (k, n)
        np.testing.assert_allclose(q.conj().T @ q, np.eye(k), atol=1e-14)
        np.testing.assert_allclose(q @ r, a, atol=1e-14)
        np.testing.assert_array_equal(np.tril(r, -1), 0)
        np.testing.assert_allclose(jnp.diagonal(r).imag, 0, atol=1e-14)
        l, q = lq(a.T, mode)
        np.testing.assert_allclose(l @ q, a.T, atol=1e-14)
        np.testing.assert_array_equal(np.triu(l, 1), 0)
    np.testing.assert_array_equal(qr(a, "r"), qr(a)[1])
    np.testing.assert_array_equal(lq(a, "l"), lq(a)[0])


@pytest.mark.optimised
def test_second_order():
    """Tall and wide, reduced and complete (through what does not depend on the choice of the complement)."""

    def factors(tall, wide):
        q, r = qr(tall, "complete")
        return r, projector(q[:, 2:]), qr(wide)

    args = draw(4, 2, dtype=complex), draw(2, 3, dtype=complex)
    check_derivatives(factors, *args, modes=("fwd-rev",), samples=1, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_modes_of_all_shapes(shape, dtype):
    def factors(a):
        q, r = qr(a, "complete")
        return qr(a), lq(a), r, projector(q[:, min(shape) :])

    check_derivatives(factors, draw(*shape, dtype=dtype), samples=1, throw=True)


def test_dependent_columns():
    """Rank 2, two leading columns independent: they have derivatives in every direction; the rest is finite."""
    a, da = draw(4, 2) @ draw(2, 4, seed=1), draw(4, 4, seed=2)
    assert abs(qr(a)[1][2, 2]) < 1e-14

    def leading(t):
        q, r = qr(a + t * da)
        return q[:, :2], r[:2], projector(q[:, 2:])

    check_derivatives(leading, 0.0, modes=("fwd-rev",), samples=1, throw=True)
    assert jnp.isfinite(jax.jit(jax.grad(lambda a: qr(a)[1].sum()))(jnp.zeros((4, 4)))).all()


def test_volume_against_the_gram_determinant():
    """Π |r_jj| = sqrt(det A†A); its gradient is the volume times the pseudo-inverse."""
    a = draw(5, 3)

    def volume(a):
        return jnp.abs(jnp.prod(jnp.diagonal(qr(a, "r"))))

    want = np.sqrt(np.linalg.det(a.T @ a))
    assert volume(a) == pytest.approx(want, rel=1e-13)
    np.testing.assert_allclose(jax.jit(jax.grad(volume))(a), want * np.linalg.pinv(a).T, rtol=1e-12)


@pytest.mark.slow
def test_batch_and_float32():
    a = draw(2, 4, 3).astype(jnp.float32)
    q, r = qr(a)
    assert q.dtype == r.dtype == jnp.float32 and q.shape == (2, 4, 3)
    np.testing.assert_allclose(q @ r, a, atol=1e-5)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qr(jnp.ones(3)), "matrix"),
        (lambda: qr(jnp.full((2, 2), jnp.nan)), "NaN"),
        (lambda: qr(jnp.eye(2), "complet"), "Did you mean 'complete'"),
        (lambda: lq(jnp.eye(2), "r"), "unknown mode 'r'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
