"""polar, pinv, lstsq and truncated decompositions at degenerate and missing singular values."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import low_rank, lstsq, pinv, polar, svd_truncated
from pullback.trust import check_derivatives
from tests.linalg.test_svd import matrices

RNG = np.random.default_rng(0)
B = jnp.asarray(RNG.normal(size=5))


def test_full_rank_degenerate_complex():
    a, da, _ = matrices(5, 4, [3.0, 3.0, 1.0, 1.0], dtype=complex)
    np.testing.assert_allclose(pinv(a), np.linalg.pinv(a), atol=1e-14)
    for side in ("right", "left"):
        for ours, theirs in zip(polar(a, side), scipy.linalg.polar(np.asarray(a), side)):
            np.testing.assert_allclose(ours, theirs, atol=1e-14)

    def f(t):
        x = a + t * da
        return pinv(x), lstsq(x, B)[0], polar(x), polar(x, "left")

    check_derivatives(f, 0.0, modes=("vjp", "fwd-rev"), samples=1, throw=True)


def test_rank_deficient():
    """Along a path of constant rank."""
    a, *_ = matrices(5, 6, [2.0, 2.0, 0.0, 0.0, 0.0])
    left, right = RNG.normal(size=(5, 5)), RNG.normal(size=(6, 6))

    def f(t):
        x = (jnp.eye(5) + t * left) @ a @ (jnp.eye(6) + t * right)
        return pinv(x, 1e-10), lstsq(x, B, 1e-10)[0], polar(x)[1]

    x, residuals, rank, s = lstsq(a, B)
    want = np.linalg.lstsq(np.asarray(a), np.asarray(B), rcond=1e-12)
    np.testing.assert_allclose(x, want[0], atol=1e-14)
    assert rank == want[2] == 2
    assert residuals == pytest.approx(np.sum((a @ x - B) ** 2))
    np.testing.assert_allclose(s, [2, 2, 0, 0, 0], atol=1e-14)
    check_derivatives(f, 0.0, samples=1, throw=True)


TRUNCATED = {
    "double, complex": ((6, 5, [3.0, 3.0, 1.0, 0.5, 0.5]), complex),
    "a tail of tiny values, wide": ((5, 6, [3.0, 2.0, 1.0, 1e-7, 1.1e-7]), float),
    "zeros": ((6, 4, [2.0, 2.0, 0.0, 0.0]), complex),
}


@pytest.mark.parametrize("case", [*list(TRUNCATED)[:2], pytest.param("zeros", marks=pytest.mark.slow)])
def test_the_discarded_space_contributes(case):
    shape, dtype = TRUNCATED[case]
    a, da, _ = matrices(*shape, dtype=dtype)

    def f(t):
        u, s, vh = svd_truncated(a + t * da, 2)
        return u @ vh, jnp.sum(s) ** 2, u @ u.conj().T, low_rank(a + t * da, 2)

    assert f(0.0)[0].shape == a.shape
    check_derivatives(f, 0.0, modes=("vjp", "fwd-rev"), samples=1, throw=True)


def test_cutoff():
    a, *_ = matrices(6, 5, [3.0, 3.0, 1.0, 1e-6, 1e-9])
    assert [svd_truncated(a, cutoff=c)[1].size for c in (1e-3, 1e-8, 0.9, 2.0)] == [3, 4, 2, 1]
    np.testing.assert_allclose(low_rank(a, 3), a, atol=3e-6)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: svd_truncated(jnp.eye(3), 4), "from 1 to min"),
        (lambda: svd_truncated(jnp.eye(3)), "either rank or cutoff"),
        (lambda: svd_truncated(jnp.ones((2, 3, 3)), cutoff=0.1), "one matrix"),
        (lambda: low_rank(jnp.eye(3), 0), "from 1 to min"),
        (lambda: lstsq(jnp.eye(3), jnp.ones(2)), "shapes"),
        (lambda: pinv(jnp.eye(3), -1.0), "from 0 to 1"),
        (lambda: polar(jnp.eye(3), "both"), "side"),  # type: ignore
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
