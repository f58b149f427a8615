"""A row of the table: a function, a point, a direction, and a scalar made of the function's value.

A row is φ(t) = loss(f(x + t v)). The loss is written with operators that arrays of JAX and NumPy arrays of
multi-precision numbers share, so that the same lines serve f = ours, f = plain JAX's, and f = the exact one. It must
not depend on a choice of basis or phase. Rows with the same functions, loss and shapes share one compiled program.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from importlib import resources
from types import ModuleType
from typing import Any

import jax
import numpy as np

from pullback.core import InputError

DERIVATIVES = resources.files(__name__.rpartition(".")[0]) / "derivatives.json"


def weighted(y: Any) -> Any:
    """Σ w·y + y²/2 over all numbers in y, with the fixed weights w: a generic loss of what has no gauge."""
    return sum((weights(leaf, k) * leaf + leaf * leaf / 2).sum() for k, leaf in enumerate(jax.tree.leaves(y)))


def weights(y: Any, offset: int = 0) -> np.ndarray:
    """Fixed weights without symmetry, complex where y is: w_i = sin(i + 1) + [i cos(2i + 2)], shifted by `offset`."""
    i = np.arange(np.size(y)).reshape(np.shape(y)) + 1.0 + offset
    # A multi-precision number is real or complex on its own account; the real part is taken in the end.
    return np.asarray(np.sin(i) + 1j * np.cos(2 * i) if np.iscomplexobj(y) or y.dtype == object else np.sin(i))


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One row.

    Attributes:
        primitive: the public name: of `pullback.linalg` and its neighbours, or "np.…", "scipy.…" for what JAX has under
            these names.
        point: where it is differentiated.
        inputs, directions: x and v, one array for each argument.
        exact: given the module mpmath, the function on NumPy arrays of multi-precision numbers. Where the derivative
            is a convention, a smooth function that has it.
        theirs: what a user of plain JAX would write, None if there is nothing.
        ours: pullback's function; None where JAX's is right and used as it is.
        loss: the function's value -> a number, whose real part is differentiated.
    """

    primitive: str
    point: str
    inputs: tuple[np.ndarray, ...]
    directions: tuple[np.ndarray, ...]
    exact: Callable[[ModuleType], Callable[..., Any]]
    theirs: Callable[..., Any] | None
    ours: Callable[..., Any] | None = None
    loss: Callable[[Any], Any] = weighted

    def __str__(self) -> str:
        return f"{self.primitive}: {self.point}"

    @property
    def derivatives(self) -> tuple[float, float]:
        """Exact first and second derivative at t = 0.

        Raises:
            InputError: the row is new and its derivatives are not stored yet.
        """
        try:
            first, second = _stored()[str(self)]
        except KeyError:
            message = f"no stored derivatives of the row {str(self)!r}: run python -m pullback.trust._conformance"
            raise InputError(message) from None
        return first, second


@functools.cache
def _stored() -> dict[str, list[float]]:
    return json.loads(DERIVATIVES.read_text())


def rows(
    primitive: str,
    points: Mapping[str, tuple[np.ndarray, ...]],
    exact: Callable[[ModuleType], Callable[..., Any]],
    *,
    theirs: Callable[..., Any] | None,
    ours: Callable[..., Any] | None = None,
    loss: Callable[[Any], Any] = weighted,
    direction: Callable[[np.ndarray, int], np.ndarray] | None = None,
) -> tuple[Case, ...]:
    """The rows of one function: its inputs at each kind of point. `direction`: input x, its position -> v."""
    of = generic_direction if direction is None else direction
    return tuple(
        Case(primitive, point, inputs, tuple(of(x, i) for i, x in enumerate(inputs)), exact, theirs, ours, loss)
        for point, inputs in points.items()
    )


def generic_direction(x: np.ndarray, position: int = 0) -> np.ndarray:
    """A fixed direction without symmetry: v_k = cos(k + 1) + [i sin(2k + 1)], shifted by the input's position."""
    k = np.arange(np.size(x)).reshape(np.shape(x)) + 1.0 + position / 2
    return np.asarray(np.cos(k) + 1j * np.sin(2 * k - 1) if np.iscomplexobj(x) else np.cos(k))


def real_direction(x: np.ndarray, position: int = 0) -> np.ndarray:
    """The same for complex input that moves along the real axis, to stay on a branch cut."""
    return generic_direction(np.real(x), position)
