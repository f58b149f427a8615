r"""Linear matrix equations: Sylvester, Lyapunov (continuous and discrete), triangular.

Each is one linear equation for X, stated to JAX as such with `custom_linear_solve`: A and B carry the derivatives,
and their Schur factors, held constant, solve the equation and its transpose in O(n³) (Bartels, Stewart,
Commun. ACM 15, 820 (1972)). A = U R U† and B = W S W† with R and S upper triangular turn

    A X + X B = Q    into    R Y + Y S = F,    Y = U† X W,  F = U† Q W,

and X − A X B = Q likewise. Column j needs the columns left of it and one triangular solve.

The transposed equation, A^T X + X B^T = Q, and those with A† come with the same factors: where J reverses the order,
A^T = (Ū J)(J R^T J)(J U^T), and J R^T J is upper triangular again.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.lax.linalg import triangular_solve
from jaxtyping import Array, Inexact

from pullback.core import InputError, complex_dtype, vary_like
from pullback.linalg import _checks
from pullback.linalg._units import in_units


def solve_sylvester(
    a: Inexact[Array, "... m m"], b: Inexact[Array, "... n n"], q: Inexact[Array, "... m n"]
) -> Inexact[Array, "... m n"]:
    r"""The matrix x with a x + x b = q; exact derivatives in a, b and q, in every mode and order.

    It is unique when no eigenvalue of `a` is the negative of one of `b`. The Schur decomposition of JAX runs on CPUs.

    Args:
        a: m × m matrix. b: n × n matrix. q: right-hand side. Real or complex, leading batch axes broadcast.

    Raises:
        InputError: shapes that do not fit, or (outside `jit`) not finite or no unique solution.

    Examples:
        >>> import jax.numpy as jnp, pullback as pb
        >>> a, b = jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.array([[4.0]])
        >>> print(pb.linalg.solve_sylvester(a, b, jnp.array([[9.0], [7.0]])).ravel())
        [1.4 1. ]
    """
    a, b, q = _prepare("solve_sylvester", a, b, q)
    x, relative_gap = jnp.vectorize(_solve_sylvester, signature="(m,m),(n,n),(m,n)->(m,n),()")(a, b, q)
    _check_gap("solve_sylvester", relative_gap, "an eigenvalue of a is (nearly) the negative of one of b")
    return x


def solve_continuous_lyapunov(a: Inexact[Array, "... n n"], q: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    r"""The matrix x with a x + x a† = q, as SciPy's function of this name; derivatives as for `solve_sylvester`.

    Raises:
        InputError: shapes that do not fit, or (outside `jit`) not finite or no unique solution.
    """
    a, _, q = _prepare("solve_continuous_lyapunov", a, a, q)
    x, relative_gap = jnp.vectorize(_solve_continuous, signature="(n,n),(n,n)->(n,n),()")(a, q)
    _check_gap("solve_continuous_lyapunov", relative_gap, "two eigenvalues of a obey w_i + conj(w_j) = 0, nearly")
    return x


solve_lyapunov = solve_continuous_lyapunov


def solve_discrete_lyapunov(a: Inexact[Array, "... n n"], q: Inexact[Array, "... n n"]) -> Inexact[Array, "... n n"]:
    r"""The matrix x with a x a† − x + q = 0, as SciPy's function of this name; derivatives as for `solve_sylvester`.

    For eigenvalues of `a` inside the unit circle, x is the stationary covariance of s' = a s + noise of covariance q.

    Raises:
        InputError: shapes that do not fit, or (outside `jit`) not finite or no unique solution.
    """
    a, _, q = _prepare("solve_discrete_lyapunov", a, a, q)
    x, relative_gap = jnp.vectorize(_solve_discrete, signature="(n,n),(n,n)->(n,n),()")(a, q)
    _check_gap("solve_discrete_lyapunov", relative_gap, "two eigenvalues of a obey w_i conj(w_j) = 1, nearly")
    return x


def solve_triangular(
    a: Inexact[Array, "... n n"],
    b: Inexact[Array, "..."],
    trans: Literal[0, 1, 2] = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
) -> Inexact[Array, "..."]:
    """The solution of op(a) x = b with a triangular `a`, of which only that triangle is read and differentiated.

    Args:
        a: triangular matrix, real or complex, any leading batch axes.
        b: one right-hand side (n,), or several as columns (..., n, k).
        trans: op(a) is a (0), its transpose (1) or its adjoint (2).
        lower: `a` is lower triangular.
        unit_diagonal: take the diagonal of `a` as ones, without reading it.

    Raises:
        InputError: shapes that do not fit, an unknown `trans`, or (outside `jit`) not finite or singular.
    """
    name = "solve_triangular"
    a = _checks.square(name, a)
    b = _checks.columns(name, b, a.shape[-1])
    if trans not in (0, 1, 2):
        raise InputError(f"{name}: trans must be 0 (a), 1 (transpose) or 2 (adjoint), got {trans!r}.")
    if not unit_diagonal and not isinstance(a, Tracer) and not np.diagonal(np.asarray(a), axis1=-2, axis2=-1).all():
        raise InputError(f"{name}: a has a zero on its diagonal, so it is singular.")
    dtype = jnp.result_type(a, b)
    a, b = a.astype(dtype), b.astype(dtype)
    fun = partial(
        triangular_solve,
        left_side=True,
        lower=lower,
        transpose_a=trans > 0,
        conjugate_a=trans == 2,
        unit_diagonal=unit_diagonal,
    )
    solve = jnp.vectorize(fun, signature="(n,n),(n,k)->(n,k)")
    return solve(a, b[:, None])[..., 0] if b.ndim == 1 else solve(a, b)


def solve_columns(pairs, f, active=None):
    """Y with Σ R Y S = f over `pairs` (R, S) of upper triangular matrices.

    With `active`, Y is zero where it is False, and the equation is demanded where it is True only.
    """

    def column(j, y):
        rhs = f[:, j] - sum(r @ (y @ s[:, j]) for r, s in pairs)
        matrix = sum(s[j, j] * r for r, s in pairs)
        if active is not None:
            on = active[:, j]
            matrix = jnp.where(on[:, None] & on[None, :], matrix, _identity(matrix))
            rhs = jnp.where(on, rhs, 0)
        return y.at[:, j].set(triangular_solve(matrix, rhs[:, None], left_side=True)[:, 0])

    return jax.lax.fori_loop(0, f.shape[1], column, jnp.zeros_like(f))


def _solve_sylvester(a, b, q):
    return _solve_sum(a, b, _factors(a), _factors(b), q)


def _solve_continuous(a, q):
    f = _factors(a)
    return _solve_sum(a, a.conj().T, f, _adjoint(f), q)


def _solve_sum(a, b, factors_a, factors_b, q):
    x, r, s = _solve(lambda a, b, x: a @ x + x @ b, _sylvester_pairs, a, b, factors_a, factors_b, q)
    return x, _smallest(r[:, None] + s[None, :], jnp.max(jnp.abs(r)) + jnp.max(jnp.abs(s)))


def _solve_discrete(a, q):
    f = _factors(a)
    x, r, s = _solve(lambda a, b, x: x - a @ x @ b, _stein_pairs, a, a.conj().T, f, _adjoint(f), q)
    return x, _smallest(1 - r[:, None] * s[None, :], 1 + jnp.max(jnp.abs(r)) * jnp.max(jnp.abs(s)))


def _solve(equation, pairs, a, b, factors_a, factors_b, q):
    """x with equation(a, b, x) = q, and the eigenvalues of a and b; `pairs` states the equation in Schur form."""

    def by_factors(ur, ws, q):
        (u, r), (w, s) = ur, ws
        x = u @ solve_columns(pairs(r, s), u.conj().T @ q.astype(u.dtype) @ w) @ w.conj().T
        return x if jnp.iscomplexobj(q) else x.real

    x = jax.lax.custom_linear_solve(
        partial(equation, a, b),
        q,
        lambda _, q: by_factors(factors_a, factors_b, q),
        lambda _, q: by_factors(_transposed(factors_a), _transposed(factors_b), q),
    )
    return x, jnp.diagonal(factors_a[1]), jnp.diagonal(factors_b[1])


def _sylvester_pairs(r, s):
    return (r, _identity(s)), (_identity(r), s)


def _stein_pairs(r, s):
    return (_identity(r), _identity(s)), (-r, s)


def _identity(like):
    return jnp.eye(len(like), dtype=like.dtype)


def _factors(a):
    """Unitary U and upper triangular R with a = U R U†, held constant."""
    a = jax.lax.stop_gradient(a)
    a, s = in_units(a)
    r, u = jax.scipy.linalg.schur(a.astype(complex_dtype(a.dtype)), output="complex")
    return u, r * s.astype(r.dtype)


def _transposed(factors):
    """The factors of a^T from those of a."""
    u, r = factors
    return u.conj()[:, ::-1], r.T[::-1, ::-1]


def _adjoint(factors):
    u, r = factors
    return u[:, ::-1], r.conj().T[::-1, ::-1]


def _smallest(gaps, scale):
    return jnp.min(jnp.abs(gaps)) / jnp.where(scale > 0, scale, 1)


def _prepare(name, a, b, q):
    a, b, q = _checks.square(name, a), _checks.square(name, b), _checks.inexact(name, q)
    if q.ndim < 2 or q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise InputError(f"{name}: q must have shape (..., {a.shape[-1]}, {b.shape[-1]}), got {q.shape}.")
    dtype = jnp.result_type(a, b, q)
    return vary_like((a.astype(dtype), b.astype(dtype), q.astype(dtype)))


def _check_gap(name, relative_gap, cause):
    if not isinstance(relative_gap, Tracer):
        eps = 10 * float(np.finfo(relative_gap.dtype).eps)
        if not np.all(np.asarray(relative_gap) > eps):
            raise InputError(f"{name}: no unique solution, because {cause}.")
