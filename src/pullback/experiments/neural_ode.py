r"""A vector field learned from trajectories, and what its gradient costs with each adjoint."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import Adjoint, Checkpoint, Direct, InputError, Reversible, TwoLevel, nearest
from pullback.experiments._trajectories import Dataset, Trajectory, read_trajectories
from pullback.flows import RK4, odeint
from pullback.plots import COLOURS, convergence, curves, new_figure, phase_portrait
from pullback.runs import LBFGS, Experiment, Minimum, Quantity, Result, Run, minimise, option

_ADJOINTS: dict[str, Adjoint] = {
    "direct": Direct(),
    "checkpoint": Checkpoint(),
    "two-level": TwoLevel(),
    "reversible": Reversible(),
}
_STEPS = (16, 64, 256, 1024)  # at which costs are measured
_REPEAT = 3
_STILL_FALLING = 0.9  # of the loss, over the last tenth of the steps
_MOST_DRAWN = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuralOde(Experiment):
    r"""Learns the vector field of a differential equation from its trajectories, and forecasts.

    A small network N with weights w stands for the field,

        dz/dt = s N(z; w),        z = (x − mean)/std,        s the root mean square of the slopes in the data,

    and is fitted by the solutions that it makes: each trajectory is cut into windows of a few points, the equation is
    solved from the first point of each (Runge–Kutta of order 4, `--substeps` steps between two points), and the mean
    square deviation from the others is minimised by L-BFGS. Windows keep the loss smooth: over the whole of a
    trajectory it has many minima.

    The last `--forecast` of each trajectory is not used for that: the equation is solved on from the last point that
    was, and compared. `forecast_error` is the root mean square deviation there in units of the standard deviation of
    each coordinate; `forecast_unchanged` is that of the forecast that nothing moves.

    With `--costs true` time and memory of the gradient of one solution are measured against the number of steps, for
    each adjoint of `flows.odeint`.

    Input: `--input FILE`, a table with the columns t, trajectory and one for each coordinate; times may be irregular
    and different for each trajectory. Without it the data are those of a damped pendulum, q'' = −sin q − 0.1 q', with
    noise of standard deviation `--noise`; the field is then compared with the true one at the held-out points.

    Sources: R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, arXiv:1806.07366; windows: multiple shooting,
    H. G. Bock (1981); the costs: figure of the lecture on differentiable integrators.
    """

    input: Path | None = option(None, "table of trajectories: t, trajectory, x0, x1, … (.csv)")
    hidden: int = option(32, "width of the network's layers", ge=1, le=4096)
    layers: int = option(2, "hidden layers of the network", ge=1, le=8)
    window: int = option(8, "points in a window", ge=2, le=1000)
    substeps: int = option(2, "steps of the integrator between two points", ge=1, le=1000)
    forecast: float = option(0.25, "part of each trajectory that is held out", gt=0, lt=1)
    noise: float = option(0.0, "of the built-in data, standard deviation", ge=0, le=1)
    adjoint: str = option("checkpoint", f"of the fit: {', '.join(_ADJOINTS)}")
    costs: bool = option(True, "measure time and memory of the gradient with each adjoint")
    tol: float = option(1e-3, "root mean square deviation of the windows at which the fit stops", gt=0)
    max_steps: int = option(1000, "bound on the steps of the minimisation", ge=1, le=1_000_000)
    seed: int = option(0, "of the weights and of the built-in data", ge=0)

    citation = "R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, arXiv:1806.07366"

    def prepare(self) -> Dataset:
        """The trajectories, cut into what is learned and what is held out."""
        if self.adjoint not in _ADJOINTS:
            raise InputError(f"--adjoint: no adjoint {self.adjoint!r}.{nearest(self.adjoint, _ADJOINTS)}")
        if self.input is None:
            found, names = _pendulum(self.noise, self.seed), ("angle", "velocity")
        else:
            if self.noise:
                raise InputError("--noise is that of the built-in data; those of --input have their own")
            found, names = read_trajectories(self.input)
        return Dataset.of(found, names, self.window, self.forecast, self.substeps, known=self.input is None)

    def run(self, problem: Dataset, run: Run) -> Result:
        """Fits, forecasts, and measures what a gradient costs."""
        model = Field.random(problem.speed, self.hidden, self.layers, self.seed)
        starts, times, targets = problem.windows(self.window)
        run.log(
            f"{len(problem.trajectories)} trajectories of {len(problem.names)} coordinates, {len(starts)} windows of "
            f"{self.window} points, {model.size} weights"
        )
        options: dict[str, Any] = problem.steps(times) | {"adjoint": _ADJOINTS[self.adjoint]}

        def loss(model):
            def of_window(z, ts, target):
                found: Any = odeint(lambda t, z, _: model(z), z, ts, **options)
                return found[1:] - target

            return jnp.mean(jax.vmap(of_window)(starts, times, targets) ** 2)

        minimum = minimise(
            run, "fit", loss, model, optimiser=LBFGS(), tol=self.tol**2, gtol=1e-12, max_steps=self.max_steps
        )
        fits = [_solve(minimum.x, problem, k, held_out=False) for k in range(len(problem.cut))]
        forecasts = [_solve(minimum.x, problem, k, held_out=True) for k in range(len(problem.cut))]
        held = problem.held_out()
        error = np.concatenate([found[1:] - true[1:] for found, true in zip(forecasts, held)])
        still = np.concatenate([true[1:] - true[0] for true in held])
        summary: dict[str, Any] = {
            "forecast_error": Quantity(_rms(error), "held-out part, rms, in standard deviations", digits=2),
            "forecast_unchanged": Quantity(_rms(still), "the same if nothing moved", digits=2),
            "fit_error": Quantity(minimum.loss**0.5, "windows, rms, in standard deviations", digits=2),
        }
        if problem.known:
            points = np.concatenate(held)
            x = points * problem.spread + problem.mean
            deviation = np.asarray(jax.vmap(minimum.x)(points)) * problem.spread - _damped(x.T).T
            relative = np.linalg.norm(deviation) / np.linalg.norm(_damped(x.T))
            summary["field_error"] = Quantity(relative, "the field at held-out points, relative, rms", digits=2)
        summary |= {
            "steps": Quantity(minimum.steps, "of the minimisation"),
            "weights": Quantity(minimum.x.size, "of the network"),
        }
        arrays = problem.arrays(fits, forecasts) | {"history": minimum.history}
        arrays |= _map(minimum.x, problem)
        if self.costs:
            arrays |= _costs(run, minimum.x, starts)
        message = _doubt(minimum, error, self.max_steps)
        return Result(arrays, summary, not message, message)

    def plot(self, result: Result) -> Figure:
        """The field and the trajectories; deviations in time; the fit; what the gradient costs."""
        arrays = result.arrays
        measured = "costs_steps" in arrays
        figure, axes = new_figure(2, 3, width=13.5, height=7.6) if measured else new_figure(1, 4, width=17.0)
        portrait, motion, deviation, fit, *costs = np.ravel(axes)
        _draw_states(portrait, arrays)
        _draw_times(motion, deviation, arrays)
        convergence(
            fit,
            np.arange(arrays["history"].size),
            np.sqrt(arrays["history"]),
            tol=self.tol,
            ylabel="deviation of windows, rms / std",
            title="fit",
        )
        for ax, title, unit in zip(costs, ("memory", "time"), ("MB", "ms")):
            curves(
                ax,
                arrays["costs_steps"],
                {str(name): row for name, row in zip(arrays["costs_adjoints"], arrays[f"costs_{title}"])},
                xlabel="steps",
                ylabel=f"{title} of the gradient / {unit}",
                title=f"{title} of the gradient, by adjoint",
                yscale="log",
                points=True,
            )
            ax.set_xscale("log")
        return figure


class Field(eqx.Module):
    """dz/dt = s N(z) for states in units of their spread."""

    network: eqx.nn.MLP
    speed: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def random(cls, speed: Float[np.ndarray, " d"], hidden: int, layers: int, seed: int) -> "Field":
        """Random weights, double precision."""
        d = len(speed)
        network = eqx.nn.MLP(d, d, hidden, layers, jnp.tanh, dtype=float, key=jax.random.key(seed))
        return cls(network, tuple(speed.tolist()))

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        return jnp.asarray(self.speed, z.dtype) * self.network(z)

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(a.size for a in jax.tree.leaves(eqx.filter(self, eqx.is_inexact_array)))


def _solve(model: Field, data: Dataset, k: int, *, held_out: bool) -> np.ndarray:
    """z at the times of one trajectory, from its first point, or at those held out, from the last one learned from."""
    n = data.cut[k]
    times = data.trajectories[k].times
    times, z = (times[n - 1 :], data.z(k)[n - 1]) if held_out else (times[:n], data.z(k)[0])
    found = odeint(lambda t, z, _: model(z), jnp.asarray(z), jnp.asarray(times), **data.steps(times), throw=False)
    return np.asarray(found.value)


def _map(model: Field, data: Dataset) -> dict[str, np.ndarray]:
    """The field on a grid of the first two coordinates, the others at their means."""
    d = len(data.names)
    z = np.concatenate([data.z(k) for k in range(len(data.cut))])
    low, high = z.min(axis=0), z.max(axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    axes = [np.linspace(low[i], high[i], 21) for i in range(min(d, 2))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    slopes = np.asarray(jax.vmap(model)(jnp.asarray(np.pad(grid, ((0, 0), (0, d - len(axes)))))))
    shown = slice(0, len(axes))
    return {
        "map_points": grid * data.spread[shown] + data.mean[shown],
        "map_slopes": slopes[:, shown] * data.spread[shown],
    }


def _costs(run: Run, model: Field, starts: Array) -> dict[str, np.ndarray]:
    """Memory (MB) and time (ms) of the gradient of one solution, all windows at once; resumable after each."""
    cells = [(name, n) for name in _ADJOINTS for n in _STEPS]

    def measure(name: str, n: int) -> tuple[float, float]:
        options: dict[str, Any] = {"step_size": 1.0 / n, "stepper": RK4(), "max_steps": n, "adjoint": _ADJOINTS[name]}
        weights, rest = eqx.partition(model, eqx.is_inexact_array)

        def end(weights):
            field = jax.vmap(eqx.combine(weights, rest))
            found: Any = odeint(lambda t, z, _: field(z), starts, jnp.array([0.0, 1.0]), **options)
            return jnp.sum(found[-1] ** 2)

        program = jax.jit(jax.grad(end)).lower(weights).compile()
        memory = program.memory_analysis()
        times = []
        for _ in range(_REPEAT):
            begin = time.perf_counter()
            jax.block_until_ready(program(weights))
            times.append(time.perf_counter() - begin)
        return (np.nan if memory is None else memory.temp_size_in_bytes / 1e6), 1e3 * min(times)

    def advance(state: dict[str, Any], n: Array) -> dict[str, Any]:
        table, first = np.array(state["table"]), int(state["step"])
        last = min(first + int(n), len(cells))
        for k in range(first, last):
            table[k] = measure(*cells[k])
        return {"table": table, "step": last}

    state = run.loop(
        "costs",
        {"table": np.full((len(cells), 2), np.nan), "step": 0},
        advance,
        max_steps=len(cells),
        report=lambda state: {"measured": int(state["step"])},
        done=lambda state: int(state["step"]) >= len(cells),
    )
    memory, spent = np.asarray(state["table"]).reshape(len(_ADJOINTS), len(_STEPS), 2).transpose(2, 0, 1)
    return {
        "costs_adjoints": np.array(list(_ADJOINTS)),
        "costs_steps": np.array(_STEPS),
        "costs_memory": memory,
        "costs_time": spent,
    }


def _doubt(minimum: Minimum, error: np.ndarray, max_steps: int) -> str:
    """Why the fit is not to be trusted; nothing if it is. Noise keeps it above `tol`: then it must stand still."""
    if not np.isfinite(error).all():
        return "The forecast leaves the numbers: the field is not learned there; more data, or a larger --window."
    history = minimum.history
    before = history[max(0, int(0.9 * (history.size - 1)))]
    if not minimum.converged and history[-1] < _STILL_FALLING * before:
        return f"The fit was still improving after {max_steps} steps: a larger --max-steps."
    return ""


def _draw_states(ax, arrays) -> None:
    """The field with the trajectories in it."""
    points, slopes, names = arrays["map_points"], arrays["map_slopes"], [str(name) for name in arrays["names"]]
    if len(names) == 1:
        label = f"d {names[0]} / d t"
        curves(ax, points[:, 0], {"": slopes[:, 0]}, xlabel=names[0], ylabel=label, title="learned field")
        return
    parts = _parts(arrays)
    held, data, model = arrays["held_out"], arrays["data"][:, :2], arrays["model"][:, :2]
    phase_portrait(
        ax,
        points,
        slopes,
        {"learned from": [model[part & ~held] for part in parts], "forecast": [model[part & held] for part in parts]},
        {"data": np.concatenate([data[part] for part in parts])},
        xlabel=names[0],
        ylabel=names[1],
        title="learned field, trajectories" + (", others at their means" if len(names) > 2 else ""),
    )


def _draw_times(motion, deviation, arrays) -> None:
    """The first coordinate of the first trajectory; how far all of them are from the data."""
    held, colours = arrays["held_out"], {"learned from": COLOURS[0], "forecast": COLOURS[1]}
    spread = arrays["data"][~held].std(axis=0)
    distance = np.sqrt(np.mean(((arrays["model"] - arrays["data"]) / spread) ** 2, axis=1))
    distance = np.where(distance > 1e-12, distance, np.nan)  # the first point of each is that of the data
    for k, part in enumerate(_parts(arrays)):
        halves = {"learned from": ~held[part], "forecast": held[part]}
        for ax, values in ((motion, arrays["model"][part, 0]), (deviation, distance[part])):
            if ax is deviation or k == 0:
                shown = {label: np.where(there, values, np.nan) for label, there in halves.items()}
                options: Any = {"yscale": "log", "ylabel": "deviation, rms / std", "title": "model − data, each one"}
                if ax is motion:
                    ax.plot(arrays["t"][part], arrays["data"][part, 0], ".", color="0.5", label="data")
                    options = {"ylabel": str(arrays["names"][0]), "title": "first trajectory"}
                curves(ax, arrays["t"][part], shown, xlabel="$t$", colours=colours, **options)
    handles, labels = deviation.get_legend_handles_labels()
    deviation.legend(handles[:2], labels[:2])


def _parts(arrays) -> list[np.ndarray]:
    """Which rows belong to each trajectory; the first twelve."""
    kinds = list(dict.fromkeys(arrays["trajectory"].tolist()))[:_MOST_DRAWN]
    return [arrays["trajectory"] == kind for kind in kinds]


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def _damped(x: Any) -> np.ndarray:
    """The slopes of the damped pendulum."""
    return np.stack([x[1], -np.sin(x[0]) - 0.1 * x[1]])


def _pendulum(noise: float, seed: int) -> list[Trajectory]:
    """Eight motions of a damped pendulum from random starts, 100 points each."""
    random = np.random.default_rng(seed)
    times = np.linspace(0.0, 15.0, 100)
    found = []
    for k in range(8):
        start = random.uniform((-2.5, -1.0), (2.5, 1.0))
        solution = scipy.integrate.solve_ivp(
            lambda t, x: _damped(x), (0.0, 15.0), start, t_eval=times, rtol=1e-10, atol=1e-12
        )
        found.append(Trajectory(str(k + 1), times, solution.y.T + noise * random.standard_normal((100, 2))))
    return found
