"""root, argmin and attach against exact solutions and differences: zero modes, rattlers, constraints, refusals."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import optimistix as optx
import pytest

from pullback import implicit
from pullback.core import ConvergenceError, InputError
from pullback.trust import check_derivatives


@pytest.mark.optimised
def test_higher_derivatives_of_a_root():
    """The third derivative of √a, and of log z, which is holomorphic, the first: 1/z."""

    def root(a):
        return implicit.root(lambda x: x**2 - a, 1.0, tol=1e-14)

    np.testing.assert_allclose(jax.jit(jax.jacfwd(jax.grad(jax.jacfwd(root))))(4.0), 3 / 256, rtol=1e-11)
    log = jax.grad(lambda z: implicit.root(lambda x: jnp.exp(x) - z, 0.1j), holomorphic=True)
    slope = jax.jit(log)(1.0 + 1.0j)
    np.testing.assert_allclose(slope, 1 / (1.0 + 1.0j), rtol=1e-11)


@pytest.mark.slow
def test_custom_root_of_jax_agrees():
    """The rule of `attach` beside jax.lax.custom_root, for a solution that was found elsewhere."""

    def residual(theta):
        return lambda x: x + 0.3 * jnp.sin(theta * x) - theta

    def theirs(theta):
        x = implicit.root(residual(1.2), 1.0)
        return jax.lax.custom_root(residual(theta), x, lambda f, x: x, lambda g, y: y / g(1.0))

    def ours(theta):
        return implicit.attach(residual(theta), implicit.root(residual(1.2), 1.0))

    for mode in (jax.grad, lambda f: jax.jacfwd(jax.grad(f))):
        np.testing.assert_allclose(mode(ours)(1.2), mode(theirs)(1.2), rtol=1e-12)


@pytest.mark.slow
def test_all_modes_of_minima():
    def minima(theta):
        free = implicit.argmin(lambda x: jnp.cosh(x - theta) + 0.1 * x**4, 0.0, tol=1e-14)
        wave = implicit.argmin(
            lambda z: jnp.abs(z - theta * (1 + 2j)) ** 2 + 0.1 * jnp.abs(z) ** 4 + z.real * z.imag * 0.2,
            0.1 + 0.1j,
            tol=1e-14,
        )
        bound = implicit.argmin(
            lambda x: jnp.sum((x - theta) ** 2), jnp.zeros(2), inequality=lambda x: 1 - jnp.sum(x**4), tol=1e-14
        )
        return free, wave, bound

    check_derivatives(minima, 1.1, samples=1, throw=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        implicit.Newton(),
        optx.LBFGS(1e-8, 1e-8),
        optx.NonlinearCG(1e-8, 1e-8),
        optx.OptaxMinimiser(optax.adam(0.05), 1e-6, 1e-6),
    ],
)
@pytest.mark.parametrize("linear_solver", [implicit.Dense(), lx.CG(1e-13, 1e-13)])
def test_solvers_agree(solver, linear_solver):
    """A chain of springs: the minimum is a linear function, H⁻¹ θ."""
    n = 6
    h = 2.5 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)

    def solution(theta):
        adjoint = implicit.Implicit(linear_solver=linear_solver)
        return implicit.argmin(lambda x: x @ h @ x / 2 - theta @ x, jnp.zeros(n), solver=solver, adjoint=adjoint)

    theta = jnp.arange(1.0, n + 1)
    np.testing.assert_allclose(jax.jit(jax.jacrev(solution))(theta), np.linalg.inv(h), atol=1e-10)


def packing(n, diameter=1.4, overlap=1.0, seed=0):
    """Bidisperse soft discs in a periodic square, harmonic repulsion: (energy(x, diameter of half of them), x0)."""
    rng = np.random.default_rng(seed)
    unit = np.sqrt(0.9 * 8 / (n * np.pi * (1 + diameter**2))) * overlap
    i, j = np.triu_indices(n, 1)

    def energy(x, diameter):
        sizes = unit * jnp.where(jnp.arange(n) < n // 2, diameter, 1.0)
        r = x[i] - x[j]
        r = r - jnp.round(r)
        distance = jnp.sqrt(jnp.sum(r**2, axis=-1))
        return jnp.sum(jnp.maximum(0, 1 - 2 * distance / (sizes[i] + sizes[j])) ** 2) / 2

    return energy, jnp.asarray(rng.uniform(size=(n, 2)))


@pytest.mark.parametrize("n", [12, pytest.param(64, marks=pytest.mark.slow)])
def test_packing_with_zero_modes(n):
    """Derivative with respect to the larger diameter; both translations are found, and left alone by the response."""
    energy, x0 = packing(n)

    def positions(d, start):
        return implicit.argmin(lambda x: energy(x, d), start, zero_modes=implicit.Find(), throw=False)

    @jax.jit
    def solved(d, start):
        return jax.jvp(lambda d: positions(d, start), (d,), (1.0,))

    s, forward = solved(1.4, x0)
    assert s.converged and s.residual < 2e-12
    assert s.stats["zero_modes"] >= 2 and s.stats["smallest_kept"] > 1e-6
    forward, step = forward.value, 1e-6
    np.testing.assert_allclose(forward.mean(axis=0), 0, atol=1e-12)
    difference = (solved(1.4 + step, s.value)[0].value - solved(1.4 - step, s.value)[0].value) / (2 * step)
    difference -= difference.mean(axis=0)
    np.testing.assert_allclose(forward, difference, atol=1e-6 * np.abs(forward).max())


@pytest.mark.slow
def test_packing_in_reverse_mode():
    energy, x0 = packing(64)
    weights = np.random.default_rng(1).normal(size=(64, 2))

    def moment(d):
        return jnp.sum(weights * implicit.argmin(lambda x: energy(x, d), x0, zero_modes=implicit.Find()))

    forward, reverse = jax.jit(lambda d: (jax.jvp(moment, (d,), (1.0,))[1], jax.grad(moment)(d)))(1.4)
    np.testing.assert_allclose(reverse, forward, rtol=1e-8)


def dimer(x, length):
    """Two masses and a spring on a line, and a third mass that nothing touches: two zero modes."""
    return (x[1] - x[0] - length) ** 2


@pytest.mark.parametrize(
    "zero_modes", [jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), implicit.Find()], ids=["declared", "found"]
)
def test_zero_modes_and_a_rattler(zero_modes):
    """The spring grows symmetrically, also if the cotangent has parts along the zero modes; the rattler stays."""

    def positions(length):
        x0 = jnp.array([0.0, 0.5, 7.0])
        return implicit.argmin(lambda x: dimer(x, length), x0, solver=implicit.Newton(), zero_modes=zero_modes)

    forward, reverse = jax.jit(lambda t: (jax.jacfwd(positions)(t), jax.jacrev(positions)(t)))(1.0)
    np.testing.assert_allclose([forward, reverse], [[-0.5, 0.5, 0]] * 2, atol=1e-13)


def test_a_singular_hessian_raises_unless_its_zero_modes_are_right():
    def slope(**options):
        def first(length):
            x0 = jnp.array([0.0, 1.0, 7.0])
            return implicit.argmin(lambda x: dimer(x, length), x0, solver=implicit.Newton(), **options)[0]

        return jax.block_until_ready(jax.jit(jax.grad(first))(1.0))

    with pytest.raises(Exception, match="the Jacobian at the solution is singular"):
        slope()
    with pytest.raises(Exception, match="A declared zero mode is not one"):
        slope(zero_modes=jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


def test_constraints_against_the_exact_solution():
    """min |x − 1|² with x₀ = 2 x₁, x₀ + x₁ ≤ a, x₁ ≤ 5: x = (2a/3, a/3); −∂f/∂a is the multiplier."""

    def solve(a):
        return implicit.argmin(
            lambda x: jnp.sum((x - 1) ** 2),
            jnp.zeros(2),
            equality=lambda x: x[0] - 2 * x[1],
            inequality=lambda x: {"sum": a - jnp.sum(x), "cap": 5 - x[1]},
            throw=False,
        )

    @jax.jit
    def solved(a):
        (s, forward), reverse = jax.jvp(solve, (a,), (1.0,)), jax.jacrev(lambda a: solve(a).value)(a)
        return s, forward.value, reverse, forward.stats["inequality_multipliers"]["sum"]

    s, forward, reverse, multiplier_slope = solved(1.0)
    assert s.converged
    np.testing.assert_allclose(s.value, [2 / 3, 1 / 3], rtol=1e-12)
    np.testing.assert_allclose([forward, reverse], [[2 / 3, 1 / 3]] * 2, rtol=1e-12)
    multipliers = s.stats["inequality_multipliers"]
    np.testing.assert_allclose([multipliers["sum"], multipliers["cap"]], [8 / 9, 0], atol=1e-12)
    np.testing.assert_allclose(multiplier_slope, -10 / 9, rtol=1e-12)
    assert s.stats["complementarity"] > 0.8


@pytest.mark.slow
def test_a_constraint_that_only_just_touches_has_no_derivative():
    def touching(a):
        return implicit.argmin(lambda x: (x - 1.0) ** 2, 0.0, inequality=lambda x: a - x)

    np.testing.assert_allclose(touching(1.0), 1.0, rtol=1e-8)
    with pytest.raises(Exception, match="one-sided derivatives only"):
        jax.block_until_ready(jax.jit(jax.grad(touching))(1.0))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: implicit.argmin(lambda x: x, jnp.ones(2)), "must return a real number"),
        (lambda: implicit.argmin(lambda x: x * 1j, 1.0), "must return a real number"),
        (lambda: implicit.argmin(lambda x: x**2, 1.0, solver=implicit.Picard()), "pass a minimiser"),
        (lambda: implicit.argmin(jnp.sum, jnp.ones(3), zero_modes=jnp.ones(3)), "zero_modes must have the structure"),
        (lambda: implicit.argmin(lambda x: x**2, 1.0, inequality=lambda x: x, solver=implicit.Newton()), "Augmented"),
        (lambda: implicit.argmin(lambda x: x**2, 1.0, inequality=lambda x: x * 1j), "inequality must return real"),
        (lambda: implicit.root(lambda x: x[:1], jnp.ones(2)), "must stay"),
        (lambda: implicit.Find(rtol=2.0), "rtol must be"),
        (lambda: implicit.AugmentedLagrangian(growth=1.0), "growth > 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_no_minimum_and_no_root():
    with pytest.raises(ConvergenceError, match="root: No further progress"):
        implicit.root(lambda x: x**2 + 1, 0.7)
