r"""The lowest eigenpair by Lanczos' recurrence in two passes, with memory for a few vectors.

The first pass makes the tridiagonal matrix T of H in the Krylov space of the start vector and forgets the vectors. The
second runs the recurrence again and adds up x = Σ_j s_j q_j with the lowest eigenvector s of T. Where the space was too
small, all starts again from x.

Without the stored vectors orthogonality is lost as soon as a level has converged, and copies of it, and values on their
way to it, appear among the eigenvalues of T: the lowest one can be trusted, the distance to the second cannot. And one
start vector sees one state of each level only. So the next level is the lowest of H + c x x†, with x moved out of the
way (c is twice the size of H), from another start vector. Its value alone is wanted, and to a hundredth of the gap:
one pass, a few dozen products.

Source: C. Lanczos, J. Res. NBS 45, 255 (1950); C. C. Paige, Linear Algebra Appl. 34, 235 (1980); H. Hotelling, J. Educ.
Psychol. 24, 417 (1933) (moving a level away).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int

from pullback.core import RESULTS, InputError, vary_like
from pullback.krylov._pencil import ROUNDING, Apply, Eigensolver, Found, Pencil, separated, verdict
from pullback.krylov._recurrence import nonzero, recurrence

_SPACES = 64, 128, 256  # sizes of the tridiagonal matrix looked at; the last is the largest space of one sweep
_CHECK = 16  # steps between looks at the tridiagonal matrix
_SEEN = 0.01  # of the gap: how well the next level is looked for
_NEXT_STEPS = 512  # products that the search for the next level may take in any case


class _Aim(NamedTuple):
    """What one search is for: the lowest level of H + lift · beside beside†, up to a residual that is

    at most per_size · max|w| + per_gap · (level − below), or until the level is no further than `closest` from `below`.
    With `value_only` the eigenvector is made only where the search must start again.
    """

    beside: Inexact[Array, " n"]
    lift: Float[Array, ""]
    per_size: Float[Array, ""]
    per_gap: Float[Array, ""]
    below: Float[Array, ""]
    closest: Float[Array, ""]
    value_only: Bool[Array, ""]

    def met(self, residual: Array, level: Array, size: Array) -> Bool[Array, ""]:
        distance = level - self.below
        return (residual <= self.per_size * size + self.per_gap * distance) | (distance <= self.closest)


class _State(NamedTuple):
    """A unit vector, its level and |H v − λ v|; the next converged value of T; the largest |value| of T."""

    x: Inexact[Array, " n"]
    level: Float[Array, ""]
    residual: Float[Array, ""]
    gap: Float[Array, ""]
    size: Float[Array, ""]
    products: Int[Array, ""]


class Lanczos(Eigensolver):
    """One level at the end of the spectrum, by Lanczos' recurrence in two passes, with memory for a few vectors.

    The state stays in the symmetry sector of the start vector, if the operator conserves one.

    Attributes:
        copies: whether a second search, from another start vector, looks for the next level, which may be a second
            state of the same energy (a fifth to a half of the time of the first one). Without it the gap is the one
            inside the symmetry sector of v0, and a second state of the same energy in another sector goes unseen: for
            v0 in one sector of several.
    """

    copies: bool = eqx.field(default=True, static=True)

    def check(self, name: str, n: int, k: int, which: str | float, metric: bool) -> None:
        """As of `Eigensolver`: one level, lowest or highest, without a metric."""
        del n
        asked = f"k={k}" if k > 1 else "a metric b" if metric else f"which={which}"
        if k > 1 or metric or not isinstance(which, str):
            raise InputError(
                f"{name}: Lanczos() finds one state at the end of the spectrum of a Hermitian operator, without a "
                f"metric; here is {asked}. Take Davidson(), or leave solver out."
            )

    def search(
        self, pencil: Pencil, v: Inexact[Array, " n"]
    ) -> tuple[Inexact[Array, "1 1"], Inexact[Array, "1 n"], Found]:
        """As of `Eigensolver`.

        Goes on until the residual is at most tol · max|w|, and at most `separated` times the gap to the next level.
        """
        real, eps = v.real.dtype, jnp.finfo(v.dtype).eps
        tol, trusted = pencil.tol, separated(v.dtype)
        zero, one = jnp.zeros((), real), jnp.ones((), real)
        nowhere = jnp.asarray(-jnp.inf, real)

        def of_vector(per_size) -> _Aim:
            return _Aim(jnp.zeros_like(v), zero, per_size, zero, zero, nowhere, jnp.array(False))

        def nearest(s: _State) -> _Aim:
            """The next level; nothing is looked for where the first one has not been found."""
            found = s.residual <= tol * s.size
            closest = jnp.where(found, ROUNDING * eps * s.size / trusted, jnp.inf)
            return _Aim(s.x, 2 * s.size, zero, _SEEN * one, s.level, closest, jnp.array(True))

        def polished(s: _State, gap: Array) -> _Aim:
            """The same vector, more exactly, where a small gap asks for it and rounding allows it."""
            floor = ROUNDING * eps * s.size
            wanted = (s.residual <= tol * s.size) & (trusted * gap > floor)
            return of_vector(jnp.where(wanted, jnp.minimum(trusted * gap / nonzero(s.size), tol), jnp.finfo(real).max))

        def one_of_three(stage, carry):
            """The level, the next level, the first vector again; one program for all of them."""
            s, gap, result = carry
            known, again, first = nearest(s), polished(s, gap), of_vector(jnp.asarray(tol, real))
            aim = jax.tree.map(
                lambda a, b, c: jnp.where(stage == 0, a, jnp.where(stage == 1, b, c)), first, known, again
            )
            other = self.init(jax.random.normal(jax.random.key(5), v.shape, v.dtype))
            other = other._replace(level=s.level + s.size, gap=gap, size=s.size)
            begin = jax.tree.map(lambda a, b: jnp.where(stage == 1, a, b), other, s)
            limit = jnp.where(stage == 1, jnp.maximum(s.products, _NEXT_STEPS), pencil.max_steps)
            end = jax.lax.while_loop(
                lambda state: ~self.done(state, aim, limit), lambda state: self.step(pencil, state, aim), begin
            )
            distance = end.level - s.level
            seen = distance - jnp.where(aim.met(end.residual, end.level, end.size), 0, end.residual)
            lower = (stage == 1) & jnp.isfinite(aim.closest) & (distance < -aim.closest)
            skipped = (stage == 1) & jnp.isinf(aim.closest)
            gap = jnp.where(stage == 0, end.gap, jnp.where((stage == 2) | skipped | lower, gap, jnp.maximum(seen, 0)))
            total = jnp.where(stage == 1, s.products + end.products, end.products)
            result = result | (lower & (not pencil.of_sector))
            kept = jax.tree.map(lambda a, b: jnp.where(stage == 1, a, b), s, end)
            return kept._replace(products=total), gap, result

        stages = jnp.array([0, 1, 2] if self.copies else [0, 2])
        begin = vary_like((self.init(v), zero, jnp.array(False)), v)
        end, gap, missed = jax.lax.fori_loop(0, stages.size, lambda i, carry: one_of_three(stages[i], carry), begin)
        result = verdict(end.residual, gap, end.size, tol=tol)
        result = RESULTS.where(missed & (result != RESULTS.nonfinite), RESULTS.breakdown, result)
        return end.level[None, None].astype(v.dtype), end.x[None], Found(result, end.residual, gap, end.products)

    def init(self, v: Inexact[Array, " n"]) -> _State:
        """Before the first sweep from v."""
        zero = jnp.zeros((), v.real.dtype)
        v = v / jnp.abs(v).max().astype(v.dtype)  # its norm may not be a number
        return _State(v / jnp.linalg.norm(v).astype(v.dtype), zero, zero + jnp.inf, zero, zero + 1, jnp.array(0))

    def step(self, pencil: Pencil, state: _State, aim: _Aim) -> _State:
        """Both passes, once."""

        def moved(x):
            return pencil.apply(x) + (aim.lift.astype(x.dtype) * jnp.vdot(aim.beside, x)) * aim.beside

        betas, k, (level, coefficients, estimate, gap, size) = _first_pass(moved, state, aim)
        enough = aim.value_only & aim.met(estimate, level, size)
        second = jnp.where(enough, 0, k)
        x = _second_pass(moved, state.x, betas, second, coefficients)
        image = moved(x)
        mean = jnp.vdot(x, image).real
        level = jnp.where(aim.value_only, level, mean)
        residual = jnp.where(aim.value_only, estimate, jnp.linalg.norm(image - mean.astype(x.dtype) * x))
        return _State(x, level, residual, gap, size, state.products + k + second + 1)

    def done(self, state: _State, aim: _Aim, max_steps: Array) -> Bool[Array, ""]:
        """Whether the aim is met, or nothing more is to be expected."""
        met = aim.met(state.residual, state.level, state.size)
        return met | (state.products >= max_steps) | jnp.isnan(state.residual)


def _first_pass(apply: Apply, start: _State, aim: _Aim) -> tuple[Array, Array, tuple]:
    """(β, their number, what `_ritz` says of T) in a Krylov space that is large enough, or as large as they get."""
    x, real = start.x, start.level.dtype
    space = min(_SPACES[-1], -(-x.size // _CHECK) * _CHECK)

    def unfinished(state):
        *_, k, (level, _, residual, _, size) = state
        return ~aim.met(residual / 0.3, level, size) & (k + _CHECK <= space)

    def extend(state):
        q, previous, alphas, betas, k, _ = state

        def one(i, carry):
            q, previous, alphas, betas = carry
            beta = jnp.where(k + i > 0, betas[k + i - 1], 0)
            new, _, alpha, norm = recurrence(apply, q, q, previous, beta)
            return new, q, alphas.at[k + i].set(alpha), betas.at[k + i].set(norm)

        q, previous, alphas, betas = jax.lax.fori_loop(0, _CHECK, one, (q, previous, alphas, betas))
        return q, previous, alphas, betas, k + _CHECK, _leading(alphas, betas, k + _CHECK)

    zeros = jnp.zeros(space, real)
    nothing = aim.below + start.size, zeros, jnp.full((), jnp.inf, real), jnp.zeros((), real), jnp.ones((), real)
    state = vary_like((x, jnp.zeros_like(x), zeros, zeros, jnp.array(0), nothing))
    *_, betas, k, ritz = jax.lax.while_loop(unfinished, extend, state)
    return betas, k, ritz


def _second_pass(apply: Apply, x: Array, betas: Array, k: Array, coefficients: Array) -> Array:
    """Σ_j s_j q_j over the first k vectors of the same recurrence, with length one."""

    def add(j, carry):
        q, previous, total = carry
        total = total + coefficients[j].astype(q.dtype) * q
        new, *_ = recurrence(apply, q, q, previous, jnp.where(j > 0, betas[j - 1], 0))
        return new, q, total

    *_, total = jax.lax.fori_loop(0, k, add, vary_like((x, jnp.zeros_like(x), jnp.zeros_like(x))))
    return total / nonzero(jnp.linalg.norm(total)).astype(total.dtype)


def _leading(alphas: Array, betas: Array, k: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`_ritz` with the smallest matrix that will do: nearly all time of small problems goes into it."""

    def of_size(m: int):
        def ritz():
            w, s, *rest = _ritz(alphas[:m], betas[:m], k)
            return w, jnp.pad(s, (0, alphas.size - m)), *rest

        return ritz

    sizes = sorted({min(m, alphas.size) for m in _SPACES})
    which = sum((k > m).astype(int) for m in sizes[:-1]) if len(sizes) > 1 else 0
    return jax.lax.switch(which, [of_size(m) for m in sizes])


