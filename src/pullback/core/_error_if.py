"""Errors that a compiled program raises."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from pullback.core._compat import is_varying, vary_like


def error_if(
    tree: PyTree, wrong: Bool[Array, "..."], why: str | Sequence[str], which: Int[Array, "..."] | int = 0
) -> PyTree:
    """`tree`, in a program that raises an error with the text `why` if `wrong` is true anywhere in a batch.

    This is equinox's check. Inside `jax.shard_map` JAX does not accept it, and a plainer one takes its place, whose
    error is JAX's own around the text.

    Args:
        tree: pytree of arrays that the check is tied to; the program must use the result.
        wrong: one boolean, or an array of them.
        why: a text, or several.
        which: the number of the text.
    """
    texts = [why] if isinstance(why, str) else list(why)
    if not is_varying((tree, wrong)):
        wrong, which = _of_all_members(jnp.any(wrong), jnp.max(jnp.where(wrong, which, 0), initial=0))
        return eqx.branched_error_if(tree, wrong, which, texts)

    def check(wrong, which):
        if np.any(wrong):
            raise RuntimeError(texts[int(np.broadcast_to(which, wrong.shape)[wrong].flat[0])])
        return np.zeros(np.shape(wrong), bool)

    operands = jnp.broadcast_arrays(wrong, which)
    like = jax.ShapeDtypeStruct(operands[0].shape, bool)
    never = jax.pure_callback(check, like, *operands, vmap_method="expand_dims")
    never = jnp.any(vary_like(never, tree, wrong))
    return jax.tree.map(lambda a: jnp.where(never, jnp.zeros_like(a), a), tree)


@jax.custom_batching.custom_vmap
def _of_all_members(wrong, which):
    """One verdict for a batch, also for an empty one, of which equinox's check makes an error of its own."""
    return wrong, which


@_of_all_members.def_vmap
def _(axis_size, in_batched, wrong, which):
    del axis_size
    wrong, which = (jnp.atleast_1d(a) if not batched else a for a, batched in zip((wrong, which), in_batched))
    return _of_all_members(jnp.any(wrong), jnp.max(jnp.where(wrong, which, 0), initial=0)), (False, False)
