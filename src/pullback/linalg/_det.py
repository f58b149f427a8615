r"""Determinants with exact derivatives at singular matrices.

d det A = Σ cof(A) * dA holds for every A, but cof(A) = det(A) A^-T cannot be computed so where A has no inverse, and
differentiating a formula that works around it at rank n − 1 gives wrong second derivatives at rank n − 2. Here the
determinant is written, for the derivatives, in a form that is exact, smooth and free of small divisors.

With the singular value decomposition A = U Σ V† at the point, and U, V *held constant*, for every A near it

    det A = det U det V† det(U† A V),        U† A V = [[B, C], [D, E]],
    det A = det U det V† det B det(E − D B^-1 C),

where E holds the three smallest singular values. The last factor, a 3 × 3 determinant, is a polynomial, whatever it is
at the point. B is regular unless the rank is below n − 3, and then the first three derivatives are zero anyway.
The identity holds for every A, so that JAX may differentiate it to any order.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pullback.linalg import _checks
from pullback.linalg._batch import over_batch

_SMALL = 3


def det(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch"]:
    r"""Determinant, with exact derivatives also at singular matrices.

    They are exact to every order at matrices of rank n − 3 and above, below that rank to third order. A value costs an
    LU decomposition, a derivative one singular value decomposition.

    Args:
        a: square matrix, real or complex, any leading batch axes.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.

    Examples:
        At rank n − 2 the determinant and its gradient vanish, its second derivative does not.

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> a = lambda t: jnp.diag(jnp.array([0.0, 0.0, 1.0])) + t * jnp.diag(jnp.array([2.0, 3.0, 0.0]))
        >>> print(jax.grad(jax.grad(lambda t: pb.linalg.det(a(t))))(0.0))
        12.0
    """
    a = _checks.square("det", a)
    return over_batch(_det, a, "(n,n)->()")


def slogdet(a: Inexact[Array, "*batch n n"]) -> tuple[Inexact[Array, "*batch"], Float[Array, "*batch"]]:
    r"""Sign (or phase) of the determinant, and the logarithm of its modulus: det a = sign * exp(logabsdet).

    A singular matrix has sign 0 and logabsdet −inf, as in NumPy, and no derivative there: use `det`.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.
    """
    a = _checks.square("slogdet", a)
    sign, logabsdet = jnp.linalg.slogdet(a)
    return sign, logabsdet


@jax.custom_jvp
def _det(a):
    return jnp.linalg.det(a)


@_det.defjvp
def _det_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    u, s, vh = jnp.linalg.svd(jax.lax.stop_gradient(a))
    phase = jnp.linalg.det(u) * jnp.linalg.det(vh)
    slope = jax.jvp(lambda a: _by_blocks(u.conj().T @ a @ vh.conj().T, s), (a,), (da,))[1]
    return _det(a), phase * slope


def _by_blocks(a, s):
    """det(a) for an `a` that is diag(s) in value, s descending."""
    k = max(len(s) - _SMALL, 0)
    if k == 0:
        return _leibniz(a)
    # Squares of 1/s must not overflow: what is smaller stands for rank < n − 3.
    regular = s[k - 1] > jnp.sqrt(jnp.finfo(s.dtype).tiny)
    s = jnp.where(regular, s[:k], 1)
    b = jnp.where(regular, a[:k, :k], jnp.eye(k, dtype=a.dtype))
    schur = a[k:, k:] - a[k:, :k] @ _solve_diagonal(b, s, a[:k, k:])
    return jnp.where(regular, _det_diagonal(b, s) * _leibniz(schur), 0)


@jax.custom_jvp
def _det_diagonal(b, s):
    """det(b) for a regular `b` that is diag(s) in value."""
    return jnp.prod(s).astype(b.dtype)


@_det_diagonal.defjvp
def _det_diagonal_jvp(primals, tangents):
    b, s = primals
    out = _det_diagonal(b, s)
    return out, out * jnp.trace(_solve_diagonal(b, s, tangents[0]))


def _solve_diagonal(b, s, rhs):
    """b^-1 rhs for a `b` that is diag(s) in value."""

    def solve(_, y):
        return y / s[:, None].astype(y.dtype)

    return jax.lax.custom_linear_solve(lambda x: b @ x, rhs, solve, transpose_solve=solve)


def _leibniz(a):
    """The determinant of a matrix of one to three rows as a polynomial."""
    if len(a) == 1:
        return a[0, 0]
    if len(a) == 2:
        return a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return a[0] @ jnp.cross(a[1], a[2])
