"""Operators without a matrix: values and gradients here, SciPy's values alone beside them, on the same operators."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import pullback as pb
from benchmarks._timing import alternate, print_row

POINTS, SITES = 128, 20_000


def henon_heiles(strength):
    """-½∇² + V on a grid of POINTS², five-point differences."""
    x = np.linspace(-6, 6, POINTS)
    h = x[1] - x[0]
    potential = x[:, None] ** 2 / 2 + x**2 / 2 + strength * (x[:, None] ** 2 * x - x**3 / 3)
    return jnp.minimum(potential, 12.0), h


def main() -> None:
    """Ratios ours / SciPy: medians of alternating runs."""
    _, h = henon_heiles(0.1)

    def laplacian(u):
        padded = jnp.pad(u, 1)
        return (4 * u - padded[2:, 1:-1] - padded[:-2, 1:-1] - padded[1:-1, 2:] - padded[1:-1, :-2]) / (2 * h**2)

    k = np.pi * np.arange(1, POINTS + 1) / (POINTS + 1)
    modes = np.sqrt(2 / (POINTS + 1)) * np.sin(np.outer(np.arange(1, POINTS + 1), k))
    energies = ((1 - np.cos(k)) / h**2)[:, None] + (1 - np.cos(k)) / h**2

    def precond(r):
        return modes @ ((modes @ r @ modes) / (energies + 2.0)) @ modes

    solver = pb.krylov.Davidson(precond=precond)

    def levels(strength):
        potential, _ = henon_heiles(strength)
        w, _ = pb.krylov.eigsh(lambda u: laplacian(u) + potential * u, 6, shape=(POINTS, POINTS), solver=solver)
        return w.sum()

    gradient = jax.jit(jax.value_and_grad(levels))
    line = scipy.sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(POINTS, POINTS)) / (2 * h**2)
    one = scipy.sparse.identity(POINTS)

    def scipy_levels():
        potential = np.asarray(henon_heiles(0.111803)[0]).ravel()
        matrix = scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line) + scipy.sparse.diags(potential)
        return scipy.sparse.linalg.eigsh(matrix.tocsc(), 6, sigma=0.0, return_eigenvectors=False).sum()

    np.testing.assert_allclose(gradient(0.111803)[0], scipy_levels(), rtol=1e-8)
    times = alternate(lambda: gradient(0.111803), scipy_levels)
    print_row("6 levels, 128 x 128, and gradient", *times)

    start = jnp.zeros(SITES).at[SITES // 2].set(1.0)

    def spread(t):
        psi = pb.krylov.expm_multiply(
            lambda u: -jnp.roll(u, 1) - jnp.roll(u, -1), start, -1j * t, hermitian=True, max_steps=400
        )
        return jnp.abs(psi[SITES // 2 + 3]) ** 2

    rate = jax.jit(jax.value_and_grad(spread))
    chain = scipy.sparse.diags([-1.0, -1.0], [-1, 1], shape=(SITES, SITES)).tolil()
    chain[0, -1] = chain[-1, 0] = -1.0
    chain = chain.tocsr()

    def scipy_spread():
        psi = scipy.sparse.linalg.expm_multiply(-100j * chain, np.asarray(start, complex), traceA=0.0)
        return abs(psi[SITES // 2 + 3]) ** 2

    np.testing.assert_allclose(rate(100.0)[0], scipy_spread(), rtol=1e-8)
    times = alternate(lambda: rate(100.0), scipy_spread)
    print_row("exp(-100i H) x, and gradient", *times)


if __name__ == "__main__":
    main()
