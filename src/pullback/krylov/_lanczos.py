r"""The lowest eigenpair by Lanczos' recurrence in two passes, with memory for a few vectors.

The first pass makes the tridiagonal matrix T of H in the Krylov space of the start vector and forgets the vectors. The
second runs the recurrence again and adds up x = Σ_j s_j q_j with the lowest eigenvector s of T. Where the space was too
small, all starts again from x.

Without the stored vectors orthogonality is lost as soon as a level has converged, and copies of it appear among the
eigenvalues of T; values that agree to 1e-9 of the spectrum's width are taken for one.

Source: C. Lanczos, J. Res. NBS 45, 255 (1950); C. C. Paige, Linear Algebra Appl. 34, 235 (1980).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int

from pullback.core import RESULTS

_SPACES = 64, 128, 256  # sizes of the tridiagonal matrix looked at; the last is the largest space of one sweep
_CHECK = 16  # steps between looks at the tridiagonal matrix
_COPIES = 1e-9  # of the width of the spectrum


class Found(NamedTuple):
    """How an iteration ended: |H v − λ v|, the gap to the next level, products with H; without derivatives."""

    result: RESULTS
    residual: Float[Array, ""]
    gap: Float[Array, ""]
    products: Int[Array, ""]


def lanczos(
    apply: Callable[[Array], Array], v: Inexact[Array, " n"], *, tol: float, separated: float, max_steps: int
) -> tuple[Float[Array, ""], Inexact[Array, " n"], Found]:
    """(level, vector, how it was found).

    Goes on until the residual is at most tol · max|w|, and at most `separated` times the gap to the next level.
    """
    space = min(_SPACES[-1], -(-v.size // _CHECK) * _CHECK)
    real, eps = v.real.dtype, jnp.finfo(v.dtype).eps

    def recurrence(q, previous, beta):
        w = apply(q) - beta * previous
        alpha = jnp.vdot(q, w).real
        w = w - alpha * q
        norm = jnp.linalg.norm(w)
        return w / jnp.where(norm == 0, 1, norm), alpha, norm

    def first_pass(x):
        def unfinished(state):
            *_, k, (_, _, residual, gap, size) = state
            enough = (residual <= 0.3 * tol * size) & (residual <= 0.3 * separated * gap)
            return ~enough & (k + _CHECK <= space)

        def extend(state):
            q, previous, alphas, betas, k, _ = state

            def one(i, carry):
                q, previous, alphas, betas = carry
                beta = jnp.where(k + i > 0, betas[k + i - 1], 0)
                new, alpha, norm = recurrence(q, previous, beta)
                return new, q, alphas.at[k + i].set(alpha), betas.at[k + i].set(norm)

            q, previous, alphas, betas = jax.lax.fori_loop(0, _CHECK, one, (q, previous, alphas, betas))
            return q, previous, alphas, betas, k + _CHECK, _leading(alphas, betas, k + _CHECK)

        zeros = jnp.zeros(space, real)
        nothing = jnp.zeros((), real), zeros, jnp.full((), jnp.inf, real), jnp.zeros((), real), jnp.ones((), real)
        state = x, jnp.zeros_like(x), zeros, zeros, jnp.array(0), nothing
        *_, alphas, betas, k, ritz = jax.lax.while_loop(unfinished, extend, state)
        return alphas, betas, k, ritz

    def second_pass(x, betas, k, coefficients):
        def add(j, carry):
            q, previous, total = carry
            total = total + coefficients[j] * q
            beta = jnp.where(j > 0, betas[j - 1], 0)
            new, _, _ = recurrence(q, previous, beta)
            return new, q, total

        *_, total = jax.lax.fori_loop(0, k, add, (x, jnp.zeros_like(x), jnp.zeros_like(x)))
        return total / jnp.linalg.norm(total)

    def sweep(state):
        x, *_, products = state
        _, betas, k, (_, coefficients, _, gap, size) = first_pass(x)
        x = second_pass(x, betas, k, coefficients)
        image = apply(x)
        level = jnp.vdot(x, image).real
        residual = jnp.linalg.norm(image - level * x)
        return x, level, residual, gap, size, products + 2 * k + 1

    def unfinished(state):
        _, _, residual, gap, size, products = state
        enough = (residual <= tol * size) & (residual <= jnp.maximum(separated * gap, 10 * eps * size))
        return ~enough & (products < max_steps) & ~jnp.isnan(residual)

    one = jnp.ones((), real)
    start = v / jnp.linalg.norm(v), 0 * one, jnp.inf * one, 0 * one, one, jnp.array(0)
    x, level, residual, gap, size, products = jax.lax.while_loop(unfinished, sweep, start)
    result = RESULTS.where(residual <= tol * size, RESULTS.not_separated, RESULTS.max_steps_reached)
    result = RESULTS.where((residual <= tol * size) & (residual <= separated * gap), RESULTS.successful, result)
    result = RESULTS.where(jnp.isnan(residual), RESULTS.nonfinite, result)
    return level, x, Found(result, residual, gap, products)


def _leading(alphas: Array, betas: Array, k: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`_ritz` with the smallest matrix that will do: nearly all time of small problems goes into it."""

    def of_size(m: int):
        def ritz():
            w, s, *rest = _ritz(alphas[:m], betas[:m], k)
            return w, jnp.zeros_like(alphas).at[:m].set(s), *rest

        return ritz

    sizes = sorted({min(m, alphas.size) for m in _SPACES})
    which = sum((k > m).astype(int) for m in sizes[:-1]) if len(sizes) > 1 else 0
    return jax.lax.switch(which, [of_size(m) for m in sizes])


def _ritz(alphas: Array, betas: Array, k: Array) -> tuple[Array, Array, Array, Array, Array]:
    """(lowest value, its vector, its residual, the gap to the next value, the largest |value|) of the leading k×k."""
    index = jnp.arange(alphas.size)
    inside = index < k
    # Where the space is invariant the recurrence ends, and what follows is noise.
    size = jnp.max(jnp.where(inside, jnp.abs(alphas) + betas, 0))
    ended = jnp.cumsum(jnp.where(betas <= 1e-14 * size, 1, 0))
    inside = inside & (jnp.concatenate([jnp.zeros(1, ended.dtype), ended[:-1]]) == 0)
    last = jnp.sum(inside) - 1
    diagonal = jnp.where(inside, alphas, 4 * size + index)
    off = jnp.where(inside[1:], betas[:-1], 0)
    w, s = jnp.linalg.eigh(jnp.diag(diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1))
    residual = betas[last] * jnp.abs(s[last, 0])
    real = (jnp.arange(w.size) <= last) & (w - w[0] > _COPIES * size)
    gap = jnp.min(jnp.where(real, w - w[0], jnp.inf))
    return (
        w[0],
        s[:, 0],
        residual,
        jnp.where(jnp.isinf(gap), size, gap),
        jnp.max(jnp.where(index <= last, jnp.abs(w), 0)),
    )
