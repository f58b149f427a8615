r"""Matrix norms that are functions of the singular values, with exact derivatives where these coincide or vanish.

A sum of singular values over a set with a gap to the others depends on no basis in it,

    d Σ_{i≤k} s_i = Re tr(W† dA),        W = Σ_{i≤k} u_i v_i†,

and the second derivative is that of W, a partial isometry that `decompose` differentiates without gaps inside the set.
This gives the nuclear norm (all s_i ≠ 0), Ky Fan's norms, and the spectral norm (the multiplet of s_1).

Schatten's norms are functions of the Hermitian matrix H = ((0, A), (A†, 0)) with the eigenvalues ±s_i and zeros,

    Σ_i s_i^p = ½ tr |H|^p,

whose derivatives are divided differences (`_forms.py`): nothing happens where singular values meet.

At zero singular values |x|^p is taken as 0 in a neighbourhood of 0, and the W of the nuclear norm is that of the range.
On matrices of one rank that is exact to every order, because there the norm of A(t) does not depend on the function
near 0. Across ranks it is exact to every order for even p, else for orders below p; at order p and above the derivative
does not exist (p odd: a kink as of |x|^p) or is infinite, and the part that is smooth is returned.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pullback.core import InputError
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._spectral import decomposed
from pullback.linalg._svd import Keep, check_rank, decompose


def nuclear_norm(a: Inexact[Array, "*batch m n"]) -> Float[Array, "*batch"]:
    r"""The sum of the singular values, ‖a‖₁ = tr (a†a)^½ (trace norm).

    Exact derivatives of every order at equal singular values, and at zero ones along matrices of the same rank. Where
    the rank grows the norm has a kink: what is returned there is the subgradient Re tr(W† da) with W = u v† of the
    range of `a`, the mean of both sides, and in second order the smooth part. Singular values up to
    16 max(m, n) · eps · max(s) count as zero.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.

    Examples:
        The second derivative at a multiple of the identity, where all singular values coincide.

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> curvature = jax.grad(jax.grad(lambda t: pb.linalg.nuclear_norm(jnp.eye(2) + t * turn)))
        >>> print(f"{curvature(0.0):.10f}")  # of 2 √(1 + t²)
        2.0000000000
    """
    a = _checks.matrix("nuclear_norm", a)
    return over_batch(partial(sum_of_kept, Keep(rtol=zero_tolerance(a), as_one=True)), a, "(m,n)->()")


def ky_fan_norm(a: Inexact[Array, "*batch m n"], k: int) -> Float[Array, "*batch"]:
    """The sum of the `k` largest singular values.

    Exact derivatives of every order where s[k-1] > s[k], whatever coincides otherwise. Where `k` cuts a multiplet there
    is a kink; the derivative is that of the triplets that LAPACK put first.

    Raises:
        InputError: k larger than min(m, n) or not positive; `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("ky_fan_norm", a)
    check_rank("ky_fan_norm", a, k)
    return over_batch(partial(sum_of_kept, Keep(rank=k, as_one=True)), a, "(m,n)->()")


def spectral_norm(a: Inexact[Array, "*batch m n"]) -> Float[Array, "*batch"]:
    """The largest singular value, ‖a‖_∞.

    Exact derivatives of every order where it is simple. Where several singular values are largest (to
    sqrt(eps) · max(s)) there is a kink; the derivatives are those of their mean, a subgradient that no choice of basis
    enters. At a = 0 they are 0.

    Raises:
        InputError: `a` is not a matrix, or (outside `jit`) not finite.
    """
    a = _checks.matrix("spectral_norm", a)
    largest = Keep(rtol=1 - float(jnp.finfo(a.dtype).eps) ** 0.5, as_one=True)

    def norm(a):
        s = jax.lax.stop_gradient(jnp.linalg.svd(a, compute_uv=False))
        mean = sum_of_kept(largest, a) / jnp.maximum(jnp.sum(largest(s).astype(s.dtype)), 1)
        return s[0] + mean - jax.lax.stop_gradient(mean)  # the value of one, the derivatives of the mean

    return over_batch(norm, a, "(m,n)->()")


def schatten_norm(a: Inexact[Array, "*batch m n"], p: float | int) -> Float[Array, "*batch"]:
    """(Σ s_i^p)^(1/p) over the singular values: nuclear (p = 1), Frobenius (2), spectral (inf).

    Exact derivatives of every order at equal singular values, and at zero ones for even p; for other p those of orders
    below p, and all of them along matrices of the same rank (see the module). At a = 0, where every norm has a kink,
    they are 0.

    Args:
        a: matrix, real or complex, any leading batch axes.
        p: plain number from 1 to infinity; not differentiable.

    Raises:
        InputError: p is not such a number; `a` is not a matrix, or (outside `jit`) not finite.
    """
    if not isinstance(p, (int, float)) or not p >= 1:
        raise InputError(f"schatten_norm needs a plain number p from 1 to infinity, got {p!r}.")
    if p in (1, math.inf):
        return (nuclear_norm if p == 1 else spectral_norm)(a)
    a = _checks.matrix("schatten_norm", a)
    return over_batch(partial(_schatten, float(p), zero_tolerance(a)), a, "(m,n)->()")


def zero_tolerance(a: Inexact[Array, "..."]) -> float:
    """Eigen- and singular values up to this fraction of the largest one are zeros of the arithmetic."""
    return 16 * max(a.shape[-2:]) * float(jnp.finfo(a.dtype).eps)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def sum_of_kept(keep: Keep, a: Inexact[Array, "m n"]) -> Float[Array, ""]:
    """Σ s_i over the singular values that `keep` (as one block) takes."""
    return _sum(keep, jnp.linalg.svd(a, compute_uv=False))


@sum_of_kept.defjvp
def _sum_of_kept_jvp(keep, primals, tangents):
    (a,), (da,) = primals, tangents
    u, s, vh = decompose(None, False, keep, a)
    w = jnp.where(keep(s)[None, :], u, 0) @ vh
    return _sum(keep, s), jnp.sum(w.conj() * da).real


def _sum(keep, s):
    return jnp.sum(jnp.where(keep(s) | jnp.isnan(s), s, 0))  # a NaN is no zero


def _schatten(p, tol, a):
    m, n = a.shape
    size = jnp.max(jax.lax.stop_gradient(jnp.linalg.svd(a, compute_uv=False)))
    size = jnp.where(size == 0, 1, size)
    scaled = a / size
    dilation = jnp.block([[jnp.zeros((m, m), a.dtype), scaled], [scaled.conj().T, jnp.zeros((n, n), a.dtype)]])

    def power(x):
        if p % 2 == 0:
            return x ** int(p)
        zero = jnp.abs(x) <= tol
        return jnp.where(zero, 0, jnp.abs(jnp.where(zero, 1, x)) ** p)

    total = decomposed(dilation).trace(power).real / 2
    zero = total == 0
    return size * jnp.where(zero, 0, jnp.where(zero, 1, total) ** (1 / p))
