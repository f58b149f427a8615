r"""`eigsh`: a few eigenpairs of a Hermitian operator without a matrix, with exact derivatives.

The k wanted eigenvectors span an invariant subspace, H V = S V Λ, V† S V = 1, with S = 1, or the metric of H x = λ S x.
A solver object finds it; `_invariant.py` has its derivatives, and `linalg.eigh` of the small matrix Λ does the rest.

All that can make a derivative wrong without a warning is measured: the residual, and the gap to the next level. The
error of dV is about residual / gap. H, S and the preconditioner are divided by powers of two that make their largest
entries about one, so that no norm overflows, whatever the units.
"""

from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from pullback.core import Adjoint, Implicit, InputError, Solution, by_throw, hoist, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.krylov._davidson import Davidson
from pullback.krylov._dense import Dense
from pullback.krylov._invariant import Problem, Wanted, adjoint_options, invariant
from pullback.krylov._lanczos import Lanczos
from pullback.krylov._operators import Operator, flat_operator, scaled, start
from pullback.krylov._pencil import Found
from pullback.linalg import eigh

Which = Literal["SA", "LA"] | float | int
Solver = Lanczos | Davidson | Dense

_SMALL = 100  # states: below, the matrix is made


@by_throw
def eigsh(
    operator: Operator,
    k: int = 1,
    *,
    v0: PyTree = None,
    shape: PyTree = None,
    b: Operator | None = None,
    which: Which = "SA",
    solver: Solver | None = None,
    tol: float = 1e-11,
    adjoint: Adjoint = Implicit(),  # noqa: B008
    max_steps: int = 3000,
    throw: bool = True,
) -> tuple[Float[Array, " k"], PyTree] | Solution[tuple[Float[Array, " k"], PyTree]]:
    """The k lowest (or highest, or nearest) levels of a Hermitian operator and their vectors, without a matrix.

    Differentiable in everything that `operator` and `b` close over, in every mode and order, at the cost of one linear
    equation each, whatever the number of iterations. Levels among the k may coincide: functions of the vectors that do
    not depend on the choice of basis in a multiplet have exact derivatives, and so have sums of its levels (for
    products of both, as in tr(Λ V† O V), make Λ = V† H V from the vectors). The k-th level must be apart from the next.

    By default the matrix is made up to 100 states, or 4 (k + 2) (`Dense`); above, one state of H x = λ x at the end of
    the spectrum is found by `Lanczos`, anything else by `Davidson`.

    Args:
        operator: x -> H x, linear and Hermitian, on pytrees like v0, as the models of `lattices` and the sums of
            `operators` are; or a Hermitian matrix (also a sparse one, of SciPy or `jax.experimental.sparse.BCOO`), or a
            lineax operator.
        k: number of levels.
        v0: start vector, any pytree of arrays; not differentiated.
        shape: instead of v0, what the operator acts on: a shape, or a pytree of `jax.ShapeDtypeStruct`s. A matrix, or
            an operator that says it itself (`in_structure`), needs neither.
        b: the metric S of H x = λ S x, Hermitian and positive definite, in any form of `operator`.
        which: "SA" lowest, "LA" highest, or a number: the levels nearest to it, which should not be one of them. Levels
            inside the spectrum take many more products with H.
        solver: `Lanczos`, `Davidson`, which takes a preconditioner, or `Dense`; None: as above.
        tol: |H v − λ S v| relative to the largest level seen; at least some rounding errors.
        adjoint: `Implicit(tol=…, max_steps=…)`: tolerance of the derivative's linear equation, by default a tenth of
            `tol`, and bound of its steps, by default `max_steps`.
        max_steps: bound on products with H for one vector, or on steps of the block.
        throw: raise if it has not converged; if False, return a `Solution`.

    Returns:
        (w, v): the levels, ascending ("LA": descending; a number: by distance), and the vectors, pytrees whose leaves
        have a last axis of length k, with v† S v = 1. Or, if not `throw`, a `Solution` of this: `residual` the largest
        |H v − λ S v|, `steps` the number of products with H, and in `stats` the `gap` to the next level, the
        `gradient_error` residual / gap, and `asymmetry`, which is zero up to rounding if the operator is Hermitian.

    Raises:
        ConvergenceError: the tolerance was not met; or the k-th level equals the next one as far as can be seen, so
            that the vectors, and derivatives, are not determined (`EquinoxRuntimeError` in compiled programs).
        InputError: k is not between 1 and n; v0 is zero or not finite; the operator changes the form of v0, or is
            not Hermitian (tried with a random vector, outside `jit`); the solver cannot do what is asked; the adjoint
            is of another kind.

    Examples:
        The ground state of a particle on a ring with a periodic potential; dE/dA is the mean of cos x.

        >>> x = 2 * jnp.pi * jnp.arange(300) / 300
        >>> def hamiltonian(depth):
        ...     return lambda u: (2 * u - jnp.roll(u, 1) - jnp.roll(u, -1)) * 300**2 / 80 + depth * jnp.cos(x) * u
        >>> energy = lambda depth: eigsh(hamiltonian(depth), shape=300)[0][0]
        >>> _, psi = eigsh(hamiltonian(2.0), shape=300)
        >>> bool(jnp.allclose(jax.grad(energy)(2.0), jnp.cos(x) @ psi[:, 0] ** 2))
        True
    """
    apply, v, unflatten = start("eigsh", operator, v0, shape)
    metric = flat_operator("eigsh", b, unflatten(v))[0] if b is not None else None
    n = v.size
    if not (isinstance(which, float | int) or which in ("SA", "LA")):
        raise InputError(f"eigsh: which={which!r}; it is 'SA', 'LA', or a number")
    if not 1 <= k <= n:
        raise InputError(f"eigsh: k={k}; it must be at least 1 and at most the dimension {n}")
    solver = _chosen(n, k, which, metric is not None) if solver is None else solver
    if not isinstance(solver, Solver):
        raise InputError(f"eigsh: solver={solver!r}; it is Lanczos(), Davidson() or Dense()")
    solver.check("eigsh", n, k, which, metric is not None)
    eps = float(jnp.finfo(v.dtype).eps)
    tol = max(tol, 30 * eps)
    linear_tol, linear_steps = adjoint_options("eigsh", adjoint, tol / 10, max_steps)
    linear = max(linear_tol, 10 * eps), linear_steps

    apply, unit = scaled(apply, v)
    parts, length = {"operator": apply}, jnp.ones_like(unit)
    if metric is not None:
        parts["metric"], weight = scaled(metric, v)
        unit, length = unit / weight, jnp.sqrt(weight)
    closed, consts = {}, {}
    for name, function in parts.items():
        closed[name], consts[name], _ = hoist(function, v)
    if isinstance(solver, Davidson) and solver.precond is not None:
        inverse = scaled(flat_operator("eigsh", solver.precond, unflatten(v))[0], v)[0]
        hoisted, kept, _ = hoist(inverse, v)
        closed["precond"], consts["precond"] = hoisted, jax.lax.stop_gradient(kept)
        solver = Davidson(solver.basis)
    if not isinstance(which, str):
        consts["shift"] = [which / unit]
    consts, v = vary_like((consts, v))
    wanted = Wanted(solver, which, k, tol, max_steps, v0 is not None, hermitian=True, adjoint=linear)
    problem = Problem("eigsh", closed, wanted)
    small, vectors, found = invariant(problem, consts, v)
    solution = _judged(problem, consts, v, found, unit, length)
    small, vectors = jnp.nan_to_num(small), jnp.nan_to_num(vectors)  # `solution` tells
    w, u = eigh(small)
    order = _order(problem, consts, jax.lax.stop_gradient(w))
    w, vectors = w[order] * unit, u[:, order].T @ vectors / length.astype(vectors.dtype)
    value = w, jax.vmap(unflatten, in_axes=0, out_axes=-1)(vectors)
    solution = eqx.tree_at(lambda s: s.value, solution, value, is_leaf=lambda leaf: leaf is None)
    return solution.unwrap("eigsh") if throw else solution


