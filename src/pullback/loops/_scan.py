"""`scan`: `jax.lax.scan` that says what its reverse mode stores.

Reverse mode visits the states of the loop backwards. Plain JAX stores, for each step, all intermediate values that
the derivatives of its operations need. Recomputing a step from the state before it costs a second evaluation and
stores the states alone; on present machines that is often faster, since less memory is moved. With blocks of n steps
only the states at the beginnings of blocks are stored, and those of one block while it is being differentiated:
N/n + n states, at the cost of one more evaluation; n = √N is the best (two-level checkpointing).

Forward mode stores nothing, with any choice. Everything is made of `jax.lax.scan` and `jax.checkpoint`, so every
composition of modes works.

Source: A. Griewank, A. Walther, ACM Trans. Math. Softw. 26, 19 (2000).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pullback.core import Adjoint, Checkpoint, Direct, InputError, TwoLevel, keeps_form
from pullback.loops._inputs import first_entry, number_of_steps, step_shapes


def scan(
    step: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    init: PyTree,
    xs: PyTree = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    adjoint: Adjoint = Checkpoint(),  # noqa: B008
) -> tuple[PyTree, PyTree]:
    """Repeats (state, y_i) = step(state, x_i); returns the last state and all y_i, as `jax.lax.scan`.

    Args:
        step: (state, x_i) -> (state, y_i). May close over traced values.
        init: first state, any pytree.
        xs: arrays with one entry for each step along their first axis; None: `step` is given None.
        length: number of steps, needed if `xs` is None.
        reverse: go through `xs` from the end.
        adjoint: what reverse mode stores of N steps.
            `Checkpoint()`: the N states, recomputing each step.
            `Checkpoint(n)`: every n-th state, recomputing blocks of n steps: N/n + n states.
            `TwoLevel()`: `Checkpoint` with n ≈ √N.
            `Direct()`: every intermediate value, as plain JAX.

    Raises:
        InputError: leaves of `xs` of different lengths; neither `xs` nor `length`; `step` does not return a pair or
            changes the structure, a shape or a dtype of the state; another adjoint.

    Examples:
        >>> def euler(x, _):
        ...     return x + 1e-5 * x, None
        >>> grow = lambda x: scan(euler, x, length=100_000, adjoint=TwoLevel())[0]
        >>> f"{jax.grad(grow)(1.0):.4f}"
        '2.7183'
    """
    n = number_of_steps("scan", xs, length)
    state, _ = step_shapes("scan", step, init, first_entry(xs))
    keeps_form("scan", state, init, "the step's state")
    block = _block(adjoint, n)
    if block is None:
        return jax.lax.scan(step, init, xs, n, reverse=reverse)
    # Inside a scan nothing can be merged with the first evaluation, so that the barrier against it is not needed.
    rematted = jax.checkpoint(step, prevent_cse=False)  # pyright: ignore[reportPrivateImportUsage]
    if block == 1 or block >= n:
        return jax.lax.scan(rematted, init, xs, n, reverse=reverse)

    def steps(state, xs):
        return jax.lax.scan(rematted, state, xs, block, reverse=reverse)

    blocks = jax.checkpoint(steps, prevent_cse=False)  # pyright: ignore[reportPrivateImportUsage]
    count, rest = divmod(n, block)
    whole, tail = _cut(xs, n - rest, reverse)
    whole = jax.tree.map(lambda a: a.reshape(count, block, *a.shape[1:]), whole)
    state, ys = jax.lax.scan(blocks, init, whole, count, reverse=reverse)
    ys = jax.tree.map(lambda y: y.reshape(count * block, *y.shape[2:]), ys)
    if not rest:
        return state, ys
    state, ys_tail = jax.lax.scan(rematted, state, tail, rest, reverse=reverse)
    return state, jax.tree.map(lambda *y: jnp.concatenate(y[::-1] if reverse else y), ys, ys_tail)


def _block(adjoint: Adjoint, n: int) -> int | None:
    """Steps in one block; None: nothing is recomputed."""
    match adjoint:
        case Direct():
            return None
        case Checkpoint(every=every):
            return every
        case TwoLevel():
            return square_root_block(n)
    raise InputError(f"scan: adjoint must be Checkpoint(n), TwoLevel() or Direct(), got {adjoint!r}.")


def square_root_block(n: int) -> int:
    """A block near √n: a divisor of n if there is one within a factor of 2, since a remainder is compiled apart."""
    root = max(1, math.isqrt(n))
    candidates = [b for b in range(max(1, root // 2), 2 * root + 1) if n % b == 0]
    return min(candidates, key=lambda b: abs(math.log(b / root)), default=root)


def _cut(xs, first: int, reverse: bool):
    """(the `first` entries that are visited first, the others)."""
    xs = jax.tree.map(jnp.asarray, xs)
    if reverse:
        rest = -first if first else None
        return jax.tree.map(lambda a: a[rest:], xs), jax.tree.map(lambda a: a[:rest], xs)
    return jax.tree.map(lambda a: a[:first], xs), jax.tree.map(lambda a: a[first:], xs)
