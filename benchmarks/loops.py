"""Gradients through long loops of 64 variables: pullback.loops against plain JAX and diffrax, time and memory.

diffrax integrates with a user-defined classical Runge-Kutta tableau at constant step size, by its default adjoint
(RecursiveCheckpointAdjoint), so both sides take the same steps.
"""

from collections.abc import Callable
from functools import partial

import diffrax
import jax
import jax.numpy as jnp

from benchmarks._timing import alternate, print_row
from pullback.flows import RK4
from pullback.loops import Checkpoint, Direct, TwoLevel, reversible_scan, scan

VARIABLES = 64
STEP = 1e-4


def ring(x: jax.Array) -> jax.Array:
    """Coupled neighbours: dx_i/dt = sin(x_{i-1}) - x_i. XLA makes several kernels of a step."""
    return jnp.sin(jnp.roll(x, 1)) - x


def wells(x: jax.Array) -> jax.Array:
    """Independent double wells: dx_i/dt = x_i - x_i^3. XLA makes one kernel of a step."""
    return x - x**3


def runge_kutta(field, x, _):
    """One step of the same method."""
    k1 = field(x)
    k2 = field(x + STEP / 2 * k1)
    k3 = field(x + STEP / 2 * k2)
    k4 = field(x + STEP * k3)
    return x + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None


def leapfrog(state, _, params, sign=1):
    """Half kick, drift, half kick on the ring; backwards with sign -1."""
    q, v = state
    h = sign * STEP
    v = v + h / 2 * (ring(q) - params * q)
    q = q + h * v
    return (q, v + h / 2 * (ring(q) - params * q)), None


def leapfrog_back(state, _, params):
    """The inverse of `leapfrog`."""
    return leapfrog(state, _, params, sign=-1)[0]


def programs(n: int) -> dict[str, Callable]:
    """Losses of a vector of 64 numbers by n steps."""

    def by_diffrax(field):
        term = diffrax.ODETerm(lambda t, y, args: field(y))

        def loss(x):
            solution = diffrax.diffeqsolve(term, RK4(), 0.0, n * STEP, STEP, x, max_steps=n + 1)
            return jnp.sum(solution.ys[-1] ** 2)

        return loss

    def by_scan(field, adjoint):
        return lambda x: jnp.sum(scan(partial(runge_kutta, field), x, length=n, adjoint=adjoint)[0] ** 2)

    def halves(x):
        return x[: VARIABLES // 2], x[VARIABLES // 2 :]

    def plain_leapfrog(x):
        return jnp.sum(jax.lax.scan(lambda s, u: leapfrog(s, u, x[:32]), halves(x), None, n)[0][0] ** 2)

    def reversible(x):
        return jnp.sum(reversible_scan(leapfrog, leapfrog_back, halves(x), None, x[:32], length=n)[0][0] ** 2)

    kinds = {"plain": Direct(), "step": Checkpoint(), "two-level": TwoLevel()}
    return {
        **{f"{f.__name__}, diffrax": by_diffrax(f) for f in (wells, ring)},
        **{f"{f.__name__}, {kind}": by_scan(f, adjoint) for f in (wells, ring) for kind, adjoint in kinds.items()},
        "leapfrog, plain": plain_leapfrog,
        "leapfrog, reversible": reversible,
    }


def extra_megabytes(loss: Callable, x: jax.Array) -> float:
    """What the compiled gradient allocates beyond the compiled loss."""
    sizes = [jax.jit(f).lower(x).compile().memory_analysis().temp_size_in_bytes for f in (jax.grad(loss), loss)]
    return (sizes[0] - sizes[1]) / 1e6


def main(n: int = 100_000) -> None:
    """Value and gradient of 10⁵ steps: alternating runs, and memory beyond the forward pass."""
    x = jnp.linspace(-1.0, 1.0, VARIABLES)
    losses = programs(n)
    gradients = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in losses.items()}
    for name, against in (
        *(
            (f"{field}, two-level", f"{field}, {other}")
            for field in ("wells", "ring")
            for other in ("diffrax", "plain")
        ),
        *((f"{field}, step", f"{field}, plain") for field in ("wells", "ring")),
        ("leapfrog, reversible", "leapfrog, plain"),
    ):
        print_row(f"{name} / {against}", *alternate(gradients[name], gradients[against], x))
        ours, theirs = (gradients[key](x)[1] for key in (name, against))
        print(f"  largest relative difference {jnp.max(jnp.abs(ours - theirs)) / jnp.max(jnp.abs(theirs)):.1e}")
    for name, loss in losses.items():
        print(f"{name:34s} {extra_megabytes(loss, x):9.3f} MB above the forward pass")


if __name__ == "__main__":
    main()
