"""`while_loop`: a bounded while loop that can be differentiated in both modes.

`jax.lax.while_loop` has no reverse mode, since the number of states that it would have to store is unknown when the
program is compiled. With a bound N it is known: the loop becomes ⌈N/n⌉ blocks of n steps, where each block and each
step is skipped once the condition is false (`lax.cond`: a skipped step costs a test, a skipped block one test for all
of its steps). Blocks and steps are recomputed in reverse mode, so that N/n + n states are stored; 2√N for n = √N.

Under `vmap` a condition that differs between members would turn every `lax.cond` into the evaluation of both sides.
Whether to skip is therefore decided by all members together, those that have finished are kept as they are, and the
loop is as long as that of the slowest member.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from equinox.internal import unvmap_any
from jaxtyping import Array, Bool, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    Checkpoint,
    InputError,
    Solution,
    TwoLevel,
    by_throw,
    hoist,
    keeps_form,
    refuse_mixture,
    vary_like,
)
from pullback.loops._inputs import non_negative

_NAME = "while_loop"
State = TypeVar("State", bound=PyTree)


@by_throw
def while_loop(
    cond: Callable[[State], Bool[Array, ""]],
    body: Callable[[State], State],
    init: State,
    *,
    max_steps: int,
    adjoint: Adjoint = TwoLevel(),  # noqa: B008
    throw: bool = True,
) -> State | Solution[State]:
    """Repeats state = body(state) as long as cond(state); every mode of differentiation works.

    The number of steps is not differentiated: the derivative is that of the steps that were taken.

    Args:
        cond: state -> boolean. May close over traced values.
        body: state -> state. May close over traced values.
        init: first state, any pytree.
        max_steps: bound N on the number of steps, a Python integer. Time is that of the steps taken.
        adjoint: what reverse mode stores. `TwoLevel()`: about 2√N states. `Checkpoint(n)`: N/n + n states, for n = 1
            N of them, and each step is recomputed once less.
        throw: raise if `cond` still holds after `max_steps` steps; if False, return a `Solution`.

    Returns:
        The last state, or, if not `throw`, a `Solution`: its `value` is the state, `steps` the number of steps,
        `result` says whether `cond` became false, and `residual` is 0 or, if it did not, infinite.

    Raises:
        ConvergenceError: with `throw`, if `cond` still holds after `max_steps` steps (`EquinoxRuntimeError` in
            compiled programs).
        InputError: `cond` does not return one boolean; `body` changes the structure, a shape or a dtype of the
            state; `max_steps` is not a positive integer; another adjoint.

    Examples:
        Newton's iteration for a square root, and its derivative 1/(2√a).

        >>> def root(a):
        ...     return while_loop(lambda x: jnp.abs(x**2 - a) > 1e-12, lambda x: (x + a / x) / 2, a, max_steps=50)
        >>> f"{jax.grad(root)(2.0):.12f}"
        '0.353553390593'
    """
    bound = non_negative(_NAME, "max_steps", max_steps)
    if bound == 0:
        raise InputError(f"{_NAME}: max_steps must be positive.")
    init = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(a)), init)
    keeps_form(_NAME, jax.eval_shape(body, init), init, "the body's state")
    test = jax.eval_shape(cond, init)
    if getattr(test, "shape", None) != () or test.dtype != bool:
        raise InputError(f"{_NAME}: cond must return one boolean, got {test}.")
    state, unfinished, steps = _run(cond, body, init, bound, _block(adjoint, bound))
    result = RESULTS.where(unfinished, RESULTS.max_steps_reached, RESULTS.successful)
    solution = Solution(state, result, jnp.where(unfinished, jnp.inf, 0.0), steps)
    return solution.unwrap(_NAME) if throw else solution


def _block(adjoint: Adjoint, bound: int) -> int:
    """Steps between the states that are stored."""
    match adjoint:
        case TwoLevel():
            return math.isqrt(bound - 1) + 1
        case Checkpoint(every=every):
            return min(every, bound)
    raise InputError(f"{_NAME}: adjoint must be Checkpoint(n) or TwoLevel(), got {adjoint!r}.")


def _run(cond, body, init, bound, block):
    """(state, whether it would go on, number of steps) after at most `bound` steps."""
    closed, consts, _ = hoist(body, init)
    refuse_mixture(_NAME, consts)
    alike = vary_like(init, consts, hoist(cond, init)[1])
    if alike is not init:  # inside shard_map the body is traced again for a state that varies between devices
        init = alike
        closed, consts, _ = hoist(body, init)
    valid = jax.lax.stop_gradient(init)

    def advance(carry):
        state, active, steps = carry
        active &= steps < bound
        # A member of a batch that has finished waits for the others. It must not enter the body where it is (a
        # converged iteration may divide by zero there), so another state stands in. If the first state is as bad, what
        # the body does there must reach nothing: neither the state nor what the body closes over (0·inf = NaN).
        read = [_select(active, c, jax.lax.stop_gradient(c)) for c in consts]
        new = closed(read, _select(active, state, valid))
        state, steps = _select(active, new, state), steps + active.astype(steps.dtype)
        return state, active & cond(state), steps

    def repeat(advance, times):
        """`times` times advance(carry), as long as a member of the batch is active."""
        # Inside the condition: outside, skipping a block would still write zeros for all the states it might have had.
        advance = jax.checkpoint(advance, prevent_cse=False)  # pyright: ignore[reportPrivateImportUsage]

        def step(carry, _):
            _, active, steps = carry
            return jax.lax.cond(unvmap_any(active & (steps < bound)), advance, lambda carry: carry, carry), None

        return lambda carry: jax.lax.scan(step, carry, None, times)[0]

    many = advance if block == 1 else repeat(advance, block)
    return repeat(many, -(-bound // block))(vary_like((init, cond(init), jnp.asarray(0))))


def _select(active, new, old):
    return jax.tree.map(lambda a, b: jnp.where(active, a, b), new, old)
