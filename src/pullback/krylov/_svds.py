r"""`svds`: the largest singular values of an operator, as the highest levels of a Hermitian one.

    ( 0   A ) (u)       (u)
    ( A†  0 ) (v)  =  σ (v)

Singular values come out to full accuracy (not squared, as those of A†A), vectors with |u| = |v|, and the derivatives
are those of `eigsh`: exact for multiplets among the k values, in every mode and order.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pullback.core import Adjoint, Implicit, InputError, Solution, by_throw, result_type, vary_like
from pullback.krylov._eigsh import Solver, eigsh
from pullback.krylov._operators import Operator, as_matrix, shape_of

Triple = tuple[Inexact[Array, "m k"], Float[Array, " k"], Inexact[Array, "k n"]]


@by_throw
def svds(
    operator: Operator | Inexact[Array, "m n"],
    k: int = 1,
    *,
    shape: int | tuple[int] | jax.ShapeDtypeStruct | None = None,
    solver: Solver | None = None,
    tol: float = 1e-11,
    adjoint: Adjoint = Implicit(),  # noqa: B008
    max_steps: int = 3000,
    throw: bool = True,
) -> Triple | Solution[Triple]:
    """The k largest singular values of a linear operator and their vectors, without its matrix.

    Differentiable in what the operator closes over. A† is made by transposing the operator.

    Args:
        operator: x -> A x, linear, from vectors of length n to vectors of length m; or a matrix, dense or sparse.
        k: number of singular values; the k-th must be positive and larger than the next one.
        shape: n, or a `jax.ShapeDtypeStruct` of the vectors that a function acts on; a matrix, or an operator that
            says it itself (`in_structure`), needs none.
        solver: as for `eigsh`, for vectors {"u": …, "v": …}.
        tol: as for `eigsh`.
        adjoint: as for `eigsh`.
        max_steps: as for `eigsh`.
        throw: raise if it has not converged; if False, return a `Solution`.

    Returns:
        (u, s, vh) as `linalg.svd`: columns of u, descending s, rows of vh. Or, if not `throw`, a `Solution` of this, as
        of `eigsh` for the matrix above: its `residual`² is |A v − σ u|² + |A† u − σ v|² for |u|² + |v|² = 1.

    Raises:
        ConvergenceError: as `eigsh`; also where the k-th singular value is zero.
        InputError: the operator does not map a vector to a vector; k is out of range.

    Examples:
        >>> a = jnp.arange(600.0).reshape(30, 20) % 7
        >>> bool(jnp.allclose(svds(a, 3)[1], jnp.linalg.svd(a)[1][:3]))
        True
    """
    if callable(operator):
        apply = operator
        if shape is None and not hasattr(operator, "in_structure"):
            raise InputError("svds: an operator that is a function needs shape")
        shape = shape_of("svds", operator) if shape is None else shape
        if not isinstance(shape, jax.ShapeDtypeStruct):
            shape = jax.ShapeDtypeStruct(shape if isinstance(shape, tuple) else (shape,), jnp.result_type(float))
        x = shape
    else:
        matrix = as_matrix("svds", operator)
        apply, x = lambda v: matrix @ v, shape_of("svds", operator)
    y = jax.eval_shape(apply, x)
    if len(x.shape) != 1 or not hasattr(y, "shape") or len(y.shape) != 1:
        raise InputError("svds: the operator must map a vector to a vector")
    if not 1 <= k <= min(x.shape[0], y.shape[0]):
        raise InputError(f"svds: k={k}; it must be between 1 and {min(x.shape[0], y.shape[0])}")
    x, y = vary_like([jnp.zeros(a.shape, result_type(x, y)) for a in (x, y)], x, y)

    def both(z: dict[str, Any]) -> dict[str, Any]:
        (back,) = jax.linear_transpose(apply, x)(z["u"].conj())
        return {"u": apply(z["v"]), "v": back.conj()}

    solution = eigsh(
        both,
        k,
        shape={"u": y, "v": x},
        which="LA",
        solver=solver,
        tol=tol,
        adjoint=adjoint,
        max_steps=max_steps,
        throw=False,
    )
    s, z = solution.value
    value = jnp.sqrt(2.0) * z["u"], s, jnp.sqrt(2.0) * z["v"].conj().T
    solution = Solution(value, solution.result, solution.residual, solution.steps, solution.stats)
    return solution.unwrap("svds") if throw else solution
