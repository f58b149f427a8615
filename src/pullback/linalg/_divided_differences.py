"""Divided differences f[w_i, w_k, …, w_j] that keep their digits when levels meet.

The Newton table f[x_0..x_p] = (f[x_1..x_p] − f[x_0..x_{p−1}]) / (x_p − x_0) loses eps/gap at close points and is
0/0 at equal ones; the Taylor form (Opitz; de Boor, Surv. Approx. Theory 1, 46 (2005))

    f[x_0..x_p] = Σ_k f^(p+k)(c)/(p+k)! · h_k(x_0 − c, …, x_p − c),   h_k complete homogeneous symmetric,

converges fast there. Both are evaluated with an estimate of their own error, and each entry takes the better
one: no threshold has to know on which scale f varies. The Taylor form is estimated by its last two terms about
c = x_0 and by what it gives about c = x_p instead (last terms alone are fooled by functions whose derivatives
vanish at a point: tanh or x⁸ at zero), and it is not taken where it disagrees with Newton's form by more than
rounding explains (a step between two plateaus, as Fermi occupations at low temperature, fools both estimates).

Points may be complex. Newton's form divides by x_p − x_0, so the two points farthest apart must be the ends of the
list; the others are sorted between them.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int

EXTRA = 4  # Taylor terms beyond the leading one
NOISE = 1e3  # by how much f may be noisier than rounding of its value


def taylor_coefficients(
    f: Callable[[Inexact[Array, ""]], Inexact[Array, ""]], w: Inexact[Array, " n"], order: int
) -> Inexact[Array, "q n"]:
    """f^(q)(w)/q! for q = 0 … order + EXTRA, the table that `divided_difference` reads."""
    tower = jax.vmap(functools.reduce(lambda g, _: _one_more(g), range(order + EXTRA), lambda x: (f(x),)))
    return jnp.stack([derivative / math.factorial(q) for q, derivative in enumerate(tower(w))])


def _one_more(tower):
    """From x -> (f, …, f^(q)) the same with one derivative more."""

    def longer(x):
        values, slopes = jax.jvp(tower, (x,), (jnp.ones_like(x),))
        return *values, slopes[-1]

    return longer


def divided_difference(
    coefficients: Inexact[Array, "q n"], w: Inexact[Array, " n"], indices: tuple[Int[Array, "..."], ...]
) -> Inexact[Array, "..."]:
    """f[w[i_0], …, w[i_p]] for broadcastable integer arrays i_0 … i_p; real w must be ascending."""
    idx = _ordered(w, jnp.stack(jnp.broadcast_arrays(*indices)))
    x = w[idx]
    eps = jnp.finfo(w.dtype).eps
    table = [coefficients[0][i] for i in idx]
    errors = [eps * jnp.abs(t) for t in table]
    for p in range(1, len(indices)):
        new, new_errors = [], []
        for i in range(len(table) - 1):
            gap = x[i + p] - x[i]
            safe = jnp.where(gap == 0, 1, gap)
            newton = (table[i + 1] - table[i]) / safe
            newton_error = jnp.where(gap == 0, jnp.inf, (errors[i + 1] + errors[i]) / jnp.abs(safe))
            points = x[i : i + p + 1]
            taylor, last = _taylor(coefficients[p:, idx[i]], points - points[:1])
            other, _ = _taylor(coefficients[p:, idx[i + p]], points - points[-1:])
            taylor_error = jnp.abs(last) + jnp.abs(taylor - other) + eps * jnp.abs(taylor)
            # Where a derivative does not exist the estimate is NaN and Newton's form is taken, if there is one.
            agree = jnp.abs(taylor - newton) <= NOISE * newton_error
            use_taylor = ((taylor_error < newton_error) & agree) | (gap == 0)
            new.append(jnp.where(use_taylor, taylor, newton))
            new_errors.append(jnp.where(use_taylor, taylor_error, newton_error))
        table, errors = new, new_errors
    return table[0]


def _ordered(w, idx):
    """The indices sorted along the line through the two points that are farthest apart, ends first and last."""
    if not jnp.iscomplexobj(w):
        return jnp.sort(idx, axis=0)
    p = len(idx)
    if p <= 2:
        return idx
    x = w[idx]
    distance = jnp.abs(x[:, None] - x[None, :]).reshape(p * p, *x.shape[1:])
    first, last = jnp.divmod(jnp.argmax(distance, axis=0), p)
    start = jnp.take_along_axis(x, first[None], axis=0)
    axis = jnp.take_along_axis(x, last[None], axis=0) - start
    return jnp.take_along_axis(idx, jnp.argsort(((x - start) * axis.conj()).real, axis=0), axis=0)


def _taylor(coefficients, y):
    """The Taylor form for points at distances y from its centre, and the size of its last two terms."""
    h = [jnp.ones_like(y[0])] + [jnp.zeros_like(y[0])] * EXTRA
    for point in y:
        for k in range(1, EXTRA + 1):
            h[k] = h[k] + point * h[k - 1]
    terms = [jnp.where(h_k == 0, 0, c * h_k) for c, h_k in zip(coefficients, h)]
    return sum(terms[:-1], terms[-1]), jnp.abs(terms[-1]) + jnp.abs(terms[-2])
