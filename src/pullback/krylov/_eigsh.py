r"""`eigsh`: a few eigenpairs of a Hermitian operator without a matrix, with exact derivatives.

The k wanted eigenvectors span an invariant subspace. With a basis V (columns) and S = 1, or the metric of H x = λ S x,

    H V = S V Λ,        V† S V = 1,

Λ is kept as a *matrix*: then the derivative exists at multiplets inside the k levels, at every order. With
M = V† dS V and the projector Q = 1 − V V† S it is

    dΛ = V† dH V − ½ (M Λ + Λ M),
    dV = −½ V M + Y,        Q† (H Y − S Y Λ) = −Q† (dH V − dS V Λ),     V† S Y = 0,

and `linalg.eigh` of the small matrix Λ does the rest. The equation for Y is stated to JAX as such, which differentiates
it to every order. It is Hermitian, and positive for states at the end of the spectrum (conjugate gradients); for
states inside it is not (MINRES). How the vectors were found plays no part, and none of the Krylov vectors is kept.

All that can make a derivative wrong without a warning is measured: the residual, and the gap to the next level. The
error of dV is about residual / gap. H, S and the preconditioner are divided by powers of two that make their largest
entries about one, so that no norm overflows, whatever the units.

Sources: H. Xie, J.-G. Liu, L. Wang, arXiv:2001.04121 (one dominant state); the rest follows from the equations above.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, overload

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Inexact, PyTree

from pullback.core import InputError, Solution, error_if, jvp_of_live, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.core._linear_map import hoist
from pullback.krylov._davidson import davidson
from pullback.krylov._lanczos import Found, lanczos, verdict
from pullback.krylov._linear import conjugate_gradients, minres
from pullback.krylov._operators import Operator, flat_operator, like, scaled, shape_of
from pullback.linalg import eigh

Which = Literal["SA", "LA"] | float
Apply = Callable[[Array], Array]

_SMALL = 100  # states: below, the matrix is made


@overload
def eigsh(
    operator: Operator,
    k: int = ...,
    *,
    v0: PyTree = ...,
    shape: PyTree = ...,
    b: Operator | None = ...,
    which: Which = ...,
    precond: Callable[[PyTree], PyTree] | None = ...,
    basis: int | None = ...,
    copies: bool = ...,
    tol: float = ...,
    adjoint_tol: float | None = ...,
    max_steps: int = ...,
    throw: Literal[True] = ...,
) -> tuple[Float[Array, " k"], PyTree]: ...


@overload
def eigsh(
    operator: Operator,
    k: int = ...,
    *,
    v0: PyTree = ...,
    shape: PyTree = ...,
    b: Operator | None = ...,
    which: Which = ...,
    precond: Callable[[PyTree], PyTree] | None = ...,
    basis: int | None = ...,
    copies: bool = ...,
    tol: float = ...,
    adjoint_tol: float | None = ...,
    max_steps: int = ...,
    throw: Literal[False],
) -> Solution[tuple[Float[Array, " k"], PyTree]]: ...


def eigsh(
    operator,
    k=1,
    *,
    v0=None,
    shape=None,
    b=None,
    which: Any = "SA",
    precond=None,
    basis=None,
    copies=True,
    tol=1e-11,
    adjoint_tol=None,
    max_steps=3000,
    throw=True,
):
    """The k lowest (or highest, or nearest) levels of a Hermitian operator and their vectors, without a matrix.

    Differentiable in everything that `operator` and `b` close over, in every mode and order, at the cost of one linear
    equation each, whatever the number of iterations. Levels among the k may coincide: functions of the vectors that do
    not depend on the choice of basis in a multiplet have exact derivatives, and so have sums of its levels (for
    products of both, as in tr(Λ V† O V), make Λ = V† H V from the vectors). The k-th level must be apart from the next.

    One state without a preconditioner is found by Lanczos' recurrence in two passes, with memory for a few vectors; it
    stays in the symmetry sector of v0, if the operator conserves one. A second search, from another start vector, looks
    for the next level, which may be a second state of the same energy (a fifth to a half of the time of the first one).
    Anything else is found in a restarted block of vectors (Davidson's method; without a preconditioner block Lanczos),
    which sees multiplets of up to k + 2 states. Up to 100 states, or 4 (k + 2), the matrix is made.

    Args:
        operator: x -> H x, linear and Hermitian, on pytrees like v0; or a Hermitian matrix (also a sparse one, of SciPy
            or `jax.experimental.sparse.BCOO`), or a lineax operator.
        k: number of levels.
        v0: start vector, any pytree of arrays; not differentiated.
        shape: instead of v0, what the operator acts on: a shape, or a pytree of `jax.ShapeDtypeStruct`s. A matrix needs
            neither.
        b: the metric S of H x = λ S x, Hermitian and positive definite, in any form of `operator`.
        which: "SA" lowest, "LA" highest, or a number: the levels nearest to it, which should not be one of them. Levels
            inside the spectrum take many more products with H.
        precond: r -> about (H − λ)⁻¹ r, Hermitian and positive definite, as (K + c)⁻¹ for H = K + V on a grid.
        basis: number of stored vectors of the block method; None: max(4 (k + 2), 24).
        copies: whether that second search is made. Without it the gap is the one inside the symmetry sector of v0, and
            a second state of the same energy in another sector goes unseen: for v0 in one sector of several.
        tol: |H v − λ S v| relative to the largest level seen; at least some rounding errors.
        adjoint_tol: tolerance of the derivative's linear equation; None: a tenth of tol.
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
            not Hermitian (tried with a random vector, outside `jit`).

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
    apply, v, unflatten = _start(operator, v0, shape)
    metric = flat_operator("eigsh", b, unflatten(v))[0] if b is not None else None
    n = v.size
    if not (isinstance(which, float | int) or which in ("SA", "LA")):
        raise InputError(f"eigsh: which={which!r}; it is 'SA', 'LA', or a number")
    if not 1 <= k <= n:
        raise InputError(f"eigsh: k={k}; it must be at least 1 and at most the dimension {n}")
    block = min(k + 2, n)
    size = max(4 * block, 24) if basis is None else basis
    if basis is not None and not 2 * block <= basis:
        raise InputError(f"eigsh: basis={basis}; it must be at least 2 (k + 2) = {2 * block}")
    eps = float(jnp.finfo(v.dtype).eps)
    tol = max(tol, 30 * eps)
    adjoint_tol = max(tol / 10 if adjoint_tol is None else adjoint_tol, 10 * eps)
    options = _Options(k, which, min(size, n), tol, adjoint_tol, max_steps, copies, v0 is not None)

    apply, unit = scaled(apply, v)
    parts, length = {"operator": apply}, jnp.ones_like(unit)
    if metric is not None:
        parts["metric"], weight = scaled(metric, v)
        unit, length = unit / weight, jnp.sqrt(weight)
    closed, consts = {}, {}
    for name, function in parts.items():
        closed[name], consts[name], _ = hoist(function, v)
    if precond is not None:
        inverse = scaled(flat_operator("eigsh", precond, unflatten(v))[0], v)[0]
        hoisted, kept, _ = hoist(inverse, v)
        closed["precond"], consts["precond"] = hoisted, jax.lax.stop_gradient(kept)
    if not isinstance(which, str):
        consts["shift"] = [which / unit]
    consts, v = vary_like((consts, v))
    problem = _Problem(closed, options)
    small, vectors, found = _subspace(problem, consts, v)
    solution = _judged(problem, consts, v, found, unit, length)
    small, vectors = jnp.nan_to_num(small), jnp.nan_to_num(vectors)  # `solution` tells
    w, u = eigh(small)
    order = _order(problem, consts, jax.lax.stop_gradient(w))
    w, vectors = w[order] * unit, u[:, order].T @ vectors / length.astype(vectors.dtype)
    value = w, jax.vmap(unflatten, in_axes=0, out_axes=-1)(vectors)
    solution = eqx.tree_at(lambda s: s.value, solution, value, is_leaf=lambda leaf: leaf is None)
    return solution.unwrap("eigsh") if throw else solution


class _Options(NamedTuple):
    k: int
    which: Which
    basis: int
    tol: float
    adjoint_tol: float
    max_steps: int
    copies: bool
    of_sector: bool  # the start vector is the user's

    def separated(self, eps: float) -> float:
        """The largest residual / gap at which vectors and derivatives are trusted."""
        return max(1e-5, eps ** (1 / 3))


class _Problem(NamedTuple):
    """Hoisted functions (consts, x) -> …, by name, and what is wanted. The constants are the differentiable part."""

    closed: dict[str, Callable[[list, Array], Array]]
    options: _Options

    def apply(self, consts: dict[str, list], x: Array) -> Array:
        return self.closed["operator"](consts["operator"], x)

    def metric(self, consts: dict[str, list], x: Array) -> Array:
        return self.closed["metric"](consts["metric"], x) if "metric" in self.closed else x

    def precond(self, consts: dict[str, list]) -> Apply | None:
        if "precond" not in self.closed:
            return None
        return lambda x: self.closed["precond"](consts["precond"], x)


def _start(operator: Operator, v0: PyTree, shape: PyTree) -> tuple[Apply, Inexact[Array, " n"], Callable]:
    if v0 is not None and shape is not None:
        raise InputError("eigsh: give v0 or shape, not both")
    if v0 is None:
        shape = shape_of("eigsh", operator) if shape is None else shape
        apply, zeros, unflatten = flat_operator("eigsh", operator, like(shape))
        start = jax.random.normal(jax.random.key(0), zeros.shape, zeros.dtype)
        return apply, vary_like(start, zeros), unflatten
    apply, v, unflatten = flat_operator("eigsh", operator, v0)
    v = jax.lax.stop_gradient(v)
    if not isinstance(v, Tracer) and not (jnp.isfinite(v).all() and v.any()):
        raise InputError("eigsh: v0 is zero or not finite")
    return apply, v, unflatten


def _order(problem: _Problem, consts: dict[str, list], w: Float[Array, " k"]) -> Array:
    which = problem.options.which
    if which == "SA":
        return jnp.argsort(w)
    return jnp.argsort(-w) if which == "LA" else jnp.argsort(jnp.abs(w - consts["shift"][0]))


def _subspace(problem: _Problem, consts: dict[str, list], v: Array) -> tuple[Array, Array, Found]:
    """(Λ, Vᵀ, how it was found): Λ is k×k, the vectors are rows."""
    small, vectors, found = _invariant(problem, consts, v)
    return small, vectors, jax.lax.stop_gradient(found)


def _invariant_impl(problem: _Problem, consts: dict[str, list], v: Array) -> tuple[Array, Array, Found]:
    """The iteration; outside `jit` one program for all operators that do the same."""
    parts = [(function, (consts[name], v)) for name, function in sorted(problem.closed.items())]
    static = ("eigsh", problem.options, tuple(sorted(problem.closed)))
    return compiled_once(lambda consts, v: _search(problem, consts, v), static, parts, consts, v)


def _search(problem: _Problem, consts: dict[str, list], v: Array) -> tuple[Array, Array, Found]:
    options = problem.options
    sign = -1.0 if options.which == "LA" else 1.0
    eps = float(jnp.finfo(v.dtype).eps)
    trust = {"tol": options.tol, "separated": options.separated(eps)}

    def apply(x):
        return sign * problem.apply(consts, x)

    plain = "metric" not in problem.closed
    k = options.k
    if v.size <= max(_SMALL, 4 * (k + 2)):
        return _dense(problem, consts, v)
    if k == 1 and plain and "precond" not in problem.closed and isinstance(options.which, str):
        how = {"copies": options.copies, "of_sector": options.of_sector, "max_steps": options.max_steps}
        w, vector, found = lanczos(apply, v, **trust, **how)
        return (sign * w)[None, None].astype(vector.dtype), vector[None], found
    shift = None if isinstance(options.which, str) else consts["shift"][0]
    w, vectors, found = davidson(
        apply,
        v,
        options.k,
        metric=None if plain else lambda x: problem.metric(consts, x),
        precond=problem.precond(consts),
        shift=shift,
        basis=options.basis,
        max_steps=options.max_steps,
        **trust,
    )
    return jnp.diag(sign * w).astype(vectors.dtype), vectors, found


def _dense(problem: _Problem, consts: dict[str, list], v: Array) -> tuple[Array, Array, Found]:
    """By the matrix, which is diagonalised; what comes out is judged as on every other path."""
    options, k = problem.options, problem.options.k
    basis = jnp.eye(v.size, dtype=v.dtype)
    matrix = jax.vmap(lambda x: problem.apply(consts, x), out_axes=1)(basis)
    matrix = (matrix + matrix.conj().T) / 2
    metric = None
    if "metric" not in problem.closed:
        w, u = jnp.linalg.eigh(matrix)
    else:
        metric = jax.vmap(lambda x: problem.metric(consts, x), out_axes=1)(basis)
        metric = (metric + metric.conj().T) / 2
        factor = jnp.linalg.inv(jnp.linalg.cholesky(metric))
        w, u = jnp.linalg.eigh(factor @ matrix @ factor.conj().T)
        u = factor.conj().T @ u
    order = _order(problem, consts, w)
    w, u = w[order], u[:, order]
    residuals = matrix @ u[:, :k] - (u if metric is None else metric @ u)[:, :k] * w[None, :k].astype(u.dtype)
    residual = jnp.linalg.norm(residuals, axis=0).max()
    gap = jnp.abs(w[:k, None] - w[None, k:]).min(initial=jnp.inf)
    eps = float(jnp.finfo(v.dtype).eps)
    # LAPACK is as good as rounding allows, which is not for the tolerance to say.
    tol = max(options.tol, 10 * v.size * eps) if metric is None else options.tol**0.5
    result = verdict(residual, gap, jnp.abs(w).max(), tol=tol, separated=options.separated(eps))
    return jnp.diag(w[:k]).astype(u.dtype), u[:, :k].T, Found(result, residual, gap, jnp.asarray(v.size))


_invariant = jax.custom_jvp(_invariant_impl, nondiff_argnums=(0,))


@partial(_invariant.defjvp, symbolic_zeros=True)
def _(problem: _Problem, primals, tangents):
    (consts, v), (dconsts, _) = primals, tangents
    small, vectors, found = _invariant(problem, consts, v)

    def products(consts):
        return (
            jax.vmap(lambda x: problem.apply(consts, x))(vectors),
            jax.vmap(lambda x: problem.metric(consts, x))(vectors),
        )

    (_, weighted), (dh, ds) = jvp_of_live(products, (consts,), (dconsts,))
    with_metric = "metric" in problem.closed
    overlap = vectors.conj() @ ds.T if with_metric else None  # M
    dsmall = vectors.conj() @ dh.T
    source = dh
    if overlap is not None:
        dsmall = dsmall - (overlap @ small + small @ overlap) / 2
        source = dh - small.T @ ds
    dsmall = (dsmall + dsmall.conj().T) / 2  # both parts are Hermitian to rounding; Λ must be, exactly
    y = _complement(problem, consts, small, vectors, weighted, -source)
    dvectors = y if overlap is None else y - overlap.T @ vectors / 2
    return (small, vectors, found), (dsmall, dvectors, jax.tree.map(_no_tangent, found))


def _no_tangent(a: Array) -> SymbolicZero:
    return SymbolicZero(jax.typeof(a).to_tangent_aval())


def _complement(
    problem: _Problem, consts: dict[str, list], small: Array, vectors: Array, weighted: Array, source: Array
) -> Array:
    """Y of the equation at the top, for the right-hand side `source`; all vectors are rows."""
    options = problem.options
    if options.k == source.shape[1]:  # nothing is left over
        return jnp.zeros_like(source)
    upper = options.which == "LA"
    sign = -1.0 if upper else 1.0

    def project(x):  # Q
        return x - (x @ weighted.conj().T) @ vectors

    def project_back(x):  # Q†
        return x - (x @ vectors.conj().T) @ weighted

    def matvec(y):
        y_in = project(y)
        image = jax.vmap(lambda x: problem.apply(consts, x))(y_in)
        image = image - small.T @ jax.vmap(lambda x: problem.metric(consts, x))(y_in)
        return sign * project_back(image) + (y @ weighted.conj().T) @ weighted

    fixed = jax.lax.stop_gradient((consts, vectors, weighted))
    inverse = problem.precond(fixed[0])

    def precondition(r):
        if inverse is None:
            return r
        inside = r - (r @ fixed[1].conj().T) @ fixed[2]
        z = jax.vmap(inverse)(inside)
        z = z - (z @ fixed[2].conj().T) @ fixed[1]
        return z + (r @ fixed[1].conj().T) @ fixed[1]

    method = conjugate_gradients if isinstance(options.which, str) else minres

    def solve(matvec, b):
        x, converged = method(matvec, b, precondition, tol=options.adjoint_tol, max_steps=options.max_steps)
        return error_if(
            x,
            ~converged,
            "eigsh: the linear equation of the derivative was not solved. A level next to the wanted ones is too near "
            "(ask for all members of a multiplet), or max_steps is too small, or adjoint_tol too tight.",
        )

    def transposed(vecmat, b):  # the transpose of a Hermitian map is its conjugate
        return solve(lambda x: vecmat(x.conj()).conj(), b.conj()).conj()

    y = jax.lax.custom_linear_solve(matvec, sign * project_back(source), solve, transpose_solve=transposed)
    return project(y)


def _judged(
    problem: _Problem, consts: dict[str, list], v: Array, found: Found, unit: Array, length: Array
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


def _asymmetry(problem: _Problem, consts: dict[str, list], v: Array) -> Array:
    """|<y|Hx> − <Hy|x>| / |Hx| |y| for two random vectors."""
    x, y = (vary_like(jax.random.normal(jax.random.key(i), v.shape, v.dtype), v) for i in (1, 2))
    image, other = problem.apply(consts, x), problem.apply(consts, y)
    size = jnp.linalg.norm(image) * jnp.linalg.norm(y)
    return jnp.abs(jnp.vdot(y, image) - jnp.vdot(other, x)) / jnp.maximum(size, jnp.finfo(v.dtype).tiny)
