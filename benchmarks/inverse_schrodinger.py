"""The lecture notebook's objective, value and gradient: our O(n) eigensolver against dense `jnp.linalg.eigh`.

L(V) = sum |psi^2 - t^2| for the ground state psi of central differences on n points between walls.
"""

import jax
import jax.numpy as jnp

from benchmarks._timing import alternate, peak_memory, print_row
from pullback.schrodinger import Grid, eigenstates, kinetic


def main() -> None:
    """One row per number of points; the notebook has 300."""
    for n in (100, 300, 1000):
        grid = Grid(jnp.linspace(-1.0, 1.0, n, endpoint=False))
        operator = kinetic(grid)
        target = jnp.where(jnp.abs(grid.x) < 0.5, 1 - jnp.abs(grid.x), 0.0) ** 2
        target = target / jnp.sum(target)
        dense_kinetic = operator.matrix()

        def ours(potential, operator=operator, target=target):
            psi = eigenstates(potential, operator, 1)[1][:, 0]
            return jnp.sum(jnp.abs(operator.grid.weights * psi**2 - target))

        def theirs(potential, dense_kinetic=dense_kinetic, target=target):
            psi = jnp.linalg.eigh(dense_kinetic + jnp.diag(potential))[1][:, 0]
            return jnp.sum(jnp.abs(psi**2 - target))

        programs = [jax.jit(jax.value_and_grad(f)) for f in (ours, theirs)]
        potential = grid.x**2 / 2
        (value, gradient), (other_value, other_gradient) = (f(potential) for f in programs)
        apart = max(abs(value - other_value), jnp.abs(gradient - other_gradient).max())
        print_row(f"value and gradient, n = {n}", *alternate(*programs, potential))
        print(
            f"  largest difference {apart:.1e}; gradients sum to {jnp.sum(gradient):.0e}, {jnp.sum(other_gradient):.0e}"
        )
    print(f"peak memory of the process {peak_memory():.0f} MB")


if __name__ == "__main__":
    main()
