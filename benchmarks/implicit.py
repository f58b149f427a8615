"""pullback.implicit against optimistix's own implicit adjoint: value and gradient of fixed points, roots, minima."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

import pullback as pb
from benchmarks._timing import alternate, peak_memory, print_row

TOL = 1e-10
ITERATION = optx.FixedPointIteration(TOL, TOL)


def contraction(n: int) -> tuple[Callable, jax.Array]:
    """x = ½ tanh(A x) + θ with |A| of order one."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(n, n)) / (2 * n**0.5))
    return lambda theta: lambda x: 0.5 * jnp.tanh(a @ x) + theta, jnp.linspace(-1, 1, n)


def value_and_gradient(solve: Callable) -> Callable:
    return jax.jit(jax.value_and_grad(lambda theta: jnp.sum(jnp.sin(solve(theta)))))


def main() -> None:
    """Same iteration on both sides; ours with the dense, the matrix-free and the Neumann adjoint."""
    adjoints = {
        "dense": pb.implicit.Implicit(linear_solver=pb.implicit.Dense()),
        "Neumann": pb.implicit.Implicit(linear_solver=pb.implicit.Neumann()),
        "default": pb.implicit.Implicit(),
    }
    for n in (16, 128, 1024):
        f, theta = contraction(n)
        x0 = jnp.zeros(n)
        theirs = value_and_gradient(lambda t, f=f, x0=x0: optx.fixed_point(lambda x, _: f(t)(x), ITERATION, x0).value)
        for name, adjoint in adjoints.items():
            ours = value_and_gradient(
                lambda t, f=f, x0=x0, adjoint=adjoint: pb.implicit.fixed_point(
                    f(t), x0, solver=pb.implicit.Picard(), adjoint=adjoint, tol=TOL
                )
            )
            np.testing.assert_allclose(ours(theta)[1], theirs(theta)[1], rtol=1e-6, atol=1e-8)
            print_row(f"fixed_point, {name}, n = {n}", *alternate(ours, theirs, theta, seconds=1.0))
    n = 64
    f, theta = contraction(n)

    def energy(t):
        return lambda x: 0.5 * jnp.sum((x - f(t)(x)) ** 2) + 0.5 * jnp.sum(x**2)

    ours = value_and_gradient(lambda t: pb.implicit.argmin(energy(t), jnp.zeros(n), tol=TOL))
    theirs = value_and_gradient(
        lambda t: optx.minimise(lambda x, _: energy(t)(x), optx.BFGS(TOL, TOL), jnp.zeros(n)).value
    )
    print_row(f"argmin, BFGS, n = {n}", *alternate(ours, theirs, theta, seconds=1.0))
    print(f"peak memory of the process {peak_memory():.0f} MB")


if __name__ == "__main__":
    main()
