r"""Gradients that are kept small on purpose, and are those of no function any more.

**Truncation.** The gradient of x_n by what entered before step n − m is dropped. What is left out is small where the
map contracts, and is the larger part where it does not: in chaos the rest is finite, and biased by all that acts after
longer than m steps (slow variables, integrals, drifts).

**Clipping.** A cotangent that is longer than a bound is shortened to it. The direction of that cotangent is kept; that
of a sum over samples or paths of which some are clipped is not: rare large gradients, which a mean may live by, are
lost.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, PyTree

from pullback import elementary
from pullback.core import InputError, linear_map, whole_number

State = TypeVar("State", bound=PyTree)


def truncated(
    step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]], every: int
) -> Callable[[PyTree, tuple[Array, PyTree]], tuple[PyTree, PyTree]]:
    """A step of a scan whose state has no derivative at each `every`-th number: truncated backpropagation.

    The value is that of `step`. In both modes derivatives by parameters, and by the inputs u, are those of the at most
    `every` steps since the last cut.

    Args:
        step: (state, u) -> (state, output).
        every: steps between cuts.

    Returns:
        (state, (i, u)) -> (state, output), with i the number of the step: scan over `(jnp.arange(n), us)`. At i = 0 is
        no cut, so that the first state keeps its derivative within the first `every` steps.

    Raises:
        InputError: `every` is not a positive integer.

    Examples:
        A sum of ten numbers, of which the last four have a derivative.

        >>> def add(total, u):
        ...     return total + u, None
        >>> def last(us):
        ...     return jax.lax.scan(truncated(add, every=6), 0.0, (jnp.arange(10), us))[0]
        >>> jax.grad(last)(jnp.ones(10)).tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    """
    every = whole_number("truncated", "every", every)
    if every < 1:
        raise InputError(f"truncated: every must be positive, got {every}.")

    def cut(state, numbered):
        i, u = numbered
        ends = (i % every == 0) & (i > 0)
        return step(jax.tree.map(lambda a: jnp.where(ends, jax.lax.stop_gradient(a), a), state), u)

    return cut


def clip_gradient(x: State, norm: ArrayLike) -> State:
    """x itself; in reverse mode its cotangent is shortened to `norm` where it is longer.

    Forward mode sees nothing of it. Derivatives of such a gradient are shortened like the gradient is.

    Args:
        x: pytree; leaves that are not floating-point or complex are left alone.
        norm: bound on the Euclidean length over all leaves.

    Raises:
        InputError: `norm` is not positive.

    Examples:
        >>> f = lambda x: jnp.sum(clip_gradient(x, 1.0) ** 2)
        >>> jax.grad(f)(jnp.array([3.0, 4.0])).round(3).tolist()
        [0.6, 0.8]
    """
    if not isinstance(norm, Tracer) and not (np.ndim(norm) == 0 and np.all(np.asarray(norm) > 0)):
        raise InputError(f"clip_gradient: norm must be a positive number, got {norm}.")
    leaves, tree = jax.tree.flatten(x)
    inexact = [i for i, a in enumerate(leaves) if jnp.issubdtype(jnp.result_type(a), jnp.inexact)]
    moving = linear_map(lambda _, t: t, _shortened, jnp.asarray(norm, float), [jnp.asarray(leaves[i]) for i in inexact],
                        check=False)  # fmt: skip
    for i, a in zip(inexact, moving):
        leaves[i] = a
    return jax.tree.unflatten(tree, leaves)


def _shortened(norm, cotangents):
    """No transpose of the identity, which is the point."""
    length = elementary.norm(jnp.stack([elementary.norm(jnp.ravel(c)).astype(norm.dtype) for c in cotangents]))
    factor = jnp.where(length > norm, norm / jnp.where(length > norm, length, 1), 1)
    return [c * factor.astype(c.real.dtype) for c in cotangents]
