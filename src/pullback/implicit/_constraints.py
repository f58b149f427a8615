r"""Minima under constraints h(x) = 0 and c(x) ≥ 0.

Search: augmented Lagrangians, a sequence of minimisations of

    f − λ·h + ρ/2 |h|² + 1/(2ρ) Σ (max(0, μ − ρ c)² − μ²),        λ ← λ − ρ h,    μ ← max(0, μ − ρ c),

until Newton's method can take over on the equations of Karush, Kuhn and Tucker, F(x, λ, μ) =
(∇f − λ·∇h − μ·∇c, h, min(c, μ)) = 0. The minimum makes one equation of the choice of active constraints; its Newton
step is that of a primal-dual active-set method. The same equation, differentiated, is the derivative: F is smooth at
the solution if no constraint has c_i = μ_i = 0 (strict complementarity), and there is no derivative otherwise.

Source: J. Nocedal, S. Wright, Numerical Optimization (2006), chapters 12, 17; M. Hintermüller, K. Ito, K. Kunisch,
SIAM J. Optim. 13, 865 (2002).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float, PyTree

from pullback.core import RESULTS, Implicit, InputError
from pullback.implicit import _linear
from pullback.implicit._flat import Flat
from pullback.implicit._inputs import hoisted
from pullback.implicit._modes import Find
from pullback.implicit._problem import Problem
from pullback.implicit._search import Found, compiled, frozen, max_abs

_TIE = (
    "argmin: an inequality constraint and its multiplier both vanish at the minimum, so that the constraint is about "
    "to become active or inactive: the minimum has one-sided derivatives only."
)


class AugmentedLagrangian(eqx.Module):
    """Minimises under constraints by a sequence of problems without.

    Attributes:
        minimiser: a minimiser of optimistix for these; None stands for BFGS.
        penalty: ρ to begin with, in units of f over units of the constraints squared.
        growth: factor of ρ when a round has not reduced the violation to a quarter.
        rounds: bound of the number of minimisations.
    """

    minimiser: optx.AbstractMinimiser | None = None
    penalty: float = eqx.field(default=10.0, static=True)
    growth: float = eqx.field(default=10.0, static=True)
    rounds: int = eqx.field(default=50, static=True)

    def __check_init__(self):
        if not (self.penalty > 0 and self.growth > 1 and self.rounds > 0):
            raise InputError(
                f"AugmentedLagrangian(penalty={self.penalty}, growth={self.growth}, rounds={self.rounds}): needs "
                "penalty > 0, growth > 1, rounds > 0."
            )


class Constraints(NamedTuple):
    """h and c on real vectors, and the layouts of x, h and c; a missing one is an empty vector."""

    functions: tuple[Any, Any]  # hoisted
    x: Flat
    layouts: tuple[Flat | None, Flat | None]

    @classmethod
    def of(cls, name: str, x: Flat, equality: Callable | None, inequality: Callable | None) -> "Constraints":
        v = jnp.zeros(x.size, x.dtype)
        functions, layouts = [], []
        for kind, g in (("equality", equality), ("inequality", inequality)):
            if g is None:
                functions.append(hoisted(lambda v: v[:0], v))
                layouts.append(None)
                continue
            out = jax.eval_shape(lambda v, g=g: jax.tree.map(jnp.asarray, g(x.unpack(v))), v)
            leaves = jax.tree.leaves(out)
            if not leaves or any(not jnp.issubdtype(a.dtype, jnp.floating) for a in leaves):
                raise InputError(f"{name}: {kind} must return real floating-point numbers, got {out}.")
            layout = Flat.of(out)
            functions.append(hoisted(lambda v, g=g, at=layout: at.pack(g(x.unpack(v))).astype(x.dtype), v))
            layouts.append(layout)
        return cls((functions[0], functions[1]), x, (layouts[0], layouts[1]))

    @property
    def sizes(self) -> tuple[int, int, int]:
        m, k = (0 if at is None else at.size for at in self.layouts)
        return self.x.size, m, k


def constrained_argmin(
    energy: Any,
    constraints: Constraints,
    v: Float[Array, " n"],
    solver: Any,
    adjoint: Implicit,
    zero_modes: PyTree | None,
    tol: float,
    max_steps: int,
    throw: bool,
) -> Any:
    """`argmin` with constraints; `energy` is hoisted."""
    solver = AugmentedLagrangian() if solver is None else solver
    if not isinstance(solver, AugmentedLagrangian):
        raise InputError(f"argmin: solver={solver!r}: with constraints pass AugmentedLagrangian().")
    if zero_modes is not None and not isinstance(zero_modes, Find):
        raise InputError("argmin: with constraints zero_modes must be Find(): a mode must respect the constraints too.")
    n, m, _ = constraints.sizes
    h, c = constraints.functions

    def parts(z):
        return z[:n], z[n : n + m], z[n + m :]

    def kkt(z):
        v, lam, mu = parts(z)
        equal, pull_h = jax.vjp(h, v)
        above, pull_c = jax.vjp(c, v)
        stationary = jax.grad(energy)(v) - pull_h(lam)[0] - pull_c(mu)[0]
        return jnp.concatenate([stationary, equal, jnp.minimum(above, mu)])

    start = jnp.zeros(sum(constraints.sizes), v.dtype).at[:n].set(v)
    residual = hoisted(kkt, start)
    linear = _linear.choose("argmin", adjoint, start.size, v.dtype, symmetric=False)
    problem = Problem("argmin", constraints.x, linear, zero_modes, lambda z: jnp.asarray(tol, z.dtype))
    force, f, c_only = frozen((residual, energy, c))
    found = compiled(
        lambda: problem.polish(
            force, _augmented_lagrangian(solver, f, frozen(h), c_only, force, parts, start, max_steps)
        )
    )
    _, _, mu = parts(found.v)
    gap = jnp.min(jnp.maximum(c_only(found.v[:n]), mu), initial=jnp.inf)

    def split(z):
        v, lam, mu = parts(z)
        named = zip(("equality", "inequality"), constraints.layouts, (lam, mu))
        multipliers = {f"{kind}_multipliers": at.unpack(values) for kind, at, values in named if at is not None}
        return v, {**multipliers, "complementarity": gap}

    tie = gap <= float(jnp.finfo(v.dtype).eps) ** 0.5
    return problem.solution(residual, found, throw, fault=(tie, _TIE), split=split)


def _augmented_lagrangian(solver, energy, h, c, residual, parts, start, max_steps):
    """(x, λ, μ) to a precision from which Newton's method converges."""
    minimiser = solver.minimiser
    if minimiser is None:
        inner = float(jnp.finfo(start.dtype).eps) ** 0.5
        minimiser = optx.BFGS(inner, inner)
    enough = float(jnp.finfo(start.dtype).eps) ** 0.375

    def unfinished(state):
        _, _, _, r, rounds, _ = state
        return (r > enough) & (rounds < solver.rounds) & jnp.isfinite(r)

    def improve(state):
        z, rho, violation, _, rounds, steps = state
        v, lam, mu = parts(z)

        def lagrangian(v, _):
            equal, short = h(v), jnp.maximum(0, mu - rho * c(v))
            return energy(v) - lam @ equal + rho / 2 * equal @ equal + (short @ short - mu @ mu) / (2 * rho)

        inner = optx.minimise(lagrangian, minimiser, v, max_steps=max_steps, throw=False)
        v = inner.value
        equal, above = h(v), c(v)
        now = jnp.max(jnp.abs(jnp.concatenate([equal, jnp.minimum(above, mu / rho)])))
        z = jnp.concatenate([v, lam - rho * equal, jnp.maximum(0, mu - rho * above)])
        rho = jnp.where(now > violation / 4, rho * solver.growth, rho)
        return z, rho, now, max_abs(residual(z)), rounds + 1, steps + inner.stats["num_steps"]

    infinite = jnp.asarray(jnp.inf, start.dtype)
    state = (start, jnp.asarray(solver.penalty, start.dtype), infinite, max_abs(residual(start)), 0, 0)
    z, _, _, r, _, steps = jax.lax.while_loop(unfinished, improve, state)
    result = RESULTS.where(r <= enough, RESULTS.successful, RESULTS.max_steps_reached)
    return Found(z, result, jnp.asarray(steps))
