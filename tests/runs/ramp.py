"""An experiment for the tests of sweeps: slope times steps, which may not converge, refuse its options or break."""

import dataclasses
import time
from typing import Literal

import jax.numpy as jnp
import numpy as np

from pullback.core import InputError
from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Result, Run, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ramp(Experiment):
    """Climbs."""

    slope: float = option(1.0, "height of a step")
    steps: int = option(3, "number of steps", ge=1)
    way: Literal["up", "down"] = option("up", "where to")
    sizes: tuple[int, ...] = option((1,), "not used")
    pause: float = option(0.0, "seconds for each call of the loop", ge=0)
    limit: float = option(1e9, "highest height that counts as converged")

    citation = "none"

    def prepare(self):
        if self.slope == 0:
            raise InputError("--slope: the ground is flat")

    def run(self, problem, run: Run) -> Result:
        def advance(state, n):
            if self.slope == 13:
                raise InputError("the thirteenth stair is missing")
            time.sleep(self.pause)
            sign = 1.0 if self.way == "up" else -1.0
            return {"step": state["step"] + n, "height": state["height"] + sign * self.slope * n}

        end = run.loop(
            "steps",
            {"step": jnp.array(0), "height": jnp.array(0.0)},
            advance,
            max_steps=self.steps,
            report=lambda state: {"height": state["height"]},
            done=lambda state: int(state["step"]) >= self.steps,
        )
        height = float(end["height"])
        summary = {"height": height, "sign": self.way} | ({"even": 1.0} if self.steps % 2 == 0 else {})
        return Result({"height": height}, summary, height <= self.limit, "too high")

    def plot(self, result: Result):
        figure, ax = new_figure()
        curves(ax, np.arange(2), {"": np.array([0, result.arrays["height"]])}, xlabel="x", ylabel="height")
        return figure
