"""Rows of `linalg`: functions of general matrices, and polar factors."""

from functools import cache

import jax.scipy.linalg  # jax.scipy loads its parts on demand
import numpy as np

from pullback import linalg
from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case, rows
from pullback.trust._conformance._matrices import rectangle, rotated

DOUBLE = rotated([1.0, 1.0, 2.5])
NON_NORMAL = DOUBLE + 0.5 * np.triu(np.ones((3, 3)), 1)


@cache
def function_rows() -> tuple[Case, ...]:
    """expm, logm, sqrtm, polar, pinv."""
    real = {
        "double level": (DOUBLE,),
        "not normal": (NON_NORMAL,),
        "Jordan block": (np.eye(3) + np.eye(3, k=1),),
    }
    complex_ = {"double level, complex": (rotated([1.0, 1.0, 2.5], complex_=True),)}
    rectangles = {
        "double value": (rectangle(4, 3, [2.0, 2.0, 1.0]),),
        "double value, complex": (rectangle(4, 3, [2.0, 2.0, 1.0], complex_=True),),
    }
    return (
        *rows("expm", real | complex_ | {"zero": (0 * DOUBLE,)}, exact.through_matrix("expm"),
              ours=linalg.expm, theirs=jax.scipy.linalg.expm),
        *rows("sqrtm", real, exact.through_matrix("sqrtm"), ours=linalg.sqrtm, theirs=jax.scipy.linalg.sqrtm),
        *rows("logm", complex_, exact.through_matrix("logm"), ours=linalg.logm, theirs=None),
        *rows("polar", rectangles, _polar, ours=linalg.polar, theirs=_polar_of_jax),
        *rows("pinv", rectangles, _pinv, ours=linalg.pinv, theirs=jax.numpy.linalg.pinv),
    )  # fmt: skip


def _polar_of_jax(a):
    return tuple(jax.scipy.linalg.polar(a))


def _polar(mp):
    def of(a):
        square = a.conj().T @ a
        root = exact.hermitian_function(lambda mp: mp.sqrt)(mp)
        inverse_root = exact.hermitian_function(lambda mp: lambda x: 1 / mp.sqrt(x))(mp)
        return a @ inverse_root(square), root(square)

    return of


def _pinv(mp):
    return lambda a: exact.through_matrix("inverse")(mp)(a.conj().T @ a) @ a.conj().T
