r"""`eigs`: a few eigenvalues of a general operator, by restarted Arnoldi iteration, with exact derivatives.

The k wanted eigenvectors span an invariant subspace with the basis V, A V = V Λ. It is an isolated root of

    A V − V Λ = 0,      V₀† V = 1,

as long as Λ (kept as a k×k matrix, so that eigenvalues inside it may coincide) shares no eigenvalue with the rest of
A. `implicit.attach` differentiates these equations in every mode and order, by GMRES; `linalg.eig` of Λ does the rest.
Left vectors come from A† in the same way. No derivative depends on how many Krylov vectors there were.

Sources: G. W. Stewart, SIAM J. Matrix Anal. Appl. 23, 601 (2001) (restarts with Ritz vectors); for eigenvectors of
transfer matrices: H. Xie, J.-G. Liu, L. Wang, arXiv:2001.04121.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, overload

import jax
import jax.numpy as jnp
import lineax as lx
from jax.core import Tracer
from jaxtyping import Array, Bool, Complex, Float, Int, PyTree

from pullback.core import RESULTS, Implicit, InputError, Solution, complex_dtype, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.core._linear_map import hoist
from pullback.implicit import attach
from pullback.krylov._operators import Operator, flat_operator, like, scaled, shape_of
from pullback.linalg import eig

Which = Literal["LM", "LR", "SR"]

_NEXT_TOL = 1e-6  # how well the next eigenvalue is looked for
_SMALL = 64  # below, the matrix is made and diagonalised
_ORDER: dict[str, Callable[[Array], Array]] = {"LM": jnp.abs, "LR": jnp.real, "SR": lambda w: -jnp.real(w)}


@overload
def eigs(
    operator: Operator,
    k: int = ...,
    *,
    v0: PyTree = ...,
    shape: PyTree = ...,
    which: Which = ...,
    left: bool = ...,
    basis: int | None = ...,
    copies: bool = ...,
    tol: float | None = ...,
    adjoint_tol: float | None = ...,
    max_steps: int = ...,
    throw: Literal[True] = ...,
) -> tuple[PyTree, ...]: ...


@overload
def eigs(
    operator: Operator,
    k: int = ...,
    *,
    v0: PyTree = ...,
    shape: PyTree = ...,
    which: Which = ...,
    left: bool = ...,
    basis: int | None = ...,
    copies: bool = ...,
    tol: float | None = ...,
    adjoint_tol: float | None = ...,
    max_steps: int = ...,
    throw: Literal[False],
) -> Solution[tuple[PyTree, ...]]: ...


def eigs(
    operator,
    k=1,
    *,
    v0=None,
    shape=None,
    which="LM",
    left=False,
    basis=None,
    copies=True,
    tol=None,
    adjoint_tol=None,
    max_steps=300,
    throw=True,
):
    """The k dominant eigenvalues of a general operator and their eigenvectors, without a matrix.

    Differentiable in what the operator closes over, in every mode and order. Eigenvalues among the k may coincide
    (then as for `linalg.eig`), but the k-th must differ from the next one. Of a conjugate pair the value with positive
    imaginary part comes first. The iteration starts from one vector and does not see the second of two equal
    eigenvalues; a second, less exact one, on the complement of what was found, looks for it.

    Args:
        operator: x -> A x, linear, on pytrees like v0; or a square matrix, dense or sparse, or a lineax
            operator.
        k: number of eigenvalues.
        v0: start vector, any pytree of arrays; not differentiated.
        shape: instead of v0, what the operator acts on: a shape, or a pytree of `jax.ShapeDtypeStruct`s. A matrix
            needs neither.
        which: "LM" largest modulus, "LR" largest real part, "SR" smallest real part.
        left: return left eigenvectors as well (twice the work).
        basis: number of stored Krylov vectors; None: max(2k + 10, 24).
        copies: whether that second iteration is made (up to 64 states it is not needed).
        tol: |A v − λ v| of what is returned, relative to the largest |λ| seen; at least some rounding errors of A.
            None: 1e-10 in double precision.
        adjoint_tol: tolerance of the derivative's linear equation; None: that of `tol`.
        max_steps: number of restarts.
        throw: raise if it has not converged; if False, return a `Solution`.

    Returns:
        (w, v), or (w, vl, v) with `left`: the eigenvalues, complex, in the order of `which`; the vectors, pytrees whose
        leaves have a last axis of length k, of length one and vl_i† v_j = δ_ij. Or, if not `throw`, a `Solution` of
        this, with the largest residual and the number of products with A in `steps`.

    Raises:
        ConvergenceError: the tolerance was not met, or the k-th eigenvalue equals the next one
            (`EquinoxRuntimeError` in compiled programs).
        InputError: k is not between 1 and n (n − 1 above 64 states); v0 is zero or not finite; the operator changes the
            form of v0.

    Examples:
        The transfer matrix of the Ising chain: the free energy per site is −log λ / β, its derivative the energy.

        >>> def transfer(beta):
        ...     return jnp.exp(beta * jnp.array([[1.0, -1.0], [-1.0, 1.0]]))
        >>> energy = jax.grad(lambda beta: -jnp.log(eigs(transfer(beta))[0][0].real))(0.5)
        >>> f"{energy:.10f} {-jnp.tanh(0.5):.10f}"
        '-0.4621171573 -0.4621171573'
    """
    apply, v, unflatten = _problem(operator, v0, shape)
    if which not in _ORDER:
        raise InputError(f"eigs: which={which!r}; it is one of {', '.join(map(repr, _ORDER))}")
    most = v.size if v.size <= _SMALL else v.size - 1
    if not 1 <= k <= most:
        raise InputError(f"eigs: k={k}; it must be at least 1 and at most {most} for the dimension {v.size}")
    complex_v = v.astype(complex_dtype(v.dtype))
    eps = float(jnp.finfo(v.dtype).eps)
    tol = max(1e-10, 1e2 * eps) if tol is None else tol
    apply, unit = scaled(apply, v)
    if v.size <= _SMALL:
        found, solution = _dense(apply, complex_v, k, which, left)
    else:
        size = max(2 * k + 10, 24) if basis is None else basis
        if not k + 2 <= size <= v.size:
            raise InputError(f"eigs: basis={size}; it must be at least k + 2 = {k + 2} and at most {v.size}")
        options = _Options(k, which, size, tol, max_steps, max(tol, 1e2 * eps) if adjoint_tol is None else adjoint_tol)
        found, solution = _sparse(apply, complex_v, left, options, copies, v0 is not None)
    w, *vectors = found
    value = (w * unit.astype(w.dtype), *(jax.vmap(unflatten, in_axes=1, out_axes=-1)(u) for u in vectors))
    solution = Solution(value, solution.result, solution.residual * unit, solution.steps)
    return solution.unwrap("eigs") if throw else solution


def _problem(operator, v0, shape):
    if v0 is not None and shape is not None:
        raise InputError("eigs: give v0 or shape, not both")
    if v0 is None:
        shape = shape_of("eigs", operator) if shape is None else shape
        apply, zeros, unflatten = flat_operator("eigs", operator, like(shape))
        start = jax.random.normal(jax.random.key(0), zeros.shape, zeros.dtype)
        return apply, vary_like(start, zeros), unflatten
    apply, v, unflatten = flat_operator("eigs", operator, v0)
    v = jax.lax.stop_gradient(v)
    if not isinstance(v, Tracer) and not (jnp.isfinite(v).all() and v.any()):
        raise InputError("eigs: v0 is zero or not finite")
    return apply, v, unflatten


class _Options(NamedTuple):
    k: int
    which: str
    basis: int
    tol: float
    max_steps: int
    adjoint_tol: float


def _dense(apply, v, k, which, left):
    """By the matrix: exact, with the derivatives of `linalg.eig`."""
    a = jax.vmap(apply, out_axes=1)(jnp.eye(v.size, dtype=v.dtype))
    finite = jnp.isfinite(jax.lax.stop_gradient(a)).all()
    a = jnp.where(finite, a, 0)  # the result tells
    w, vl, vr = eig(a, left=True)
    order = _sorted(which, jax.lax.stop_gradient(w))
    cut = _cuts(jax.lax.stop_gradient(w)[order], k)
    size = _size(jax.lax.stop_gradient(w))
    w, vl, vr = w[order[:k]], vl[:, order[:k]], vr[:, order[:k]]
    residual = jnp.linalg.norm(jax.lax.stop_gradient(a.astype(vr.dtype) @ vr - vr * w[None, :]), axis=0).max()
    # LAPACK's residual is rounding relative to |A|, which may be far above the eigenvalues.
    size = jnp.maximum(size, jnp.linalg.norm(jax.lax.stop_gradient(a)))
    limit = 1e2 * v.size * jnp.finfo(v.dtype).eps * size
    result = RESULTS.where(residual <= limit, RESULTS.successful, RESULTS.stalled)
    result = RESULTS.where(cut, RESULTS.not_separated, result)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return (w, vl, vr) if left else (w, vr), Solution(None, result, residual, v.size)


class _Search(NamedTuple):
    """How an iteration ended, by its own estimate; the largest |λ| and |A| of its space; products with A."""

    result: RESULTS
    size: Float[Array, ""]
    norm: Float[Array, ""]
    products: Int[Array, ""]


def _sparse(apply, v, left, options: _Options, copies: bool, of_sector: bool):
    closed, consts, _ = hoist(apply, v)
    fixed = jax.lax.stop_gradient(consts)
    matrix, vr, right = _invariant(closed, consts, v, options)
    w, y = eig(matrix)
    if copies:
        right = _next_compared(closed, fixed, v, jax.lax.stop_gradient((w, vr)), right, options, of_sector)
    order = _sorted(options.which, jax.lax.stop_gradient(w))
    w, vr = w[order], vr @ y[:, order]
    vr = vr / jnp.linalg.norm(vr, axis=0)[None, :].astype(vr.dtype)
    result, residual = _verified(closed, fixed, w, vr, right, options)
    if not left:
        return (w, vr), Solution(None, result, residual, right.products)

    def transposed(consts, u):  # not the adjoint: the same eigenvalues
        return jax.linear_transpose(partial(closed, consts), v)(u)[0]

    _, vl, other = _invariant(transposed, consts, v, options)
    dual = vl.conj() @ jnp.linalg.inv(vr.conj().T @ vl.conj())
    result_of_left, residual_of_left = _verified(transposed, fixed, w, dual.conj(), other, options)
    result = RESULTS.where(result == RESULTS.successful, result_of_left, result)
    worst = jnp.maximum(residual, residual_of_left)
    return (w, dual, vr), Solution(None, result, worst, right.products + other.products)


def _verified(closed, consts, w, vectors, search: _Search, options: _Options) -> tuple[RESULTS, Float[Array, ""]]:
    """(outcome, the largest |A v − λ v|) of the vectors that are returned, whatever the iteration thought of them."""
    w, vectors = jax.lax.stop_gradient((w, vectors))

    def largest_residual(consts, w, vectors):
        unit = vectors / jnp.linalg.norm(vectors, axis=0)[None, :].astype(vectors.dtype)
        image = jax.vmap(partial(closed, consts), in_axes=1, out_axes=1)(unit)
        return jnp.linalg.norm(image - unit * w[None, :], axis=0).max()

    parts = [(closed, (consts, vectors[:, 0]))]
    residual = compiled_once(largest_residual, "eigs: residual", parts, consts, w, vectors)
    limit = jnp.maximum(options.tol * search.size, 1e2 * jnp.finfo(w.dtype).eps * search.norm)
    result = RESULTS.where(residual <= limit, search.result, RESULTS.stalled)
    result = RESULTS.where(jnp.isfinite(residual), result, RESULTS.nonfinite)
    return RESULTS.where(search.result == RESULTS.successful, result, search.result), residual


def _next_compared(closed, consts, v, found, search: _Search, options: _Options, of_sector: bool) -> _Search:
    """The search, refused if the next eigenvalue, sought from another start vector, is one of those found.

    With P = V V† on the invariant space, (1 − P) A (1 − P) + c P has the other eigenvalues of A, and c, which is put
    where it is not wanted.
    """
    w, vectors = found
    size = _size(w)
    lift = ({"LM": 0, "LR": -2, "SR": 2}[options.which] * size).astype(vectors.dtype)

    def rest(parts, u):
        consts, vectors, lift = parts
        inside = vectors @ (vectors.conj().T @ u)
        image = closed(consts, u - inside)
        return image - vectors @ (vectors.conj().T @ image) + lift * inside

    start = vary_like(jax.random.normal(jax.random.key(5), v.shape, v.dtype), v)
    looser = options._replace(k=1, tol=max(options.tol, _NEXT_TOL))
    small, _, second = _arnoldi(rest, (consts, vectors, lift), start, looser)
    other = small[0, 0]
    key = _ORDER[options.which]
    last = w[_sorted(options.which, w)[-1]]
    apart = 1e2 * looser.tol * size
    same = (jnp.abs(w - other) <= _equal(w) + looser.tol * size).any()
    missed = (key(other) > key(last) + apart) & (not of_sector)
    good = search.result == RESULTS.successful
    result = RESULTS.where(good & missed, RESULTS.breakdown, search.result)
    result = RESULTS.where(good & same, RESULTS.not_separated, result)
    return search._replace(result=result, products=search.products + second.products)


def _invariant(closed, consts, v, options: _Options):
    """(Λ, V) with A V = V Λ, differentiable, and how it was found."""
    *found, search = _arnoldi(closed, jax.lax.stop_gradient(consts), jax.lax.stop_gradient(v), options)
    matrix, basis = (jnp.nan_to_num(a) for a in found)  # the result says so, and is raised or returned
    dual = basis

    def residual(unknown):
        small, vectors = unknown
        image = jax.vmap(partial(closed, consts), in_axes=1, out_axes=1)(vectors)
        return dual.conj().T @ vectors - jnp.eye(options.k, dtype=vectors.dtype), image - vectors @ small

    solver = lx.GMRES(options.adjoint_tol, options.adjoint_tol, restart=max(options.basis, 30), max_steps=10_000)
    adjoint = Implicit(tol=options.adjoint_tol, linear_solver=solver)
    small, vectors = attach(residual, (matrix, basis), adjoint=adjoint)
    return small, vectors, search


class _State(NamedTuple):
    """Rows of `basis` are orthonormal, and A basis[:m]ᵀ = basis[:m + 1]ᵀ projected; `kept` of the rows are there."""

    basis: Complex[Array, "m+1 n"]
    projected: Complex[Array, "m+1 m"]
    kept: Int[Array, ""]
    ritz: Complex[Array, "m k"]
    residual: Float[Array, ""]
    size: Float[Array, ""]
    norm: Float[Array, ""]
    cut: Bool[Array, ""]
    restarts: Int[Array, ""]
    products: Int[Array, ""]


def _arnoldi(closed, consts, v, options: _Options):
    """(Λ, V, search) of closed(consts, ·); outside `jit` one program for all operators that do the same."""
    parts = [(closed, (consts, v))]
    return compiled_once(lambda c, v: _restarted(partial(closed, c), v, options), ("eigs", options), parts, consts, v)


def _restarted(apply, v, options: _Options):
    """Arnoldi iteration with restarts from the wanted Ritz vectors."""
    k, m = options.k, options.basis
    keep = min(k + (m - k) // 2, m - 1)
    goal = options.tol / 2  # what is returned is held against the whole

    def extend(j, carry):
        basis, projected = carry
        u = apply(basis[j])
        known = jnp.arange(m + 1) <= j
        h = jnp.zeros(m + 1, u.dtype)
        for _ in range(2):  # once more: rounding leaves too much after one pass
            part = jnp.where(known, basis.conj() @ u, 0)
            u, h = u - part @ basis, h + part
        norm = jnp.linalg.norm(u)
        small = norm <= 10 * jnp.finfo(u.dtype).eps * jnp.linalg.norm(h)
        # The space is invariant: go on in a new direction, which the projected matrix does not couple to.
        fresh = jax.random.normal(jax.random.fold_in(jax.random.key(1), j), u.shape, u.dtype)
        for _ in range(2):
            fresh = fresh - jnp.where(known, basis.conj() @ fresh, 0) @ basis
        u = jnp.where(small, fresh / _length(fresh), u / jnp.where(small, 1, norm).astype(u.dtype))
        h = h.at[j + 1].set(jnp.where(small, 0, norm).astype(u.dtype))
        return basis.at[j + 1].set(u), projected.at[:, j].set(h)

    def improve(state: _State) -> _State:
        basis, projected = jax.lax.fori_loop(state.kept, m, extend, (state.basis, state.projected))
        w, y = jnp.linalg.eig(projected[:m])
        order = _sorted(options.which, w)
        y = y[:, order[:keep]]
        size = _size(w)
        residual = jnp.abs(projected[m, m - 1] * y[m - 1, :k]).max() / size
        q, _ = jnp.linalg.qr(y)
        restarted = jnp.zeros_like(basis).at[:keep].set(q.T @ basis[:m]).at[keep].set(basis[m])
        small = jnp.zeros_like(projected).at[:keep, :keep].set(q.conj().T @ projected[:m] @ q)
        small = small.at[keep, :keep].set(projected[m, m - 1] * q[m - 1])
        cut = _cuts(w[order], k)
        seen = residual, size, jnp.maximum(state.norm, jnp.linalg.norm(projected))
        done = state.restarts + 1, state.products + m - state.kept
        return _State(restarted, small, jnp.full_like(state.kept, keep), small[:k, :k], *seen, cut, *done)

    def unfinished(state: _State):
        return ~(state.residual <= goal) & (state.restarts < options.max_steps) & ~jnp.isnan(state.residual)

    basis = jnp.zeros((m + 1, v.size), v.dtype).at[0].set(v / _length(v))
    zero = jnp.array(0)
    start = _State(
        basis,
        jnp.zeros((m + 1, m), v.dtype),
        zero,
        jnp.zeros((k, k), v.dtype),
        jnp.full((), jnp.inf, v.real.dtype),
        jnp.zeros((), v.real.dtype),
        jnp.zeros((), v.real.dtype),
        jnp.array(False),
        zero,
        zero,
    )
    end = jax.lax.while_loop(unfinished, improve, vary_like(start, v))
    result = RESULTS.where(end.residual <= goal, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(jnp.isnan(end.residual), RESULTS.nonfinite, result)
    result = RESULTS.where(end.cut & (result == RESULTS.successful), RESULTS.not_separated, result)
    return end.ritz, end.basis[:k].T, _Search(result, end.size, end.norm, end.products)


def _length(v: Array) -> Array:
    return jnp.linalg.norm(v).astype(v.dtype)


def _size(w: Complex[Array, " m"]) -> Float[Array, ""]:
    size = jnp.abs(w).max()
    return jnp.where(size == 0, 1, size)


def _sorted(which: str, w: Complex[Array, " m"]) -> Int[Array, " m"]:
    """The order of `which`; of a conjugate pair the one with positive imaginary part first."""
    # Members of a pair are equal to rounding: their order must not depend on it.
    real = jnp.abs(w.imag) <= max(1e-9, 30 * float(jnp.finfo(w.dtype).eps)) * _size(w)
    key = _ORDER[which](w) + _equal(w) * jnp.sign(jnp.where(real, 0, w.imag))
    return jnp.argsort(-key)


def _cuts(w: Complex[Array, " m"], k: int) -> Bool[Array, ""]:
    """Whether the k-th of these sorted values equals the next one."""
    if k >= w.size:
        return jnp.array(False)
    return jnp.abs(w[k - 1] - w[k]) <= _equal(w)


def _equal(w: Complex[Array, " m"]) -> Float[Array, ""]:
    """Eigenvalues that differ by less are taken for equal: rounding moves those of a general matrix far."""
    return max(1e-7, 1e2 * float(jnp.finfo(w.dtype).eps)) * _size(w)
