"""Checks of what the user passes, before any work starts."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial
from jaxtyping import Array, PyTree

from pullback.core import (
    InputError,
    Solution,
    hoist,
    inexact_arrays,
    is_varying,
    keeps_form,
    refuse_mixture,
    vary_like,
)


def start(name: str, x0: PyTree) -> PyTree[Array]:
    """The starting point as arrays without tangents; a `Solution` stands for its value.

    Where a solution is found does not depend on where the search started (as long as it is the same solution), so the
    derivative with respect to x0 is zero.
    """
    return jax.lax.stop_gradient(inexact_arrays(name, "x0", x0.value if isinstance(x0, Solution) else x0))


def maps_to_itself(name: str, f: Callable[..., Any], x: PyTree[Array], what: str = "f(x)") -> None:
    """Refuses a map whose output differs from `x` in structure, shape or dtype, naming the leaf."""
    keeps_form(name, jax.eval_shape(f, x), x, what, "x", hint="Pass a complex x0.")


def check(name: str, tol: float | None, max_steps: int | None) -> None:
    if tol is not None and not isinstance(tol, Tracer) and not tol > 0:
        raise InputError(f"{name}: tol must be positive, got {tol}.")
    if max_steps is not None and not max_steps > 0:
        raise InputError(f"{name}: max_steps must be positive, got {max_steps}.")


def default_tol(dtype: Any) -> float:
    """1.8e-12 in double precision, 6.4e-6 in single: a few digits above what rounding allows."""
    return float(jnp.finfo(dtype).eps) ** 0.75


def hoisted(fun: Callable[..., Any], *args: PyTree) -> Partial:
    """`fun` as a pytree whose leaves are the arrays that it closes over, traced or not; traces `fun` once."""
    closed, consts, _ = hoist(fun, *args)
    return Partial(closed, [jnp.asarray(a) if isinstance(a, np.ndarray | np.generic) else a for a in consts])


def hoist_at(fun: Callable[[Array], Array], v: Array) -> tuple[Any, Array]:
    """`hoisted(fun, v)` and v. Inside `shard_map` v then varies like all that `fun` closes over, and fun(v) like v."""

    def alike(v):
        return vary_like(fun(v), v)

    closed = hoisted(alike, v)
    refuse_mixture("pullback.implicit", eqx.filter(closed, eqx.is_array))
    varying = vary_like(v, eqx.filter(closed, eqx.is_array))
    return (closed, v) if varying is v else (hoisted(alike, varying), varying)


def refuse_varying(name: str, v: Array, what: str, remedy: str) -> None:
    """Refuses programs of others that JAX's types do not accept inside `shard_map`.

    Raises:
        InputError: v varies along an axis of a mesh.
    """
    if is_varying(v):
        raise InputError(
            f"{name}: {what} does not pass JAX's checks inside jax.shard_map. Use {remedy}, or "
            "jax.shard_map(..., check_vma=False)."
        )
