"""eig of general matrices: degenerate and regular points, left vectors, holomorphic use, exceptional points."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.linalg._clusters import same_cluster
from pullback.linalg._eig import eig, eigvals
from pullback.trust import check_derivatives, directional_derivative

TOLERANCE = {1: 1e-9, 2: 1e-8, 3: 1e-6}


def similar(levels, *, dtype=float, seed=0):
    """S diag(levels) S^-1 with S far from unitary, a direction, and a test matrix."""
    rng, n = np.random.default_rng(seed), len(levels)

    def draw():
        z = rng.normal(size=(n, n))
        return z + 1j * rng.normal(size=(n, n)) if dtype is complex else z

    s = draw()
    return jnp.asarray(s @ np.diag(levels) @ np.linalg.inv(s)), jnp.asarray(draw()), jnp.asarray(draw())


def projector(a, level):
    """The spectral projector on the eigenvalues around `level`."""
    w, vl, v = eig(a, left=True)
    return (v * (jnp.abs(w - level) < 0.5)) @ vl.conj().T


@pytest.mark.optimised
@pytest.mark.parametrize("dtype", [complex, pytest.param(float, marks=pytest.mark.slow)])
def test_projector_at_a_semisimple_double_level(dtype):
    """To third order, against 40 digits."""
    a, da, o = similar([1.0, 1.0, 2.5, 4.0], dtype=dtype)

    def loss(t):
        return jnp.sum(o * projector(a + t * da, 1.0)).real

    with mp.workdps(40):
        a_mp, da_mp, o_mp = (mp.matrix(np.asarray(z).tolist()) for z in (a, da, o))

        def value(t):
            w, v = mp.eig(a_mp + t * da_mp)
            inverse = v**-1
            near = [k for k in range(4) if abs(w[k] - 1) < 0.5]
            return mp.re(sum(o_mp[i, j] * v[i, k] * inverse[k, j] for i in range(4) for j in range(4) for k in near))

        want = [float(mp.diff(value, 0, m, h=mp.mpf("1e-7"))) for m in (1, 2, 3)]
    for mode in ("vjp", "fwd-rev", "fwd-rev-rev"):
        order = 1 + mode.count("-")
        got = jax.jit(lambda t, m=mode, k=order: directional_derivative(loss, t, [1.0] * k, m))(0.0)
        assert float(got) == pytest.approx(want[order - 1], rel=TOLERANCE[order]), mode


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_modes(dtype):
    a, da, _ = similar([1.0, 1.0, 2.5, 4.0, 4.0], dtype=dtype)
    regular, *_ = similar([1.0, 2.0, 3.0], dtype=dtype)

    def values(t, a_regular):
        w, v = eig(a_regular)
        return projector(a + t * da / 10, 1.0), projector(a + t * da / 10, 4.0), w, jnp.abs(v), eigvals(a_regular)

    check_derivatives(values, 0.0, regular, samples=1, scale=0.01, throw=True)


def test_normalisation_and_left_vectors():
    a = jnp.stack([similar([1.0, 2.0, 2.0, 3j], dtype=complex, seed=s)[0] for s in range(2)])
    w, vl, v = eig(a, left=True)
    np.testing.assert_allclose(jnp.linalg.norm(v, axis=-2), 1, atol=1e-14)
    np.testing.assert_allclose(vl.conj().swapaxes(-1, -2) @ v, np.broadcast_to(np.eye(4), (2, 4, 4)), atol=1e-12)
    np.testing.assert_allclose(a @ v, v * w[:, None, :], atol=1e-12)
    np.testing.assert_allclose(vl.conj().swapaxes(-1, -2) @ a, w[..., None] * vl.conj().swapaxes(-1, -2), atol=1e-11)


def test_length_is_kept_and_the_phase_is_parallel():
    a, da, _ = similar([1.0, 2.0, 4.0], dtype=complex)
    v, dv = jax.jit(lambda a: jax.jvp(lambda a: eig(a)[1], (a,), (da,)))(a)
    np.testing.assert_allclose(jnp.sum(v.conj() * dv, axis=0), 0, atol=1e-14)


def test_holomorphic():
    """The complex derivative of a projector at a double level, against Cauchy's formula on a circle of values."""
    a, da, o = similar([1.0, 1.0, 2.5], dtype=complex)

    def f(a):
        return jnp.sum(o * projector(a, 1.0))

    gradient = jax.jit(jax.grad(f, holomorphic=True))(a)
    forward = jax.jit(lambda a: jax.jvp(f, (a,), (da,))[1])
    assert jnp.sum(gradient * da) == pytest.approx(complex(forward(a)), rel=1e-12)
    phases = jnp.exp(2j * jnp.pi * jnp.arange(16) / 16)
    on_circle = jax.jit(jax.vmap(lambda z: f(a + 0.01 * z * da)))(phases)
    assert jnp.mean(on_circle / phases) / 0.01 == pytest.approx(complex(forward(a)), rel=1e-9)


def test_towards_an_exceptional_point():
    """Gain and loss ±g, coupled by 1: w = ±sqrt(1 − g²), dw/dg → −∞ at g = 1; at a Jordan block no NaN."""

    @jax.jit
    def slope(g):
        matrix = lambda g: jnp.array([[1j, 0], [0, -1j]]) * g + jnp.array([[0, 1.0], [1.0, 0]])  # noqa: E731
        return jax.jvp(lambda g: jnp.max(eig(matrix(g))[0].real), (g,), (1.0,))[1]

    for g in (0.5, 0.999):
        assert slope(g) == pytest.approx(-g / np.sqrt(1 - g**2), rel=1e-9)
    jordan = jnp.array([[0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(eigvals(jordan), 0)
    gradient = jax.jit(jax.grad(lambda a: eigvals(a)[0].real))(jordan)
    assert not jnp.isnan(gradient).any() and jnp.abs(gradient).max() > 1e6


@pytest.mark.slow
def test_clusters_are_chains_in_the_complex_plane():
    """A ring of eigenvalues, each close to its neighbours, is one block; a second one beside it another."""
    ring = jnp.exp(2j * jnp.pi * jnp.arange(8) / 8)
    same = same_cluster(jnp.concatenate([ring, ring + 10]), 0.8)
    np.testing.assert_array_equal(same, np.kron(np.eye(2), np.ones((8, 8))) > 0)


@pytest.mark.slow
def test_float32():
    w, v = eig(jnp.eye(2, dtype=jnp.float32))
    assert w.dtype == v.dtype == jnp.complex64


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize("function", [eig, eigvals])
@pytest.mark.parametrize(("a", "message"), [(np.ones((2, 3)), "square"), (np.full((2, 2), np.inf), "infinite")])
def test_bad_input(function, a, message):
    with pytest.raises(InputError, match=message):
        function(jnp.asarray(a))
