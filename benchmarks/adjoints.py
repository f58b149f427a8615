"""The adjoints of flows.odeint beside each other and beside diffrax's default: time, memory, compilation.

Same stepper, same tolerances. Ratios to the forward solve, medians of alternating runs. The table in the guide
is made of what this program prints.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks._timing import alternate
from benchmarks.flows import TIGHT, gradient, lorenz, network, ours, theirs, van_der_pol
from pullback import flows
from pullback.core import Backsolve, Checkpoint, Direct, Reversible, TwoLevel


def ring(t, y, k):
    return -k * jnp.roll(y, 1) * jnp.cos(y)


def main() -> None:
    key = jax.random.split(jax.random.key(0), 3)
    weights = jax.random.normal(key[0], (16, 64)) / 4, jax.random.normal(key[1], (64, 16)) / 8
    batch = jax.random.normal(key[2], (32, 16))
    fixed = {"stepper": flows.RK4()}
    exact = {"Checkpoint()": Checkpoint(), "TwoLevel()": TwoLevel(), "Direct()": Direct()}
    blocks = {"Reversible(checkpoint_every=20)": Reversible(checkpoint_every=20)}
    cases = {
        "Lorenz, T = 5, 1e-10": (lorenz, 5.0, {"max_steps": 2000}, (jnp.ones(3), (10.0, 28.0, 8 / 3)), exact | blocks),
        "Van der Pol, T = 10, 1e-10": (
            *(van_der_pol, 10.0, {"max_steps": 2000}, (jnp.array([2.0, 0.0]), 5.0)),
            exact | blocks,
        ),
        "pendulum, T = 20, 1e-10": (
            *(lambda t, y, k: jnp.stack([y[1], -k * jnp.sin(y[0])]), 20.0, {"max_steps": 1000}),
            (jnp.array([1.0, 0.3]), 1.3),
            exact | {"Reversible()": Reversible(), "Backsolve()": Backsolve()},
        ),
        "network, 1000 steps": (
            *(network, 1.0, {"step_size": 1e-3, "max_steps": 1000, **fixed}, (batch, weights)),
            exact | {"Reversible()": Reversible()},
        ),
        "64 variables, 1e5 steps": (
            *(ring, 1.0, {"step_size": 1e-5, "max_steps": 100_000, **fixed}, (jnp.ones(64) / 3, 1.0)),
            {"Checkpoint()": Checkpoint(), "TwoLevel()": TwoLevel(), "Reversible()": Reversible()},
        ),
    }
    for name, (field, end, options, args, adjoints) in cases.items():
        print(name)
        forward = jax.jit(ours(field, end, **options))
        step = options.get("step_size")
        peer = theirs(field, end, step, max_steps=max(2**14, options["max_steps"] + 8))
        programs = {key: ours(field, end, adjoint=adjoint, **options) for key, adjoint in adjoints.items()}
        for key, loss in {**programs, "diffrax's default": peer}.items():
            row(key, loss, forward, args)


def row(name: str, loss: Callable, forward: Callable, args: tuple) -> None:
    start = time.perf_counter()
    program = gradient(loss).lower(*args).compile()
    compiled = time.perf_counter() - start
    size = program.memory_analysis().temp_size_in_bytes / 2**20
    seconds, alone = alternate(program, forward, *args, seconds=1.0)
    print(f"  {name:32s} {1e3 * seconds:9.2f} ms  {seconds / alone:6.1f} forward  {size:8.2f} MB  {compiled:5.1f} s")


if __name__ == "__main__":
    assert TIGHT == 1e-10
    main()
