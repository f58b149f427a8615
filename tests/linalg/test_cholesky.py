"""cholesky: NumPy's values, 50-digit derivatives close to a singular matrix, refusals."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._cholesky import cholesky
from pullback.trust import check_derivatives
from tests.linalg.references import levels_matrix


def test_values_are_those_of_numpy():
    a = np.stack([levels_matrix([1.0, 2.0, 3.0], dtype=complex, seed=s)[0] for s in range(2)])
    np.testing.assert_allclose(cholesky(jnp.asarray(a)), np.linalg.cholesky(a), atol=1e-14)
    r = cholesky(jnp.asarray(a), upper=True)
    np.testing.assert_allclose(r.conj().swapaxes(-1, -2) @ r, a, atol=1e-14)


def test_derivatives_close_to_a_singular_matrix():
    """Condition number 1e10: ten of sixteen digits are lost, and no more."""
    a, s, o = levels_matrix([1e-10, 0.1, 0.5, 1.0])

    def loss(t):
        return jnp.sum(o * cholesky(a + t * s))

    with mp.workdps(50):
        a_mp, s_mp = mp.matrix(a.tolist()), mp.matrix(s.tolist())

        def value(t):
            l = mp.cholesky(a_mp + t * s_mp)
            return sum(mp.mpf(o[i, j]) * l[i, j] for i in range(4) for j in range(i + 1))

        want = [float(mp.diff(value, 0, m, h=mp.mpf("1e-25"))) for m in (1, 2)]
    got = jax.jit(lambda t: (jax.grad(loss)(t), jax.grad(jax.grad(loss))(t)))(0.0)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.slow
def test_all_modes():
    a, *_ = levels_matrix([1.0, 2.0, 3.0], dtype=complex)
    check_derivatives(cholesky, jnp.asarray(a), samples=1, throw=True)


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.diag([1.0, -0.5]), "smallest eigenvalue is -5.00e-01"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "Hermitian"),
        (np.ones((2, 3)), "square"),
    ],
)
def test_bad_input(a, message):
    with pytest.raises(InputError, match=message):
        cholesky(jnp.asarray(a))
