"""Iterations for fixed points: damped Picard, and Anderson acceleration."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pullback.core import RESULTS, InputError, vary_like
from pullback.implicit._linear import norm
from pullback.implicit._search import Found, VectorMap, max_abs


class Iteration(eqx.Module):
    """A fixed-point iteration: the next point from the present one and its residual r = f(v) − v."""

    @abc.abstractmethod
    def init(self, v: Float[Array, " n"]) -> Any:
        """The memory that the iteration starts with."""

    @abc.abstractmethod
    def step(self, v: Float[Array, " n"], r: Float[Array, " n"], memory: Any) -> tuple[Float[Array, " n"], Any]:
        """The next point and the new memory."""


class Picard(Iteration):
    """x ← x + damping · (f(x) − x). Converges where f contracts; damping below 1 tames oscillations."""

    damping: float = eqx.field(default=1.0, static=True)

    def __check_init__(self):
        _check_damping("Picard", self.damping)

    def init(self, v: Float[Array, " n"]) -> None:
        del v

    def step(self, v: Float[Array, " n"], r: Float[Array, " n"], memory: None) -> tuple[Float[Array, " n"], None]:
        return v + self.damping * r, memory


class Anderson(Iteration):
    r"""Anderson acceleration (Pulay's DIIS): the next point from the best combination of the last residuals.

    With differences ΔX, ΔR of the last `history` points and residuals r = f(x) − x,

        γ = argmin |r − ΔR γ|² + ridge · Σ_j |ΔR_j|² γ_j²,        x ← x + damping · r − (ΔX + damping · ΔR) γ.

    On linear problems this is GMRES with a window. Memory 2 · history vectors. Complex unknowns are combined with real
    coefficients, as maps that are not holomorphic demand.

    Source: D. Anderson, J. ACM 12, 547 (1965); H. Walker, P. Ni, SIAM J. Numer. Anal. 49, 1715 (2011).
    """

    history: int = eqx.field(default=5, static=True)
    damping: float = eqx.field(default=1.0, static=True)
    ridge: float = eqx.field(default=1e-12, static=True)

    def __check_init__(self):
        _check_damping("Anderson", self.damping)
        if self.history < 1:
            raise InputError(f"Anderson(history={self.history}): history must be at least 1.")
        if not self.ridge >= 0:
            raise InputError(f"Anderson(ridge={self.ridge}): ridge must not be negative.")

    def init(self, v: Float[Array, " n"]) -> tuple[Array, Array, Array, Array, Int[Array, ""]]:
        table = jnp.zeros((self.history, v.size), v.dtype)
        return table, table, v, jnp.zeros_like(v), jnp.array(0)

    def step(
        self, v: Float[Array, " n"], r: Float[Array, " n"], memory: tuple[Array, Array, Array, Array, Int[Array, ""]]
    ) -> tuple[Float[Array, " n"], tuple[Array, Array, Array, Array, Int[Array, ""]]]:
        dx, dr, last_v, last_r, count = memory
        row = (count - 1) % self.history
        dx = jnp.where(count > 0, dx.at[row].set(v - last_v), dx)
        dr = jnp.where(count > 0, dr.at[row].set(r - last_r), dr)
        norms = norm(dr, axis=1)
        used = norms > 0
        norms = jnp.where(used, norms, 1)
        # Columns of norm one: the Gram matrix then tells dependence from smallness, and one ridge fits all scales.
        unit = dr / norms[:, None]
        eps = jnp.finfo(v.dtype).eps
        gram = unit @ unit.T + jnp.diag(jnp.where(used, max(self.ridge, 10 * float(eps)), 1))
        gamma = jax.scipy.linalg.solve(gram, unit @ r, assume_a="pos") / norms
        new = v + self.damping * r - gamma @ (dx + self.damping * dr)
        return new, (dx, dr, v, r, count + 1)


def iterate(
    iteration: Iteration, f: VectorMap, v: Float[Array, " n"], tol: Callable[[Array], Array], max_steps: int
) -> Found:
    """Runs until max|f(v) − v| ≤ tol(v). `steps` counts evaluations of f."""

    def unfinished(state):
        v, r, _, step = state
        return (max_abs(r) > tol(v)) & (step < max_steps) & jnp.isfinite(r).all()

    def improve(state):
        v, r, memory, step = state
        v, memory = iteration.step(v, r, memory)
        return v, f(v) - v, memory, step + 1

    first = vary_like((v, f(v) - v, iteration.init(v), jnp.array(1)))
    v, r, _, steps = jax.lax.while_loop(unfinished, improve, first)
    return Found(v, RESULTS.where(jnp.isfinite(r).all(), RESULTS.max_steps_reached, RESULTS.nonfinite), steps)


def _check_damping(name, damping):
    if not 0 < damping <= 2:
        raise InputError(f"{name}(damping={damping}): damping must be above 0 and at most 2.")
