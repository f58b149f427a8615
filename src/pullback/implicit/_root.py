"""Fixed points and roots: solutions of f(x) = x and of f(x) = 0 as functions of all that f closes over."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import PyTree

from pullback.core import Implicit, Solution, by_throw
from pullback.implicit import _linear
from pullback.implicit._flat import Flat
from pullback.implicit._inputs import check, default_tol, hoist_at, hoisted, maps_to_itself, start
from pullback.implicit._iterations import Anderson, Iteration, iterate
from pullback.implicit._modes import Find
from pullback.implicit._newton import Newton
from pullback.implicit._problem import Problem
from pullback.implicit._search import compiled, from_optimistix, frozen, max_abs

X = TypeVar("X", bound=PyTree)
RootSolver = Newton | optx.AbstractRootFinder | optx.AbstractLeastSquaresSolver | optx.AbstractMinimiser
FixedPointSolver = Iteration | RootSolver | optx.AbstractFixedPointSolver
ZeroModes = Find | PyTree | Callable[[PyTree], PyTree]


@by_throw
def fixed_point(
    f: Callable[[X], X],
    x0: X | Solution[X],
    *,
    solver: FixedPointSolver = Anderson(),  # noqa: B008
    adjoint: Implicit = Implicit(),  # noqa: B008
    gauge_fix: Callable[[X, X], X] | None = None,
    zero_modes: ZeroModes | None = None,
    tol: float | None = None,
    max_steps: int = 1000,
    throw: bool = True,
) -> X | Solution[X]:
    r"""The solution of x = f(x), differentiable in every mode and order with respect to all that `f` closes over.

    The derivative solves (1 − ∂f/∂x) dx = ∂f at the solution, on real and imaginary parts, so that f need not be
    holomorphic. Its cost does not depend on how many iterations were made. The derivative with respect to x0 is zero.

    Args:
        f: map of a pytree of real or complex arrays to one of the same form. Pure; may close over traced values.
        x0: where to start; a `Solution` (a warm start) stands for its value.
        solver: `Anderson`, `Picard`, `Newton`, or a fixed-point solver, root finder, least-squares solver or minimiser
            of optimistix, which iterates to its own tolerances before the residual is judged by `tol`.
        adjoint: how the linear equation of the derivative is solved; `Implicit(linear_solver=...)` takes `Dense()`
            (default up to 512 real unknowns), `Neumann()`, or a solver of lineax (default above: GMRES).
        gauge_fix: gauge_fix(x, reference) -> x, for maps that reach their fixed point only up to a gauge (signs,
            phases, unitaries of a bond): it brings x to the gauge that is nearest to `reference`, which is the
            iterate itself while searching, and the solution, held fixed, in the derivative. Functions that do not
            depend on the gauge then have exact derivatives.
        zero_modes: null vectors of 1 − ∂f/∂x at the solution, if there are: a pytree like x, each leaf with one more
            axis in front; or a function of x that returns one; or `Find()`. The derivative is then of minimum norm.
            The eigenvalue zero must be semisimple.
        tol: the solution is accepted if max|f(x) − x| ≤ tol (1 + max|x|). Default eps^(3/4), 1.8e-12 in double
            precision.
        max_steps: bound of the iterations.
        throw: raise if there is no convergence; if False, return a `Solution`.

    Returns:
        x, or, if not `throw`, a `Solution`: `residual` is max|f(x) − x|, `steps` the number of iterations;
        `stats["linear_residual"]` the relative residual of the derivative's linear solves, both transposed and not,
        for a random right-hand side; with `Find`, `stats["zero_modes"]` their number and `stats["smallest_kept"]` the
        smallest singular value that was not counted, relative to the largest.

    Raises:
        InputError: f changes structure, shape or dtype; x0 is not finite; options make no sense.
        ConvergenceError: no convergence. Inside `jit` the compiled program raises `equinox.EquinoxRuntimeError`; so
            does a derivative whose linear equation was not solved.

    Examples:
        Kepler's equation, E = M + e sin E, and ∂E/∂e = sin E / (1 − e cos E):

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def anomaly(e):
        ...     return pb.implicit.fixed_point(lambda E: 1.0 + e * jnp.sin(E), 1.0)
        >>> E = anomaly(0.3)
        >>> bool(jnp.allclose(jax.grad(anomaly)(0.3), jnp.sin(E) / (1 - 0.3 * jnp.cos(E)), rtol=1e-12))
        True
    """
    x = start("fixed_point", x0)
    check("fixed_point", tol, max_steps)
    maps_to_itself("fixed_point", f, x)
    if gauge_fix is not None:
        maps_to_itself("fixed_point", lambda x: gauge_fix(x, x), x, "gauge_fix(x, reference)")
    flat = Flat.of(x)
    v = flat.pack(x)

    def step(v, reference):
        y = f(flat.unpack(v))
        return flat.pack(y if gauge_fix is None else gauge_fix(y, flat.unpack(reference)))

    _, v = hoist_at(lambda v: step(v, v), v)
    step = hoisted(step, v, v)
    tol = default_tol(v.dtype) if tol is None else tol
    linear = _linear.choose("fixed_point", adjoint, v.size, v.dtype, symmetric=False)
    problem = Problem("fixed_point", flat, linear, zero_modes, lambda v: tol * (1 + max_abs(v)))
    found = compiled(lambda: _search(problem, solver, frozen(step), v, max_steps))
    residual = hoisted(lambda v: v - step(v, found.v), v)
    return problem.solution(residual, found, throw)


@by_throw
def root(
    f: Callable[[X], X],
    x0: X | Solution[X],
    *,
    solver: RootSolver = Newton(),  # noqa: B008
    adjoint: Implicit = Implicit(),  # noqa: B008
    zero_modes: ZeroModes | None = None,
    tol: float | None = None,
    max_steps: int = 100,
    throw: bool = True,
) -> X | Solution[X]:
    r"""The solution of f(x) = 0, differentiable in every mode and order with respect to all that `f` closes over.

    The derivative solves (∂f/∂x) dx = −∂f at the solution, on real and imaginary parts. What a solver of optimistix
    finds is brought to `tol` by Newton's method.

    Args:
        f: map of a pytree of real or complex arrays to one of the same form. Pure; may close over traced values.
        x0: where to start; a `Solution` stands for its value.
        solver: `Newton`, or a root finder, least-squares solver or minimiser of optimistix.
        adjoint: as for `fixed_point`.
        zero_modes: null vectors of ∂f/∂x, as for `fixed_point`.
        tol: the solution is accepted if max|f(x)| ≤ tol. Default eps^(3/4) · min(1, s), 1.8e-12 in double precision;
            s is the size of f where the search starts, max|f| or |∂f/∂x| (1 + max|x|), whichever is larger, so that
            an equation written in small units is solved to as many digits.
        max_steps: bound of the iterations.
        throw: raise if there is no convergence; if False, return a `Solution`.

    Returns:
        x, or, if not `throw`, a `Solution` as of `fixed_point`; `residual` is max|f(x)|.

    Raises:
        InputError: f changes structure, shape or dtype; x0 is not finite; options make no sense.
        ConvergenceError: no convergence. Inside `jit` the compiled program raises `equinox.EquinoxRuntimeError`.

    Examples:
        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> square_root = lambda a: pb.implicit.root(lambda x: x**2 - a, 1.0)
        >>> bool(jnp.allclose(jax.grad(jax.grad(square_root))(4.0), -1 / 32, rtol=1e-12))
        True
    """
    x = start("root", x0)
    check("root", tol, max_steps)
    maps_to_itself("root", f, x)
    flat = Flat.of(x)
    v = flat.pack(x)
    residual, v = hoist_at(lambda v: flat.pack(f(flat.unpack(v))), v)
    linear = _linear.choose("root", adjoint, v.size, v.dtype, symmetric=False)
    accepted = compiled(lambda: _default_tol(frozen(residual), v)) if tol is None else jnp.asarray(tol, v.dtype)
    problem = Problem("root", flat, linear, zero_modes, lambda v: accepted)
    return problem.solution(residual, compiled(lambda: problem.search(solver, frozen(residual), v, max_steps)), throw)


def _default_tol(residual, v):
    """Relative to the size of the residual at the start, if that is less than one."""
    r, jacobian = jax.linearize(residual, v)
    size = jnp.maximum(max_abs(r), _linear.scale(jacobian, v) * (1 + max_abs(v)))
    return default_tol(v.dtype) * jnp.where((size > 0) & (size < 1), size, 1)


def _search(problem, solver, step, v, max_steps):
    """A fixed point of v -> step(v, reference) with the reference at v itself; `step` carries no tangents."""
    if isinstance(solver, Iteration):
        return iterate(solver, lambda v: step(v, v), v, problem.tol, max_steps)
    if isinstance(solver, optx.AbstractFixedPointSolver):
        return from_optimistix(optx.fixed_point, lambda v: step(v, v), solver, v, max_steps)
    # With the reference at v, every gauge would be a fixed point and the Jacobian singular: hold it.
    return problem.search(solver, hoisted(lambda w: w - step(w, v), v), v, max_steps)
