"""`Estimate`: what is computed from random draws."""

from typing import NamedTuple

from jaxtyping import Array, Inexact


class Estimate(NamedTuple):
    """A mean over independent draws and its standard error, σ / √draws with the unbiased σ²."""

    value: Inexact[Array, ""]
    error: Inexact[Array, ""]

    @classmethod
    def of(cls, draws: Inexact[Array, " draws"]) -> "Estimate":
        """The estimate from the values that were drawn. A single one says nothing of its error, which is then zero."""
        return cls(draws.mean(), draws.std() / max(draws.size - 1, 1) ** 0.5)
