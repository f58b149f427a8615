"""Low levels without a matrix: against free fermions, dense matrices and published levels, with derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.linalg

from pullback.core import RESULTS, ConvergenceError, Direct, Implicit, InputError
from pullback.krylov import Arnoldi, Davidson, Dense, Lanczos, eigsh
from pullback.trust import MODES, check_derivatives
from tests.spins import ising_ring_ground, product


def ising_ring(sites):
    """g -> (x -> H x) for H = −Σ σz σz − g Σ σx."""
    states = np.arange(2**sites)
    turned = (states << 1 | states >> (sites - 1)) & (2**sites - 1)
    diagonal = jnp.asarray(2.0 * np.bitwise_count(states ^ turned) - sites)

    def hamiltonian(g):
        def apply(x):
            flipped = jnp.zeros_like(x)
            for i in range(sites):
                up, down = jnp.moveaxis(x.reshape(2**i, 2, -1), 1, 0)
                flipped = flipped + jnp.stack([down, up], axis=1).reshape(-1)
            return diagonal * x - g * flipped

        return apply

    return hamiltonian


def susceptibility(hamiltonian, g, **options):
    psi, change = jax.jvp(lambda g: eigsh(hamiltonian(g), **options)[1][:, 0], (g,), (1.0,))
    return change @ change - (psi @ change) ** 2


@pytest.mark.parametrize(
    "g", [pytest.param(0.5, marks=pytest.mark.slow), 1.0, pytest.param(1.5, marks=pytest.mark.slow)]
)
def test_ising_ring(g):
    hamiltonian = ising_ring(10)

    def energy(g):
        return eigsh(hamiltonian(g), shape=2**10)[0][0]

    slope = jax.grad(energy)
    found = energy(g), slope(g), jax.jvp(slope, (g,), (1.0,))[1], susceptibility(hamiltonian, g, shape=2**10)
    np.testing.assert_allclose(found, ising_ring_ground(10, g), rtol=1e-11)


@pytest.mark.slow
def test_third_derivative():
    def energy(g):
        return eigsh(ising_ring(8)(g), shape=2**8)[0][0]

    h = 1e-3
    stencil = [ising_ring_ground(8, 0.8 + i * h)[2] for i in (-2, -1, 1, 2)]
    expected = np.dot([1, -8, 8, -1], stencil) / (12 * h)
    np.testing.assert_allclose(jax.grad(jax.grad(jax.grad(energy)))(0.8), expected, rtol=1e-8)


def dense_majumdar_ghosh(sites):
    """The bond operators S_i·S_{i+1} and S_i·S_{i+2} of a ring, and an operator to look at."""

    def exchange(i, j):
        return sum(product({i % sites: p, j % sites: p}, sites) for p in "XYZ").real / 4

    bonds = [exchange(i, i + 1) for i in range(sites)] + [exchange(i, i + 2) for i in range(sites)]
    return np.array(bonds), exchange(0, 3) + 0.3 * exchange(1, 3)


@pytest.mark.optimised
def test_hessian_at_a_twofold_ground_state():
    """Majumdar–Ghosh: masked rules give an asymmetric Hessian here without a warning. Loss tr(P O) + tr(Λ P O)."""
    bonds, look = dense_majumdar_ghosh(8)
    couplings = jnp.array([1.0] * 8 + [0.5] * 8)
    direction, other = np.random.default_rng(0).normal(size=(2, 16)) / 4

    def loss_of(matrix, v):
        return jnp.trace(v.T @ look @ v) + jnp.trace(v.T @ matrix @ v @ v.T @ look @ v) / 20

    def loss(j):
        matrix = jnp.tensordot(j, bonds, 1)
        return loss_of(matrix, eigsh(matrix, 2)[1])

    def dense(j):
        matrix = np.tensordot(j, bonds, 1)
        return loss_of(matrix, np.linalg.eigh(matrix)[1][:, :2])

    np.testing.assert_allclose(eigsh(jnp.tensordot(couplings, bonds, 1), 2)[0], [-3.0, -3.0], rtol=1e-12)
    h = 2e-3
    slope = [dense(couplings + i * h * direction) for i in (-2, -1, 1, 2)] @ np.array([1, -8, 8, -1]) / (12 * h)
    np.testing.assert_allclose(jax.grad(loss)(couplings) @ direction, slope, rtol=1e-7)
    corners = [dense(couplings + s * h * direction + t * h * other) for s in (1, -1) for t in (1, -1)]
    mixed = np.dot(corners, [1, -1, -1, 1]) / (4 * h * h)
    for found in (
        jax.jvp(jax.grad(loss), (couplings,), (jnp.asarray(direction),))[1] @ other,
        jax.grad(lambda j: jax.grad(loss)(j) @ other)(couplings) @ direction,
    ):
        np.testing.assert_allclose(found, mixed, rtol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("modes", [("jvp", "vjp"), MODES])
def test_a_complex_ring_with_flux(modes):
    """Hopping with a phase and a potential; two levels, their joint projector."""
    n = 120
    potential = jnp.cos(2 * jnp.pi * 3 * jnp.arange(n) / n) + 0.1 * jnp.sin(jnp.arange(n))

    def f(t):
        def apply(x):
            hop = jnp.exp(1j * t[0]) * jnp.roll(x, 1)
            return -hop - jnp.exp(-1j * t[0]) * jnp.roll(x, -1) + t[1] * potential * x

        w, v = eigsh(apply, 2, shape=jax.ShapeDtypeStruct((n,), complex))
        return w[0] + 2 * w[1] + ((v @ v.conj().T)[20, 25] ** 2).imag

    check_derivatives(f, jnp.array([0.3, 0.8]), modes=modes, samples=1, throw=True)


def pencil(n=130):
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, n, n)) + 1j * rng.normal(size=(4, n, n))
    return a + a.conj().T, b @ b.conj().T / n + np.eye(n), (c + c.conj().T) / 20, (d + d.conj().T) / 100


def test_generalised_problem():
    a, b, _, _ = pencil()
    exact, _ = scipy.linalg.eigh(a, b)
    for which, expected in (("SA", exact[:3]), ("LA", exact[::-1][:3])):
        w, v = eigsh(a, 3, b=b, which=which)
        np.testing.assert_allclose(w, expected, rtol=1e-11)
        np.testing.assert_allclose(v.conj().T @ b @ v, np.eye(3), atol=1e-10)
        np.testing.assert_allclose(a @ v, b @ v * w, atol=1e-8)


@pytest.mark.slow
def test_all_modes_of_the_generalised_problem():
    a, b, c, d = pencil()

    def f(t):
        w, v = eigsh(
            lambda u: a @ u + t[0] * (c @ u),
            2,
            shape=jax.ShapeDtypeStruct(a.shape[:1], complex),
            b=lambda u: b @ u + t[1] * (d @ u),
        )
        projector = v @ v.conj().T
        return w.sum() + 100 * (projector[0, 1] * projector[2, 3]).real

    check_derivatives(f, jnp.array([0.2, 0.3]), samples=1, throw=True)


def oscillator_grid(points, dimensions, potential):
    """−½∇² + V in a sine basis on [−8, 8]^d: the operator, its preconditioner and the coordinates."""
    x = np.linspace(-8, 8, points + 2)[1:-1]
    k = np.pi * np.arange(1, points + 1) / 16
    modes = np.sin(np.outer(np.arange(1, points + 1), np.arange(1, points + 1)) * np.pi / (points + 1))
    modes *= np.sqrt(2 / (points + 1))
    energies = sum(np.meshgrid(*[k**2 / 2] * dimensions, indexing="ij"))
    coordinates = np.meshgrid(*[x] * dimensions, indexing="ij")

    def in_modes(u):
        for axis in range(dimensions):
            u = jnp.moveaxis(jnp.tensordot(modes, u, (1, axis)), 0, axis)
        return u

    def hamiltonian(*parameters):
        v = potential(*coordinates, *parameters)
        return lambda u: in_modes(energies * in_modes(u)) + v * u

    return hamiltonian, lambda r: in_modes(in_modes(r) / (energies + 2.0))


@pytest.mark.slow
def test_henon_heiles():
    """Published levels in two dimensions, two degenerate pairs among them, and slopes against a change of λ."""

    def potential(x, y, strength):
        # The cubic potential is unbounded below far out: a cut that the low levels do not feel.
        return jnp.minimum((x**2 + y**2) / 2 + strength * (x**2 * y - y**3 / 3), 12.0) + 50 * (x**2 + y**2 > 49)

    hamiltonian, precond = oscillator_grid(40, 2, potential)

    def levels(strength):
        return eigsh(hamiltonian(strength), 6, shape=(40, 40), solver=Davidson(precond=precond))[0]

    w, slopes = jax.jvp(levels, (0.111803,), (1.0,))
    np.testing.assert_allclose(w, [0.99859478, 1.99007683, 1.99007683, 2.95624331, 2.98532654, 2.98532654], atol=2e-6)
    h = 1e-3
    np.testing.assert_allclose(slopes, (levels(0.111803 + h) - levels(0.111803 - h)) / (2 * h), atol=1e-5)


@pytest.mark.slow
def test_triple_level_in_three_dimensions():
    """The isotropic oscillator: levels 3/2 and 5/2 (three times), and how an anisotropy splits them: ω_x = 1 + s."""
    hamiltonian, precond = oscillator_grid(24, 3, lambda x, y, z, s: ((1 + s) ** 2 * x**2 + y**2 + z**2) / 2)

    def levels(s):
        return eigsh(hamiltonian(s), 4, shape=(24, 24, 24), solver=Davidson(precond=precond))[0]

    np.testing.assert_allclose(levels(0.0), [1.5, 2.5, 2.5, 2.5], rtol=1e-8)
    total = jax.grad(lambda s: levels(s)[1:].sum())(0.0)  # ω_x (3/2) + 2 ω_x (1/2): 5/2
    np.testing.assert_allclose(total, 2.5, rtol=1e-7)


@pytest.mark.slow
def test_levels_inside_the_spectrum():
    hamiltonian = ising_ring(8)
    matrix = jax.vmap(hamiltonian(1.3))(jnp.eye(2**8))
    w, v = jnp.linalg.eigh(matrix)
    found, slope = jax.value_and_grad(lambda g: eigsh(hamiltonian(g), shape=2**8, which=-9.4)[0][0])(1.3)
    nearest = jnp.argmin(jnp.abs(w + 9.4))
    np.testing.assert_allclose(found, w[nearest], rtol=1e-10)
    field = jax.vmap(lambda u: hamiltonian(1.0)(u) - hamiltonian(0.0)(u))(jnp.eye(2**8))
    np.testing.assert_allclose(slope, v[:, nearest] @ field @ v[:, nearest], rtol=1e-8)


@pytest.mark.slow
def test_many_parameters_at_once_and_single_precision():
    hamiltonian = ising_ring(8)
    fields = jnp.array([0.6, 1.0, 1.7])
    slopes = jax.vmap(jax.grad(lambda g: eigsh(hamiltonian(g), shape=2**8)[0][0]))(fields)
    np.testing.assert_allclose(slopes, [ising_ring_ground(8, g)[1] for g in np.asarray(fields)], rtol=1e-10)
    start = jnp.ones(2**8, jnp.float32)
    w, v = eigsh(lambda x: hamiltonian(jnp.float32(1.5))(x).astype(jnp.float32), v0=start)
    assert w.dtype == v.dtype == jnp.float32
    np.testing.assert_allclose(w[0], ising_ring_ground(8, 1.5)[0], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_near_degeneracy_is_resolved_or_refused(seed):
    """16 sites at g = ½: the even and the odd ground state are 2e-6 apart. Right, or refused, from any start."""
    hamiltonian, sites = ising_ring(16), 16
    start = jax.random.normal(jax.random.key(seed), (2**sites,))
    try:
        found = susceptibility(hamiltonian, 0.5, v0=start)
    except ConvergenceError:
        return
    np.testing.assert_allclose(found, ising_ring_ground(sites, 0.5)[3], rtol=1e-6)


def test_refusals():
    hamiltonian = ising_ring(8)(1.0)
    with pytest.raises(InputError, match="not Hermitian"):
        eigsh(np.triu(np.ones((150, 150))))
    with pytest.raises(InputError, match="at most the dimension"):
        eigsh(hamiltonian, 2**8 + 1, shape=2**8)
    with pytest.raises(InputError, match="zero or not finite"):
        eigsh(hamiltonian, v0=jnp.zeros(2**8))
    with pytest.raises(InputError, match="form"):
        eigsh(lambda x: x[:-1], shape=150)
    with pytest.raises((InputError, TypeError), match="which"):  # the tests' type check is faster
        eigsh(hamiltonian, shape=2**8, which="SM")
    with pytest.raises(ConvergenceError, match="NaN"):
        eigsh(lambda x: x * jnp.nan, shape=150)
    with pytest.raises(ConvergenceError, match="max_steps"):
        eigsh(lambda x: jnp.linspace(0, 1, 5000) ** 2 * x, shape=5000, max_steps=3)
    levels = jnp.array([0.0, 0.0, *np.arange(1.0, 255.0)])
    with pytest.raises(ConvergenceError, match="multiplet"):
        eigsh(lambda x: levels * x, shape=256, solver=Davidson(precond=lambda r: r))
    with pytest.raises(ConvergenceError, match="multiplet"):
        eigsh(lambda x: levels * x, shape=256)
    # One start vector alone cannot see the second of two equal levels, but the derivative does.
    mixing = jnp.zeros((256, 256)).at[0, 1].set(1.0).at[1, 0].set(1.0)
    with pytest.raises(RuntimeError, match="multiplet"):
        jax.block_until_ready(
            jax.jvp(
                lambda t: eigsh(lambda x: levels * x + t * (mixing @ x), shape=256, solver=Lanczos(copies=False))[1],
                (0.0,),
                (1.0,),
            )
        )


def test_what_a_solver_cannot_do_is_refused():
    ring = ising_ring(8)(1.0)
    for options, told in (
        ({"k": 2, "solver": Lanczos()}, "here is k=2. Take Davidson"),
        ({"b": lambda x: 2 * x, "solver": Lanczos()}, "here is a metric b"),
        ({"which": 0.3, "solver": Lanczos()}, r"here is which=0\.3"),
        ({"k": 3, "solver": Davidson(basis=9)}, "at least 2 \\(k \\+ 2\\) = 10"),
        ({"adjoint": Direct()}, "adjoint=Direct"),
        ({"adjoint": Implicit(linear_solver=lx.CG(1e-9, 1e-9))}, "by a method that fits the operator"),
    ):
        with pytest.raises(InputError, match=told):
            eigsh(ring, shape=2**8, **options)
    with pytest.raises(InputError, match="Take Dense"):
        eigsh(jnp.eye(5), 1, solver=Davidson())
    with pytest.raises((InputError, TypeError), match="solver"):
        eigsh(ring, shape=2**8, solver=Arnoldi())


@pytest.mark.parametrize("n", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_solvers_agree_in_small_spaces(n):
    """Where the matrix would be made: value and slope of the lowest level, against NumPy."""
    rng = np.random.default_rng(2)
    a, b = (x + x.T for x in rng.normal(size=(2, n, n)))
    w, v = np.linalg.eigh(a)

    def lowest(t, solver):
        return eigsh(a + t * b, solver=solver)[0][0]

    for solver in (Dense(), Lanczos(), Davidson(), Davidson(basis=8, precond=lambda r: r / 3)):
        found, slope = jax.jit(jax.value_and_grad(partial(lowest, solver=solver)))(0.0)
        np.testing.assert_allclose([found, slope], [w[0], v[:, 0] @ b @ v[:, 0]], rtol=1e-9, err_msg=repr(solver))


def test_the_adjoint_has_its_own_tolerance():
    """One step is not enough for the derivative, and says so; a rough one is a rough vector."""

    def turned(adjoint):
        return jax.jvp(lambda t: eigsh(a + t * b, adjoint=adjoint)[1][:, 0], (0.0,), (1.0,))[1]

    a, b = (x + x.T for x in np.random.default_rng(3).normal(size=(2, 120, 120)))
    changed = turned(Implicit(tol=1e-12)), turned(Implicit(tol=1e-3))
    assert 1e-9 < np.linalg.norm(np.subtract(*changed)) < 1e-2 * np.linalg.norm(changed[0])
    with pytest.raises((RuntimeError, ValueError), match="max_steps"):
        jax.block_until_ready(turned(Implicit(max_steps=1)))


def planted(rng, n, dtype, first, size):
    """A Hermitian matrix and its levels, `size` of them equal after the `first` lowest, all others ≥ 0.05 apart."""
    w = np.sort(rng.uniform(-4, 5, n)) + 0.05 * np.arange(n)
    w[first : first + size] = w[first]
    q = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if np.issubdtype(dtype, np.complexfloating) else 0)
    q, _ = np.linalg.qr(q)
    return (q * w) @ q.conj().T, w


def check_multiplet(find, rng, n, k, dtype, first, size, scale):
    """Refused exactly where k cuts the multiplet; otherwise the levels and the gap of NumPy."""
    a, w = planted(rng, n, dtype, first, size)
    w_found, result, gap = find(jnp.asarray((scale * (a + a.conj().T) / 2).astype(dtype)))
    label = f"{n=} {k=} {dtype=} {first=} {size=} {scale=}"
    cut = k < n and w[k] == w[k - 1]
    assert result == (RESULTS.not_separated if cut else RESULTS.successful), label
    if not cut:
        accuracy = 1e3 * np.finfo(dtype).eps * np.abs(w).max()
        np.testing.assert_allclose(np.asarray(w_found, float) / scale, w[:k], atol=accuracy, err_msg=label)
        exact = w[k] - w[k - 1] if k < n else np.inf
        np.testing.assert_allclose(float(gap) / scale, exact, rtol=0.02, err_msg=label)


def finder(k):
    def find(a):
        solution = eigsh(a, k, throw=False)
        return solution.value[0], solution.result, solution.stats["gap"]

    return jax.jit(find)


@pytest.mark.parametrize(
    ("n", "k", "dtype", "scales"),
    [
        (7, 2, np.float64, (1.0, 1e-200, 1e150)),
        (120, 1, np.float32, (1.0, 1e-30, 1e30)),
        (120, 1, np.float64, (1e-200, 1e150)),
        pytest.param(120, 2, np.complex128, (1e-200, 1e150), marks=pytest.mark.slow),
        pytest.param(130, 3, np.float32, (1e-30,), marks=pytest.mark.slow),
    ],
)
def test_cut_multiplets_are_found_on_every_path(n, k, dtype, scales):
    rng, find = np.random.default_rng(0), finder(k)
    for first, size in ((0, 1), (0, k), (0, k + 1), (k, 2), (k - 1, 2)):
        for scale in scales:
            check_multiplet(find, rng, n, k, dtype, first, size, scale)


@pytest.mark.slow
def test_fifty_random_multiplets():
    rng = np.random.default_rng(1)
    for _ in range(50):
        n, dtype = int(rng.choice([3, 20, 100, 101, 300])), rng.choice([np.float32, float, np.complex64, complex])
        single = np.finfo(dtype).eps > 1e-10
        scale = 10.0 ** (rng.integers(-30, 31) if single else rng.integers(-200, 151))
        size, first = min(int(rng.integers(2, 5)), n - 1), int(rng.integers(0, 2)) if n > 5 else 0
        k = min(int(rng.integers(1, first + size + 2)), n)
        check_multiplet(finder(k), rng, n, k, dtype, first, size, scale)


@pytest.mark.parametrize("n", [5, 150])
def test_what_is_not_a_number_is_refused(n):
    """NaN and infinities, on the small and on the large path, outside and inside `jit`."""
    matrix = jnp.diag(jnp.arange(float(n)))
    find = finder(1)
    for bad in (jnp.nan, jnp.inf):
        w, result, _ = find(matrix.at[2, 2].set(bad))
        assert result == RESULTS.nonfinite
        assert jnp.isfinite(w).all()  # safe values: the result tells
    with pytest.raises(ConvergenceError, match="NaN"):
        eigsh(matrix * jnp.nan)


def test_the_gap_is_that_of_the_next_level():
    """Levels whose copies appear in Lanczos' matrix, and one far below all others; with and without the search."""
    rng = np.random.default_rng(0)
    for levels in (
        np.concatenate([[0.0], 1 + rng.random(199)]),
        np.concatenate([[-100.0], -rng.random(199)]),
        np.concatenate([[0.0], np.repeat(np.arange(1.0, 21.0), 10), [30.0] * 9])[:200],
    ):
        solution = finder_of_diagonal(jnp.asarray(levels))
        exact = np.diff(np.sort(levels))[0]
        np.testing.assert_allclose(solution.stats["gap"], exact, rtol=0.01)
        np.testing.assert_allclose(solution.stats["gradient_error"], solution.residual / exact, rtol=0.01)


