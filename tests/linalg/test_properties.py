"""Random structured matrices, drawn by hypothesis: first and second derivatives against perturbation theory.

The matrices are built from their decomposition, A = U diag(w) U† with multiplets that are degenerate or split by 1e-13
to 1e-4, or tight-binding rings, so that the reference needs no decomposition. With M = U† S U and the divided
differences f[w_i, w_j], f[w_i, w_k, w_j] of the function in question in 100-digit arithmetic,

    d f(A + tS)/dt = U (f[w_i, w_j] M_ij) U†,      d²f(A + tS)/dt² = U (2 Σ_k f[w_i, w_k, w_j] M_ik M_kj) U†.

Projectors are a step function; rectangular matrices are the corner of [[0, A], [A†, 0]], of which low-rank
approximations, polar factors and pseudo-inverses are functions too. Errors count relative to the sum of the moduli of
the terms: a derivative that is small by accidental cancellation is no harder than another.
"""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings

from pullback.linalg import density_matrix, eigh, eigvalsh, funmh, low_rank, pinv, polar, spectral_projector

N, OCCUPIED = 6, 3
M, RANK = 4, 2  # rectangular matrices are N x M
DRAWS = settings(max_examples=36, deadline=None, derandomize=True)

close = st.one_of(st.just(0.0), st.floats(-13, -4).map(lambda x: 10.0**x))
anything = st.one_of(close, st.floats(-4, 0).map(lambda x: 10.0**x))
close_or_far = st.one_of(close, st.floats(0.3, 1.0))  # nothing between: `eigh` is told which multiplets there are
scales = st.integers(-6, 6).map(lambda x: 10.0**x)  # the unit of energy must not matter

# Most of the time is tracing and compilation, so that the real programs are left to the slow set.
DTYPES = pytest.mark.parametrize("dtype", [complex, pytest.param(float, marks=pytest.mark.slow)])
ORDERS = pytest.mark.parametrize(
    ("dtype", "order"),
    [(complex, 1), pytest.param(complex, 2, marks=pytest.mark.slow), pytest.param(float, 2, marks=pytest.mark.slow)],
)


@st.composite
def levels(draw, gaps):
    """Three occupied levels, a gap, three empty ones."""
    steps = [draw(gaps), draw(gaps), draw(st.floats(0.5, 2.0)), draw(gaps), draw(gaps)]
    return np.cumsum([draw(st.floats(-2.0, 0.5)), *steps])


@st.composite
def hermitian(draw, dtype, gaps):
    """(levels, vectors, direction, observable), with a ring now and then."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    w, u = draw(levels(gaps)), unitary(rng, N, dtype)
    if draw(st.integers(0, 4)) == 0:
        w, u = ring_states(rng, dtype)
    return w, u, symmetrized(normal(rng, (N, N), dtype)), normal(rng, (N, N), dtype)


@st.composite
def rectangular(draw, dtype, *, regular):
    """(s, u, v, direction, observable): two equal or close values from 1 to 2, two more that may be small or zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    small = 0.3 if regular else draw(st.one_of(close, st.just(0.3)))
    s = np.array([1.0 + draw(anything), 1.0, small + draw(close), small])
    u, v = unitary(rng, N, dtype), unitary(rng, M, dtype)
    return s, u, v, normal(rng, (N, M), dtype), normal(rng, (N, M), dtype)


def normal(rng, shape, dtype):
    z = rng.normal(size=shape)
    return z + 1j * rng.normal(size=shape) if dtype is complex else z


def symmetrized(z):
    return (z + z.conj().T) / 2


def unitary(rng, n, dtype):
    return np.linalg.qr(normal(rng, (n, n), dtype))[0]


def ring_states(rng, dtype):
    """Plane waves of a ring of six sites, pairs combined to cosines and sines, with random phases on the sites."""
    k, x = np.array([0, 1, 1, 2, 2, 3]), np.arange(N)
    angle = 2 * np.pi * np.outer(x, k) / N
    u = np.where(np.array([1, 1, 0, 1, 0, 1]), np.cos(angle), np.sin(angle))
    u /= np.linalg.norm(u, axis=0)
    if dtype is complex:
        u = np.exp(2j * np.pi * rng.uniform(size=N))[:, None] * u
    return -2 * np.cos(2 * np.pi * k / N), u


