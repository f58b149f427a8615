"""What the words of all sums have in common."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

Number = int | float | complex


@runtime_checkable
class Word(Protocol):
    """A product of local operators: hashable data with the algebra of its kind, printed as it is written in files."""

    @property
    def extent(self) -> int:
        """The smallest number of sites that holds it."""
        ...

    def moved(self, sites: Sequence[int]) -> tuple[int, Any]:
        """(sign, word) with site i moved to sites[i]."""
        ...

    def adjoint(self) -> dict[Any, Number]:
        """The Hermitian conjugate, as a sum of words."""
        ...

    def times(self, other: Any) -> dict[Any, Number]:
        """The product with another word of this kind, as a sum of words."""
        ...

    def factors(self) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
        """(matrices by site, further sites with σz) whose Kronecker product it is; the others have the identity."""
        ...
