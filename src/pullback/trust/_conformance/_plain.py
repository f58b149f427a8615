"""How rows of plain `jax.numpy` are declared: functions whose derivatives are checked, not rewritten.

The reference of a function of numbers is mpmath's; that of a function which moves, adds or multiplies entries is
NumPy's own, on arrays of multi-precision numbers.
"""

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.trust._conformance._case import Case, generic_direction, rows
from pullback.trust._conformance._exact import each

Points = Mapping[str, np.ndarray | tuple[np.ndarray, ...]]

X = np.array([0.3, -0.7, 1.2, 2.5])
Y = np.array([1.1, 0.4, -0.9, 1.7])
POSITIVE = np.array([0.3, 0.7, 1.2, 2.5])
UNIT = np.array([0.3, -0.7, 0.1, 0.9])
ZERO = np.zeros(4)
Z = np.array([0.3 + 0.4j, -0.7 + 0.2j, 1.2 - 0.9j, -0.5 - 1.3j])
TABLE = np.array([[0.3, -0.7, 1.2], [2.5, 0.9, -1.4]])
CUBE = np.arange(8.0).reshape(2, 2, 2) / 3 - 1


def elementwise(
    name: str,
    exact: Callable[[ModuleType], Callable[..., Any]],
    points: Points,
    *,
    call: Callable[..., Any] | None = None,
    theirs: Callable[..., Any] | None = None,
    ours: Callable[..., Any] | None = None,
    direction: Callable[[np.ndarray, int], np.ndarray] = generic_direction,
) -> tuple[Case, ...]:
    """Rows of a function of numbers; `exact` gives it for one entry of each input. The rest as for `on_arrays`."""
    inputs = _tuples(points)
    arguments = len(next(iter(inputs.values())))
    return rows(name, inputs, each(exact, arguments), theirs=_called(call, theirs or jax_function(name)),
                ours=_called(call, ours), direction=direction)  # fmt: skip


def on_arrays(
    name: str,
    points: Points,
    call: Callable[..., Any] | None = None,
    *,
    exact: Callable[[ModuleType], Callable[..., Any]] | None = None,
    theirs: Callable[..., Any] | None = None,
    ours: Callable[..., Any] | None = None,
    direction: Callable[[np.ndarray, int], np.ndarray] = generic_direction,
) -> tuple[Case, ...]:
    """Rows of a function of arrays.

    Args:
        name: "np.sum", "scipy.stats.norm.pdf": where to find it below `jax`.
        points: kind of point -> input, or tuple of inputs.
        call: (f, *inputs) -> value, where f needs more than its inputs.
        exact: given mpmath, the function on arrays of multi-precision numbers; NumPy's own by default.
        theirs: what stands for a function that JAX does not have.
        ours: pullback's function, where JAX's is wrong.
        direction: input, its position -> v.
    """

    def reference(mp):
        f = exact(mp) if exact else _attribute(np, name.removeprefix("np."))
        return f if call is None else functools.partial(call, f)

    return rows(name, _tuples(points), reference, theirs=_called(call, theirs or jax_function(name)),
                ours=_called(call, ours), direction=direction)  # fmt: skip


def jax_function(name: str) -> Callable[..., Any]:
    """ "np.sum" -> jax.numpy.sum, "scipy.stats.t.pdf" -> jax.scipy.stats.t.pdf."""
    root, path = name.split(".", 1)
    return _attribute({"np": jnp, "scipy": jax.scipy}[root], path)


def _attribute(root: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), root)


def _called(call: Callable[..., Any] | None, f: Callable[..., Any] | None) -> Callable[..., Any] | None:
    return f if call is None or f is None else functools.partial(call, f)


def _tuples(points: Points) -> dict[str, tuple[np.ndarray, ...]]:
    return {point: x if isinstance(x, tuple) else (x,) for point, x in points.items()}