def _chosen(n: int, k: int, which: Which, metric: bool) -> Solver:
    if n <= max(_SMALL, 4 * (k + 2)):
        return Dense()
    return Lanczos() if k == 1 and not metric and isinstance(which, str) else Davidson()


def _order(problem: Problem, consts: dict[str, list], w: Float[Array, " k"]) -> Array:
    if isinstance(problem.wanted.which, str):
        return jnp.argsort(problem.sign * w)
    return jnp.argsort(jnp.abs(w - consts["shift"][0]))


def _judged(
    problem: Problem, consts: dict[str, list], v: Array, found: Found, unit: Array, length: Array
) -> Solution[Any]:
    """What there is to say about the iteration, in the user's units; an operator that is not Hermitian is refused

    outside `jit`.
    """
    fixed = jax.lax.stop_gradient(consts)
    parts = [(problem.closed["operator"], (fixed["operator"], v))]
    asymmetry = compiled_once(partial(_asymmetry, problem), "eigsh: asymmetry", parts, fixed, v)
    limit = 1e4 * float(jnp.finfo(v.dtype).eps) * v.size**0.5
    if not isinstance(asymmetry, Tracer) and asymmetry > limit:
        raise InputError(
            f"eigsh: the operator is not Hermitian: <y|Hx> and <Hy|x> differ by {float(asymmetry):.1e}, relative to "
            "|Hx| |y|. For other operators take eigs."
        )
    error = jnp.where(found.gap > 0, found.residual / jnp.where(found.gap > 0, found.gap, 1), jnp.inf)
    stats = {"gap": found.gap * unit, "gradient_error": error, "asymmetry": asymmetry}
    return Solution(None, found.result, found.residual * unit * length, found.products, stats)


def _asymmetry(problem: Problem, consts: dict[str, list], v: Array) -> Array:
    """|<y|Hx> − <Hy|x>| / |Hx| |y| for two random vectors."""
    x, y = (vary_like(jax.random.normal(jax.random.key(i), v.shape, v.dtype), v) for i in (1, 2))
    image, other = problem.apply(consts, x), problem.apply(consts, y)
    size = jnp.linalg.norm(image) * jnp.linalg.norm(y)
    return jnp.abs(jnp.vdot(y, image) - jnp.vdot(other, x)) / jnp.maximum(size, jnp.finfo(v.dtype).tiny)
