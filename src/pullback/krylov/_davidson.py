r"""A few lowest eigenpairs of H x = λ S x in a restarted block of vectors (generalised Davidson method).

The space is extended by the preconditioned residuals of the k + 2 lowest Ritz vectors at once, so that multiplets are
found, and restarted from half as many Ritz vectors as it holds. Without a preconditioner this is block Lanczos with
thick restarts. Levels nearest to a number σ are the lowest of (H − σ)², whose vectors are sorted out by H itself.

Sources: E. R. Davidson, J. Comput. Phys. 17, 87 (1975); R. B. Morgan, D. S. Scott, SIAM J. Sci. Stat. Comput. 7, 817
(1986); orthogonalisation: A. Stathopoulos, K. Wu, SIAM J. Sci. Comput. 23, 2165 (2002).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int, PyTree

from pullback.core import InputError, vary_like
from pullback.krylov._linear import conjugate_gradients
from pullback.krylov._pencil import Eigensolver, Found, Pencil, separated, verdict

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


class Davidson(Eigensolver):
    """Any few levels, in a restarted block of vectors, which sees multiplets of up to k + 2 states.

    Without a preconditioner this is block Lanczos.

    Attributes:
        basis: number of stored vectors; None: max(4 (k + 2), 24).
        precond: r -> about (H − λ)⁻¹ r, Hermitian and positive definite, as (K + c)⁻¹ for H = K + V on a grid. The
            equation of the derivative takes it, too.
    """

    basis: int | None = eqx.field(default=None, static=True)
    precond: Callable[[PyTree], PyTree] | None = None

    def check(self, name: str, n: int, k: int, which: str | float, metric: bool) -> None:
        """As of `Eigensolver`: space for a block of k + 2 vectors and another one."""
        del which, metric
        least = 2 * (k + 2)
        if n < least:
            raise InputError(
                f"{name}: Davidson() needs a dimension of at least 2 (k + 2) = {least}, here it is {n}. Take Dense(), "
                "or leave solver out."
            )
        if self.basis is not None and self.basis < least:
            raise InputError(f"{name}: Davidson(basis={self.basis}); it must be at least 2 (k + 2) = {least}")

    def search(
        self, pencil: Pencil, v: Inexact[Array, " n"]
    ) -> tuple[Inexact[Array, "k k"], Inexact[Array, "k n"], Found]:
        """As of `Eigensolver`."""
        k = pencil.k
        state = jax.lax.while_loop(
            lambda state: ~self.done(pencil, state), lambda state: self.step(pencil, state), self.init(pencil, v)
        )
        w, y = _projected(state)
        vectors = y[:, : k + 2].T @ state.basis
        images = jax.vmap(pencil.apply)(vectors)
        weighted = pencil.weigh(vectors)
        levels = w[: k + 2]
        if pencil.shift is not None:  # the vectors of (H − σ)² span those of H
            small = vectors.conj() @ images.T
            levels, u = jnp.linalg.eigh((small + small.conj().T) / 2)
            order = jnp.argsort(jnp.abs(levels - pencil.shift))
            levels, u = levels[order], u[:, order]
            vectors, images, weighted = (u.T @ rows for rows in (vectors, images, weighted))
        residual = jnp.linalg.norm(images - levels[:, None].astype(weighted.dtype) * weighted, axis=1)[:k].max()
        gap = jnp.abs(levels[:k, None] - levels[None, k:]).min()
        size = jnp.abs(levels).max()
        size = size if pencil.shift is not None else jnp.maximum(state.size, size)
        result = verdict(residual, gap, size, tol=10 * pencil.tol)
        small = jnp.diag(levels[:k]).astype(vectors.dtype)
        return small, vectors[:k], Found(result, residual, gap, state.products)

    def init(self, pencil: Pencil, v: Inexact[Array, " n"]) -> _State:
        """A block of v and random vectors."""
        block = pencil.k + 2
        m = min(max(4 * block, 24) if self.basis is None else self.basis, v.size)
        zeros = jnp.zeros((m, v.size), v.dtype)
        real, count = v.real.dtype, jnp.array(0)
        unknown = jnp.zeros(block, real), jnp.full(block, jnp.inf, real), jnp.zeros((), real)
        state = _State(zeros, zeros, zeros, count, *unknown, count, count)
        first = jax.random.normal(jax.random.key(3), (block, v.size), v.dtype).at[0].set(v)
        return _extended(pencil, vary_like(state, v), first)

    def step(self, pencil: Pencil, state: _State) -> _State:
        """The Ritz vectors, a restart from them where the space is full, and their residuals as new directions."""
        m, block = len(state.basis), pencil.k + 2
        w, y = _projected(state)
        images, weighted = y[:, :block].T @ state.images, y[:, :block].T @ state.weighted
        errors = images - w[:block, None].astype(weighted.dtype) * weighted
        residuals = jnp.linalg.norm(errors, axis=1)
        size = jnp.max(jnp.where(jnp.arange(m) < state.filled, jnp.abs(w), 0))
        state = state._replace(levels=w[:block], residuals=residuals, size=jnp.maximum(size, state.size))
        keep = min(max(block, m // 2), m - block)

        def restarted(state):
            def turned(rows):
                return jnp.zeros_like(rows).at[:keep].set(y[:, :keep].T @ rows)

            return state._replace(
                basis=turned(state.basis),
                images=turned(state.images),
                weighted=turned(state.weighted),
                filled=jnp.full_like(state.filled, keep),
            )

        state = jax.lax.cond(state.filled + block > m, restarted, lambda s: s, state)
        directions = jax.vmap(lambda r: _nearer(pencil, r))(errors)
        return _extended(pencil, state, directions)._replace(steps=state.steps + 1)

    def done(self, pencil: Pencil, state: _State) -> Bool[Array, ""]:
        """Whether the k levels are known and apart from the next one, or will not be."""
        k = pencil.k
        gap = state.levels[k] - state.levels[k - 1]
        residual, with_next = state.residuals[:k].max(), state.residuals[: k + 1].max()
        # |(H − σ)² v − …| is about |H − σ| times what H v − … is, with |H − σ| = √size.
        inside = pencil.shift is not None
        size = jnp.sqrt(state.size * jnp.abs(state.levels).max()) if inside else state.size
        trusted = separated(gap.dtype)
        # The next level must be seen: it is, once its own residual is far below the gap that it leaves.
        enough = (residual <= pencil.tol * size) & (with_next <= _SEEN * gap) & (residual <= 0.3 * trusted * gap)
        # The k-th level and the next one are known, and equal to rounding.
        rounding = 30 * jnp.finfo(gap.dtype).eps * state.size
        hopeless = (with_next <= pencil.tol * state.size) & (trusted * gap < rounding)
        finite = (state.steps == 0) | jnp.isfinite(state.residuals).all()
        return enough | hopeless | (state.steps >= pencil.max_steps) | ~finite


def _folded(pencil: Pencil, x: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
    """H x, or (H − σ)² x."""
    if pencil.shift is None:
        return pencil.apply(x)
    y = pencil.apply(x) - pencil.shift.astype(x.dtype) * x
    return pencil.apply(y) - pencil.shift.astype(y.dtype) * y


def _nearer(pencil: Pencil, r: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
    """A direction towards the vector that r is the residual of."""
    precond = pencil.precond or (lambda r: r)
    if pencil.shift is None:
        return precond(r)
    # Inside the spectrum nothing less will do than to solve with (H − σ)², roughly.
    return conjugate_gradients(lambda x: _folded(pencil, x), r, precond, tol=_INNER_TOL, max_steps=_INNER_STEPS)[0]


def _orthonormal(pencil: Pencil, x: Inexact[Array, "block n"], state: _State) -> Inexact[Array, "block n"]:
    """The rows of x, S-orthogonal to the basis and to each other; new directions where they are dependent."""
    known = jnp.arange(len(state.basis)) < state.filled
    for attempt in range(3):
        part = jnp.where(known[None, :], x @ state.weighted.conj().T, 0)
        x = x - part @ state.basis
        lengths = jnp.sqrt(jnp.maximum(jnp.sum((x.conj() * pencil.weigh(x)).real, axis=1), 0))
        lost = lengths <= jnp.finfo(x.dtype).tiny
        x = jnp.where(lost[:, None], jax.random.normal(jax.random.key(attempt), x.shape, x.dtype), x)
        x = x / jnp.where(lost, 1, lengths).astype(x.dtype)[:, None]
        gram = x.conj() @ pencil.weigh(x).T
        d, u = jnp.linalg.eigh((gram + gram.conj().T) / 2)
        floor = jnp.finfo(x.dtype).eps * d[-1]
        x = (u / jnp.sqrt(jnp.maximum(d, floor)).astype(u.dtype)[None, :]).T @ x
    return x


def _extended(pencil: Pencil, state: _State, x: Inexact[Array, "block n"]) -> _State:
    """The space with the rows of x."""
    x = _orthonormal(pencil, x, state)
    start = (state.filled, jnp.zeros_like(state.filled))
    images = jax.vmap(lambda x: _folded(pencil, x))(x)
    return state._replace(
        basis=jax.lax.dynamic_update_slice(state.basis, x, start),
        images=jax.lax.dynamic_update_slice(state.images, images, start),
        weighted=jax.lax.dynamic_update_slice(state.weighted, pencil.weigh(x), start),
        filled=state.filled + len(x),
        products=state.products + len(x) * (1 if pencil.shift is None else 2),
    )


def _projected(state: _State) -> tuple[Float[Array, " m"], Inexact[Array, "m m"]]:
    """Ritz values and vectors; what is not filled yet comes last."""
    slots = jnp.arange(len(state.basis))
    inside = slots < state.filled
    small = state.basis.conj() @ state.images.T
    small = jnp.where(inside[:, None] & inside[None, :], (small + small.conj().T) / 2, 0)
    size = jnp.abs(small).sum(axis=1).max()
    outside = jnp.where(inside, 0, 4 * size + slots.astype(size.dtype))
    return jnp.linalg.eigh(small + jnp.diag(outside).astype(small.dtype))
