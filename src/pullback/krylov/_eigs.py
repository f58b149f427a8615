r"""`eigs`: a few eigenvalues of a general operator, by restarted Arnoldi iteration, with exact derivatives.

The k wanted eigenvectors span an invariant subspace, A V = V Λ, with derivatives as `_invariant.py` has them;
`linalg.eig` of the small matrix Λ does the rest. Left vectors come from the transpose of A in the same way. No
derivative depends on how many Krylov vectors there were.

Sources: for eigenvectors of transfer matrices: H. Xie, J.-G. Liu, L. Wang, arXiv:2001.04121.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pullback.core import RESULTS, Adjoint, Implicit, InputError, Solution, by_throw, complex_dtype, hoist, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.krylov._arnoldi import KEYS, Arnoldi, Search, equal_within, is_cut, largest, ordered
from pullback.krylov._dense import Dense
from pullback.krylov._invariant import Problem, Wanted, adjoint_options, invariant, searched
from pullback.krylov._operators import Operator, scaled, start
from pullback.linalg import eig

Which = Literal["LM", "LR", "SR"]

_NEXT_TOL = 1e-6  # how well the next eigenvalue is looked for
_SMALL = 64  # below, the matrix is made and diagonalised
_ADJOINT_STEPS = 10_000


@by_throw
def eigs(
    operator: Operator,
    k: int = 1,
    *,
    v0: PyTree = None,
    shape: PyTree = None,
    which: Which = "LM",
    left: bool = False,
    solver: Arnoldi | Dense | None = None,
    tol: float | None = None,
    adjoint: Adjoint = Implicit(),  # noqa: B008
    max_steps: int = 300,
    throw: bool = True,
) -> tuple[PyTree, ...] | Solution[tuple[PyTree, ...]]:
    """The k dominant eigenvalues of a general operator and their eigenvectors, without a matrix.

    Differentiable in what the operator closes over, in every mode and order. Eigenvalues among the k may coincide
    (then as for `linalg.eig`), but the k-th must differ from the next one. Of a conjugate pair the value with positive
    imaginary part comes first.

    Args:
        operator: x -> A x, linear, on pytrees like v0; or a square matrix, dense or sparse, or a lineax
            operator.
        k: number of eigenvalues.
        v0: start vector, any pytree of arrays; not differentiated.
        shape: instead of v0, what the operator acts on: a shape, or a pytree of `jax.ShapeDtypeStruct`s. A matrix, or
            an operator that says it itself (`in_structure`), needs neither.
        which: "LM" largest modulus, "LR" largest real part, "SR" smallest real part.
        left: return left eigenvectors as well (twice the work).
        solver: `Dense` (default up to 64 states) or `Arnoldi` (default above).
        tol: |A v − λ v| of what is returned, relative to the largest |λ| seen; at least some rounding errors of A.
            None: 1e-10 in double precision.
        adjoint: `Implicit(tol=…, max_steps=…)`: tolerance of the derivative's linear equation, by default that of
            `tol`, and bound of the steps of GMRES, by default 10 000.
        max_steps: number of restarts.
        throw: raise if it has not converged; if False, return a `Solution`.

    Returns:
        (w, v), or (w, vl, v) with `left`: the eigenvalues, complex, in the order of `which`; the vectors, pytrees whose
        leaves have a last axis of length k, of length one and vl_i† v_j = δ_ij. Or, if not `throw`, a `Solution` of
        this, with the largest residual and the number of products with A in `steps`.

    Raises:
        ConvergenceError: the tolerance was not met, or the k-th eigenvalue equals the next one
            (`EquinoxRuntimeError` in compiled programs).
        InputError: k is not between 1 and n (n − 1 for `Arnoldi`); v0 is zero or not finite; the operator changes the
            form of v0; the solver or the adjoint is of another kind.

    Examples:
        The transfer matrix of the Ising chain: the free energy per site is −log λ / β, its derivative the energy.

        >>> def transfer(beta):
        ...     return jnp.exp(beta * jnp.array([[1.0, -1.0], [-1.0, 1.0]]))
        >>> energy = jax.grad(lambda beta: -jnp.log(eigs(transfer(beta))[0][0].real))(0.5)
        >>> f"{energy:.10f} {-jnp.tanh(0.5):.10f}"
        '-0.4621171573 -0.4621171573'
    """
    apply, v, unflatten = start("eigs", operator, v0, shape)
    if which not in KEYS:
        raise InputError(f"eigs: which={which!r}; it is one of {', '.join(map(repr, KEYS))}")
    solver = solver or (Dense() if v.size <= _SMALL else Arnoldi())
    most = v.size if isinstance(solver, Dense) else v.size - 1
    if not 1 <= k <= most:
        raise InputError(f"eigs: k={k}; it must be at least 1 and at most {most} for the dimension {v.size}")
    if not isinstance(solver, Arnoldi | Dense):
        raise InputError(f"eigs: solver={solver!r}; it is Arnoldi() or Dense(). For Hermitian operators take eigsh.")
    solver.check("eigs", v.size, k, which, metric=False)
    eps = float(jnp.finfo(v.dtype).eps)
    tol = max(1e-10, 1e2 * eps) if tol is None else tol
    linear = adjoint_options("eigs", adjoint, max(tol, 1e2 * eps), _ADJOINT_STEPS)
    complex_v = v.astype(complex_dtype(v.dtype))
    apply, unit = scaled(apply, v)
    if isinstance(solver, Dense):
        found, solution = _dense(apply, complex_v, k, which, left)
    else:
        fixed = Arnoldi(solver.size(k), solver.copies)
        wanted = Wanted(fixed, which, k, tol, max_steps, v0 is not None, hermitian=False, adjoint=linear)
        found, solution = _sparse(apply, complex_v, left, wanted, solver.copies)
    w, *vectors = found
    value = (w * unit.astype(w.dtype), *(jax.vmap(unflatten, in_axes=1, out_axes=-1)(u) for u in vectors))
    solution = Solution(value, solution.result, solution.residual * unit, solution.steps)
    return solution.unwrap("eigs") if throw else solution


def _dense(apply, v, k, which, left):
    """By the matrix: exact, with the derivatives of `linalg.eig`."""
    a = jax.vmap(apply, out_axes=1)(jnp.eye(v.size, dtype=v.dtype))
    finite = jnp.isfinite(jax.lax.stop_gradient(a)).all()
    a = jnp.where(finite, a, 0)  # the result tells
    w, vl, vr = eig(a, left=True)
    order = ordered(which, jax.lax.stop_gradient(w))
    cut = is_cut(jax.lax.stop_gradient(w)[order], k)
    size = largest(jax.lax.stop_gradient(w))
    w, vl, vr = w[order[:k]], vl[:, order[:k]], vr[:, order[:k]]
    residual = jnp.linalg.norm(jax.lax.stop_gradient(a.astype(vr.dtype) @ vr - vr * w[None, :]), axis=0).max()
    # LAPACK's residual is rounding relative to |A|, which may be far above the eigenvalues.
    size = jnp.maximum(size, jnp.linalg.norm(jax.lax.stop_gradient(a)))
    limit = 1e2 * v.size * jnp.finfo(v.dtype).eps * size
    result = RESULTS.where(residual <= limit, RESULTS.successful, RESULTS.stalled)
    result = RESULTS.where(cut, RESULTS.not_separated, result)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return (w, vl, vr) if left else (w, vr), Solution(None, result, residual, v.size)


def _sparse(apply, v, left, wanted: Wanted, copies: bool):
    closed, consts, _ = hoist(apply, v)
    fixed = jax.lax.stop_gradient(consts)
    w, vr, search = _right(closed, consts, v, wanted, copies)
    result, residual = _verified(closed, fixed, w, vr, search, wanted)
    if not left:
        return (w, vr), Solution(None, result, residual, search.products)

    def transposed(consts, u):  # not the adjoint: the same eigenvalues
        return jax.linear_transpose(partial(closed, consts), v)(u)[0]

    _, vl, other = _subspace(transposed, consts, v, wanted)
    dual = vl.conj() @ jnp.linalg.inv(vr.conj().T @ vl.conj())
    result_of_left, residual_of_left = _verified(transposed, fixed, w, dual.conj(), other, wanted)
    result = RESULTS.where(result == RESULTS.successful, result_of_left, result)
    worst = jnp.maximum(residual, residual_of_left)
    return (w, dual, vr), Solution(None, result, worst, search.products + other.products)


def _right(closed, consts, v, wanted: Wanted, copies: bool):
    """(w, right vectors as columns, how they were found), in the order of `which`."""
    matrix, vr, search = _subspace(closed, consts, v, wanted)
    w, y = eig(matrix)
    if copies:
        fixed = jax.lax.stop_gradient((consts, w, vr))
        search = _next_compared(closed, *fixed, v, search, wanted)
    order = ordered(wanted.which, jax.lax.stop_gradient(w))
    vr = vr @ y[:, order]
    return w[order], vr / jnp.linalg.norm(vr, axis=0)[None, :].astype(vr.dtype), search


def _subspace(closed, consts, v, wanted: Wanted):
    """(Λ, V) with A V = V Λ, differentiable, and how it was found."""
    problem = Problem("eigs", {"operator": closed}, wanted)
    matrix, rows, search = invariant(problem, {"operator": consts}, v)
    return jnp.nan_to_num(matrix), jnp.nan_to_num(rows).T, search  # the result says so, and is raised or returned


def _verified(closed, consts, w, vectors, search: Search, wanted: Wanted) -> tuple[RESULTS, Float[Array, ""]]:
    """(outcome, the largest |A v − λ v|) of the vectors that are returned, whatever the iteration thought of them."""
    w, vectors = jax.lax.stop_gradient((w, vectors))

    def largest_residual(consts, w, vectors):
        unit = vectors / jnp.linalg.norm(vectors, axis=0)[None, :].astype(vectors.dtype)
        image = jax.vmap(partial(closed, consts), in_axes=1, out_axes=1)(unit)
        return jnp.linalg.norm(image - unit * w[None, :], axis=0).max()

    parts = [(closed, (consts, vectors[:, 0]))]
    residual = compiled_once(largest_residual, "eigs: residual", parts, consts, w, vectors)
    limit = jnp.maximum(wanted.tol * search.size, 1e2 * jnp.finfo(w.dtype).eps * search.norm)
    result = RESULTS.where(residual <= limit, search.result, RESULTS.stalled)
    result = RESULTS.where(jnp.isfinite(residual), result, RESULTS.nonfinite)
    return RESULTS.where(search.result == RESULTS.successful, result, search.result), residual


def _next_compared(closed, consts, w, vectors, v, search: Search, wanted: Wanted) -> Search:
    """The search, refused if the next eigenvalue, sought from another start vector, is one of those found.

    With P = V V† on the invariant space, (1 − P) A (1 − P) + c P has the other eigenvalues of A, and c, which is put
    where it is not wanted.
    """
    size = largest(w)
    lift = ({"LM": 0, "LR": -2, "SR": 2}[str(wanted.which)] * size).astype(vectors.dtype)

    def rest(parts, u):
        consts, vectors, lift = parts
        inside = vectors @ (vectors.conj().T @ u)
        image = closed(consts, u - inside)
        return image - vectors @ (vectors.conj().T @ image) + lift * inside

    first = vary_like(jax.random.normal(jax.random.key(5), v.shape, v.dtype), v)
    looser = wanted._replace(k=1, tol=max(wanted.tol, _NEXT_TOL))
    small, _, second = searched(
        Problem("eigs", {"operator": rest}, looser), {"operator": [consts, vectors, lift]}, first
    )
    other = small[0, 0]
    key = KEYS[str(wanted.which)]
    last = w[ordered(wanted.which, w)[-1]]
    apart = 1e2 * looser.tol * size
    same = (jnp.abs(w - other) <= equal_within(w) + looser.tol * size).any()
    missed = (key(other) > key(last) + apart) & (not wanted.of_sector)
    good = search.result == RESULTS.successful
    result = RESULTS.where(good & missed, RESULTS.breakdown, search.result)
    result = RESULTS.where(good & same, RESULTS.not_separated, result)
    return search._replace(result=result, products=search.products + second.products)
