"""Rows of plain `jax.numpy`: products of arrays, and the matrix functions of `jnp.linalg` at regular points.

At the hard points of matrix functions `pullback.linalg` stands beside them, in the files of its own rows.
"""

from functools import cache

import jax.scipy.linalg  # noqa: F401  (jax.scipy loads its parts on demand)
import numpy as np

from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case
from pullback.trust._conformance._matrices import hermitian_direction, rotated
from pullback.trust._conformance._plain import CUBE, TABLE, X, Y, Z, on_arrays

SQUARE = rotated([-1.0, 0.4, 2.5]) + np.triu(np.ones((3, 3)), 1) / 4
SQUARE_COMPLEX = rotated([-1.0, 0.4, 2.5], complex_=True) + np.triu(np.ones((3, 3)), 1) / 4
ILL = rotated([1e-5, 1.0, 2.0]) + np.triu(np.ones((3, 3)), 1) * 1e-5


@cache
def product_rows() -> tuple[Case, ...]:
    """dot … trace."""
    complex_ = np.stack([Z, Z[::-1]]), np.stack([Z[::-1], Z]).T
    products = {"regular": (TABLE, TABLE.T**2), "complex": complex_, "zero matrices": (0 * TABLE, 0 * TABLE.T)}
    return (
        *on_arrays("np.dot", products),
        *on_arrays("np.tensordot", {"regular": (CUBE, CUBE**2)}, lambda f, x, y: f(x, y, axes=([2, 0], [0, 1]))),
        *on_arrays("np.einsum", products, lambda f, x, y: f("ij,jk->ki", x, y)),
        *on_arrays("np.cross", {"regular": (TABLE, TABLE[::-1] ** 2)}),
        *on_arrays("np.trace", {"regular": SQUARE, "complex": SQUARE_COMPLEX}),
        *on_arrays("np.outer", {"regular": (X, Y), "complex": (Z, Z[::-1])}),
    )


@cache
def matrix_rows() -> tuple[Case, ...]:
    """det, slogdet, inv, norm, cholesky, solve_triangular."""
    squares = {"regular": SQUARE, "complex": SQUARE_COMPLEX}
    positive = {"regular": rotated([0.3, 1.0, 2.5]), "complex": rotated([0.3, 1.0, 2.5], complex_=True)}
    spread = {"condition 1e8": rotated([1e-8, 1.0, 1.0])}

    def slogdet(mp):
        def of(a):
            d = mp.det(mp.matrix(a.tolist()))
            return d / abs(d), mp.log(abs(d))

        return of

    def norm(mp):
        return lambda x: mp.sqrt(sum(abs(e) ** 2 for e in x.flat))

    def solve_triangular(mp):
        def of(a, b, lower):
            return exact.through_matrix("inverse")(mp)(np.tril(a) if lower else np.triu(a)) @ b

        return of

    def symmetric_root(mp):
        return exact.through_matrix("cholesky")(mp)

    return (
        *on_arrays("np.linalg.det", squares, exact=exact.through_matrix("det")),
        *on_arrays("np.linalg.slogdet", squares, exact=slogdet),
        *on_arrays("np.linalg.inv", squares | {"condition 1e5": ILL}, exact=exact.through_matrix("inverse")),
        *on_arrays("np.linalg.norm", {"vector": X, "vector, complex": Z, "matrix": TABLE}, exact=norm),
        *on_arrays("np.linalg.cholesky", positive | spread, exact=symmetric_root, direction=hermitian_direction),
        *on_arrays("scipy.linalg.solve_triangular", {"regular": (SQUARE + 3 * np.eye(3), TABLE.T)},
                   lambda f, a, b: f(a, b, lower=True), exact=solve_triangular),
    )  # fmt: skip
