"""Derivatives of what is differentiated, and of nothing else.

A rule that hoists a closure is handed all that the user's function reads. Most of it is held fixed, and JAX says so by
symbolic zeros. Numbers in their place would be wrong twice: 0·∞ = NaN where a slope that nobody asked for is infinite
(√c at c = 0), and a `MissingDerivativeError` where there is none (the order of a Bessel function). So rules are
registered with `symbolic_zeros=True` and take their tangents apart by the functions below.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from pullback.core._compat import ad


def is_live(tangent: Any) -> bool:
    """Whether this tangent may differ from zero: neither symbolic nor that of an integer."""
    if isinstance(tangent, jax.custom_derivatives.SymbolicZero | ad.Zero):
        return False
    return getattr(tangent, "dtype", None) != jax.dtypes.float0


def jvp_of_live(fun: Callable[..., PyTree], primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    """`jax.jvp` in the leaves whose tangents are live; `fun` sees the others as constants."""
    flat, tree = jax.tree.flatten(primals)
    flat_tangents = tree.flatten_up_to(tangents)
    live = [i for i, t in enumerate(flat_tangents) if is_live(t)]

    def of_live(*values):
        new = dict(zip(live, values))
        return fun(*jax.tree.unflatten(tree, [new.get(i, a) for i, a in enumerate(flat)]))

    if not live:
        out = of_live()
        return out, jax.tree.map(zero_tangent, out)
    return jax.jvp(of_live, [flat[i] for i in live], [flat_tangents[i] for i in live])


def instantiated(tangents: PyTree, primals: PyTree) -> PyTree:
    """`tangents` with arrays of zeros for those that are not live."""
    flat, tree = jax.tree.flatten(primals)
    pairs = zip(tree.flatten_up_to(tangents), flat)
    return jax.tree.unflatten(tree, [t if is_live(t) else zero_tangent(a) for t, a in pairs])


def zero_tangent(a: Any) -> Any:
    """Zeros of the dtype that JAX wants for a tangent of `a`: float0 for what is not inexact."""
    if jnp.issubdtype(jnp.result_type(a), jnp.inexact):
        return jnp.zeros_like(a)
    return np.zeros(jnp.shape(a), jax.dtypes.float0)
