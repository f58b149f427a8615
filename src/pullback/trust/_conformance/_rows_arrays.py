"""Rows of plain `jax.numpy`: reductions, reshaping, and what rearranges, joins and cuts arrays."""

from functools import cache, partial

import jax.numpy as jnp
import numpy as np

from pullback.trust._conformance._case import Case
from pullback.trust._conformance._plain import CUBE, TABLE, X, Y, Z, on_arrays

TIE = np.array([[0.3, 1.2, 1.2], [2.5, 2.5, 2.5]])
ONE_ZERO = np.array([[0.0, -0.7, 1.2], [2.5, 0.9, -1.4]])
TWO_ZEROS = np.array([[0.0, -0.7, 0.0], [2.5, 0.9, -1.4]])


@cache
def reduction_rows() -> tuple[Case, ...]:
    """sum … amin, along the last axis."""
    both = {"regular": TABLE, "complex": np.stack([Z, Z[::-1]])}
    regular = {"regular": TABLE}

    def last(f, x):
        return f(x, axis=-1)

    def variance(mp):
        def of(x, axis):
            d = x - np.mean(x, axis=axis, keepdims=True)
            return np.mean(d * d.conj(), axis=axis)

        return of

    def deviation(mp):
        return lambda x, axis: np.frompyfunc(mp.sqrt, 1, 1)(variance(mp)(x, axis))

    def mean_of_ties(mp):
        return lambda x, axis: np.array([(x[0, 1] + x[0, 2]) / 2, np.mean(x[1])], dtype=object)

    def mean_of_lowest(mp):
        return lambda x, axis: np.array([x[0, 0], np.mean(x[1])], dtype=object)

    tie = {"ties, convention mean": TIE}
    return (
        *on_arrays("np.sum", both, last),
        *on_arrays("np.mean", both, last),
        *on_arrays("np.prod", both | {"one zero": ONE_ZERO, "two zeros": TWO_ZEROS}, last),
        *on_arrays("np.var", both | {"constant": 0 * TABLE + 0.7}, last, exact=variance),
        *on_arrays("np.std", both, last, exact=deviation),
        *on_arrays("np.max", regular, last),
        *on_arrays("np.max", tie, last, exact=mean_of_ties),
        *on_arrays("np.min", regular, last),
        *on_arrays("np.min", tie, last, exact=mean_of_lowest),
        *on_arrays("np.amax", regular, last),
        *on_arrays("np.amin", regular, last),
    )  # fmt: skip


@cache
def reshaping_rows() -> tuple[Case, ...]:
    """reshape … atleast_3d."""
    table, cube, vector, scalar = {"regular": TABLE}, {"regular": CUBE}, {"regular": X}, {"scalar": np.array(0.3)}
    return (
        *on_arrays("np.reshape", table, lambda f, x: f(x, (3, 2))),
        *on_arrays("np.ravel", table),
        *on_arrays("np.squeeze", {"regular": TABLE[:, None]}),
        *on_arrays("np.diag", {"of a matrix": TABLE, "to a matrix": X}),
        *on_arrays("np.roll", table, lambda f, x: f(x, 1, axis=1)),
        *on_arrays("np.array_split", vector, lambda f, x: f(x, 3)),
        *on_arrays("np.split", vector, lambda f, x: f(x, [1, 3])),
        *on_arrays("np.vsplit", table, lambda f, x: f(x, 2)),
        *on_arrays("np.hsplit", table, lambda f, x: f(x, 3)),
        *on_arrays("np.dsplit", cube, lambda f, x: f(x, 2)),
        *on_arrays("np.expand_dims", table, lambda f, x: f(x, 1)),
        *on_arrays("np.flipud", table),
        *on_arrays("np.fliplr", table),
        *on_arrays("np.rot90", table),
        *on_arrays("np.swapaxes", cube, lambda f, x: f(x, 0, 2)),
        *on_arrays("np.rollaxis", cube, lambda f, x: f(x, 2)),
        *on_arrays("np.transpose", cube, lambda f, x: f(x, (1, 2, 0))),
        *on_arrays("np.atleast_1d", scalar),
        *on_arrays("np.atleast_2d", vector),
        *on_arrays("np.atleast_3d", table),
    )  # fmt: skip


@cache
def rearranging_rows() -> tuple[Case, ...]:
    """cumsum … hstack, with sorting, clipping and choosing."""
    table, vector, pair = {"regular": TABLE}, {"regular": X}, {"regular": (TABLE, TABLE[::-1] ** 2)}
    broken = np.array([0.3, np.nan, np.inf, 2.5])

    def bounded(f, x):
        return f(x, -0.5, 1.3)

    def mean(mp):
        return lambda x, y: (x + y) / 2

    def at_its_bounds(mp):
        at = np.array([0, -0.5, 1.3, 0])  # x moves with half its speed there
        return lambda x, low, high: x * [1, 0.5, 0.5, 1] + at / 2

    return (
        *on_arrays("np.cumsum", table, lambda f, x: f(x, axis=1)),
        *on_arrays("np.clip", vector, bounded, exact=lambda mp: lambda *a: np.minimum(np.maximum(a[0], a[1]), a[2])),
        *on_arrays("np.clip", {"at its bounds, convention ½": np.array([0.3, -0.5, 1.3, 0.7])}, bounded,
                   exact=at_its_bounds),
        *on_arrays("np.maximum", {"regular": (X, Y)}),
        *on_arrays("np.maximum", {"equal, convention ½": (X, X)}, exact=mean),
        *on_arrays("np.minimum", {"regular": (X, Y)}),
        *on_arrays("np.minimum", {"equal, convention ½": (X, X)}, exact=mean),
        *on_arrays("np.sort", table),
        *on_arrays("np.sort", {"ties, convention stable": TIE}, exact=lambda mp: lambda x: x),
        *on_arrays("np.msort", {"jnp.sort(axis=0)": TABLE}, exact=lambda mp: partial(np.sort, axis=0),
                   theirs=partial(jnp.sort, axis=0)),
        *on_arrays("np.partition", vector, lambda f, x: f(x, 1)[:2].sum(), exact=lambda mp: lambda x, k: np.sort(x)),
        *on_arrays("np.concatenate", pair, lambda f, x, y: f([x, y], axis=1)),
        *on_arrays("np.diagonal", table),
        *on_arrays("np.truncate_pad", {"slice, jnp.pad": X}, lambda f, x: f(x[:2], (0, 3)),
                   exact=lambda mp: np.pad, theirs=jnp.pad),
        *on_arrays("np.tile", table, lambda f, x: f(x, (2, 1))),
        *on_arrays("np.full", {"regular": np.array(0.7)}, lambda f, x: f((2, 3), x)),
        *on_arrays("np.triu", table),
        *on_arrays("np.tril", table),
        *on_arrays("np.where", {"regular": (X, Y)}, lambda f, x, y: f(x > 0, x, y)),
        *on_arrays("np.diff", table),
        *on_arrays("np.nan_to_num", {"regular": X}, exact=lambda mp: lambda x: x),
        *on_arrays("np.nan_to_num", {"NaN and inf": broken}, lambda f, x: f(x, posinf=1.0),
                   exact=lambda mp: lambda x, posinf: np.array([x[0], 0, 1, x[3]], dtype=object)),
        *on_arrays("np.vstack", pair, lambda f, x, y: f([x, y])),
        *on_arrays("np.hstack", pair, lambda f, x, y: f([x, y])),
    )  # fmt: skip
