r"""What is left of a gradient in chaos: Lorenz's equations, the logistic map, or a system of the user."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from pullback.core import InputError
from pullback.experiments._function_file import read_function
from pullback.flows import RK4, odeint
from pullback.plots import COLOURS, GREY, curves, new_figure
from pullback.runs import Experiment, Quantity, Result, Run, option
from pullback.trust import VERDICTS, diagnose, evolution_strategies, lyapunov_spectrum, shadowing

_SCANNED = 9  # parameters for which the average is computed
_HORIZONS = (1 / 16, 1 / 4, 1)  # of those with a verdict
_EVERY = {True: 20, False: 2}  # steps between orthogonalisations, of flows and of maps
_LARGEST = 1e280


class System(NamedTuple):
    """A map x -> step(x, p); of a flow also its field and the time of a step."""

    step: Callable[[Array, Any], Array]
    field: Callable[[Array, Any], Array] | None
    x0: Float[np.ndarray, " d"]
    p: float
    h: float


def _lorenz(x, rho):
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def _logistic(x, r):
    return r * x * (1 - x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chaos(Experiment):
    r"""The gradient of a time average along a chaotic trajectory, against the length of the average.

    The average over a trajectory of length T of one coordinate, ⟨J⟩_T(p), tends to a smooth function of p.
    Its exact gradient along one trajectory does not: it grows like e^{λT}/T with the largest Lyapunov exponent λ. Shown
    is the median over many starts. Beside it stand two estimates that stay:

    - least-squares shadowing, of one long trajectory: d⟨J⟩/dp = ⟨∂_x J · v⟩ with the tangent v that stays small;
    - evolution strategies, E (⟨J⟩_T(p + σε) − ⟨J⟩_T(p − σε)) ε / 2σ over normal ε, smoothed over σ;

    and the verdict of `trust.diagnose` on the gradient of a single trajectory. Averages at nearby parameters are
    computed as well, over all starts, with the slope of shadowing.

    By default the system is Lorenz's, x' = 10(y − x), y' = x(ρ − z) − y, z' = xy − 8z/3 with ρ = 28, and J = z:
    d⟨z⟩/dρ = 1.01. `--model logistic` is x → r x(1 − x), where averages are not smooth in r, and no method is right.

    `--system file.py:f` takes your own function f(x, p) with x an array of real numbers: dx/dt, or the next x with
    `--kind map`. Then `--x0` and `--parameter` are needed, and `--component` says which number is J.

    Sources: L. Metz, C. D. Freeman, S. S. Schoenholz, T. Kachman, arXiv:2111.05803; Q. Wang, R. Hu, P. Blonigan,
    J. Comput. Phys. 267, 210 (2014), arXiv:1204.0159; A. Ni, Q. Wang, J. Comput. Phys. 347, 56 (2017),
    arXiv:1611.00880.
    """

    model: Literal["lorenz", "logistic"] = option("lorenz", "the system, without a file")
    system: Path | None = option(None, "your own system, file.py:f", metavar="FILE.py:NAME")
    kind: Literal["flow", "map"] = option("flow", "what f of the file returns: dx/dt, or the next x")
    x0: tuple[float, ...] | None = option(None, "start; of a file it must be given")
    parameter: float | None = option(None, "parameter p; 28 of lorenz, 3.9 of logistic; of a file it must be given")
    component: int | None = option(None, "number of x that is averaged, from 0; by default the last one", ge=0)
    time: float = option(50.0, "longest time T of the gradients; of maps, steps", gt=0)
    step: float = option(0.01, "step of the Runge–Kutta method, of flows", gt=0)
    members: int = option(64, "starts", ge=2, le=100_000)
    average: float = option(400.0, "time of shadowing and of the exponents; of maps, 50 steps each", gt=0)
    transient: float = option(30.0, "time before all averages; of maps, steps", ge=0)
    sigma: float = option(0.5, "width of evolution strategies, and of the range of parameters shown", gt=0)
    pairs: int = option(256, "pairs of evolution strategies", ge=2, le=100_000)
    seed: int = option(0, "of starts and of evolution strategies", ge=0)

    citation = (
        "L. Metz, C. D. Freeman, S. S. Schoenholz, T. Kachman, arXiv:2111.05803; A. Ni, Q. Wang, J. Comput. Phys. 347, "
        "56 (2017), arXiv:1611.00880"
    )

    def prepare(self) -> System:
        """The system, tried once."""
        f, x0, p, kind = self._given()
        x = np.asarray(x0, float)
        if self.component is not None and self.component >= x.size:
            raise InputError(f"--component: must be below {x.size}, the length of x; got {self.component}")
        try:
            out = jax.eval_shape(f, jnp.asarray(x), p)
        except Exception as error:
            raise InputError(f"--system: f(x, p) fails for an array x of {x.size}: {error}") from error
        if getattr(out, "shape", None) != x.shape or out.dtype != x.dtype:
            raise InputError(f"--system: f(x, p) must return an array like x, float64[{x.size}]; it returns {out}")
        if kind == "map":
            return System(f, None, x, p, 1.0)
        h = self.step

        def step(x, p):
            times, field = jnp.array([0.0, h]), lambda t, x, p: f(x, p)
            found: Any = odeint(field, x, times, p, stepper=RK4(), step_size=h, max_steps=1, throw=False)
            return found.value[-1]

        return System(step, f, x, p, h)

    def _given(self) -> tuple[Callable[[Array, Any], Array], tuple[float, ...], float, str]:
        if self.system is None:
            lorenz = self.model == "lorenz"
            f, x0, p = (_lorenz, (1.0, 1.0, 20.0), 28.0) if lorenz else (_logistic, (0.3,), 3.9)
            x0 = x0 if self.x0 is None else self.x0
            if len(x0) != (3 if lorenz else 1):
                raise InputError(f"--x0: {self.model} needs {3 if lorenz else 1} numbers, got {len(x0)}")
            return f, x0, p if self.parameter is None else self.parameter, "flow" if lorenz else "map"
        if self.x0 is None or not self.x0 or self.parameter is None:
            raise InputError("--system: give the start --x0 and the --parameter as well")
        return read_function(self.system), self.x0, self.parameter, self.kind

    def run(self, problem: System, run: Run) -> Result:
        """Tangents along many trajectories; then the estimates that stay, and verdicts."""
        step, field, x0, p, h = problem
        place = x0.size - 1 if self.component is None else self.component
        steps = max(16, math.ceil(self.time / h))
        before = math.ceil(self.transient / h)
        key, of_pairs = jax.random.split(jax.random.key(self.seed))

        def start(noise, p):
            x = jnp.asarray(x0) * (1 + 1e-2 * noise) + 1e-6 * noise
            return jax.lax.fori_loop(0, before, lambda _, x: step(x, p), x)

        def mean(p, x, n):
            def one(x, _):
                return step(x, p), x[place]

            return jnp.mean(jax.lax.scan(one, x, None, n)[1])

        noise = jax.random.uniform(key, (self.members, x0.size), minval=-1)
        starts = jax.jit(jax.vmap(start, (0, None)))(noise, p)
        if not jnp.isfinite(starts).all():
            raise InputError("the trajectory is not finite after --transient: another start, parameter or --step")
        gradients = self._gradients(problem, run, starts, steps, place)
        times = h * np.arange(1, steps + 1)

        every = _EVERY[field is not None]
        wanted = self.average / h if field is not None else 50 * self.average
        long = 8 * every * max(1, round(wanted / (8 * every)))
        options: dict[str, Any] = {"every": every, "dt": h, "throw": False}
        exponents = jax.jit(lambda x: lyapunov_spectrum(lambda x: step(x, p), x, long, **options))(starts[0])
        shadow = jax.jit(
            lambda x: shadowing(step, x, jnp.asarray(p), lambda x, p: x[place], long, field=field, **options)
        )(starts[0])
        run.log(f"shadowing over {h * long:g}: {shadow.value.value:.6g} ± {shadow.value.error:.2g}")

        def of_all(p):
            return jnp.mean(jax.vmap(lambda u: mean(p, start(u, p), steps))(noise[: max(2, self.members // 8)]))

        smooth = jax.jit(lambda key: evolution_strategies(of_all, p, key, sigma=self.sigma, pairs=self.pairs))(of_pairs)
        run.log(f"evolution strategies: {smooth.value:.6g} ± {smooth.error:.2g}")
        scanned = p + self.sigma * np.linspace(-1, 1, _SCANNED)
        averages = jax.jit(jax.vmap(lambda q: jax.vmap(lambda u: mean(q, start(u, q), steps))(noise)))(scanned)

        counts = [max(1, int(share * steps)) for share in _HORIZONS]
        verdicts = [diagnose(lambda q, n=n: mean(q, starts[0], n), p) for n in counts]
        for n, verdict in zip(counts, verdicts):
            run.log(f"T = {h * n:g}: {verdict.kind}, {verdict.reasons[0]}")

        sizes = np.abs(gradients)
        median = np.median(sizes, axis=0)
        exponent = float(exponents.value[0])
        slope = _growth(times, median)
        summary = {
            "derivative": Quantity(float(shadow.value.value), "d<J>/dp by shadowing", digits=4),
            "derivative_error": Quantity(float(shadow.value.error), "its standard error", digits=2),
            "evolution": Quantity(
                float(smooth.value), f"d<J>/dp by evolution strategies, sigma = {self.sigma:g}", digits=4
            ),
            "evolution_error": Quantity(float(smooth.error), "its standard error", digits=2),
            "gradient": Quantity(median[-1], f"median |d<J>_T/dp| of single trajectories, T = {times[-1]:g}", digits=3),
            "exponent": Quantity(exponent, "largest Lyapunov exponent", digits=4),
            "growth": Quantity(slope, "slope of log(T |d<J>_T/dp|) against T", digits=4),
            "average": Quantity(float(averages[_SCANNED // 2].mean()), f"<J>, J = x[{place}]", digits=5),
            "verdict": Quantity(str(verdicts[-1].kind), f"of diagnose on the gradient, T = {h * counts[-1]:g}"),
        }
        track = jax.jit(lambda x: jax.lax.scan(lambda x, _: (step(x, p), x), x, None, min(4000, max(500, steps)))[1])
        arrays = {
            "times": times,
            "gradients": np.quantile(sizes, (0.25, 0.5, 0.75), axis=0),
            "exponents": np.asarray(exponents.value),
            "parameters": scanned,
            "averages": np.asarray(averages).mean(1),
            "average_errors": np.asarray(averages).std(1, ddof=1) / self.members**0.5,
            "verdict_times": h * np.array(counts),
            "verdicts": np.array([str(v.kind) for v in verdicts]),
            "trajectory": np.asarray(track(starts[0])),
        }
        numbers = [v.value for v in summary.values() if not isinstance(v.value, str)]
        fine = bool(shadow.converged) and bool(exponents.converged) and bool(np.isfinite(numbers).all())
        message = "" if fine else "A number is not finite: a smaller --step or --sigma, or another start --x0."
        return Result(arrays=arrays, summary=summary, converged=fine, message=message)

    def _gradients(self, problem: System, run: Run, starts, steps: int, place: int) -> np.ndarray:
        """d⟨J⟩_T/dp of each start for each T, by tangents that are carried along."""
        step, _, _, p, _ = problem

        def one(x, v):
            return jax.jvp(lambda x, p: step(x, p), (x, p), (v, 1.0))

        @jax.jit
        def advance(s: dict[str, Any], count: Array) -> dict[str, Any]:
            def body(s):
                total = s["total"] + s["v"][:, place]
                i = s["step"]
                x, v = jax.vmap(one)(s["x"], s["v"])
                v = jnp.clip(v, -_LARGEST, _LARGEST)
                history = s["history"].at[:, i].set(total / (i + 1))
                return {"x": x, "v": v, "total": total, "history": history, "step": i + 1}

            stop = jnp.minimum(s["step"] + count, steps)
            return jax.lax.while_loop(lambda s: s["step"] < stop, body, s)

        def report(s):
            i = max(int(s["step"]), 1)
            return {"t": problem.h * i, "gradient": float(jnp.median(jnp.abs(s["history"][:, i - 1])))}

        zeros = jnp.zeros_like(starts)
        state = {"x": starts, "v": zeros, "total": zeros[:, 0], "history": jnp.zeros((len(starts), steps)), "step": 0}
        final = run.loop(
            "tangents", state, advance, max_steps=steps, report=report, done=lambda s: int(s["step"]) >= steps
        )
        return np.asarray(final["history"])

    def plot(self, result: Result) -> Figure:
        """The trajectory; the gradient against the time; averages against the parameter."""
        arrays, summary = result.arrays, result.summary
        figure, (a, b, c) = new_figure(1, 3, width=13.0, height=3.9)
        path = arrays["trajectory"]
        if path.shape[1] == 1:
            a.plot(path[:-1, 0], path[1:, 0], ".", color=COLOURS[0], markersize=2)
            a.set(xlabel="$x_n$", ylabel="$x_{n+1}$")
        else:
            a.plot(path[:, 0], path[:, -1], color=COLOURS[0], linewidth=0.5)
            a.set(xlabel="$x_0$", ylabel=f"$x_{{{path.shape[1] - 1}}}$")
        a.set_title("one trajectory", loc="left", fontsize=10)
        times, (low, median, high) = arrays["times"], arrays["gradients"]
        shown = median > 0
        exponent = summary["exponent"]
        anchor = np.flatnonzero(shown)[len(median[shown]) // 2] if shown.any() else 0
        lines = {
            "one trajectory (median, quartiles)": np.where(shown, median, np.nan),
            rf"$e^{{\lambda T}}/T$, $\lambda$ = {exponent:.3g}": median[anchor] * times[anchor] / times
            * np.exp(np.clip(exponent * (times - times[anchor]), -600, 600)),
            "shadowing": np.full(len(times), abs(summary["derivative"])),
            "evolution strategies": np.full(len(times), abs(summary["evolution"])),
        }  # fmt: skip
        title = "gradient of the average over a time $T$"
        curves(b, times, lines, xlabel="$T$", ylabel=r"$|d\langle J\rangle_T/dp|$", title=title, yscale="log",
               dashed=tuple(lines)[1:2], colours=dict(zip(lines, (COLOURS[0], GREY, *COLOURS[1:]))))  # fmt: skip
        b.fill_between(
            times, np.maximum(low, 1e-300), np.maximum(high, 1e-300), color=COLOURS[0], alpha=0.2, linewidth=0
        )
        bottom = max(
            min(*(abs(summary[key]) for key in ("derivative", "evolution")), np.min(median[shown], initial=1)), 1e-9
        )
        bottom /= 30
        b.set_ylim(bottom, 30 * np.max(high, initial=1.0, where=np.isfinite(high)))
        for t, verdict in zip(arrays["verdict_times"], arrays["verdicts"]):
            side = "right" if t > times[-1] / 2 else "left"
            b.axvline(t, color=GREY, linewidth=0.7, linestyle=":")
            b.annotate(verdict.replace("_", " "), (t, bottom), xytext=(-3 if side == "right" else 3, 4), rotation=0,
                       textcoords="offset points", ha=side, fontsize=8, color=_colour(verdict))  # fmt: skip
        p = arrays["parameters"]
        middle = arrays["averages"][len(p) // 2]
        names = {"slope of shadowing": "derivative", "slope of evolution strategies": "evolution"}
        slopes = {name: middle + summary[key] * (p - p[len(p) // 2]) for name, key in names.items()}
        curves(c, p, slopes, xlabel="parameter $p$", ylabel=r"$\langle J\rangle$", title="the average itself",
               dashed=tuple(slopes), colours=dict(zip(slopes, COLOURS[1:])))  # fmt: skip
        c.errorbar(p, arrays["averages"], arrays["average_errors"], fmt="o", color=COLOURS[0], markersize=4)
        return figure


def _growth(times: np.ndarray, sizes: np.ndarray) -> float:
    """The slope of log(T |gradient|) against T, of the later half, below overflow."""
    good = (sizes > 0) & (sizes < _LARGEST / 1e10) & (times > times[-1] / 4)
    if good.sum() < 2:
        return float("nan")
    return float(np.polyfit(times[good], np.log(times[good] * sizes[good]), 1)[0])


def _colour(verdict: str) -> str:
    return COLOURS[2] if verdict == VERDICTS.reliable else COLOURS[1]
