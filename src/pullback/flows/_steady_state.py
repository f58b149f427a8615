"""`steady_state`: states at which a flow stands still, as functions of its parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import ArrayLike, PyTree

from pullback import implicit
from pullback.core import Implicit, InputError, Solution, by_throw
from pullback.flows._odeint import odeint


@by_throw
def steady_state(
    f: Callable[[Any, PyTree, PyTree], PyTree],
    y0: PyTree,
    params: PyTree = None,
    *,
    settle: float = 0.0,
    t: ArrayLike = 0.0,
    solver: Any = implicit.Newton(),  # noqa: B008
    adjoint: Implicit = Implicit(),  # noqa: B008
    zero_modes: Any = None,
    tol: float | None = None,
    max_steps: int = 100,
    throw: bool = True,
) -> PyTree | Solution[PyTree]:
    r"""The solution of f(t, y, params) = 0 near y0, differentiable with respect to params and what `f` closes over.

    The derivative solves (∂f/∂y) dy = −(∂f/∂p) dp at the solution, in every mode and order; how it was found, and y0,
    play no part. A root of f need not be stable: with throw=False the growth rate of what is near it is returned.

    Args:
        f: (t, y, params) -> dy/dt, as for `odeint`; it should not depend on t.
        y0: where to start.
        params: any pytree.
        settle: a time for which the flow is followed first, so that the state is one that it reaches.
        t: the time that f is given.
        solver, adjoint, zero_modes, tol, max_steps: of `implicit.root`. A conserved quantity is a zero mode.
        throw: raise if there is no convergence; if False, return a `Solution`.

    Returns:
        The state; or, if not `throw`, the `Solution` of `implicit.root`, and in its stats `growth`, the largest real
        part of the eigenvalues of ∂f/∂y: above zero the state is not stable.

    Raises:
        ConvergenceError: no solution was found, as for `implicit.root`; or the flow was not followed to `settle`.
        InputError: f changes the form of y; y0 is not finite; options make no sense.

    Examples:
        A chemical switch, x' = a - x + x²/(1 + x²): how the state moves with a.

        >>> def switch(t, x, a):
        ...     return a - x + x**2 / (1 + x**2)
        >>> state = steady_state(switch, 0.1, 0.2)
        >>> slope = jax.grad(lambda a: steady_state(switch, 0.1, a))(0.2)
        >>> bool(jnp.allclose(slope, 1 / (1 - 2 * state / (1 + state**2) ** 2)))
        True
    """
    if not 0 <= settle < float("inf"):
        raise InputError(f"steady_state: settle must be a time, 0 or positive, got {settle}.")
    if settle:
        y0 = jax.tree.map(lambda a: a[-1], odeint(f, y0, jnp.asarray(t) + jnp.array([0.0, settle]), params))
    found = implicit.root(
        lambda y: f(t, y, params), jax.lax.stop_gradient(y0), solver=solver, adjoint=adjoint, zero_modes=zero_modes,
        tol=tol, max_steps=max_steps, throw=throw,
    )  # fmt: skip
    if throw:
        return found
    assert isinstance(found, Solution)
    stats = found.stats | {"growth": _growth(lambda y: f(t, y, params), found.value)}
    return Solution(found.value, found.result, found.residual, found.steps, stats)


def _growth(f, y):
    """The largest real part of the eigenvalues of ∂f/∂y, of a map of real vectors."""

    def parts(y):
        return jax.tree.map(lambda a: (a.real, a.imag) if jnp.iscomplexobj(a) else a, y)

    def whole(v):
        return jax.tree.map(lambda a, p: jax.lax.complex(*p) if jnp.iscomplexobj(a) else p, y, v)

    y = jax.lax.stop_gradient(y)
    v, unravel = ravel_pytree(parts(y))
    jacobian = jax.jacfwd(lambda v: ravel_pytree(parts(f(whole(unravel(v)))))[0])(v)
    return jnp.max(jnp.linalg.eigvals(jax.lax.stop_gradient(jacobian)).real)
