"""fixed_point against differences, real-split linear response and exact solutions; solvers, gauges and refusals."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest

from pullback import implicit
from pullback.core import RESULTS, ConvergenceError, InputError, Solution
from pullback.linalg import polar
from pullback.trust import check_derivatives

TIGHT = 1e-15


def kepler(e, mean=1.0, **options):
    """The eccentric anomaly E = M + e sin E; E' = sin E / (1 − e cos E)."""
    return implicit.fixed_point(lambda anomaly: mean + e * jnp.sin(anomaly), jnp.ones_like(mean), **options)


def kepler_slope(e):
    """By bisection."""
    low, high = 0.0, np.pi
    for _ in range(100):
        mid = (low + high) / 2
        low, high = (mid, high) if mid - e * np.sin(mid) < 1.0 else (low, mid)
    return np.sin(low) / (1 - e * np.cos(low))


def test_all_modes_of_a_map_that_is_not_holomorphic():
    """|ψ|², conjugates, a pytree of a complex and a real number, a closed-over parameter."""

    def solution(theta):
        def f(x):
            density = jnp.abs(x["psi"]) ** 2
            psi = theta["a"] * density + 0.2 * x["mu"] * jnp.conj(x["psi"]) + 0.2 - 0.3j
            return {"psi": psi, "mu": 0.8 * density}

        x = implicit.fixed_point(f, {"psi": 0.1 + 0.1j, "mu": 0.1}, solver=implicit.Picard(), tol=TIGHT)
        return x["psi"], x["mu"]

    theta = {"a": 0.3 + 0.1j}
    check_derivatives(solution, theta, samples=1, throw=True)


def ring(n=12, flux=0.7):
    """Hopping on a ring with a flux, in an uneven potential: its ground state is complex."""
    hop = np.roll(np.eye(n), 1, axis=0) * np.exp(1j * flux / n)
    return -(hop + hop.conj().T) + np.diag(np.cos(np.arange(n)) + 0.3 * np.sin(2.0 * np.arange(n)))


def nearest_phase(psi, reference):
    overlap = jnp.vdot(psi, reference)
    return psi * overlap / jnp.abs(overlap)


def ground_state(g, h):
    """Gross–Pitaevskii by normalised imaginary time."""

    def step(psi):
        psi = psi - 0.15 * (h @ psi + g * jnp.abs(psi) ** 2 * psi)
        return psi / jnp.linalg.norm(psi)

    x0 = jnp.ones(len(h), complex) / len(h) ** 0.5
    return implicit.fixed_point(step, x0, gauge_fix=nearest_phase, solver=implicit.Anderson(8), tol=1e-14)


def test_gross_pitaevskii_against_real_split_linear_response():
    h, g, weights = ring(), 2.0, np.arange(12.0)
    psi = np.asarray(jax.jit(ground_state)(g, h))
    density = np.abs(psi) ** 2
    mu = np.vdot(psi, h @ psi + g * density * psi).real
    # (H − μ + 2g|ψ|²) δψ + g ψ² δψ* − δμ ψ = −|ψ|² ψ, ⟨ψ|δψ⟩ = 0, on Re δψ, Im δψ, δμ
    a, b, s = h - mu * np.eye(12) + 2 * g * np.diag(density), g * np.diag(psi**2), psi[:, None]
    zero = np.zeros((1, 1))
    matrix = np.block(
        [
            [(a + b).real, (-a + b).imag, -s.real],
            [(a + b).imag, (a - b).real, -s.imag],
            [s.real.T, s.imag.T, zero],
            [-s.imag.T, s.real.T, zero],
        ]
    )
    force = np.concatenate([-(density * psi).real, -(density * psi).imag, [0, 0]])
    dpsi = np.linalg.lstsq(matrix, force, rcond=None)[0]
    expected = np.sum(weights * 2 * (psi.real * dpsi[:12] + psi.imag * dpsi[12:24]))
    observable = jax.jit(jax.grad(lambda g: jnp.sum(weights * jnp.abs(ground_state(g, h)) ** 2)))
    np.testing.assert_allclose(observable(g), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "solver",
    [
        implicit.Picard(0.9),
        implicit.Newton(),
        pytest.param(optx.FixedPointIteration(1e-13, 1e-13), marks=pytest.mark.slow),
        pytest.param(optx.Dogleg(1e-12, 1e-12), marks=pytest.mark.slow),
        pytest.param(optx.LevenbergMarquardt(1e-12, 1e-12), marks=pytest.mark.slow),
    ],
)
def test_solvers_agree(solver):
    gradient = jax.jit(jax.grad(lambda e: kepler(e, solver=solver)))(0.6)
    np.testing.assert_allclose(gradient, kepler_slope(0.6), rtol=1e-11)


