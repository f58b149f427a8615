r"""Banded linear systems in O(n), with O(n) derivatives in every mode.

The equation A x = b is stated to JAX with `custom_linear_solve`: the bands carry the derivatives, which are products
with A and A^T; each solve is one elimination with partial pivoting, by LAPACK for tridiagonal matrices and as a scan
for wider bands. The scan keeps a window of the l + 1 rows that can hold the next pivot (Golub, Van Loan, Matrix
Computations, 4.3); pivoting widens the upper band from u to l + u.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.lax.linalg import tridiagonal_solve
from jaxtyping import Array, Inexact

from pullback.core import InputError, vary_like
from pullback.linalg import _checks


def solve_tridiagonal(
    dl: Inexact[Array, "*#batch p"],
    d: Inexact[Array, "*#batch n"],
    du: Inexact[Array, "*#batch p"],
    b: Inexact[Array, "..."],
) -> Inexact[Array, "..."]:
    """The solution x of A x = b for the tridiagonal matrix with diagonal `d`, `dl` below and `du` above it.

    Args:
        dl: subdiagonal, n − 1 entries. d: diagonal, n entries. du: superdiagonal, n − 1 entries.
        b: one right-hand side (n,), or several as columns (..., n, k).

    Raises:
        InputError: shapes that do not fit, or (outside `jit`) not finite or a singular matrix.

    Examples:
        −x'' = 1 between two walls, on three points with spacing 1/4: x = s (1 − s) / 2.

        >>> import jax.numpy as jnp, pullback as pb
        >>> off = -16 * jnp.ones(2)
        >>> print(pb.linalg.solve_tridiagonal(off, 32 * jnp.ones(3), off, jnp.ones(3)))
        [0.09375 0.125   0.09375]
    """
    name = "solve_tridiagonal"
    dl, d, du = (_checks.inexact(name, z) for z in (dl, d, du))
    n = d.shape[-1] if d.ndim else 0
    if n == 0 or any(z.ndim == 0 or z.shape[-1] != n - 1 for z in (dl, du)):
        raise InputError(
            f"{name} needs a diagonal of n >= 1 entries and off-diagonals of n - 1; "
            f"got shapes {dl.shape}, {d.shape}, {du.shape}."
        )
    return _batched(name, _tridiagonal, "(p),(n),(p),(n,k)->(n,k)", (dl, d, du), n, b)


def solve_banded(
    l_and_u: tuple[int, int], ab: Inexact[Array, "... rows n"], b: Inexact[Array, "..."]
) -> Inexact[Array, "..."]:
    """The solution x of a x = b for a banded matrix `a` in diagonal-ordered form, as SciPy's function of this name.

    Args:
        l_and_u: (l, u), the numbers of diagonals below and above the main one.
        ab: the diagonals as rows, (..., l + u + 1, n), with ab[u + i − j, j] = a[i, j]; the other entries are not read.
        b: one right-hand side (n,), or several as columns (..., n, k).

    Raises:
        InputError: shapes that do not fit, or (outside `jit`) not finite or a singular matrix.
    """
    name = "solve_banded"
    ab = _checks.inexact(name, ab)
    lower, upper = l_and_u
    if lower < 0 or upper < 0 or ab.ndim < 2 or ab.shape[-2] != lower + upper + 1 or ab.shape[-1] == 0:
        raise InputError(f"{name}: ab must have shape (..., l + u + 1, n) for l, u = {l_and_u}, got {ab.shape}.")
    return _batched(name, partial(_banded, lower, upper), "(r,n),(n,k)->(n,k)", (ab,), ab.shape[-1], b)


def _batched(name, solve, signature, bands, n, b):
    b = _checks.columns(name, b, n)
    dtype = jnp.result_type(*bands, b)
    columns = b[:, None] if b.ndim == 1 else b
    operands = vary_like([z.astype(dtype) for z in (*bands, columns)])
    x = jnp.vectorize(solve, signature=signature)(*operands)
    _checks.finite(x, lambda: f"{name}: the matrix is singular.")
    return x[..., 0] if b.ndim == 1 else x


def _tridiagonal(dl, d, du, b):
    def product(x):
        return (d[:, None] * x).at[1:].add(dl[:, None] * x[:-1]).at[:-1].add(du[:, None] * x[1:])

    def solver(dl, d, du):
        dl, d, du = jax.lax.stop_gradient((jnp.pad(dl, (1, 0)), d, jnp.pad(du, (0, 1))))
        return lambda _, b: tridiagonal_solve(dl, d, du, b)

    return jax.lax.custom_linear_solve(product, b, solver(dl, d, du), transpose_solve=solver(du, d, dl))


def _banded(lower, upper, ab, b):
    n = ab.shape[1]
    i, k = jnp.arange(n)[:, None], jnp.arange(lower + upper + 1)[None, :]
    j = i - lower + k
    inside = (j >= 0) & (j < n)
    rows = jnp.where(inside, ab[lower + upper - k, jnp.where(inside, j, 0)], 0)

    def product(x):
        padded = jnp.pad(x, ((lower, upper), (0, 0)))
        return sum(rows[:, k, None] * padded[k : k + n] for k in range(lower + upper + 1))

    def solver(lower, rows):
        rows = jax.lax.stop_gradient(rows)
        return lambda _, b: _eliminate(lower, rows, b)

    j = i - upper + k  # row i of the transposed matrix is column i of ab
    transposed = jnp.where((j >= 0) & (j < n), ab.T, 0)
    return jax.lax.custom_linear_solve(product, b, solver(lower, rows), transpose_solve=solver(upper, transposed))


def _eliminate(lower, rows, b):
    """x with A x = b by Gaussian elimination with partial pivoting; entry k of row i is A[i, i − l + k]."""
    n, width = rows.shape
    # A window holds rows j … j + l from column j on, with their right-hand sides behind. The first rows reach out of
    # the matrix on the left and are shifted; rows of zeros follow the last.
    first = [jnp.roll(rows[i], i - lower) for i in range(min(lower, n))]
    rows = jnp.concatenate([jnp.stack(first), rows[lower:]]) if first else rows
    queue = jnp.pad(jnp.concatenate([rows, b], axis=1), ((0, lower + 1), (0, 0)))

    def column(window, new):
        pivot = jnp.argmax(jnp.abs(window[:, 0]))
        top, rest = window[pivot], window.at[pivot].set(window[0])[1:]
        rest = rest - (rest[:, :1] / top[0]) * top[None, :]
        rest = jnp.concatenate([rest[:, 1:width], jnp.zeros((lower, 1), rest.dtype), rest[:, width:]], axis=1)
        return jnp.concatenate([rest, new[None]]), top

    def back(known, row):
        x = (row[width:] - row[1:width] @ known) / row[0]
        return jnp.concatenate([x[None], known])[: width - 1], x

    _, triangular = jax.lax.scan(column, queue[: lower + 1], queue[lower + 1 :])
    _, x = jax.lax.scan(back, vary_like(jnp.zeros((width - 1, b.shape[1]), b.dtype), queue), triangular, reverse=True)
    return x
