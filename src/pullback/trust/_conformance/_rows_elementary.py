"""Rows of `pullback.elementary`: functions that JAX has wrong, infinite or NaN somewhere, at those points.

Where there is no derivative the row states the convention, and its exact side is a smooth function that has it.
"""

from functools import cache, partial

import jax.numpy as jnp
import jax.scipy.special  # noqa: F401  (jax.scipy loads its parts on demand)
import numpy as np

from pullback import elementary
from pullback.trust._conformance._case import Case
from pullback.trust._conformance._plain import POSITIVE, ZERO, X, Y, Z, elementwise, on_arrays

ENDS = np.array([1.0, -1.0, 1.0, -1.0])
NOTHING = ZERO - np.inf
FAR = np.array([-1000.0, -30.0, 30.0, 1000.0])


@cache
def elementary_rows() -> tuple[Case, ...]:
    """Moduli, inverse functions at their ends, powers, logarithms, removable singularities."""

    def zero(mp):
        return lambda *inputs: mp.mpf(0) * len(inputs)

    def of_order_two(f, x):
        return f(2.0, x)

    def log_sum(mp):
        return lambda x: np.array([mp.log(sum(mp.exp(e) for e in x[1:]))], dtype=object)

    def bessel(order):
        return lambda mp: lambda x: mp.besseli(order, x)

    return (
        *elementwise("np.abs", zero, {"0, convention 0": ZERO, "complex 0, convention 0": ZERO + 0j},
                     ours=elementary.abs),
        *elementwise("np.sign", lambda mp: lambda z: z / mp.fabs(z), {"complex": Z}, ours=elementary.sign),
        *elementwise("np.hypot", lambda mp: mp.hypot, {"regular": (X, Y)}, ours=elementary.hypot),
        *elementwise("np.hypot", zero, {"(0, 0), convention 0": (ZERO, ZERO)}, ours=elementary.hypot),
        *elementwise("np.arctan2", lambda mp: mp.atan2, {"regular": (X, Y)}, ours=elementary.arctan2),
        *elementwise("np.arctan2", zero, {"(0, 0), convention 0": (ZERO, ZERO)}, ours=elementary.arctan2),
        *elementwise("np.arcsin", zero, {"ends, convention 0": ENDS}, ours=elementary.arcsin),
        *elementwise("np.arccos", zero, {"ends, convention 0": ENDS}, ours=elementary.arccos),
        *elementwise("np.power", lambda mp: lambda x, p: x**0, {"0⁰, convention 0": (ZERO, ZERO)},
                     ours=elementary.power),
        *elementwise("np.power", lambda mp: lambda x, p: x**2, {"0², base and exponent": (ZERO, ZERO + 2)},
                     ours=elementary.power),
        *elementwise("np.power", lambda mp: lambda x: x**0, {"x^0.0 at 0": ZERO}, call=lambda f, x: f(x, 0.0),
                     ours=elementary.power),
        *on_arrays("np.linalg.norm", {"0, convention 0": ZERO, "complex 0, convention 0": ZERO + 0j}, exact=zero,
                   ours=elementary.norm),
        *on_arrays("np.std", {"constant, convention 0": ZERO + 0.7}, exact=zero, ours=elementary.std),
        *elementwise("np.logaddexp", lambda mp: lambda x, y: y, {"log 0 and y": (NOTHING, Y)},
                     ours=elementary.logaddexp),
        *elementwise("np.logaddexp2", lambda mp: lambda x, y: y, {"log 0 and y": (NOTHING, Y)},
                     ours=elementary.logaddexp2),
        *elementwise("np.logaddexp", zero, {"exp, twice log 0, convention 0": (NOTHING, NOTHING)},
                     theirs=partial(_exp_of, jnp.logaddexp), ours=partial(_exp_of, elementary.logaddexp)),
        *on_arrays("scipy.special.logsumexp", {"one entry log 0": np.array([-np.inf, 0.3, -0.7, 1.2])},
                   exact=log_sum, ours=elementary.logsumexp),
        *elementwise("scipy.special.xlogy", lambda mp: lambda x, y: x * mp.log(y),
                     {"regular": (X, POSITIVE), "x = 0": (ZERO, POSITIVE)}, ours=elementary.xlogy),
        *elementwise("logcosh", lambda mp: lambda x: mp.log(mp.cosh(x)), {"regular": X, "far out": FAR},
                     theirs=_log_of_cosh, ours=elementary.logcosh),
        *elementwise("scipy.special.i0", bessel(0), {"regular": X, "0": ZERO}, ours=elementary.i0),
        *elementwise("scipy.special.i1", bessel(1), {"regular": X, "0": ZERO}, ours=elementary.i1),
        *elementwise("scipy.special.spence", lambda mp: lambda x: mp.polylog(2, 1 - x),
                     {"regular": POSITIVE, "1 and 2": np.array([1.0, 2.0, 1.0001, 2.0])}, ours=elementary.spence),
        *elementwise("scipy.special.gammainc", lambda mp: lambda x: 1 - (1 + x) * mp.exp(-x),
                     {"a = 2, regular": POSITIVE, "a = 2, x = 0": ZERO}, call=of_order_two,
                     ours=elementary.gammainc),
    )  # fmt: skip


def _exp_of(f, x, y):
    return jnp.exp(f(x, y))


def _log_of_cosh(x):
    return jnp.log(jnp.cosh(x))