@pytest.mark.parametrize(
    "linear_solver",
    [
        lx.GMRES(1e-13, 1e-13),
        pytest.param(implicit.Neumann(), marks=pytest.mark.slow),
        pytest.param(implicit.Dense(), marks=pytest.mark.slow),
        pytest.param(lx.BiCGStab(1e-13, 1e-13), marks=pytest.mark.slow),
        pytest.param(lx.LSMR(1e-13, 1e-13), marks=pytest.mark.slow),
    ],
)
def test_linear_solvers_agree_in_both_modes(linear_solver):
    """x = 0.9 tanh(A x) + θ: dx from the dense Jacobian by NumPy."""
    a = np.random.default_rng(0).normal(size=(6, 6)) / 6
    adjoint = implicit.Implicit(linear_solver=linear_solver)

    def solution(theta):
        return implicit.fixed_point(lambda x: 0.9 * jnp.tanh(a @ x) + theta, jnp.zeros(6), adjoint=adjoint, tol=1e-14)

    theta = jnp.linspace(-1, 1, 6)
    forward, reverse = jax.jit(lambda t: (jax.jacfwd(solution)(t), jax.jacrev(solution)(t)))(theta)
    x = np.asarray(solution(theta))
    expected = np.linalg.inv(np.eye(6) - 0.9 * a / np.cosh(a @ x)[:, None] ** 2)
    np.testing.assert_allclose(forward, expected, atol=1e-11)
    np.testing.assert_allclose(reverse, expected, atol=1e-11)


def test_anderson_solves_a_linear_problem_that_picard_does_not():
    """With a long enough history it is GMRES: n + few steps; the slopes −3 and 0.99 are no contraction."""
    slopes, b = jnp.array([-3.0, 0.99, 0.5, 0.0]), jnp.arange(1.0, 5.0)

    def solve(solver):
        return implicit.fixed_point(lambda x: slopes * x + b, jnp.zeros(4), solver=solver, max_steps=50, throw=False)

    fast, slow = solve(implicit.Anderson()), solve(implicit.Picard())
    np.testing.assert_allclose(fast.value, b / (1 - slopes), rtol=1e-9)
    assert fast.converged and fast.steps < 20 and fast.stats["linear_residual"] < 1e-12
    assert not slow.converged
    assert slow.residual > 1


def test_the_gradient_does_not_repeat_the_iterations():
    def evaluations(damping, program):
        count = []

        def loss(e):
            def f(anomaly):
                jax.debug.callback(lambda: count.append(1))
                return 1.0 + e * jnp.sin(anomaly)

            return implicit.fixed_point(f, 1.0, solver=implicit.Picard(damping))

        jax.block_until_ready(jax.jit(program(loss))(0.3))
        jax.effects_barrier()
        return len(count)

    extra = [evaluations(d, jax.grad) - evaluations(d, lambda f: f) for d in (1.0, 0.1)]
    assert evaluations(0.1, lambda f: f) > 5 * evaluations(1.0, lambda f: f)
    assert extra[0] == extra[1] < 12


