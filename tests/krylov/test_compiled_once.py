"""Outside `jit`, a second call of a solver compiles nothing: those of this room, and those of `implicit`."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import optimistix as optx
import pytest

from pullback import implicit
from pullback.krylov import Davidson, eigs, eigsh, expm_multiply, funm_multiply, logdet, svds, trace

EQUATIONS = {  # c -> a function of x whose solution is c
    implicit.root: lambda c: lambda x: x**3 - c**3,
    implicit.fixed_point: lambda c: lambda x: (x + c) / 2,
    implicit.argmin: lambda c: lambda x: ((x - c) ** 2).sum() + ((x - c) ** 4).sum(),
}


def searched(solve, **options):
    return lambda c: solve(EQUATIONS[solve](c), jnp.array([0.9, 0.8]), **options), lambda c: c


N = 104  # states: beyond the dense path
D = np.linspace(1.0, 5.0, N)


def diagonal(c):
    """c₀ + D, in a loop, which JAX compiles anew whenever its body is a new object."""
    return lambda u: jax.lax.fori_loop(0, 2, lambda _, y: y + (c[0] + D - 1) * u / 2, u)


def of_operator(solve, exact, *arguments, **options):
    return lambda c: solve(diagonal(c), *arguments, **options), lambda c: exact(c[0] + D)


def levels(solve, k=1, index=0, **options):
    return lambda c: solve(diagonal(c), k, shape=N, **options)[index]


def lowest(k):
    return lambda c: c[0] + D[:k]


def highest(k):
    return lambda c: c[0] + D[: -k - 1 : -1]


KEY = jax.random.key(0)
DENSE = implicit.Implicit(linear_solver=implicit.Dense())
GMRES = implicit.Implicit(linear_solver=lx.GMRES(1e-12, 1e-12))
AGAIN = {
    "root": searched(implicit.root),
    "fixed_point": searched(implicit.fixed_point),
    "argmin": searched(implicit.argmin),
    "argmin, h = 0": (
        lambda c: implicit.argmin(lambda x: (x**2).sum(), c / 2, equality=lambda x: x - c),
        lambda c: c,
    ),
    "eigsh": (levels(eigsh), lowest(1)),
    "eigs": (levels(eigs), highest(1)),
    "svds": (levels(svds, index=1), highest(1)),
    "expm_multiply": of_operator(expm_multiply, lambda w: np.exp(0.3 * w), jnp.ones(N), 0.3),
    "funm_multiply": of_operator(funm_multiply, np.sqrt, jnp.ones(N), jnp.sqrt),
    "trace": of_operator(
        lambda *a, **k: trace(*a, **k).value, lambda w: np.exp(-w).sum(), lambda w: jnp.exp(-w), N, key=KEY
    ),
}
FURTHER = {
    "root, tol": searched(implicit.root, tol=1e-10),
    "root, Solution": (lambda c: implicit.root(lambda x: x**3 - c**3, c / 2, throw=False).value, lambda c: c),
    "root, Find": searched(implicit.root, zero_modes=implicit.Find()),
    "root, GMRES": searched(implicit.root, adjoint=GMRES),
    "root, Dense": searched(implicit.root, adjoint=DENSE),
    "root, optimistix.Newton": searched(implicit.root, solver=optx.Newton(1e-6, 1e-6)),
    "root, Dogleg": searched(implicit.root, solver=optx.Dogleg(1e-6, 1e-6)),
    "root, LevenbergMarquardt": searched(implicit.root, solver=optx.LevenbergMarquardt(1e-6, 1e-6)),
    "root, BFGS": searched(implicit.root, solver=optx.BFGS(1e-6, 1e-6)),
    "fixed_point, Picard": searched(implicit.fixed_point, solver=implicit.Picard()),
    "fixed_point, Newton": searched(implicit.fixed_point, solver=implicit.Newton()),
    "fixed_point, optimistix": searched(implicit.fixed_point, solver=optx.FixedPointIteration(1e-13, 1e-13)),
    "fixed_point, optimistix.Newton": searched(implicit.fixed_point, solver=optx.Newton(1e-6, 1e-6)),
    "fixed_point, gauge": searched(implicit.fixed_point, gauge_fix=lambda y, reference: y + 0 * reference),
    "argmin, Newton": searched(implicit.argmin, solver=implicit.Newton()),
    "argmin, L-BFGS": searched(implicit.argmin, solver=optx.LBFGS(1e-6, 1e-6)),
    "argmin, NonlinearCG": searched(implicit.argmin, solver=optx.NonlinearCG(1e-6, 1e-6)),
    "argmin, NelderMead": searched(implicit.argmin, solver=optx.NelderMead(1e-6, 1e-6)),
    "argmin, optax": searched(implicit.argmin, solver=optx.OptaxMinimiser(optax.adam(0.1), 1e-6, 1e-6)),
    "argmin, c >= 0": searched(implicit.argmin, inequality=lambda x: x),
    "argmin, Find": searched(implicit.argmin, zero_modes=implicit.Find()),
    "eigsh, two": (levels(eigsh, 2), lowest(2)),
    "eigsh, LA": (levels(eigsh, which="LA"), highest(1)),
    "eigsh, metric": (levels(eigsh, b=lambda u: 2 * u), lambda c: (c[0] + D[:1]) / 2),
    "eigsh, precond": (levels(eigsh, solver=Davidson(precond=lambda r: r / 3)), lowest(1)),
    "eigsh, matrix": (lambda c: eigsh(jnp.diag(c[0] + D))[0], lowest(1)),
    "eigsh, small": (lambda c: eigsh(jnp.diag(c[0] + D[:9]))[0], lowest(1)),
    "eigs, left": (levels(eigs, 2, left=True), highest(2)),
    "eigs, small": (lambda c: eigs(jnp.diag(c[0] + D[-9:]))[0], highest(1)),
    "expm_multiply, Hermitian": of_operator(
        expm_multiply, lambda w: np.exp(-0.3j * w), jnp.ones(N), -0.3j, hermitian=True
    ),
    "logdet": of_operator(lambda *a, **k: logdet(*a, **k).value, lambda w: np.log(w).sum(), N, key=KEY),
}  # fmt: skip


@pytest.mark.parametrize("case", [*AGAIN, *(pytest.param(name, marks=pytest.mark.slow) for name in FURTHER)])
def test_a_second_call_compiles_nothing(case):
    """Other numbers in the arrays, another object for the function: another solution, by the same programs."""
    solve, exact = (AGAIN | FURTHER)[case]
    compiled = []

    def listener(event, duration, **told):
        del duration
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(told)

    for c in (jnp.array([1.2, 0.7]), jnp.array([1.3, 0.6])):
        compiled.clear()
        jax.monitoring.register_event_duration_secs_listener(listener)
        try:
            found = solve(c)
        finally:
            jax.monitoring.unregister_event_duration_listener(listener)
        np.testing.assert_allclose(found, exact(np.asarray(c)), rtol=1e-8)
    assert compiled == []


def test_another_equation_is_another_program():
    """The same arrays, another number in the text of a function that lineax has been given."""
    for number in (2.0, 3.0):
        found = implicit.root(lambda x, n=number: n * x - jnp.arange(1.0, 3.0), jnp.ones(2), adjoint=GMRES)
        np.testing.assert_allclose(found, np.arange(1, 3) / number, rtol=1e-9)
