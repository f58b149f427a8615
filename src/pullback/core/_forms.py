"""What a state is: a pytree of inexact numbers, whose structure, shapes and dtypes no step may change."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from pullback.core._errors import InputError
from pullback.core._numbers import refuse_half, result_type


def inexact_arrays(name: str, what: str, tree: PyTree) -> PyTree[Array]:
    """`tree` as arrays of floating-point or complex numbers; whole numbers become floating-point ones.

    Raises:
        InputError: it holds no numbers, or others than numbers, or ones of half precision, or NaN or infinite ones
            where values can be seen.
    """
    tree = jax.tree.map(lambda a: jnp.asarray(a, result_type(a)), tree)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if sum(a.size for _, a in leaves) == 0:
        raise InputError(f"{name}: {what} holds no numbers.")
    for path, a in leaves:
        leaf = what + jax.tree_util.keystr(path)
        if not jnp.issubdtype(a.dtype, jnp.number):
            raise InputError(f"{name}: {leaf} has dtype {a.dtype}; numbers are needed.")
        refuse_half(name, a.dtype, leaf)
        if not isinstance(a, Tracer) and not np.isfinite(np.asarray(a)).all():
            raise InputError(f"{name}: {leaf} contains NaN or infinite entries.")
    return jax.tree.map(lambda a: a.astype(result_type(float)) if jnp.issubdtype(a.dtype, jnp.integer) else a, tree)


def only_arrays(name: str, what: str, tree: PyTree) -> None:
    """Refuses a pytree that holds something else than arrays and numbers, as a network holds its activation.

    Raises:
        InputError: naming the leaf.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not eqx.is_array_like(leaf) and not isinstance(leaf, jax.ShapeDtypeStruct):
            raise InputError(
                f"{name}: {what}{jax.tree_util.keystr(path)} is {leaf!r}; {what} may hold arrays only. Let the "
                "function close over what else it needs, or over all of it: arrays inside are differentiated as well."
            )


def keeps_form(
    name: str, found: PyTree, like: PyTree, what: str, of: str = "the state", *, promotes: bool = False, hint: str = ""
) -> None:
    """Refuses a `found`, the shapes of `what`, that is not of the structure, shapes and dtypes of `like`.

    Args:
        name: the public function.
        found: arrays or their shapes.
        like: arrays or their shapes. Dtypes of Python numbers among them may become others, as JAX lets them.
        what: which function of the user's returned it.
        of: what `like` is.
        promotes: accept dtypes that become those of `like` when both are added.
        hint: what to do, where a complex number is found for a real one.

    Raises:
        InputError: naming the leaf.
    """
    if jax.tree.structure(found) != jax.tree.structure(like):
        raise InputError(
            f"{name}: {what} must have the structure of {of}, {jax.tree.structure(like)}; it has "
            f"{jax.tree.structure(found)}."
        )
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(like), jax.tree.leaves(found)):
        weak = old.weak_type if isinstance(old, jax.ShapeDtypeStruct) else jax.typeof(old).weak_type
        becomes = result_type(old, new) if promotes else result_type(new)
        if jnp.shape(old) != jnp.shape(new) or (becomes != result_type(old) and not weak):
            complex_found = jnp.issubdtype(becomes, jnp.complexfloating)
            raise InputError(
                f"{name}: {what}{jax.tree_util.keystr(path)} must stay {_described(old)} as {of} is; it is "
                f"{_described(new)}.{' ' + hint if hint and complex_found else ''}"
            )


def all_finite(tree: PyTree) -> Array:
    """Whether no entry is NaN or infinite."""
    return jnp.all(jnp.array([jnp.isfinite(a).all() for a in jax.tree.leaves(tree)]))


def distance(found: PyTree, true: PyTree) -> Array:
    """The largest difference over the largest entry of `true`; without derivatives."""

    def largest(tree):
        return jnp.max(jnp.array([jnp.max(jnp.abs(a), initial=0.0) for a in jax.tree.leaves(tree)]))

    found, true = jax.lax.stop_gradient((found, true))
    scale = largest(true)
    return largest(jax.tree.map(jnp.subtract, found, true)) / jnp.where(scale == 0, 1, scale)


def _described(a: Any) -> str:
    return f"{result_type(a)}{list(jnp.shape(a))}"
