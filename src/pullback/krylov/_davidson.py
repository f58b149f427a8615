r"""A few lowest eigenpairs of H x = λ S x in a restarted block of vectors (generalised Davidson method).

The space is extended by the preconditioned residuals of the k + 2 lowest Ritz vectors at once, so that multiplets are
found, and restarted from half as many Ritz vectors as it holds. Without a preconditioner this is block Lanczos with
thick restarts. Levels nearest to a number σ are the lowest of (H − σ)², whose vectors are sorted out by H itself.

Sources: E. R. Davidson, J. Comput. Phys. 17, 87 (1975); R. B. Morgan, D. S. Scott, SIAM J. Sci. Stat. Comput. 7, 817
(1986); orthogonalisation: A. Stathopoulos, K. Wu, SIAM J. Sci. Comput. 23, 2165 (2002).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int

from pullback.core import vary_like
from pullback.krylov._lanczos import Found, verdict
from pullback.krylov._linear import conjugate_gradients

Apply = Callable[[Array], Array]

_INNER_TOL, _INNER_STEPS = 0.03, 500
_SEEN = 0.1  # of the gap: how well the next level is known


class _State(NamedTuple):
    """Rows: an S-orthonormal basis and its images under H and S; `filled` of them are there."""

    basis: Inexact[Array, "m n"]
    images: Inexact[Array, "m n"]
    weighted: Inexact[Array, "m n"]
    filled: Int[Array, ""]
    levels: Float[Array, " block"]
    residuals: Float[Array, " block"]
    size: Float[Array, ""]
    steps: Int[Array, ""]
    products: Int[Array, ""]


def davidson(
    apply: Apply,
    v: Inexact[Array, " n"],
    k: int,
    *,
    metric: Apply | None,
    precond: Apply | None,
    shift: Float[Array, ""] | None,
    basis: int,
    tol: float,
    separated: float,
    max_steps: int,
) -> tuple[Float[Array, " k"], Inexact[Array, "k n"], Found]:
    """(levels, vectors as rows, how they were found)."""
    block, m = min(k + 2, v.size), basis
    keep = max(block, m // 2)
    keep = min(keep, m - block)
    slots = jnp.arange(m)

    def folded(x):
        if shift is None:
            return apply(x)
        y = apply(x) - shift.astype(x.dtype) * x
        return apply(y) - shift.astype(y.dtype) * y

    def nearer(r):
        """A direction towards the vector that r is the residual of."""
        if shift is not None:  # inside the spectrum nothing less will do than to solve with (H − σ)², roughly
            plain = precond or (lambda r: r)
            return conjugate_gradients(folded, r, plain, tol=_INNER_TOL, max_steps=_INNER_STEPS)[0]
        return r if precond is None else precond(r)

    def weigh(x):
        return x if metric is None else jax.vmap(metric)(x)

    def orthonormal(x, state):
        """The rows of x, S-orthogonal to the basis and to each other; new directions where they are dependent."""
        for attempt in range(3):
            part = jnp.where((slots < state.filled)[None, :], x @ state.weighted.conj().T, 0)
            x = x - part @ state.basis
            lengths = jnp.sqrt(jnp.maximum(jnp.sum((x.conj() * weigh(x)).real, axis=1), 0))
            lost = lengths <= jnp.finfo(x.dtype).tiny
            x = jnp.where(lost[:, None], jax.random.normal(jax.random.key(attempt), x.shape, x.dtype), x)
            x = x / jnp.where(lost, 1, lengths).astype(x.dtype)[:, None]
            gram = x.conj() @ weigh(x).T
            d, u = jnp.linalg.eigh((gram + gram.conj().T) / 2)
            floor = jnp.finfo(x.dtype).eps * d[-1]
            x = (u / jnp.sqrt(jnp.maximum(d, floor)).astype(u.dtype)[None, :]).T @ x
        return x

    def extend(state, x):
        x = orthonormal(x, state)
        start = (state.filled, jnp.zeros_like(state.filled))
        return state._replace(
            basis=jax.lax.dynamic_update_slice(state.basis, x, start),
            images=jax.lax.dynamic_update_slice(state.images, jax.vmap(folded)(x), start),
            weighted=jax.lax.dynamic_update_slice(state.weighted, weigh(x), start),
            filled=state.filled + block,
            products=state.products + block * (1 if shift is None else 2),
        )

    def project(state):
        inside = slots < state.filled
        small = state.basis.conj() @ state.images.T
        small = jnp.where(inside[:, None] & inside[None, :], (small + small.conj().T) / 2, 0)
        size = jnp.abs(small).sum(axis=1).max()
        outside = jnp.where(inside, 0, 4 * size + slots.astype(size.dtype))
        return jnp.linalg.eigh(small + jnp.diag(outside).astype(small.dtype))

    def improve(state):
        w, y = project(state)
        images, weighted = y[:, :block].T @ state.images, y[:, :block].T @ state.weighted
        errors = images - w[:block, None].astype(weighted.dtype) * weighted
        residuals = jnp.linalg.norm(errors, axis=1)
        size = jnp.max(jnp.where(slots < state.filled, jnp.abs(w), 0))
        state = state._replace(levels=w[:block], residuals=residuals, size=jnp.maximum(size, state.size))

        def restart(state):
            def turned(rows):
                return jnp.zeros_like(rows).at[:keep].set(y[:, :keep].T @ rows)

            return state._replace(
                basis=turned(state.basis),
                images=turned(state.images),
                weighted=turned(state.weighted),
                filled=jnp.full_like(state.filled, keep),
            )

        state = jax.lax.cond(state.filled + block > m, restart, lambda s: s, state)
        return extend(state, jax.vmap(nearer)(errors))._replace(steps=state.steps + 1)

    def enough(state) -> Bool[Array, ""]:
        gap = state.levels[min(k, block - 1)] - state.levels[k - 1]
        # |(H − σ)² v − …| is about |H − σ| times what H v − … is, with |H − σ| = √size.
        size = state.size if shift is None else jnp.sqrt(state.size * jnp.abs(state.levels).max())
        good = state.residuals[:k].max() <= tol * size
        # The next level must be seen: it is, once its own residual is far below the gap that it leaves.
        seen = state.residuals[: k + 1].max() <= _SEEN * gap
        return good & seen & (state.residuals[:k].max() <= 0.3 * separated * gap)

    def hopeless(state) -> Bool[Array, ""]:
        """The k-th level and the next one are known, and equal to rounding."""
        rounding = 30 * jnp.finfo(v.dtype).eps * state.size
        gap = state.levels[min(k, block - 1)] - state.levels[k - 1]
        return (state.residuals[: k + 1].max() <= tol * state.size) & (separated * gap < rounding)

    def unfinished(state):
        finite = (state.steps == 0) | jnp.isfinite(state.residuals).all()
        return ~enough(state) & ~hopeless(state) & (state.steps < max_steps) & finite

    zeros = jnp.zeros((m, v.size), v.dtype)
    real = v.real.dtype
    state = _State(
        zeros,
        zeros,
        zeros,
        jnp.array(0),
        jnp.zeros(block, real),
        jnp.full(block, jnp.inf, real),
        jnp.zeros((), real),
        jnp.array(0),
        jnp.array(0),
    )
    first = jax.random.normal(jax.random.key(3), (block, v.size), v.dtype).at[0].set(v)
    state = extend(vary_like(state, v), first)
    state = jax.lax.while_loop(unfinished, improve, state)

    w, y = project(state)
    vectors = y[:, :block].T @ state.basis
    images = jax.vmap(apply)(vectors)
    weighted = weigh(vectors)
    levels = w[:block]
    if shift is not None:  # the vectors of (H − σ)² span those of H
        small = vectors.conj() @ images.T
        levels, u = jnp.linalg.eigh((small + small.conj().T) / 2)
        order = jnp.argsort(jnp.abs(levels - shift))
        levels, u = levels[order], u[:, order]
        vectors, images, weighted = (u.T @ rows for rows in (vectors, images, weighted))
    residual = jnp.linalg.norm(images - levels[:, None].astype(weighted.dtype) * weighted, axis=1)[:k].max()
    outer = levels[k:]
    gap = jnp.abs(levels[:k, None] - outer[None, :]).min() if block > k else jnp.asarray(jnp.inf, real)
    size = jnp.abs(levels).max() if shift is not None else jnp.maximum(state.size, jnp.abs(levels).max())
    result = verdict(residual, gap, size, tol=10 * tol, separated=separated)
    return levels[:k], vectors[:k], Found(result, residual, gap, state.products)
