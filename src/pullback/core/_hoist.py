"""`hoist`: a function without the arrays that it closes over, which become its first argument.

A function that closes over traced values must not outlive the transformation that traces them, and what it closes over
is hidden from derivative rules. Hoisted, it may be kept, compared and compiled once, and its constants have tangents.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pullback.core._compat import ClosedJaxpr, are_alike, jaxpr_as_fun
from pullback.core._errors import InputError


def hoist(fun: Callable[..., PyTree], *args: PyTree) -> tuple[Callable[..., PyTree], list[Any], PyTree]:
    """(closed, consts, out): closed(consts, *args) == fun(*args), with all arrays that `fun` closes over in consts.

    `out` has the shapes of the result.
    """
    flat, tree = jax.tree.flatten(args)
    jaxpr, out = jax.make_jaxpr(lambda *a: fun(*jax.tree.unflatten(tree, a)), return_shape=True)(*flat)
    raw, out_tree = jaxpr.jaxpr, jax.tree.structure(out)

    def closed(consts, *args):
        outs = jaxpr_as_fun(ClosedJaxpr(raw, consts))(*jax.tree.leaves(args))
        return jax.tree.unflatten(out_tree, outs)

    return closed, list(jaxpr.consts), out


def refuse_mixture(name: str, consts: PyTree) -> None:
    """Refuses inexact arrays of which some vary between the devices of `shard_map` and others do not.

    A program that closes over both is read by JAX's `custom_linear_solve` and `cond` as if all did, and its transpose
    would wait for other devices.

    Raises:
        InputError: naming the way out.
    """
    if not are_alike([a for a in jax.tree.leaves(consts) if jnp.issubdtype(a.dtype, jnp.inexact)]):
        raise InputError(
            f"{name}: inside jax.shard_map the function closes over arrays that differ between devices and over others "
            "that are shared by all. Mark the shared ones first: p = jax.lax.pcast(p, 'axis name', to='varying')."
        )
