"""Known faults of JAX releases, provoked. Run as a program: a faulty release may crash or hang the process.

Each check stands for a fault of the CPU backend in jaxlib 0.10.2 or 0.11.0; later checks run only if earlier
ones survive. Exit code 0 means that none was found.
"""

import sys

import jax
import jax.numpy as jnp


def main() -> int:
    """Runs the checks and prints the first fault."""
    for check in (rank_7_product, rank_8_product, batched_product):
        if not check():
            print(f"{check.__name__}: wrong result")
            return 1
    return 0


def rank_7_product() -> bool:
    """A float32 product summed over an axis, with a dimension of size 1 (jax issue 40412: crash)."""
    a = jnp.ones((3, 1, 2, 2, 8, 8, 8), jnp.float32)
    return bool(jnp.all(jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(a, 2 * a) == 4))


def rank_8_product() -> bool:
    """A float32 product of broadcast arrays summed over an axis (jax issue 39257: crash or endless loop)."""
    a = jnp.ones((10, 4, 6, 1, 1, 1, 1, 1), jnp.float32)
    b = jnp.ones((10, 4, 6, 9, 9, 9, 9, 9), jnp.float32)
    return bool(jnp.all(jax.jit(lambda a, b: jnp.log(jnp.sum(a * b, axis=2)))(a, b) > 1.79))


def batched_product() -> bool:
    """Many small matrix-vector products, squared and summed (jax issue 39103: silently wrong)."""
    vectors = jnp.stack([jnp.arange(32769.0, dtype=jnp.float32)] * 3, axis=1)
    squares = jax.jit(jax.vmap(lambda v: jnp.sum((jnp.eye(3, dtype=jnp.float32) @ v) ** 2)))(vectors)
    return bool(jnp.allclose(squares[-1], 3 * 32768.0**2, rtol=1e-6))


if __name__ == "__main__":
    sys.exit(main())