def _ritz(alphas: Array, betas: Array, k: Array) -> tuple[Array, Array, Array, Array, Array]:
    """(lowest value, its vector, its residual, the gap to the next value, the largest |value|) of the leading k×k.

    The next value is the next one that has converged: copies of the lowest are not other levels, nor are the values
    on their way to it.
    """
    eps = jnp.finfo(alphas.dtype).eps
    index = jnp.arange(alphas.size)
    inside = index < k
    # Where the space is invariant the recurrence ends, and what follows is noise.
    size = jnp.max(jnp.where(inside, jnp.abs(alphas) + betas, 0))
    ended = jnp.cumsum(jnp.where(betas <= 50 * eps * size, 1, 0))
    inside = inside & (jnp.concatenate([jnp.zeros(1, ended.dtype), ended[:-1]]) == 0)
    last = jnp.sum(inside) - 1
    diagonal = jnp.where(inside, alphas, 4 * size + index.astype(alphas.dtype))
    off = jnp.where(inside[1:], betas[:-1], 0)
    w, s = jnp.linalg.eigh(jnp.diag(diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1))
    residuals = betas[last] * jnp.abs(s[last])
    other = (index <= last) & (w - w[0] > max(1e-9, 1e2 * eps) * size) & (residuals <= 0.1 * (w - w[0]))
    gap = jnp.min(jnp.where(other, w - w[0], jnp.inf))
    return (
        w[0],
        s[:, 0],
        residuals[0],
        jnp.where(jnp.isinf(gap), size, gap),
        jnp.max(jnp.where(index <= last, jnp.abs(w), 0)),
    )
