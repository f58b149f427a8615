"""Elementwise functions whose values come from a NumPy program on the host.

Two pieces that know nothing of each other: `host_elementwise` evaluates (values only, `jit` and `vmap` work, nothing
can be differentiated), `with_partials` attaches derivatives that are themselves JAX functions, usually members of the
same family. Since the tangent is a product with a number, every mode and every order follows from the partials.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from pullback.core import MissingDerivativeError, is_live, vary_like

_Partial = Callable[..., jax.Array]


def host_elementwise(fun: Callable[..., Any], *args: ArrayLike, dtype: DTypeLike | tuple[DTypeLike, ...]) -> Any:
    """`fun(*args)` evaluated by NumPy on the host, elementwise with broadcasting.

    Arguments reach `fun` in double precision, whatever their dtype, and its results are rounded to `dtype`. Under
    `vmap` it is called once, on the whole batch; arguments that are not mapped are not copied along it.

    Args:
        fun: NumPy function of arrays that broadcasts, as ufuncs do. It must be pure: JAX may call it repeatedly.
        *args: arrays that broadcast against each other.
        dtype: dtype of the result; a tuple of dtypes if `fun` returns a tuple of arrays.

    Returns:
        An array, or a tuple of arrays. It has no derivative until `with_partials` gives it one.
    """
    arrays = [jnp.asarray(a) for a in args]
    shape = jnp.broadcast_shapes(*(a.shape for a in arrays))
    # One rank for all, so that the batch axis that vmap puts in front is the same axis of each.
    arrays = [a.reshape((1,) * (len(shape) - a.ndim) + a.shape) for a in arrays]
    out = jax.tree.map(lambda d: jax.ShapeDtypeStruct(shape, d), dtype)
    return vary_like(jax.pure_callback(partial(_call, fun, dtype), out, *arrays, vmap_method="expand_dims"), arrays)


def with_partials(fun: Callable[..., jax.Array], *partials: _Partial | str) -> Callable[..., jax.Array]:
    """`fun` with df = Σ_i partials[i](*args) dargs[i], all products elementwise.

    Args:
        fun: elementwise function of arrays; holomorphic in its complex arguments.
        *partials: one for each argument, a function of the same arguments; or, where no rule is known, the reason
            as a text. Only those that are asked for are evaluated.

    Raises:
        MissingDerivativeError: when the returned function is differentiated in an argument whose partial is a text.
    """
    function = jax.custom_jvp(fun)

    @partial(function.defjvp, symbolic_zeros=True)
    def rule(primals, tangents):
        out = function(*primals)
        dout = jnp.zeros_like(out)
        for derivative, tangent in zip(partials, tangents, strict=True):
            if not is_live(tangent):
                continue
            if isinstance(derivative, str):
                raise MissingDerivativeError(derivative)
            dout += jnp.asarray(derivative(*primals), dout.dtype) * jnp.asarray(tangent, dout.dtype)
        return out, dout

    return function


def _call(fun, dtype, *args):
    wide = [np.asarray(a, np.promote_types(a.dtype, np.float64)) for a in args]
    with np.errstate(all="ignore"):  # infinities and NaN are results here, as in JAX
        return jax.tree.map(np.asarray, fun(*wide), dtype)