def test_an_invariant_subspace_that_is_known_up_to_a_rotation():
    """Power iteration of a plane: x is fixed up to a unitary, its projector has exact derivatives."""
    rng = np.random.default_rng(2)
    a0, a1 = (rng.normal(size=(5, 5)) + 1j * rng.normal(size=(5, 5)) for _ in range(2))
    a0, a1 = (a0 + a0.conj().T) / 2 + 6 * np.diag([1.5, 1.2, 0, 0, 0]), (a1 + a1.conj().T) / 2

    def nearest(x, reference):
        return x @ polar(x.conj().T @ reference)[0]

    def observable(t):
        a = a0 + t * a1
        x = implicit.fixed_point(
            lambda x: jnp.linalg.qr(a @ x)[0], jnp.eye(5, 2, dtype=complex), gauge_fix=nearest, tol=1e-14
        )
        return jnp.sum(a1 * (x @ x.conj().T).T).real

    w, u = np.linalg.eigh(a0)
    u, rest = u[:, -2:], u[:, :-2]
    mixing = rest.conj().T @ a1 @ u / (w[None, -2:] - w[:-2, None])
    expected = 2 * np.sum(np.conj(rest.conj().T @ a1 @ u) * mixing).real
    got = jax.jit(lambda t: (jax.grad(observable)(t), jax.jvp(observable, (t,), (1.0,))[1]))(0.0)
    np.testing.assert_allclose(got, [expected, expected], rtol=1e-10)


def test_batches_single_precision_and_warm_starts():
    e = jnp.array([0.1, 0.6], jnp.float32)
    slopes = jax.jit(jax.vmap(jax.grad(lambda e: kepler(e, jnp.float32(1.0)))))(e)
    assert slopes.dtype == jnp.float32
    np.testing.assert_allclose(slopes, [kepler_slope(0.1), kepler_slope(0.6)], rtol=1e-4)

    start = kepler(0.3, throw=False)
    assert isinstance(start, Solution)
    again = implicit.fixed_point(lambda x: 1.0 + 0.3 * jnp.sin(x), start, throw=False)
    assert again.steps == 1
    assert jax.grad(lambda x0: implicit.fixed_point(lambda x: 1.0 + 0.3 * jnp.sin(x), x0))(1.0) == 0


def test_missing_convergence_is_never_silent():
    with pytest.raises(ConvergenceError, match="fixed_point: The maximum number of steps"):
        kepler(0.9, max_steps=3)
    with pytest.raises(Exception, match="maximum number of steps"):
        jax.block_until_ready(jax.jit(lambda e: kepler(e, max_steps=3))(0.9))
    blown = implicit.fixed_point(lambda x: x**2 + 1.0, 3.0, solver=implicit.Picard(), throw=False)
    assert blown.result == RESULTS.nonfinite
    short = implicit.Implicit(linear_solver=implicit.Neumann(), max_steps=2)
    with pytest.raises(Exception, match="linear equation of an implicit derivative"):
        jax.block_until_ready(jax.grad(lambda e: kepler(e, adjoint=short))(0.9))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: implicit.fixed_point(lambda x: {"u": x["u"][:1]}, {"u": jnp.ones(2)}), r"f\(x\)\['u'\] must stay"),
        (lambda: implicit.fixed_point(lambda x: x * 1j, jnp.ones(2)), "Pass a complex x0"),
        (lambda: implicit.fixed_point(lambda x: (x, x), 1.0), "structure of x"),
        (lambda: implicit.fixed_point(lambda x: x, {"u": jnp.nan}), r"x0\['u'\] contains NaN"),
        (lambda: implicit.fixed_point(lambda x: x, 1.0, solver="newton"), "is not one of its solvers"),
        (lambda: implicit.fixed_point(lambda x: x, 1.0, tol=0.0), "tol must be positive"),
        (lambda: implicit.fixed_point(lambda x: x, 1.0, max_steps=0), "max_steps must be positive"),
        (lambda: implicit.fixed_point(lambda x: x, ()), "holds no numbers"),
        (lambda: implicit.Picard(0.0), "damping must be"),
        (lambda: implicit.Anderson(history=0), "history must be"),
        (lambda: kepler(0.1, adjoint=implicit.Implicit(linear_solver="gmres")), "a lineax solver"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-20, 1e-9, 1.0, 1e6])
def test_the_units_of_an_equation_play_no_part(scale):
    """x³ = 8 in units of 1e-20: the start is no solution, however small the residual is there."""
    found = implicit.root(lambda x: scale * (x**3 - 8), 1.0, throw=False)
    if scale <= 1:  # what is larger may need its own tolerance
        assert found.converged
    np.testing.assert_allclose(found.value, 2, rtol=1e-9)
    np.testing.assert_allclose(
        jax.grad(lambda c: implicit.root(lambda x: scale * (x**3 - c), 1.0))(8.0), 1 / 12, rtol=1e-8
    )
