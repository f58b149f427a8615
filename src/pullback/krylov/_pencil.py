"""What an eigensolver is given, H x = λ S x and the levels that are wanted, and what it says of what it found."""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int, PyTree

from pullback.core import RESULTS

Apply = Callable[[Array], Array]

ROUNDING = 4  # times eps · max|w|: what a level is never known better than


class Pencil(NamedTuple):
    """H x = λ S x on flat vectors; which of its levels are wanted, and how well they are to be known.

    Attributes:
        apply: H; −H where the highest levels are wanted, so that they are always the lowest.
        metric: S; None: the identity.
        precond: r -> about (H − λ)⁻¹ r; None: the identity.
        shift: a number: the levels nearest to it are wanted.
        which: as the user says it.
        k: how many.
        tol: |H v − λ S v| relative to the largest level.
        max_steps: as the user says it.
        of_sector: the start vector is the user's: levels below the one that it leads to belong to other sectors.
    """

    apply: Apply
    metric: Apply | None
    precond: Apply | None
    shift: Float[Array, ""] | None
    which: str | float
    k: int
    tol: float
    max_steps: int
    of_sector: bool

    def weigh(self, rows: Inexact[Array, "m n"]) -> Inexact[Array, "m n"]:
        """S x for each row x."""
        return rows if self.metric is None else jax.vmap(self.metric)(rows)


class Found(NamedTuple):
    """How a search ended: |H v − λ S v|, the gap to the next level, products with H; without derivatives."""

    result: RESULTS
    residual: Float[Array, ""]
    gap: Float[Array, ""]
    products: Int[Array, ""]


class Eigensolver(eqx.Module):
    """Base of the solver objects; their fields are options."""

    @abc.abstractmethod
    def check(self, name: str, n: int, k: int, which: str | float, metric: bool) -> None:
        """Refuses what this method cannot do, before any work starts.

        Raises:
            InputError: naming the caller, what was asked for, and what to take instead.
        """

    @abc.abstractmethod
    def search(
        self, pencil: Pencil, v: Inexact[Array, " n"]
    ) -> tuple[Inexact[Array, "k k"], Inexact[Array, "k n"], PyTree[Array]]:
        """(Λ, Vᵀ, how they were found) of H V = S V Λ; v is the start vector."""


def separated(dtype) -> float:
    """The largest residual / gap at which vectors and derivatives are trusted."""
    return max(1e-5, float(jnp.finfo(dtype).eps) ** (1 / 3))


def verdict(residual: Array, gap: Array, size: Array, *, tol: float) -> RESULTS:
    """The one rule for all paths: what a residual, the gap to the next level and the largest level stand for."""
    eps = jnp.finfo(residual.dtype).eps
    converged = residual <= tol * size
    apart = (jnp.maximum(residual, ROUNDING * eps * size) <= separated(residual.dtype) * gap) & (gap > 0)
    result = RESULTS.where(converged, RESULTS.not_separated, RESULTS.max_steps_reached)
    result = RESULTS.where(converged & apart, RESULTS.successful, result)
    return RESULTS.where(jnp.isfinite(residual) & jnp.isfinite(size), result, RESULTS.nonfinite)
