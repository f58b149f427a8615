r"""The six derivatives of tanh: the smallest example of an experiment."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from pullback.plots import curves, new_figure
from pullback.runs import Experiment, Quantity, Result, Run, option

_LARGEST_ERROR = 1e5  # relative, over the precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class TanhDerivatives(Experiment):
    r"""Derivatives of tanh by nested automatic differentiation.

    The gradient of a function is a function, so it has a gradient again: `jax.grad` applied k times gives the
    k-th derivative, exact to rounding. With t = tanh x every derivative is a polynomial in t,

        d^k tanh(x) / dx^k = P_k(t),    P_0 = t,    P_{k+1}(t) = (1 - t^2) P_k'(t),

    because dt/dx = 1 - t^2; the experiment compares with these polynomials, of integer coefficients. At x = 0
    they give 0, 1, 0, -2, 0, 16, 0, -272, 0.

    The errors in the summary are the largest differences on the interval, relative to the largest value of
    each derivative. Nested reverse mode roughly doubles the program with each order, hence the bound on
    `order`.
    """

    points: int = option(1000, "number of points", ge=2, le=1_000_000)
    order: int = option(6, "highest derivative", ge=1, le=8)
    half_width: float = option(7.0, "the interval is [-half_width, half_width]", gt=0)

    citation = (
        "Autograd's tutorial: D. Maclaurin, D. Duvenaud, M. Johnson, https://github.com/HIPS/autograd; "
        "L. Wang, Differentiable programming, lecture, https://github.com/wangleiphy/ml4p"
    )

    def prepare(self) -> Float[np.ndarray, " points"]:
        """The abscissae."""
        return np.linspace(-self.half_width, self.half_width, self.points)

    def run(self, problem: Float[np.ndarray, " points"], run: Run) -> Result:
        """Differentiates `order` times, and compares."""
        derivatives = [jnp.tanh]
        for _ in range(self.order):
            derivatives.append(jax.grad(derivatives[-1]))
        values = np.stack([jax.jit(jax.vmap(f))(problem) for f in derivatives])
        exact = tanh_polynomials(self.order, problem)
        errors = np.abs(values - exact).max(axis=1) / np.abs(exact).max(axis=1)
        k = int(errors.argmax())
        place = f"x = {problem[np.abs(values[k] - exact[k]).argmax()]:.3g}, derivative {k}"
        run.log(f"{self.order} derivatives at {self.points} points")
        right = bool(errors.max() <= _LARGEST_ERROR * np.finfo(values.dtype).eps)  # not so if it is NaN
        return Result(
            arrays={"x": problem, "derivatives": values, "exact": exact},
            summary={"max_error": Quantity(errors.max(), f"largest error, relative, at {place}", digits=2)}
            | {
                f"error_{k}": Quantity(errors[k], f"largest error of derivative {k}, relative", digits=2)
                for k in range(1, self.order + 1)
            },
            converged=right,
            message="" if right else f"The derivatives miss the polynomials by {errors.max():.1e}: a smaller --order.",
        )

    def plot(self, result: Result) -> Figure:
        """tanh and its derivatives, each divided by its largest value: their heights grow like factorials."""
        figure, ax = new_figure(width=6.4, height=4.0)
        heights = [np.abs(y).max() for y in result.arrays["derivatives"]]
        curves(
            ax,
            result.arrays["x"],
            {_label(k, heights[k]): y / heights[k] for k, y in enumerate(result.arrays["derivatives"])},
            xlabel="$x$",
            ylabel="derivative / largest value",
            title=r"$\tanh x$ and its derivatives",
        )
        return figure


def tanh_polynomials(order: int, x: Float[np.ndarray, " points"]) -> Float[np.ndarray, "orders points"]:
    """tanh and its derivatives up to `order`, from the recurrence of their polynomials in tanh x."""
    tanh, polynomial = np.tanh(x), np.polynomial.Polynomial([0, 1])
    rows = []
    for _ in range(order + 1):
        rows.append(polynomial(tanh))
        polynomial = np.polynomial.Polynomial([1, 0, -1]) * polynomial.deriv()
    return np.stack(rows)


def _label(k: int, height: float) -> str:
    return rf"$f^{{({k})}} / {height:.3g}$" if k else "$f$"
