"""The exact side of the table: derivatives in multi-precision arithmetic, and matrix functions in it.

Everything here takes the module mpmath as an argument: it is needed to write the stored derivatives and to test them,
not to run the table.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import numpy as np

from pullback.trust._conformance._case import Case

_DIGITS, _STEP = 70, -20  # central differences with a step of 1e-20: truncation ~1e-40, rounding ~1e-30


def exact_derivatives(case: Case, mp: ModuleType) -> tuple[float, float]:
    """First and second derivative of the row at t = 0, from values in 70 digits."""
    with mp.workdps(_DIGITS):
        h = mp.mpf(10) ** _STEP
        f = case.exact(mp)
        before, here, after = (_value(case, f, t, mp) for t in (-h, mp.mpf(0), h))
        return float((after - before) / (2 * h)), float((after - 2 * here + before) / h**2)


def _value(case: Case, f: Callable[..., Any], t: Any, mp: ModuleType) -> Any:
    point = np.frompyfunc(lambda x, v: mp.mpmathify(x) + t * mp.mpmathify(v), 2, 1)
    with np.errstate(invalid="ignore"):  # NaN as input is the point of some rows
        inputs = [np.array(point(x, v), dtype=object) for x, v in zip(case.inputs, case.directions, strict=True)]
    outputs = jax.tree.map(lambda y: np.array(y, dtype=object, ndmin=1), f(*inputs))
    return mp.re(case.loss(outputs))


def each(scalar: Callable[[ModuleType], Callable[..., Any]], arguments: int = 1) -> Callable[[ModuleType], Callable]:
    """A function of numbers, applied to each entry."""
    return lambda mp: np.frompyfunc(scalar(mp), arguments, 1)


def eigh(mp: ModuleType) -> Callable[..., Any]:
    """Levels in ascending order, and vectors."""

    def solve(a):
        w, v = (mp.eighe if _is_complex(a, mp) else mp.eigsy)(_matrix(a, mp))
        order = sorted(range(len(w)), key=lambda i: w[i])
        return np.array([w[i] for i in order], dtype=object), _array(v)[:, order]

    return solve


def svd(mp: ModuleType, *, full_matrices: bool = False) -> Callable[..., Any]:
    """u, s, vh with s descending."""

    def solve(a):
        decompose = mp.svd_c if _is_complex(a, mp) else mp.svd_r
        u, s, vh = decompose(_matrix(a, mp), full_matrices=full_matrices)
        return _array(u), np.array(list(s), dtype=object), _array(vh)

    return solve


def hermitian_function(f: Callable[[ModuleType], Callable]) -> Callable[[ModuleType], Callable[..., Any]]:
    """v f(w) v† of a Hermitian matrix."""

    def of(mp):
        def apply(a):
            w, v = eigh(mp)(a)
            return (v * np.frompyfunc(f(mp), 1, 1)(w)) @ v.conj().T

        return apply

    return of


def through_matrix(name: str) -> Callable[[ModuleType], Callable[..., Any]]:
    """mpmath's function of this name, from a square matrix to a matrix or a number: "det", "inverse", "expm", …"""

    def of(mp):
        def apply(a):
            y = getattr(mp, name)(_matrix(a, mp))
            return _array(y) if isinstance(y, mp.matrix) else np.array(y, dtype=object)

        return apply

    return of


def _matrix(a: np.ndarray, mp: ModuleType) -> Any:
    return mp.matrix(a.tolist())


def _array(a: Any) -> np.ndarray:
    return np.array(a.tolist(), dtype=object).reshape(a.rows, a.cols)


def _is_complex(a: np.ndarray, mp: ModuleType) -> bool:
    return any(isinstance(x, mp.mpc) for x in a.flat)
