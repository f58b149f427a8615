"""Where a search stopped, in one form for our own methods and for those of optimistix."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float, Int, PyTree

from pullback.core import RESULTS, hoist
from pullback.core._compile_cache import compiled_once
from pullback.implicit._inputs import hoisted, refuse_varying

VectorMap = Callable[[Float[Array, " n"]], Float[Array, " m"]]
OPTIMISTIX = (optx.AbstractRootFinder, optx.AbstractLeastSquaresSolver, optx.AbstractMinimiser)


class Found(NamedTuple):
    """The point, why the search stopped there, and after how many steps."""

    v: Float[Array, " n"]
    result: Any
    steps: Int[Array, ""]


def from_optimistix(solve: Callable[..., optx.Solution], fun: VectorMap, solver: Any, v: Array, steps: int) -> Found:
    """The outcome of optimistix's `solve`, in our words. Values only: `fun` must not carry tangents."""
    refuse_varying("pullback.implicit", v, "a solver of optimistix", "solver=Newton() (fixed_point: Anderson())")
    # What the function closes over is an argument, or optimistix's own `jit` would make it part of the program.
    solution = solve(lambda v, fun: fun(v), solver, v, args=hoisted(fun, v), max_steps=steps, throw=False)
    result, theirs = RESULTS.stalled, optx.RESULTS
    pairs = (
        (theirs.successful, RESULTS.successful),
        (theirs.nonlinear_max_steps_reached, RESULTS.max_steps_reached),
        (theirs.nonlinear_divergence, RESULTS.breakdown),
        (theirs.nonfinite, RESULTS.nonfinite),
    )
    for their, ours in pairs:
        result = RESULTS.where(solution.result == their, ours, result)
    return Found(solution.value, result, jnp.asarray(solution.stats["num_steps"]))


def frozen(tree: PyTree) -> Any:
    """The same without tangents, for searches and certificates."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def compiled(thunk: Callable[[], Any]) -> Any:
    """thunk(), as one program also outside `jit`, where JAX would compile operation by operation.

    A later search that does the same with other numbers finds it compiled.
    """
    closed, consts, _ = hoist(thunk)
    return compiled_once(closed, "implicit", [(closed, (consts,))], consts)


def max_abs(r: Float[Array, " n"]) -> Float[Array, ""]:
    return jnp.max(jnp.abs(r))
