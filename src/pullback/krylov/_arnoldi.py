r"""Dominant eigenvalues of a general operator by Arnoldi iteration, restarted from the wanted Ritz vectors.

Source: G. W. Stewart, SIAM J. Matrix Anal. Appl. 23, 601 (2001).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from pullback.core import RESULTS, InputError, vary_like
from pullback.krylov._pencil import Eigensolver, Pencil

KEYS: dict[str, Callable[[Array], Array]] = {"LM": jnp.abs, "LR": jnp.real, "SR": lambda w: -jnp.real(w)}


class Search(NamedTuple):
    """How an iteration ended, by its own estimate; the largest |λ| and |A| of its space; products with A."""

    result: RESULTS
    size: Float[Array, ""]
    norm: Float[Array, ""]
    products: Int[Array, ""]


class _State(NamedTuple):
    """Rows of `basis` are orthonormal, and A basis[:m]ᵀ = basis[:m + 1]ᵀ projected; `kept` of the rows are there."""

    basis: Complex[Array, "m+1 n"]
    projected: Complex[Array, "m+1 m"]
    kept: Int[Array, ""]
    ritz: Complex[Array, "k k"]
    residual: Float[Array, ""]
    size: Float[Array, ""]
    norm: Float[Array, ""]
    cut: Bool[Array, ""]
    restarts: Int[Array, ""]
    products: Int[Array, ""]


class Arnoldi(Eigensolver):
    """Arnoldi iteration from one start vector, restarted with the wanted Ritz vectors.

    Attributes:
        basis: number of stored Krylov vectors; None: max(2k + 10, 24).
        copies: whether a second, less exact iteration, on the complement of what was found, looks for a second one of
            two equal eigenvalues, which the first does not see.
    """

    basis: int | None = eqx.field(default=None, static=True)
    copies: bool = eqx.field(default=True, static=True)

    def check(self, name: str, n: int, k: int, which: str | float, metric: bool) -> None:
        """As of `Eigensolver`: space for the basis."""
        del which, metric
        if not k + 2 <= self.size(k) <= n:
            raise InputError(
                f"{name}: Arnoldi(basis={self.size(k)}); it must be at least k + 2 = {k + 2} and at most {n}. For that "
                "many eigenvalues take Dense()."
            )

    def size(self, k: int) -> int:
        """Number of Krylov vectors."""
        return max(2 * k + 10, 24) if self.basis is None else self.basis

    def search(
        self, pencil: Pencil, v: Complex[Array, " n"]
    ) -> tuple[Complex[Array, "k k"], Complex[Array, "k n"], Search]:
        """As of `Eigensolver`; the rows are orthonormal, Λ is any matrix."""
        end = jax.lax.while_loop(
            lambda state: ~self.done(pencil, state), lambda state: self.step(pencil, state), self.init(pencil, v)
        )
        result = RESULTS.where(end.residual <= _goal(pencil), RESULTS.successful, RESULTS.max_steps_reached)
        result = RESULTS.where(jnp.isnan(end.residual), RESULTS.nonfinite, result)
        result = RESULTS.where(end.cut & (result == RESULTS.successful), RESULTS.not_separated, result)
        return end.ritz, end.basis[: pencil.k], Search(result, end.size, end.norm, end.products)

    def init(self, pencil: Pencil, v: Complex[Array, " n"]) -> _State:
        """One vector."""
        k, m = pencil.k, self.size(pencil.k)
        zero, number = jnp.array(0), jnp.zeros((), v.real.dtype)
        basis = jnp.zeros((m + 1, v.size), v.dtype).at[0].set(v / _length(v))
        projected, ritz = jnp.zeros((m + 1, m), v.dtype), jnp.zeros((k, k), v.dtype)
        state = _State(basis, projected, zero, ritz, number + jnp.inf, number, number, jnp.array(False), zero, zero)
        return vary_like(state, v)

    def step(self, pencil: Pencil, state: _State) -> _State:
        """The full space, and a restart from its wanted Ritz vectors."""
        k, m = pencil.k, self.size(pencil.k)
        keep = min(k + (m - k) // 2, m - 1)

        def extend(j, carry):
            return _extended(pencil, j, *carry)

        basis, projected = jax.lax.fori_loop(state.kept, m, extend, (state.basis, state.projected))
        w, y = jnp.linalg.eig(projected[:m])
        order = ordered(pencil.which, w)
        y = y[:, order[:keep]]
        size = largest(w)
        residual = jnp.abs(projected[m, m - 1] * y[m - 1, :k]).max() / size
        q, _ = jnp.linalg.qr(y)
        restarted = jnp.zeros_like(basis).at[:keep].set(q.T @ basis[:m]).at[keep].set(basis[m])
        small = jnp.zeros_like(projected).at[:keep, :keep].set(q.conj().T @ projected[:m] @ q)
        small = small.at[keep, :keep].set(projected[m, m - 1] * q[m - 1])
        cut = is_cut(w[order], k)
        seen = residual, size, jnp.maximum(state.norm, jnp.linalg.norm(projected))
        count = state.restarts + 1, state.products + m - state.kept
        return _State(restarted, small, jnp.full_like(state.kept, keep), small[:k, :k], *seen, cut, *count)

    def done(self, pencil: Pencil, state: _State) -> Bool[Array, ""]:
        """Whether the residual is small enough, or will not be."""
        found = state.residual <= _goal(pencil)
        return found | (state.restarts >= pencil.max_steps) | jnp.isnan(state.residual)


def _goal(pencil: Pencil) -> float:
    return pencil.tol / 2  # what is returned is held against the whole


def _extended(
    pencil: Pencil, j: Int[Array, ""], basis: Complex[Array, "rows n"], projected: Complex[Array, "rows m"]
) -> tuple[Complex[Array, "rows n"], Complex[Array, "rows m"]]:
    """The space with one more vector."""
    size = len(basis)
    u = pencil.apply(basis[j])
    known = jnp.arange(size) <= j
    h = jnp.zeros(size, u.dtype)
    for _ in range(2):  # once more: rounding leaves too much after one pass
        part = jnp.where(known, basis.conj() @ u, 0)
        u, h = u - part @ basis, h + part
    norm = jnp.linalg.norm(u)
    small = norm <= 10 * jnp.finfo(u.dtype).eps * jnp.linalg.norm(h)
    # The space is invariant: go on in a new direction, which the projected matrix does not couple to.
    fresh = jax.random.normal(jax.random.fold_in(jax.random.key(1), j), u.shape, u.dtype)
    for _ in range(2):
        fresh = fresh - jnp.where(known, basis.conj() @ fresh, 0) @ basis
    u = jnp.where(small, fresh / _length(fresh), u / jnp.where(small, 1, norm).astype(u.dtype))
    h = h.at[j + 1].set(jnp.where(small, 0, norm).astype(u.dtype))
    return basis.at[j + 1].set(u), projected.at[:, j].set(h)


def _length(v: Array) -> Array:
    return jnp.linalg.norm(v).astype(v.dtype)


def largest(w: Complex[Array, " m"]) -> Float[Array, ""]:
    """The largest |w|, or one if all are zero."""
    size = jnp.abs(w).max()
    return jnp.where(size == 0, 1, size)


def ordered(which: str | float, w: Complex[Array, " m"]) -> Int[Array, " m"]:
    """The order of `which`; of a conjugate pair the one with positive imaginary part first."""
    # Members of a pair are equal to rounding: their order must not depend on it.
    real = jnp.abs(w.imag) <= max(1e-9, 30 * float(jnp.finfo(w.dtype).eps)) * largest(w)
    key = KEYS[str(which)](w) + equal_within(w) * jnp.sign(jnp.where(real, 0, w.imag))
    return jnp.argsort(-key)


def is_cut(w: Complex[Array, " m"], k: int) -> Bool[Array, ""]:
    """Whether the k-th of these sorted values equals the next one."""
    if k >= w.size:
        return jnp.array(False)
    return jnp.abs(w[k - 1] - w[k]) <= equal_within(w)


def equal_within(w: Complex[Array, " m"]) -> Float[Array, ""]:
    """Eigenvalues that differ by less are taken for equal: rounding moves those of a general matrix far."""
    return max(1e-7, 1e2 * float(jnp.finfo(w.dtype).eps)) * largest(w)
