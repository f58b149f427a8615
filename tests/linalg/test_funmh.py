"""funmh: exact derivatives at degenerate and nearly degenerate levels, every mode and order, against mpmath."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.linalg

from pullback.core import InputError
from pullback.linalg import eigh, funmh
from pullback.linalg._divided_differences import divided_difference, taylor_coefficients
from pullback.trust import check_derivatives, directional_derivative
from tests.linalg.references import levels_matrix, line_derivatives

FUNCTIONS = {
    "exp": (jnp.exp, mp.exp),
    "tanh": (jnp.tanh, mp.tanh),  # its even derivatives vanish at 0: Taylor terms alone are fooled
    "power 8": (lambda x: x**8, lambda x: x**8),
    "sqrt": (lambda x: jnp.sqrt(1.3 + x), lambda x: mp.sqrt(mp.mpf(1.3) + x)),
    "Fermi": (
        lambda x: jax.nn.sigmoid(-20.0 * (x - 0.5)),
        lambda x: 1 / (mp.exp(20 * (x - mp.mpf(0.5))) + 1),
    ),
}
LEVELS = {
    "triple": [0.0, 0.0, 0.0, 1.0, 1.0, 2.5],
    "split 1e-13": [0.0, 1e-13, 2e-13, 1.0, 1.0 + 1e-13, 2.5],
    "split 1e-7": [0.0, 1e-7, 3e-7, 1.0, 1.0 + 1e-7, 2.5],
    "split 1e-3": [0.0, 1e-3, 2e-3, 1.0, 1.0 + 1e-3, 2.5],
    "regular": [0.1, 0.5, 0.6, 1.0, 1.2, 2.5],
}


def reference(o, f_mp):
    def value(w, v):
        n = len(w)
        f = [f_mp(x) for x in w]
        return sum(
            v[r][i] * f[i] * mp.conj(v[c][i]) * mp.mpmathify(complex(o[r, c]))
            for r in range(n)
            for c in range(n)
            for i in range(n)
        )

    return value


def errors(levels, name, modes, dtype=float):
    a, s, o = levels_matrix(levels, dtype=dtype)
    f, f_mp = FUNCTIONS[name]

    def loss(t):
        return jnp.sum(o * funmh(jnp.asarray(a) + t * s, f)).real

    want = line_derivatives(reference(o, f_mp), a, s, (1, 2, 3))
    out = {}
    for mode in modes:
        order = 1 + mode.count("-")
        got = jax.jit(lambda t, m=mode, n=order: directional_derivative(loss, t, [1.0] * n, m))(0.0)
        out[mode] = abs(float(got) / want[order - 1] - 1)
    return out


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("levels", "name"),
    [
        pytest.param(*("triple", "Fermi"), marks=pytest.mark.slow),
        ("split 1e-13", "sqrt"),
        ("split 1e-7", "Fermi"),
        pytest.param(*("split 1e-3", "exp"), marks=pytest.mark.slow),
        pytest.param(*("regular", "power 8"), marks=pytest.mark.slow),
    ],
)
def test_first_and_second_order(levels, name):
    found = errors(LEVELS[levels], name, ("vjp", "fwd-rev"))
    assert found["vjp"] < 1e-10, found
    assert found["fwd-rev"] < 1e-7, found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_modes_at_a_triple_degeneracy(dtype):
    found = errors(LEVELS["triple"], "tanh", ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd"), dtype)
    assert max(found.values()) < 1e-10, found


@pytest.mark.slow
def test_third_order_at_a_triple_degeneracy():
    found = errors(LEVELS["triple"], "tanh", ("fwd-fwd-fwd", "rev-rev-rev"))
    assert max(found.values()) < 1e-9, found


def test_known_values_where_no_rule_on_eigenvectors_can_be_right():
    """(exp A)_01 in direction a_01 at diag(1, 1, 2) is e/2, (A)_01 is 1/2; v f(w) v† by eigh gives 0."""
    a = jnp.diag(jnp.array([1.0, 1.0, 2.0]))
    assert jax.grad(lambda a: funmh(a, jnp.exp)[0, 1])(a)[0, 1] == pytest.approx(np.e / 2, abs=1e-14)
    assert jax.grad(lambda a: funmh(a, lambda x: x)[0, 1])(a)[0, 1] == pytest.approx(0.5, abs=1e-14)

    def by_eigh(a):
        w, v = eigh(a)
        return ((v * jnp.exp(w)) @ v.T)[0, 1]

    assert jax.grad(by_eigh)(a)[0, 1] == 0


def test_values():
    a, *_ = levels_matrix([0.0, 0.0, 1.0, 2.0], dtype=complex)
    np.testing.assert_allclose(funmh(jnp.asarray(a), jnp.exp), scipy.linalg.expm(a), atol=1e-13)
    evolve = funmh(jnp.asarray(a), lambda x: jnp.exp(-0.7j * x))
    np.testing.assert_allclose(evolve, scipy.linalg.expm(-0.7j * a), atol=1e-13)


@pytest.mark.slow
def test_parameters_that_f_closes_over():
    """Fermi occupations at a degeneracy: derivatives in the matrix, in mu and in temperature, and mixed ones."""
    a, s, _ = levels_matrix([0.0, 0.0, 1.0, 1.0], dtype=complex)

    def density(t, mu, beta):
        return funmh(jnp.asarray(a) + t * s, lambda x: jax.nn.sigmoid(-beta * (x - mu)))

    check_derivatives(density, 0.0, 0.4, 2.0, modes=("vjp", "fwd-rev"), samples=1, throw=True)


@pytest.mark.optimised
def test_complex_parameters():
    a, *_ = levels_matrix([0.0, 0.0, 1.0])
    check_derivatives(lambda z: funmh(jnp.asarray(a), lambda x: jnp.exp(z * x)), 0.3 - 0.8j, samples=1, throw=True)


def test_batch_and_vmap():
    stack = jnp.stack([jnp.asarray(levels_matrix([0.0, 0.0, 1.0], seed=i)[0]) for i in range(3)])
    np.testing.assert_allclose(funmh(stack, jnp.exp), [scipy.linalg.expm(m) for m in stack], atol=1e-13)
    g = jax.vmap(jax.grad(lambda a: jnp.sum(funmh(a, jnp.exp)[0])))(stack)
    np.testing.assert_allclose(g[1], jax.grad(lambda a: jnp.sum(funmh(a, jnp.exp)[0]))(stack[1]), atol=1e-13)


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1e-1, 1.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_divided_differences(gap, name):
    """All second divided differences on clusters at 0.2 and 1.2, against 120-digit arithmetic."""
    f, f_mp = FUNCTIONS[name]
    w = jnp.array([0.2, 0.2 + gap, 0.2 + 2 * gap, 1.2 + 2 * gap])
    i = jnp.indices((4, 4, 4))
    got = divided_difference(taylor_coefficients(f, w, 2), w, tuple(i))
    with mp.workdps(120):
        nodes = [mp.mpf(float(x)) + mp.mpf(10) ** -40 * k for k, x in enumerate(w)]
        nudge = [mp.mpf(0), mp.mpf(10) ** -41, mp.mpf(10) ** -41 * 3]

        def exact(index):
            x = [nodes[j] + nudge[p] for p, j in enumerate(index)]
            level = [f_mp(z) for z in x]
            for p in (1, 2):
                level = [(level[k + 1] - level[k]) / (x[k + p] - x[k]) for k in range(len(level) - 1)]
            return float(level[0])

        want = np.array([exact(index) for index in np.ndindex(4, 4, 4)]).reshape(4, 4, 4)
    assert float(jnp.max(jnp.abs(got - want))) < 3e-9 * np.abs(want).max()


def test_bad_input():
    with pytest.raises(InputError, match="funmh needs a Hermitian"):
        funmh(jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.exp)
