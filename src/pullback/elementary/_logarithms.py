r"""Logarithms of sums of exponentials, with infinities; x log y; log cosh.

L = log Σ_i b_i e^{a_i}. With the shares q_i = e^{a_i − L},

    dL = Σ_i q_i (b_i da_i + db_i),        dq_i = q_i (da_i − dL).

The pair is closed, so that only the *values* of the shares at infinite arguments have to be decided, and all orders
follow: states at −∞ have no share, states at +∞ share equally, and if all are at −∞ nobody has a share.
"""

from collections.abc import Sequence
from functools import partial
from typing import SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import InputError, is_live, whole_number
from pullback.elementary._inexact import inexact, inexacts
from pullback.external import with_partials


def logsumexp(
    a: ArrayLike,
    *,
    axis: SupportsIndex | Sequence[SupportsIndex] | None = None,
    b: ArrayLike = 1.0,
    keepdims: bool = False,
) -> Inexact[Array, "..."]:
    """log Σ b exp(a) over `axis`, default all axes, with derivatives in `a` and in the weights `b`.

    Finite derivatives at infinite `a`: entries at −∞ get 0; entries at +∞ share equally; if all are −∞, all get 0.
    The derivative in a weight that is 0 is exact (`jax.scipy.special.logsumexp` returns 0 for it).

    Raises:
        InputError: `a` has no entries along `axis`, or no such axis.
    """
    a, b = jnp.broadcast_arrays(*inexacts("logsumexp", a, b))
    axes = _axes(a, axis)
    rest = tuple(i for i in range(a.ndim) if i not in axes)
    shape = tuple(a.shape[i] for i in rest)

    def flat(x):
        return jnp.transpose(x, rest + axes).reshape(*shape, -1)

    if 0 in (a.shape[i] for i in axes):
        raise InputError(f"logsumexp needs at least one entry along axis {axis}, got shape {a.shape}.")
    out = _logsumexp(flat(a), flat(b))
    return jnp.expand_dims(out, axes) if keepdims else out


def logaddexp(x: ArrayLike, y: ArrayLike) -> Inexact[Array, "..."]:
    """log(exp(x) + exp(y)); infinite arguments as in `logsumexp`."""
    x, y = jnp.broadcast_arrays(*inexacts("logaddexp", x, y))
    return logsumexp(jnp.stack([x, y], -1), axis=-1)


def logaddexp2(x: ArrayLike, y: ArrayLike) -> Float[Array, "..."]:
    """log2(2**x + 2**y); infinite arguments as in `logsumexp`."""
    x, y = inexacts("logaddexp2", x, y, real=True)
    log2 = jnp.log(jnp.asarray(2, x.dtype))
    return logaddexp(x * log2, y * log2) / log2


def logcosh(x: ArrayLike) -> Float[Array, "..."]:
    """log(cosh(x)) for real x, without overflow and with full relative accuracy at small x; derivative tanh(x)."""
    return _logcosh(inexact("logcosh", x, real=True))


def xlogy(x: ArrayLike, y: ArrayLike) -> Inexact[Array, "..."]:
    """x log(y), and 0 where x = 0, also at y = 0.

    Derivatives: log(y) in x, which is −∞ at y = 0; x/y in y, defined as 0 at x = y = 0.
    """
    x, y = inexacts("xlogy", x, y)
    return _xlogy(x, y)


def _axes(a, axis):
    """`axis` as different numbers from 0 to ndim − 1."""
    given = range(a.ndim) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    axes = [whole_number("logsumexp", "axis", i) for i in given]
    if not all(-a.ndim <= i < a.ndim for i in axes) or len({i % a.ndim for i in axes}) < len(axes):
        raise InputError(f"logsumexp: axis = {axis} does not name different axes of an array of shape {a.shape}.")
    return tuple(i % a.ndim for i in axes)


@jax.custom_jvp
def _logsumexp(a, b):
    """Over the last axis."""
    a = _weighted(a, b)
    top = jnp.max(a.real, axis=-1, keepdims=True)
    shift = jnp.where(jnp.isfinite(top), top, 0).astype(a.dtype)
    return jnp.log(jnp.sum(b * jnp.exp(a - shift), axis=-1)) + shift[..., 0]


@partial(_logsumexp.defjvp, symbolic_zeros=True)
def _logsumexp_jvp(primals, tangents):
    return _logsumexp(*primals), _differential(primals, tangents)


def _weighted(a, b):
    """`a` without the entries of weight 0, whose exponentials may overflow."""
    return jnp.where(b == 0, -jnp.inf, a)


def _differential(primals, tangents):
    """dL."""
    (a, b), (da, db) = primals, tangents
    total = jnp.zeros(a.shape[:-1], a.dtype)
    if is_live(da):
        total += jnp.sum(b * _shares(_weighted(a, b), b) * da, axis=-1)
    if is_live(db):
        total += jnp.sum(_shares(a, b) * db, axis=-1)
    return total


@jax.custom_jvp
def _shares(a, b):
    out = _logsumexp(a, b)[..., None]
    nobody, top = out.real == -jnp.inf, a.real == jnp.inf
    finite = jnp.exp(a - jnp.where(jnp.isfinite(out), out, 0))
    weight = jnp.sum(jnp.where(top, b, 0), axis=-1, keepdims=True)
    equal = top.astype(a.dtype) / jnp.where(weight == 0, 1, weight)
    return jnp.where(nobody, 0, jnp.where(out.real == jnp.inf, equal, finite))


@partial(_shares.defjvp, symbolic_zeros=True)
def _shares_jvp(primals, tangents):
    q, change = _shares(*primals), -_differential(primals, tangents)[..., None]
    if is_live(tangents[0]):
        change += tangents[0]
    return q, q * change


@jax.custom_jvp
def _logcosh(x):
    size = jnp.abs(x)
    small = size < 1
    near = jnp.log1p(jnp.sinh(jnp.where(small, x, 0)) ** 2) / 2
    return jnp.where(small, near, size + jnp.log1p(jnp.exp(-2 * size)) - jnp.log(jnp.asarray(2, x.dtype)))


@_logcosh.defjvp
def _logcosh_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _logcosh(x), jnp.tanh(x) * dx


_xlogy = with_partials(
    lambda x, y: jnp.where(x == 0, 0, x * jnp.log(jnp.where(x == 0, 1, y))),
    lambda x, y: jnp.log(y) + jnp.zeros_like(x),
    lambda x, y: jnp.where((x == 0) & (y == 0), 0, x / jnp.where((x == 0) & (y == 0), 1, y)),
)
