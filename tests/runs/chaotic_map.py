"""An experiment for the tests of the runner: sensitive to every bit, and slow enough to be killed."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pullback.plots import curves, new_figure
from pullback.runs import Adam, Experiment, Result, Run, minimise, option


class State(eqx.Module):
    x: jax.Array
    key: jax.Array
    step: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChaoticMap(Experiment):
    """Iterates a noisy logistic map, then minimises from where it ended.

    A difference in the last bit doubles with every step, so that after 60 steps nothing is left of it.
    """

    steps: int = option(100, "steps of the map", ge=0)
    size: int = option(100, "number of independent maps", ge=1)

    citation = "R. M. May, Nature 261, 459 (1976)"

    def prepare(self):
        return jnp.linspace(0.1, 0.9, self.size)

    def run(self, problem, run: Run) -> Result:
        @jax.jit
        def advance(state: State, n) -> State:
            def step(state: State) -> State:
                key, noise = jax.random.split(state.key)
                x = 3.9 * state.x * (1 - state.x) + 1e-3 * jax.random.uniform(noise, state.x.shape)
                return State(x, key, state.step + 1)

            last = jnp.minimum(state.step + n, self.steps)
            return jax.lax.while_loop(lambda state: state.step < last, step, state)

        end = run.loop(
            "map",
            State(problem, jax.random.key(1), jnp.asarray(0)),
            advance,
            max_steps=self.steps,
            report=lambda state: {"mean": state.x.mean()},
            done=lambda _state: False,
        )
        target = jnp.cos(jnp.arange(8.0))
        fit = minimise(
            run,
            "fit",
            lambda y: jnp.sum((y[1:] - y[:-1] ** 2 - target[1:]) ** 2) + y[0] ** 4 + 1,
            end.x[:8],
            optimiser=Adam(1e-3),
            tol=0.0,
            max_steps=60,
        )
        return Result({"x": end.x, "y": fit.x, "history": fit.history}, {"loss": fit.loss, "steps": fit.steps})

    def plot(self, result: Result):
        figure, ax = new_figure()
        curves(ax, np.arange(8), {"y": result.arrays["y"]}, xlabel="i", ylabel="y")
        return figure
