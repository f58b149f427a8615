"""Linear equations of implicit derivatives and of Newton's method, A y = b on real vectors, A known by its products.

Choices: `Dense` (all entries of A, then LU), `Neumann` (the contraction's own iteration, for fixed points), or any
solver of lineax (GMRES, BiCGStab, CG, LSMR, …). A solve that fails raises when the program runs: no derivative is
returned that does not solve its equation. Equations may be written in any units: norms are `norm`, whose squares do not
underflow, and solvers of lineax, whose do, get A and b in units of their size.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from pullback.core import InputError, error_if, vary_like
from pullback.implicit._inputs import default_tol, refuse_varying

MatVec = Callable[[Float[Array, " n"]], Float[Array, " n"]]
LARGEST_DENSE = 512  # real unknowns; above, the default is matrix-free


class Dense(eqx.Module):
    """Computes the whole matrix, n products at once, and factorises it. For up to some thousand real unknowns."""


class Neumann(eqx.Module):
    """Solves (1 − K) y = b by y ← b + K y: the derivative of a fixed point by the fixed point's own iteration.

    Converges where the map contracts, as fast as the map itself, with three vectors of memory. For `fixed_point`.
    """


LinearSolver = Dense | Neumann | lx.AbstractLinearSolver


class Choice(NamedTuple):
    """A linear solver with its tolerance; `symmetric`: A is symmetric, and positive semidefinite for CG."""

    solver: LinearSolver
    tol: float
    max_steps: int | None
    symmetric: bool


def choose(name: str, adjoint, n: int, dtype, symmetric: bool) -> Choice:
    """The linear solver that `adjoint` asks for, with defaults for n real unknowns."""
    tol = default_tol(dtype) if adjoint.tol is None else adjoint.tol
    solver = adjoint.linear_solver
    if solver is None:
        iterative = lx.CG if symmetric else lx.GMRES
        solver = Dense() if n <= LARGEST_DENSE else iterative(tol, tol, max_steps=adjoint.max_steps)
    if not isinstance(solver, Dense | Neumann | lx.AbstractLinearSolver):
        raise InputError(
            f"{name}: Implicit(linear_solver={solver!r}): pass implicit.Dense(), implicit.Neumann() or a lineax solver."
        )
    return Choice(solver, tol, adjoint.max_steps, symmetric)


def solve(choice: Choice, matvec: MatVec, b: Float[Array, " n"]) -> Float[Array, " n"]:
    """y with A y = b, unchecked: NaN or wrong where the solver fails."""
    if isinstance(choice.solver, Dense):
        return jnp.linalg.solve(materialise(matvec, b), b)
    return _iterate(choice, matvec, b)


def checked_solve(choice: Choice, matvec: MatVec, b: Float[Array, " n"]) -> Float[Array, " n"]:
    """y with A y = b; an error when the program runs if the residual is too large or A is singular."""
    p = probe(b)
    if isinstance(choice.solver, Dense):
        a = materialise(matvec, b)
        y, x = jnp.linalg.solve(a, jnp.stack([b, p], axis=1)).T
        size, residual = norm(a @ p), norm(a @ y - b)
        # |A⁻¹ p| |A p| estimates the condition number; rounding turns an exact zero into about eps.
        singular = ~(norm(x) * size <= float(jnp.finfo(b.dtype).eps) ** -0.8)
    else:
        y = _iterate(choice, matvec, b)
        size, residual = scale(matvec, b), norm(matvec(y) - b)
        singular = jnp.array(False)
    rounding = 1e3 * jnp.finfo(b.dtype).eps * b.size**0.5 * size * norm(y)
    return error_if(
        y,
        singular | ~(residual <= 10 * choice.tol * norm(b) + rounding),
        "The linear equation of an implicit derivative was not solved: the Jacobian at the solution is singular, or "
        "the linear solver did not reach its tolerance. Declare zero_modes=, or pass "
        "adjoint=Implicit(linear_solver=..., tol=..., max_steps=...) with another solver, a looser tolerance or more "
        "steps.",
    )


def residual_of(choice: Choice, matvec: MatVec, b: Float[Array, " n"]) -> Float[Array, ""]:
    """|A y − b| / |b| of the solver's y."""
    return norm(matvec(solve(choice, matvec, b)) - b) / norm(b)


def materialise(matvec: MatVec, b: Float[Array, " n"]) -> Float[Array, "n n"]:
    """The matrix of `matvec`."""
    return jax.vmap(matvec, out_axes=1)(vary_like(jnp.eye(b.size, dtype=b.dtype), b))


def probe(b: Float[Array, " n"]) -> Float[Array, " n"]:
    """A fixed vector without structure, of norm one."""
    p = vary_like(jax.random.normal(jax.random.key(0), b.shape, b.dtype), b)
    return p / norm(p)


def norm(v: Float[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """|v|, also where the squares of its entries are no numbers.

    By constant factors. One that is taken from v, as in |v| = m |v / m| with m = max|v|, is not the same number in both
    places where XLA computes v twice, with different rounding: of a residual that is 1e-8 or zero it can make 1.
    """
    half = jnp.finfo(v.dtype).maxexp // 2 - 1
    plain, small, large = (jnp.linalg.norm(v * 2.0**k, axis=axis) * 2.0**-k for k in (0, half, -half))
    edge = 2.0 ** (4 * half // 5)
    return jnp.where(plain < 1 / edge, small, jnp.where(plain <= edge, plain, large))


def scale(matvec: MatVec, b: Float[Array, " n"]) -> Float[Array, ""]:
    """The size of A, |A p| for the probe: a root mean square of its singular values."""
    return norm(matvec(probe(b)))


def _iterate(choice, matvec, b):
    size = _unit(jnp.max(jnp.abs(b)))  # lineax compares entry by entry with rtol·|b_i| + atol: make |b| one
    if isinstance(choice.solver, Neumann):
        return size * _neumann(choice, matvec, b / size)
    refuse_varying("pullback.implicit", b, "a linear solver of lineax", "Implicit(linear_solver=Dense()) or Neumann()")
    tags = (lx.symmetric_tag, lx.positive_semidefinite_tag) if choice.symmetric else ()
    unit = _unit(scale(matvec, b))
    operator = lx.FunctionLinearOperator(lambda y: matvec(y) / unit, jax.eval_shape(lambda: b), tags)
    return size * (lx.linear_solve(operator, b / size, choice.solver, throw=False).value / unit)


def _unit(size: Float[Array, ""]) -> Float[Array, ""]:
    """The power of two next to a size, by which numbers are divided without rounding; 1 if it is zero."""
    usable = (size > 0) & jnp.isfinite(size)
    return jnp.exp2(jnp.round(jnp.log2(jnp.where(usable, size, 1))))


def _neumann(choice, matvec, b):
    max_steps = 10_000 if choice.max_steps is None else choice.max_steps

    def unfinished(state):
        _, r, step = state
        return (norm(r) > choice.tol * norm(b)) & (step < max_steps)

    def improve(state):
        y, r, step = state
        y = y + r
        return y, b - matvec(y), step + 1

    return jax.lax.while_loop(unfinished, improve, vary_like((jnp.zeros_like(b), b, jnp.array(0))))[0]
