"""pullback.linalg at regular points: against jax.numpy.linalg, and gradients against their own forward programs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb
from benchmarks._timing import alternate, peak_memory, print_row

RNG = np.random.default_rng(0)


def symmetric(n: int) -> jax.Array:
    """A random symmetric matrix with levels of order one."""
    a = RNG.normal(size=(n, n)) / n**0.5
    return jnp.asarray(a + a.T)


def general(n: int) -> jax.Array:
    """A random matrix with eigenvalues in a disc of radius 1 around 3."""
    return jnp.asarray(RNG.normal(size=(n, n)) / n**0.5 + 3 * np.eye(n))


def value_and_gradient(f: Callable, n: int) -> Callable:
    """Value and gradient of Σ O·f(a) over all that f returns."""
    weights = jnp.asarray(RNG.normal(size=(n, n)))

    def loss(a):
        return sum(jnp.sum(weights[: y.shape[0]] * y if y.ndim == 2 else weights[0] * y) for y in jax.tree.leaves(f(a)))

    return jax.jit(jax.value_and_grad(loss))


def main() -> None:
    """Decompositions at n = 32 … 512 against JAX; matrix functions: gradient over forward."""
    pairs = {
        "eigh": (pb.linalg.eigh, jnp.linalg.eigh, symmetric),
        "svd": (pb.linalg.svd, lambda a: jnp.linalg.svd(a, full_matrices=False), general),
        "qr": (pb.linalg.qr, jnp.linalg.qr, general),
    }
    for name, (ours, theirs, make) in pairs.items():
        for n in (32, 128, 512):
            programs = value_and_gradient(ours, n), value_and_gradient(theirs, n)
            print_row(f"{name}, value and gradient, n = {n}", *alternate(*programs, make(n)))
    print("gradient (ours) over forward program (theirs):")
    functions = {
        "funmh(exp)": (lambda a: pb.linalg.funmh(a, jnp.exp), symmetric, 256),
        "sqrtm": (pb.linalg.sqrtm, general, 128),
        "logm": (pb.linalg.logm, general, 128),
        "funm(exp)": (lambda a: pb.linalg.funm(a, jnp.exp), general, 128),
        "expm": (pb.linalg.expm, general, 256),
        "density_matrix": (lambda a: pb.linalg.density_matrix(a, n_electrons=256.5, temperature=0.1), symmetric, 512),
    }
    for name, (f, make, n) in functions.items():
        print_row(f"{name}, n = {n}", *alternate(value_and_gradient(f, n), jax.jit(f), make(n)))
    print(f"peak memory of the process {peak_memory():.0f} MB")


if __name__ == "__main__":
    main()