@jax.jit
def finder_of_diagonal(levels):
    return eigsh(lambda x: levels * x, shape=200, throw=False)


def test_a_start_vector_chooses_a_sector():
    """Odd vectors of an even operator: the lowest odd level, though an even one is below it."""
    x = jnp.linspace(-8, 8, 201)
    step = float(x[1] - x[0])

    def apply(u):
        return u / step**2 - (jnp.pad(u[1:], (0, 1)) + jnp.pad(u[:-1], (1, 0))) / (2 * step**2) + x**2 / 2 * u

    solution = eigsh(apply, v0=x * jnp.exp(-(x**2) / 3), throw=False)
    assert solution.converged
    np.testing.assert_allclose(solution.value[0][0], 1.5, atol=2e-3)
    np.testing.assert_allclose(solution.stats["gap"], 2.0, atol=2e-2)


def test_all_levels_and_one():
    """As many levels as states, and one state; with derivatives."""
    slope = jax.grad(lambda t: eigsh(t * jnp.diag(jnp.array([2.0, 1.0, 1.0])), 3)[0].sum())(2.0)
    np.testing.assert_allclose(slope, 4.0, rtol=1e-14)
    w, v = jax.jit(lambda a: eigsh(a))(jnp.array([[3.0]]))
    np.testing.assert_allclose([w[0], abs(v[0, 0])], [3.0, 1.0])
