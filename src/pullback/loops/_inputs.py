"""Checks that the loops share: lengths of what is scanned over, and what a step returns."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pullback.core import InputError, whole_number


def number_of_steps(name: str, xs: PyTree, length: int | None) -> int:
    """The common leading axis of the leaves of `xs`, or `length`."""
    if length is not None:
        length = non_negative(name, "length", length)
    first = "length"
    for path, leaf in jax.tree_util.tree_leaves_with_path(xs):
        where = "xs" + jax.tree_util.keystr(path)
        shape = jnp.shape(leaf)
        if not shape:
            raise InputError(
                f"{name}: {where} is a single number; a leaf of xs needs a leading axis, one entry for each step. "
                "Let the step close over what does not change."
            )
        if length is None:
            length, first = shape[0], where
        elif shape[0] != length:
            raise InputError(f"{name}: {where} has {shape[0]} entries along its first axis, but {first} is {length}.")
    if length is None:
        raise InputError(f"{name} needs xs or length: without xs, pass the number of steps as length.")
    return length


def non_negative(name: str, what: str, value: Any) -> int:
    """`value` as a Python integer."""
    number = whole_number(name, what, value)
    if number < 0:
        raise InputError(f"{name}: {what} must not be negative, got {number}.")
    return number


def first_entry(xs: PyTree) -> PyTree:
    """Shapes and dtypes of what one step sees of `xs`."""
    if any(jnp.shape(a)[0] == 0 for a in jax.tree.leaves(xs)):
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a)[1:], jnp.result_type(a)), xs)
    # Of a program, since its types also say along which axes of a mesh they vary.
    return jax.make_jaxpr(lambda xs: jax.tree.map(lambda a: a[0], xs), return_shape=True)(xs)[1]


def step_shapes(name: str, step: Callable, *args: PyTree) -> tuple[PyTree, PyTree]:
    """Shapes of (state, output) that `step` returns.

    Raises:
        InputError: it does not return a pair.
    """
    out = jax.eval_shape(step, *args)
    if not isinstance(out, tuple) or len(out) != 2:
        raise InputError(f"{name}: the step must return a pair (state, output), the output may be None; got {out}.")
    return out