def divided_differences(f, w):
    """f[w_i, w_j] and f[w_i, w_k, w_j]: Newton's table in 100 digits, equal points moved apart by 1e-35."""
    n = len(w)
    one, two = np.empty((n, n)), np.empty((n, n, n))
    with mp.workdps(100):
        shift = mp.mpf(10) ** -35
        x = [[mp.mpf(float(w[i])) + (3 * i + copy) * shift for i in range(n)] for copy in range(3)]
        y = [[mp.mpf(f(point)) for point in row] for row in x]
        # difference[p][i, j] between copy p of level i and copy p + 1 of level j
        difference = [
            {(i, j): (y[p + 1][j] - y[p][i]) / (x[p + 1][j] - x[p][i]) for i in range(n) for j in range(i, n)}
            for p in range(2)
        ]
        for (i, j), slope in difference[0].items():
            one[i, j] = one[j, i] = slope
            for k in range(i, j + 1):
                value = float((difference[1][k, j] - difference[0][i, k]) / (x[2][j] - x[0][i]))
                for a, b, c in {(i, k, j), (i, j, k), (k, i, j), (k, j, i), (j, i, k), (j, k, i)}:
                    two[a, b, c] = value
    return one, two


def perturbed(differences, u, s, o):
    """((first, its scale), (second, its scale)) of Re Σ conj(o) f(A + t s)."""
    one, two = differences
    m, o = u.conj().T @ s @ u, (u.conj().T @ o @ u).conj()
    first, second = o * one * m, 2 * np.einsum("ij,ikj,ik,kj->ikj", o, two, m, m)
    return np.array([[t.sum().real, np.abs(t).sum()] for t in (first, second)])


def dilated(s, u, v, direction):
    """Levels, vectors and direction of [[0, A], [A†, 0]]."""
    w = np.concatenate([s, -s, np.zeros(N - M)])
    kept, rest = u[:, :M] / np.sqrt(2), u[:, M:]
    vectors = np.block([[kept, kept, rest], [v / np.sqrt(2), -v / np.sqrt(2), np.zeros((M, N - M))]])
    return w, vectors, corner(direction) + corner(direction).conj().T


def corner(x):
    return np.block([[np.zeros((N, N)), x], [np.zeros((M, N + M))]])


@functools.cache
def derivatives(loss, order):
    """(matrix, direction, *rest) -> first (reverse mode) and second derivative (forward over reverse)."""

    def first(a, s, *rest):
        return jnp.sum(jax.grad(loss)(a, *rest) * s).real

    def both(a, s, *rest):
        return jax.jvp(lambda a: first(a, s, *rest), (a,), (s,))

    return jax.jit(both if order == 2 else lambda *x: (first(*x),))


def check(loss, want, *arguments):
    """`want` holds one row (exact, scale) for each order."""
    found = derivatives(loss, len(want))(*arguments)
    for order, value, (exact, scale), tolerance in zip(("first", "second"), found, want, (1e-8, 1e-6)):
        error = abs(float(value) - exact)
        assert error <= tolerance * scale, f"{order} derivative {value:.16e}, exact {exact:.16e}, scale {scale:.1e}"


def expectation(o, matrix):
    return jnp.sum(o.conj() * matrix).real


# The losses, at module level: each is compiled once for each type.
def of_projector(a, o, c):
    return expectation(o, spectral_projector(c * a, OCCUPIED))


def of_vectors(a, o):
    w, v = eigh(a, degeneracy_tol=0.05)
    return expectation(o, v[:, :OCCUPIED] @ v[:, :OCCUPIED].conj().T) + jnp.sum(w[:OCCUPIED])


def of_values(a):
    return jnp.sum(jnp.tanh(eigvalsh(a)))


def of_function(a, o, weights):
    def f(x):
        return weights[0] * jnp.exp(x) + weights[1] * jnp.tanh(x) + weights[2] * jax.nn.sigmoid(-20.0 * x)

    return expectation(o, funmh(a, f))


def of_density(a, o, n_electrons, temperature):
    return expectation(o, density_matrix(a, n_electrons=n_electrons, temperature=temperature))


def of_low_rank(a, o, c):
    return expectation(o, low_rank(c * a, RANK)) / c


def of_polar(a, o, c):
    u, p = polar(c * a)
    return expectation(o, u) + expectation(o[:M], p) / c


def of_inverse(a, o, c):
    return expectation(o.conj().T, pinv(c * a, 0.4)) * c


@DTYPES
@DRAWS
@given(data=st.data())
def test_spectral_projector(dtype, data):
    w, u, s, o = data.draw(hermitian(dtype, anything))
    fermi_level = float(w[OCCUPIED - 1] + w[OCCUPIED]) / 2
    want = perturbed(divided_differences(lambda x: x < fermi_level, w), u, s, o)
    check(of_projector, want, matrix(w, u), s, o, data.draw(scales))


