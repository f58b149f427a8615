"""Gradients of differential equations: flows.odeint against diffrax's default adjoint, flows.symplectic against a scan.

Same stepper, same tolerances, same times; ratios of medians of alternating runs, temporary memory of the programs.
"""

import time
from collections.abc import Callable

import diffrax
import jax
import jax.flatten_util
import jax.numpy as jnp

from benchmarks._timing import alternate, print_row
from pullback import flows
from pullback.core import Direct, TwoLevel

TIGHT = 1e-10


def lorenz(t, x, params):
    return jnp.stack([params[0] * (x[1] - x[0]), x[0] * (params[1] - x[2]) - x[1], x[0] * x[1] - params[2] * x[2]])


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]])


def network(t, y, weights):
    return jnp.tanh(y @ weights[0]) @ weights[1]


def ours(field, end, **options) -> Callable:
    options = {"rtol": TIGHT, "atol": TIGHT, **options}
    return lambda y, p: jnp.sum(flows.odeint(field, y, jnp.array([0.0, end]), p, **options)[-1] ** 2)


def theirs(field, end, step=None, max_steps=2**14) -> Callable:
    stepper = flows.RK4() if step else diffrax.Tsit5()
    controller = diffrax.ConstantStepSize() if step else diffrax.PIDController(TIGHT, TIGHT)

    def loss(y, p):
        term = diffrax.ODETerm(field)
        return jnp.sum(
            diffrax.diffeqsolve(
                term, stepper, 0.0, end, step, y, args=p, stepsize_controller=controller, max_steps=max_steps
            ).ys[-1]
            ** 2
        )

    return loss


def main() -> None:
    key = jax.random.split(jax.random.key(0), 3)
    weights = jax.random.normal(key[0], (16, 64)) / 4, jax.random.normal(key[1], (64, 16)) / 8
    batch = jax.random.normal(key[2], (32, 16))
    fixed = {"step_size": 1e-3, "stepper": flows.RK4(), "max_steps": 1024}
    cases = {
        "Lorenz, T = 10, 1e-10": (ours(lorenz, 10.0), theirs(lorenz, 10.0), (jnp.ones(3), (10.0, 28.0, 8 / 3))),
        "Van der Pol, T = 10, 1e-10": (
            *(ours(van_der_pol, 10.0), theirs(van_der_pol, 10.0)),
            (jnp.array([2.0, 0.0]), 5.0),
        ),
        "network, 1000 steps": (ours(network, 1.0, **fixed), theirs(network, 1.0, 1e-3), (batch, weights)),
        "network, two levels": (
            *(ours(network, 1.0, **fixed, adjoint=TwoLevel()), theirs(network, 1.0, 1e-3)),
            (batch, weights),
        ),
    }
    for name, (mine, peer, args) in cases.items():
        compare(name, mine, peer, args)
        print_row("  gradient / forward alone", *alternate(gradient(mine), jax.jit(mine), *args))
    compare("Kepler, 10^5 steps / stored scan", kepler(), kepler(adjoint=Direct()), (1.0, 1.0))


def kepler(**options) -> Callable:
    parts = (lambda p, m: p @ p / 2), (lambda q, m: -m / jnp.sqrt(q @ q))

    def loss(speed, mass):
        start = jnp.array([1.0, 0.0]), jnp.stack([0.0 * speed, speed])
        return jnp.sum(flows.symplectic(parts, *start, 0.01, 10**5, mass, arithmetic="fixed", **options)[0] ** 2)

    return loss


def gradient(loss: Callable) -> Callable:
    return jax.jit(jax.value_and_grad(loss, (0, 1)))


def compare(name: str, mine: Callable, peer: Callable, args: tuple) -> None:
    programs = {}
    for key, loss in (("ours", mine), ("theirs", peer)):
        start = time.perf_counter()
        programs[key] = gradient(loss).lower(*args).compile()
        size = programs[key].memory_analysis().temp_size_in_bytes / 2**20
        print(f"  {key}: {time.perf_counter() - start:.1f} s to compile, {size:.2f} MB")
    print_row(name, *alternate(programs["ours"], programs["theirs"], *args))
    ours, theirs = (jax.flatten_util.ravel_pytree(programs[key](*args)[1])[0] for key in ("ours", "theirs"))
    print(f"  largest relative difference {jnp.max(jnp.abs(ours - theirs)) / jnp.max(jnp.abs(theirs)):.1e}")


if __name__ == "__main__":
    main()
