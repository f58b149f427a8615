r"""QR and LQ decompositions of matrices of any shape, with exact derivatives.

Mathematics. A = Q R with k = min(m, n) columns in Q. Write dQ = Q X + Z with X anti-Hermitian and Q† Z = 0, and
M = Q† dA. From dR = M − X R, which is zero below the diagonal, and from dA = dQ R + Q dR,

    (X R)_ij = M_ij  for i > j,        Z R = (1 − Q Q†) dA.

With R1 the first k columns of R, upper triangular, the first gives the lower triangle of X as that of M R1^-1, because
column j of a product with an upper triangular matrix takes from the columns up to j only. The diagonal of X keeps that
of R real: X_jj = i Im (M R1^-1)_jj. These are triangular solves, which JAX differentiates to any order.

Where column j of A depends on the columns left of it, R_jj = 0: the column q_j is any vector of the complement, and
its rotation is not determined. X_ij and Z_j are set to zero there (parallel transport), and the same is done for
the columns that complete Q to a square matrix.

Sources: S. F. Walter, L. Lehmann, arXiv:1009.6112; D. Roberts, L. Roberts, arXiv:2009.10071 (wide and deep matrices).
"""

from functools import partial
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jax.lax.linalg import triangular_solve
from jaxtyping import Array, Inexact

from pullback import elementary
from pullback.core import InputError, nearest
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch


@overload
def qr(
    a: Inexact[Array, "*batch m n"], mode: Literal["reduced", "complete"] = "reduced"
) -> tuple[Inexact[Array, "*batch m k"], Inexact[Array, "*batch k n"]]: ...
@overload
def qr(a: Inexact[Array, "*batch m n"], mode: Literal["r"]) -> Inexact[Array, "*batch k n"]: ...
def qr(a: Inexact[Array, "*batch m n"], mode: Literal["reduced", "complete", "r"] = "reduced"):
    r"""QR decomposition a = q r: q has orthonormal columns, r is upper triangular with a real diagonal.

    The signs on the diagonal of r are those of LAPACK's Householder vectors, not fixed otherwise.

    Derivatives are exact in every mode and order where the first min(m, n) columns of `a` are independent. Where one
    of them depends on those left of it, to rounding, the columns of q and the rows of r before the first such column
    keep exact derivatives. The rest of q is an arbitrary basis there; it is transported in parallel (finite).

    Args:
        a: matrix of any shape, real or complex, any leading batch axes.
        mode: "reduced": q (m, k), r (k, n) with k = min(m, n); "complete": q (m, m), r (m, n), where projectors on the
            added columns have exact derivatives; "r": only the reduced r.

    Raises:
        InputError: `a` is not a matrix, an unknown mode, or (outside `jit`) not finite.

    Examples:
        The volume spanned by the columns is the product of the diagonal of r.

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> volume = lambda a: jnp.abs(jnp.prod(jnp.diagonal(pb.linalg.qr(a, "r"))))
        >>> print(jax.grad(volume)(jnp.array([[2.0, 5.0], [0.0, 3.0]])).round(12) + 0.0)
        [[ 3.  0.]
         [-5.  2.]]
    """
    _check_mode("qr", mode, ("reduced", "complete", "r"))
    a = _checks.matrix("qr", a)
    q, r = _decompose(mode == "complete", a)
    return r if mode == "r" else (q, r)


@overload
def lq(
    a: Inexact[Array, "*batch m n"], mode: Literal["reduced", "complete"] = "reduced"
) -> tuple[Inexact[Array, "*batch m k"], Inexact[Array, "*batch k n"]]: ...
@overload
def lq(a: Inexact[Array, "*batch m n"], mode: Literal["l"]) -> Inexact[Array, "*batch m k"]: ...
def lq(a: Inexact[Array, "*batch m n"], mode: Literal["reduced", "complete", "l"] = "reduced"):
    r"""LQ decomposition a = l q: q has orthonormal rows, l is lower triangular with a real diagonal.

    The adjoint of `qr` of a†: everything said there holds, with rows for columns. Modes: "reduced", "complete", "l".

    Raises:
        InputError: `a` is not a matrix, an unknown mode, or (outside `jit`) not finite.
    """
    _check_mode("lq", mode, ("reduced", "complete", "l"))
    a = _checks.matrix("lq", a)
    adjoint = jnp.conj(jnp.swapaxes(a, -1, -2))
    q, r = _decompose(mode == "complete", adjoint)
    q, l = (jnp.conj(jnp.swapaxes(z, -1, -2)) for z in (q, r))
    return l if mode == "l" else (l, q)


def _decompose(full, a):
    q, r = over_batch(partial(_qr, full), a, "(m,n)->(m,k),(k,n)")
    return q, jnp.triu(r)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _qr(full, a):
    """Q and R = Q†A, whose lower triangle is zero in value, and in derivative too if the columns are independent."""
    q, r = jnp.linalg.qr(a, mode="complete" if full else "reduced")
    return q, r


@_qr.defjvp
def _qr_jvp(full, primals, tangents):
    (a,), (da,) = primals, tangents
    q, r = _qr(full, a)
    k = min(a.shape)
    m = q.conj().T @ da
    independent = _independent(r[:k])
    r1 = jnp.where(independent[:, None] & independent[None, :], r[:k, :k], jnp.eye(k, dtype=a.dtype))

    def over_r1(y):
        return triangular_solve(r1, jnp.where(independent[None, :], y[:, :k], 0))

    l = over_r1(m)
    x = jnp.pad(jnp.tril(l, -1), ((0, 0), (0, len(m) - k)))
    x = x - x.conj().T
    if jnp.iscomplexobj(a):
        turn = jnp.diag(jnp.pad(jnp.diagonal(l).imag, (0, len(m) - k)))
        x = x + jax.lax.complex(jnp.zeros_like(turn), turn)
    dq = q @ x
    if len(a) > len(m):
        dq = dq + over_r1(da - q @ m)
    return (q, r), (dq, m - x @ r)


def _independent(r):
    """True for columns of A that do not depend, to rounding, on those left of them."""
    r = jax.lax.stop_gradient(r)
    size = elementary.norm(r[:, : len(r)], axis=0)  # without overflow or underflow of the squares
    return jnp.abs(jnp.diagonal(r)) > 8 * max(r.shape) * jnp.finfo(r.dtype).eps * size


def _check_mode(name, mode, known):
    if mode not in known:
        raise InputError(f"{name}: unknown mode {mode!r}.{nearest(str(mode), known)}")