@DTYPES
@DRAWS
@given(data=st.data())
def test_eigh(dtype, data):
    w, u, s, o = data.draw(hermitian(dtype, close_or_far))
    fermi_level = float(w[OCCUPIED - 1] + w[OCCUPIED]) / 2
    want = perturbed(divided_differences(lambda x: x < fermi_level, w), u, s, o)
    want += perturbed(divided_differences(lambda x: x * (x < fermi_level), w), u, s, np.eye(N))
    check(of_vectors, want, matrix(w, u), s, o)


@DTYPES
@DRAWS
@given(data=st.data())
def test_eigvalsh(dtype, data):
    w, u, s, _ = data.draw(hermitian(dtype, anything))
    first = perturbed(divided_differences(mp.tanh, w), u, s, np.eye(N))[:1]
    check(of_values, first, matrix(w, u), s)


@DTYPES
@DRAWS
@given(data=st.data())
def test_funmh(dtype, data):
    w, u, s, o = data.draw(hermitian(dtype, anything))
    c = [data.draw(st.sampled_from([0.0, 1.0])) for _ in range(3)]

    def f(x):
        return c[0] * mp.exp(x) + c[1] * mp.tanh(x) + c[2] / (1 + mp.exp(20 * x))

    check(of_function, perturbed(divided_differences(f, w), u, s, o), matrix(w, u), s, o, np.array(c))


@ORDERS
@DRAWS
@given(data=st.data())
def test_density_matrix(dtype, order, data):
    w, u, s, o = data.draw(hermitian(dtype, anything))
    n_electrons, temperature = data.draw(st.floats(0.5, 5.5)), data.draw(st.floats(0.05, 1.0))
    want = at_fixed_number(w, u, s, o, n_electrons, temperature)
    check(of_density, want[:order], matrix(w, u), s, o, n_electrons, temperature)


def at_fixed_number(w, u, s, o, n_electrons, temperature):
    """ρ = φ(A − μ): with B = A + tS − μ(t), the trace of φ′[B′] and of φ″[B′, B′] + φ′[B″] is zero."""
    with mp.workdps(100):
        excess = lambda mu: mp.fsum(1 / (1 + mp.exp((x - mu) / temperature)) for x in w) - n_electrons  # noqa: E731
        mu = mp.findroot(excess, (w[0] - 5.0, w[-1] + 5.0), solver="anderson", tol=mp.mpf(10) ** -60)
        differences = divided_differences(lambda x: 1 / (1 + mp.exp((x - mu) / temperature)), w)
    slopes, eye = np.diagonal(differences[0]), np.eye(N)
    s = s - eye * (slopes @ np.real(np.diagonal(u.conj().T @ s @ u)) / slopes.sum())
    mu2 = perturbed(differences, u, s, eye)[1, 0] / slopes.sum()
    want = perturbed(differences, u, s, o)
    value, scale = perturbed(differences, u, -mu2 * eye, o)[0]
    want[1] += value, scale
    return want


@DTYPES
@DRAWS
@given(data=st.data())
def test_low_rank(dtype, data):
    w, vectors, direction, a, s, o = data.draw(rectangular(dtype, regular=False).map(with_dilation))
    differences = divided_differences(lambda x: x * (abs(x) > 0.75), w)
    want = perturbed(differences, vectors, direction, corner(o))
    check(of_low_rank, want, a, s, o, data.draw(scales))


@DTYPES
@DRAWS
@given(data=st.data())
def test_pinv(dtype, data):
    w, vectors, direction, a, s, o = data.draw(rectangular(dtype, regular=False).map(with_dilation))
    differences = divided_differences(lambda x: 1 / x if abs(x) > 0.75 else 0, w)
    # The pseudo-inverse of the adjoint is in this corner.
    want = perturbed(differences, vectors, direction, corner(o))
    check(of_inverse, want, a, s, o, data.draw(scales))


@DTYPES
@DRAWS
@given(data=st.data())
def test_polar(dtype, data):
    w, vectors, direction, a, s, o = data.draw(rectangular(dtype, regular=True).map(with_dilation))
    lower = np.zeros((N + M, N + M), dtype)
    lower[N:, N:] = o[:M]
    want = perturbed(divided_differences(lambda x: mp.sign(x) * (abs(x) > 0.1), w), vectors, direction, corner(o))
    want += perturbed(divided_differences(lambda x: abs(x) * (abs(x) > 0.1), w), vectors, direction, lower)
    check(of_polar, want, a, s, o, data.draw(scales))


def with_dilation(drawn):
    s, u, v, direction, o = drawn
    return *dilated(s, u, v, direction), (u[:, :M] * s) @ v.conj().T, direction, o


def matrix(w, u):
    return symmetrized((u * w) @ u.conj().T)
