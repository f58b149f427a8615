"""pullback.linalg against jax.numpy.linalg at regular points: value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb
from benchmarks._timing import alternate, peak_memory, print_row


def main() -> None:
    """eigh with the gradient of a function of values and vectors, and funmh against the same by jnp.linalg.eigh."""
    rng = np.random.default_rng(0)

    def program(eigh, o):
        def loss(a):
            w, v = eigh(a)
            return jnp.sum(jnp.sin(w)) + jnp.sum(v[:, : len(o) // 2] * (o @ v[:, : len(o) // 2]))

        return jax.jit(jax.value_and_grad(loss))

    def by_eigh(a):
        w, v = jnp.linalg.eigh(a)
        return (v * jnp.exp(w)) @ v.T

    for n in (16, 32, 64, 128, 256):
        a, o = (jnp.asarray(m + m.T) / n**0.5 for m in rng.normal(size=(2, n, n)))
        ours, theirs = program(pb.linalg.eigh, o), program(jnp.linalg.eigh, o)
        print_row(f"eigh, value and gradient, n = {n}", *alternate(ours, theirs, a))
        ours, theirs = (
            jax.jit(jax.value_and_grad(lambda a, o=o, f=f: jnp.sum(o * f(a))))
            for f in (lambda a: pb.linalg.funmh(a, jnp.exp), by_eigh)
        )
        print_row(f"funmh(exp), value and gradient, {n}", *alternate(ours, theirs, a))
    print(f"peak memory of the process {peak_memory():.0f} MB")


if __name__ == "__main__":
    main()
