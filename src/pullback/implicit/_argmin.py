"""Minima as differentiable functions of all that the minimised function closes over."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import PyTree

from pullback.core import Implicit, InputError, Solution, by_throw
from pullback.implicit import _linear
from pullback.implicit._constraints import AugmentedLagrangian, Constraints, constrained_argmin
from pullback.implicit._flat import Flat
from pullback.implicit._inputs import check, default_tol, hoist_at, hoisted, start
from pullback.implicit._modes import Find
from pullback.implicit._newton import Newton
from pullback.implicit._problem import Problem
from pullback.implicit._search import compiled, from_optimistix, frozen

X = TypeVar("X", bound=PyTree)
ArgminSolver = Newton | optx.AbstractMinimiser | AugmentedLagrangian
ZeroModes = Find | PyTree | Callable[[PyTree], PyTree]


@by_throw
def argmin(
    f: Callable[[X], Any],
    x0: X | Solution[X],
    *,
    equality: Callable[[X], PyTree] | None = None,
    inequality: Callable[[X], PyTree] | None = None,
    solver: ArgminSolver | None = None,
    adjoint: Implicit = Implicit(),  # noqa: B008
    zero_modes: ZeroModes | None = None,
    tol: float | None = None,
    max_steps: int = 10_000,
    throw: bool = True,
) -> X | Solution[X]:
    r"""A local minimum of f, differentiable in every mode and order with respect to all that f closes over.

    The derivative solves ∇²f dx = −∂(∇f) at the minimum. What the solver finds is brought to `tol` by Newton's method,
    whose steps are refused where they would raise f. With constraints the equations are those of Karush, Kuhn and
    Tucker, in x and the multipliers:

        ∇f − λ·∇h − μ·∇c = 0,        h = 0,        min(c, μ) = 0.

    Args:
        f: function of a pytree of real or complex arrays to a real number. Pure; may close over traced values.
        x0: where to start; a `Solution` (a warm start) stands for its value. The derivative with respect to it is zero.
        equality: h(x), any pytree of real arrays, that is to vanish.
        inequality: c(x), any pytree of real arrays, that is not to be negative.
        solver: a minimiser of optimistix (also `optimistix.OptaxMinimiser`), or `Newton`. Default BFGS up to 512 real
            unknowns, L-BFGS above. With constraints: `AugmentedLagrangian`.
        adjoint: how the linear equation of the derivative is solved; `Implicit(linear_solver=...)` takes `Dense()`
            (default up to 512 real unknowns) or a solver of lineax (default above: CG; with constraints GMRES).
        zero_modes: directions in which f does not change: a pytree like x, each leaf with one more axis in front; or a
            function of x that returns one; or `Find()`, which also finds rattlers. The derivative is then that of
            least norm, the pseudo-inverse of the Hessian, in both modes: what is lost is only the motion along the
            zero modes. With constraints only `Find()`.
        tol: the minimum is accepted if max|∇f| ≤ tol, with constraints if no component of the equations above exceeds
            tol. Default eps^(3/4), 1.8e-12 in double precision; a function whose curvatures are far from one needs its
            own.
        max_steps: bound of the solver's steps.
        throw: raise if there is no convergence; if False, return a `Solution`.

    Returns:
        x, or, if not `throw`, a `Solution`: `residual` is max|∇f|, `steps` counts the solver's and Newton's steps;
        statistics as for `fixed_point`. With constraints also `stats["equality_multipliers"]`,
        `stats["inequality_multipliers"]`, of the structure of h and c and differentiable, and
        `stats["complementarity"]`, the smallest max(c_i, μ_i).

    Raises:
        InputError: f is not a real number; x0 is not finite; options make no sense.
        ConvergenceError: no convergence. Inside `jit` the compiled program raises `equinox.EquinoxRuntimeError`; so
            does a derivative whose linear equation was not solved, and one where a constraint is about to become
            active or inactive (c_i = μ_i = 0), which has only one-sided derivatives.

    Examples:
        The angle of a pendulum that is blown by a horizontal wind w, tan φ = w:

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def angle(w):
        ...     return pb.implicit.argmin(lambda x: -jnp.cos(x) - w * jnp.sin(x), 0.0)
        >>> bool(jnp.allclose(jax.grad(angle)(0.5), 1 / (1 + 0.5**2), rtol=1e-12))
        True
    """
    x = start("argmin", x0)
    check("argmin", tol, max_steps)
    _is_real_number(f, x)
    flat = Flat.of(x)
    v = flat.pack(x)
    tol = default_tol(v.dtype) if tol is None else tol
    energy, v = hoist_at(lambda v: jnp.asarray(f(flat.unpack(v))), v)
    if equality is not None or inequality is not None:
        constraints = Constraints.of("argmin", flat, equality, inequality)
        return constrained_argmin(energy, constraints, v, solver, adjoint, zero_modes, tol, max_steps, throw)
    gradient = hoisted(jax.grad(energy), v)
    linear = _linear.choose("argmin", adjoint, v.size, v.dtype, symmetric=True)
    problem = Problem("argmin", flat, linear, zero_modes, lambda v: jnp.asarray(tol, v.dtype))
    still, force = frozen(energy), frozen(gradient)
    solver = default_minimiser(v.size, v.dtype) if solver is None else solver
    if isinstance(solver, Newton):
        found = compiled(lambda: problem.newton(solver, force, v, max_steps, still))
    elif isinstance(solver, optx.AbstractMinimiser):
        found = compiled(
            lambda: problem.polish(force, from_optimistix(optx.minimise, still, solver, v, max_steps), still)
        )
    else:
        raise InputError(
            f"argmin: solver={solver!r}: pass a minimiser of optimistix or Newton(); AugmentedLagrangian() is for "
            "constraints."
        )
    return problem.solution(gradient, found, throw)


def default_minimiser(n: int, dtype: Any) -> optx.AbstractMinimiser:
    """BFGS, or L-BFGS for many unknowns, to a tolerance from which Newton's method takes over."""
    tol = float(jnp.finfo(dtype).eps) ** 0.5
    return optx.BFGS(tol, tol) if n <= _linear.LARGEST_DENSE else optx.LBFGS(tol, tol)


def _is_real_number(f, x):
    out = jax.eval_shape(f, x)
    leaves = jax.tree.leaves(out)
    if len(leaves) != 1 or leaves[0].shape != () or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        raise InputError(f"argmin: f must return a real number, got {out}.")
