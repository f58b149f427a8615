"""Tables of trajectories: what a vector field is learned from."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pullback.core import InputError, read_table
from pullback.flows import RK4

_LEAST = 4  # points of a trajectory


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """One of them.

    Attributes:
        name: of the trajectory.
        times: increasing.
        states: one row for each time.
    """

    name: str
    times: Float[np.ndarray, " points"]
    states: Float[np.ndarray, "points d"]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Trajectories, of each of which the first points are learned from and the others held out.

    States in units of their spread are called z.

    Attributes:
        trajectories: all of them.
        cut: the number of points of each that are learned from.
        names: of the d coordinates.
        mean: of each coordinate, where it is learned from.
        spread: standard deviation there.
        speed: root mean square slope of z there.
        step: longest step of the integrator.
        known: whether the true field is known.
    """

    trajectories: list[Trajectory]
    cut: list[int]
    names: tuple[str, ...]
    mean: Float[np.ndarray, " d"]
    spread: Float[np.ndarray, " d"]
    speed: Float[np.ndarray, " d"]
    step: float
    known: bool

    @classmethod
    def of(
        cls,
        found: list[Trajectory],
        names: tuple[str, ...],
        window: int,
        forecast: float,
        substeps: int,
        *,
        known: bool,
    ) -> "Dataset":
        """Holds the part `forecast` of each trajectory out.

        Raises:
            InputError: a trajectory is too short for that; a coordinate never changes.
        """
        cut = [max(window, round(len(one.times) * (1 - forecast))) for one in found]
        short = [one.name for one, n in zip(found, cut) if n >= len(one.times)]
        if short:
            raise InputError(
                f"trajectory {short[0]!r} has too few points for windows of {window} and a forecast of {forecast:g}: "
                "choose a smaller --window or --forecast"
            )
        states = np.concatenate([one.states[:n] for one, n in zip(found, cut)])
        slopes = np.concatenate(
            [np.diff(one.states[:n], axis=0) / np.diff(one.times[:n])[:, None] for one, n in zip(found, cut)]
        )
        spread = states.std(axis=0)
        if np.any(spread <= 1e-12 * np.abs(states).max(axis=0)):
            raise InputError(f"the coordinate {names[int(np.argmin(spread))]} never changes: leave its column out")
        speed = np.sqrt(np.mean((slopes / spread) ** 2, axis=0))
        step = float(np.median(np.concatenate([np.diff(one.times) for one in found]))) / substeps
        return cls(found, cut, names, states.mean(axis=0), spread, speed, step, known)

    def z(self, k: int) -> Float[np.ndarray, "points d"]:
        return (self.trajectories[k].states - self.mean) / self.spread

    def held_out(self) -> list[Float[np.ndarray, "points d"]]:
        """The states from the last one that is learned from."""
        return [self.z(k)[n - 1 :] for k, n in enumerate(self.cut)]

    def windows(self, points: int) -> tuple[Array, Array, Array]:
        """(first states, times, later states) of all windows; the last one of a trajectory ends where it is cut."""
        starts, times, targets = [], [], []
        for k, (one, n) in enumerate(zip(self.trajectories, self.cut)):
            for first in [*range(0, n - points, points - 1), n - points]:
                z = self.z(k)[first : first + points]
                starts.append(z[0])
                times.append(one.times[first : first + points])
                targets.append(z[1:])
        return jnp.asarray(np.stack(starts)), jnp.asarray(np.stack(times)), jnp.asarray(np.stack(targets))

    def steps(self, times: Any) -> dict[str, Any]:
        """How the integrator steps between these times."""
        lengths = np.diff(np.asarray(times, float), axis=-1)
        counts = np.ceil(lengths / self.step * (1 + 1e-9)).sum(axis=-1)
        return {"step_size": self.step, "stepper": RK4(), "max_steps": int(counts.max())}

    def arrays(self, fits: list[np.ndarray], forecasts: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of all trajectories; the model's states beside the data."""
        held = [np.arange(len(one.times)) >= n for one, n in zip(self.trajectories, self.cut)]
        model = [np.concatenate([fit, ahead[1:]]) for fit, ahead in zip(fits, forecasts)]
        return {
            "names": np.array(self.names),
            "trajectory": np.concatenate([np.full(len(one.times), one.name) for one in self.trajectories]),
            "t": np.concatenate([one.times for one in self.trajectories]),
            "data": np.concatenate([one.states for one in self.trajectories]),
            "model": np.concatenate(model) * self.spread + self.mean,
            "held_out": np.concatenate(held),
        }


def read_trajectories(path: Path) -> tuple[list[Trajectory], tuple[str, ...]]:
    """The trajectories of a table, and the names of the coordinates.

    A first row has the names of the columns: `t`, `trajectory` (left out, there is one trajectory), and the coordinates
    in any number. Without it the columns are t, trajectory, x0, x1, …

    Raises:
        InputError: a column is missing, a cell is no number, a trajectory is shorter than four points or its times do
            not increase; with the line where there is one.
    """
    table = read_table(path)
    if not table.rows:
        raise InputError(f"{path} holds no numbers.")
    first = table.rows[0][1]
    header = not all(table.is_number(cell) for cell in first)
    names, table = table.named(header, ("t", "trajectory", *(f"x{i}" for i in range(max(1, len(first) - 2)))))
    if "t" not in names:
        raise InputError(f"{path}: no column is called t; there are {', '.join(names)}")
    coordinates = [k for k, name in enumerate(names) if name not in ("t", "trajectory")]
    if not coordinates:
        raise InputError(f"{path}: no coordinates: needs the columns t, trajectory, x0, x1, …")
    times = table.numbers(names.index("t"), "t")
    states = np.stack([table.numbers(k, names[k]) for k in coordinates], axis=1)
    labels = ["1"] * len(times)
    if "trajectory" in names:
        labels = [cells[names.index("trajectory")] for _, cells in table.rows]
    lines = np.array([line for line, _ in table.rows])
    found = []
    for label in dict.fromkeys(labels):
        chosen = np.array([other == label for other in labels])
        t = times[chosen]
        if len(t) < _LEAST:
            raise InputError(f"{path}: trajectory {label!r} has {len(t)} points, at least {_LEAST} are needed")
        if np.any(np.diff(t) <= 0):
            line = int(lines[chosen][1 + int(np.argmax(np.diff(t) <= 0))])
            raise table.error(line, f"the times of trajectory {label!r} must increase")
        found.append(Trajectory(label, t, states[chosen]))
    return found, tuple(names[k] for k in coordinates)
