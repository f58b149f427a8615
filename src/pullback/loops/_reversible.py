"""`reversible_scan`: a scan whose reverse mode recomputes the states by the inverse step, and stores none.

Let x_{i+1}, y_i = step(x_i, u_i, p) and x_i = inverse(x_{i+1}, u_i, p). The tangent system

    (x_i, dx_i) → (x_{i+1}, dx_{i+1}),      dx_{i+1} = ∂_x S dx_i + ∂_u S du_i + ∂_p S dp,

is a scan with the inverse (x, dx) = jvp(inverse), and the adjoint system, run from the end,

    (x_{i+1}, λ_{i+1}, g) → (x_i, λ_i, g'),   x_i = inverse(x_{i+1}),
    (λ_i, ū_i, p̄_i) = vjp(step at x_i)(λ_{i+1}, ȳ_i),   g' = g + p̄_i,

is a scan with an inverse too: x_{i+1} = step(x_i), and λ_{i+1} follows from λ_i, once its part due to ȳ_i is taken
off, by the transposed derivative of `inverse`, since (∂_x step)⁻¹ = ∂_x inverse. So tangent and adjoint are reversible
scans again. `core.linear_map` makes them each other's transpose, and every order of every mode needs memory for a few
states, whatever the number of steps.

Leaves of the state, of xs and of params that are not inexact (counters, spins, random keys) are carried along and
recomputed like the others; they have no derivatives.

Sources: A. Gomez, M. Ren, R. Urtasun, R. Grosse, arXiv:1707.04585 (reversible networks); D. Maclaurin, D. Duvenaud,
R. Adams, arXiv:1502.03492 (reversed dynamics with rounding).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    InputError,
    Solution,
    Uncompute,
    are_checked_under_jit,
    by_throw,
    error_if,
    hoist,
    instantiated,
    is_live,
    is_varying,
    keeps_form,
    linear_map,
    vary_like,
)
from pullback.loops._inputs import first_entry, non_negative, number_of_steps, step_shapes

_NAME = "reversible_scan"


@by_throw
def reversible_scan(
    step: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]],
    inverse: Callable[[PyTree, PyTree, PyTree], PyTree],
    init: PyTree,
    xs: PyTree = None,
    params: PyTree = None,
    *,
    length: int | Int[Array, ""] | None = None,
    adjoint: Adjoint = Uncompute(),  # noqa: B008
    unroll: int = 2,
    throw: bool = True,
) -> tuple[PyTree, PyTree] | Solution[tuple[PyTree, PyTree]]:
    """Repeats (state, y_i) = step(state, x_i, params); reverse mode runs `inverse` beside the adjoint.

    Equal to `scan` up to the growth of rounding errors, with memory independent of the number of steps in every mode
    and order of derivative.

    Args:
        step: (state, x_i, params) -> (state, y_i), invertible in the state. May close over traced values.
        inverse: (new state, x_i, params) -> state, the inverse of `step`. May close over traced values.
        init: first state, any pytree.
        xs: arrays with one entry for each step along their first axis; None: the functions are given None.
        params: pytree that all steps share.
        length: number of steps, needed if `xs` is None. A traced one is possible, too: without xs and y_i, and the
            functions are given the number of the step, 0, 1, …, as x_i.
        adjoint: `Uncompute()`. `Uncompute(checkpoint_every=m)` stores the exact state every m steps: rounding errors
            grow over that many steps only, for 2·length/m stored states.
        unroll: how many steps the loops of reverse mode take at once: less overhead for small states, longer
            compilation.
        throw: if False, return a `Solution` with the round-trip error. It costs one sweep of `inverse`.

    Returns:
        The last state and all y_i; or, if not `throw`, a `Solution` of these. Its `residual` is the round-trip error:
        how far the states that `inverse` recovers at the beginning (of the worst block, with `checkpoint_every`) are
        from the true ones, the largest difference over the largest entry. Derivatives in reverse mode are taken at
        states that are wrong by this much. It is 1 if a leaf that is not inexact is not recovered exactly, and has no
        derivative itself. `result` is `irreversible` if half of the digits are lost.

    Raises:
        InputError: `inverse` does not undo the first step (outside `jit`; `EquinoxRuntimeError` inside, within
            `core.checks_under_jit`); a function changes the structure, a shape or a dtype of the state; leaves of
            `xs` of different lengths; neither `xs` nor `length`; another adjoint; a traced length with `xs`, with
            outputs or with `checkpoint_every`.

    Examples:
        A rotation by `angle` in each step.

        >>> def turn(x, _, angle):
        ...     return x * jnp.exp(1j * angle), None
        >>> def back(x, _, angle):
        ...     return x * jnp.exp(-1j * angle)
        >>> end = lambda angle: reversible_scan(turn, back, 1 + 0j, None, angle, length=1000)[0].real
        >>> f"{jax.grad(end)(1e-3):.6f}"  # -1000 sin(1)
        '-841.470985'
    """
    count = None
    if isinstance(length, jax.Array):
        if xs is not None or not jnp.issubdtype(length.dtype, jnp.integer) or length.ndim:
            raise InputError(f"{_NAME}: a length that is an array must be one integer, without xs; got {length}.")
        n, count, xs = 1, length, jnp.zeros(1, length.dtype)
    else:
        n = number_of_steps(_NAME, xs, length)
    init, xs, params = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(a)), (init, xs, params))
    x0 = first_entry(xs)
    state, y = step_shapes(_NAME, step, init, x0, params)
    keeps_form(_NAME, state, init, "the step's state")
    keeps_form(_NAME, jax.eval_shape(inverse, init, x0, params), init, "the inverse's state")
    if n:
        init = _check_inverse(step, inverse, init, jax.tree.map(lambda a: a[0], xs), params)
    eps = _eps(init)
    system, init, xs, params = _close(step, inverse, init, x0, xs, params)
    if not isinstance(adjoint, Uncompute):
        raise InputError(f"{_NAME}: adjoint must be Uncompute(), got {adjoint!r}; for others take scan.")
    every = adjoint.checkpoint_every or n
    if count is not None and (adjoint.checkpoint_every or jax.tree.leaves(y)):
        raise InputError(f"{_NAME}: with a traced length there are no outputs y_i, and no checkpoint_every.")
    if non_negative(_NAME, "unroll", unroll) == 0:
        raise InputError(f"{_NAME}: unroll must be positive.")
    if count is None:
        state, ys, error = _in_blocks(system, n, every, unroll, not throw, init, xs, params)
    else:
        n = count
        state, ys, error = _whole(system, None, unroll, not throw, init, xs, params, count)
    out = system.merge_state(state), system.merge_y(ys)
    if throw:
        return out
    result = RESULTS.where(error <= eps**0.5, RESULTS.successful, RESULTS.irreversible)
    result = RESULTS.where(jnp.isfinite(_largest(state.inexact)), result, RESULTS.nonfinite)
    return Solution(out, result, error, n)


class _Split(NamedTuple):
    """A pytree in two parts: what can be differentiated, and the leaves that cannot."""

    inexact: Any
    rest: list[Any]


class _System(NamedTuple):
    """Step and inverse as functions of `_Split`s that close over nothing traced, and the ways back to pytrees."""

    step: Callable[[_Split, _Split, _Split], tuple[_Split, _Split]]
    inverse: Callable[[_Split, _Split, _Split], _Split]
    merge_state: Callable[[_Split], PyTree]
    merge_y: Callable[[_Split], PyTree]


def _split(tree: PyTree) -> tuple[_Split, Callable[[_Split], PyTree]]:
    leaves, treedef = jax.tree.flatten(tree)
    mask = [jnp.issubdtype(jnp.result_type(a), jnp.inexact) for a in leaves]

    def merge(parts):
        inexact, rest = iter(parts[0]), iter(parts[1])
        return jax.tree.unflatten(treedef, [next(inexact) if m else next(rest) for m in mask])

    return _Split([a for a, m in zip(leaves, mask) if m], [a for a, m in zip(leaves, mask) if not m]), merge


def _close(step, inverse, init, x0, xs, params):
    """The system and its arguments; what the functions close over joins the params."""
    closed_step, consts, (_, y) = hoist(step, init, x0, params)
    closed_inverse, consts_inverse, _ = hoist(inverse, init, x0, params)
    alike = vary_like(init, xs, params, consts, consts_inverse)
    if any(a is not b for a, b in zip(jax.tree.leaves(alike), jax.tree.leaves(init))):  # inside shard_map
        return _close(step, inverse, alike, x0, xs, params)
    init, merge_state = _split(init)
    xs, merge_xs = _split(xs)
    params, merge_params = _split((params, consts, consts_inverse))
    _, merge_y = _split(y)

    def split_step(x, u, p):
        p, consts, _ = merge_params(p)
        x, y = closed_step(consts, merge_state(x), merge_xs(u), p)
        return _split(x)[0], _split(y)[0]

    def split_inverse(x, u, p):
        p, _, consts = merge_params(p)
        return _split(closed_inverse(consts, merge_state(x), merge_xs(u), p))[0]

    return _System(split_step, split_inverse, merge_state, merge_y), init, xs, params


def _in_blocks(system, n, every, unroll, certified, init, xs, params):
    """(last state, ys, round-trip error) with exact states stored between blocks of `every` steps."""

    def block(length, x, u):
        end, ys, error = _whole(system, length, unroll, certified, x, u, params)
        return end, (ys, error)

    if every >= n:
        state, (ys, error) = block(n, init, xs)
        return state, ys, error
    count, rest = divmod(n, every)
    whole = jax.tree.map(lambda a: a[: n - rest].reshape(count, every, *a.shape[1:]), xs)
    state, (ys, errors) = jax.lax.scan(partial(block, every), init, whole, count)
    ys, error = jax.tree.map(lambda y: y.reshape(count * every, *y.shape[2:]), ys), jnp.max(errors)
    if rest:
        state, (ys_rest, error_rest) = block(rest, state, jax.tree.map(lambda a: a[n - rest :], xs))
        ys, error = jax.tree.map(lambda *y: jnp.concatenate(y), ys, ys_rest), jnp.maximum(error, error_rest)
    return state, ys, error


def _whole(system, length, unroll, certified, x, us, params, count=None):
    """(last state, ys, round-trip error) of all steps; `count` of them, if their number is traced."""
    end, ys = _reversible(system.step, system.inverse, unroll, length, False, x, us, params, count)
    error = _round_trip_error(system.inverse, length, x, end, us, params, count) if certified else jnp.zeros(())
    return end, ys, error


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3, 4))
def _reversible(step, inverse, unroll, length, reverse, x0, us, p, count):
    del inverse
    return _loop(step, unroll if reverse else 1, length, reverse, x0, us, p, count)


def _loop(step, unroll, length, reverse, x0, us, p, count):
    """A scan; of a traced number of steps, to each of which its own number is given."""
    if count is None:
        return jax.lax.scan(lambda x, u: step(x, u, p), x0, us, length, reverse=reverse, unroll=unroll)

    def advance(k, x):
        return step(x, _Split(us.inexact, [count - 1 - k if reverse else k]), p)[0]

    return jax.lax.fori_loop(0, count, advance, vary_like(x0, us, p, count)), _Split([], [])


@partial(_reversible.defjvp, symbolic_zeros=True)
def _reversible_jvp(step, inverse, unroll, length, reverse, primals, tangents):
    x0, us, p, count = primals
    if is_varying(x0.rest):
        raise InputError(
            f"{_NAME}: inside jax.shard_map JAX has no derivatives of loops whose state holds integers or keys. Use "
            "jax.shard_map(..., check_vma=False)."
        )
    end, ys = _reversible(step, inverse, unroll, length, reverse, x0, us, p, count)
    dx0 = instantiated(tangents[0].inexact, x0.inexact)
    us, dus, whole_us = _live(us, tangents[1])
    p, dp, whole_p = _live(p, tangents[2])
    step, inverse = (lambda x, u, p, f=f: f(x, whole_us(u), whole_p(p)) for f in (step, inverse))
    tangent_scan, adjoint_scan = (
        partial(f, step, inverse, unroll, length, reverse) for f in (_tangent_scan, _adjoint_scan)
    )
    dend, dys = linear_map(tangent_scan, adjoint_scan, (x0, end, us, p, count), (dx0, dus, dp))
    return (end, ys), (_with_zeros(dend, end), _with_zeros(dys, ys))


def _live(split: _Split, tangents: _Split) -> tuple[_Split, list, Callable[[_Split], _Split]]:
    """What is differentiated as the inexact part, its tangents, and the way back to the `_Split` as it was.

    All else is held fixed, so that no derivative is taken (and multiplied by zero) that nobody asked for.
    """
    leaves, treedef = jax.tree.flatten(split)
    flat_tangents = treedef.flatten_up_to(tangents)
    mask = list(map(is_live, flat_tangents))

    def whole(parts):
        live, rest = iter(parts.inexact), iter(parts.rest)
        return jax.tree.unflatten(treedef, [next(live) if m else next(rest) for m in mask])

    live = [a for a, m in zip(leaves, mask) if m]
    fixed = [a for a, m in zip(leaves, mask) if not m]
    return _Split(live, fixed), [t for t, m in zip(flat_tangents, mask) if m], whole


# Below, the inexact part of a state or of xs is a pytree again: pairs of values and tangents, or the adjoint's triple.


def _tangent_scan(step, inverse, unroll, length, reverse, residuals, tangents):
    x0, _, us, p, count = residuals
    dx0, dus, dp = tangents

    def step_tangent(x, u, p):
        at, values, tangents = _apart(step, x, u, p)
        (x, _), (dx, dy) = jax.jvp(at, values, tangents)
        return _Split((x.inexact, dx.inexact), x.rest), _Split(dy.inexact, [])

    def inverse_tangent(x, u, p):
        at, values, tangents = _apart(inverse, x, u, p)
        x, dx = jax.jvp(at, values, tangents)
        return _Split((x.inexact, dx.inexact), x.rest)

    pairs = (_Split((a.inexact, da), a.rest) for a, da in ((x0, dx0), (us, dus), (p, dp)))
    end, dys = _reversible(step_tangent, inverse_tangent, unroll, length, reverse, *pairs, count)
    return end.inexact[1], dys.inexact


def _adjoint_scan(step, inverse, unroll, length, reverse, residuals, cotangents):
    _, end, us, p, count = residuals
    ct_end, ct_ys = cotangents

    def step_adjoint(c, u, p):
        (x1, lam, g), (uf, ct_y) = c.inexact, u.inexact
        x = inverse(_Split(x1, c.rest), _Split(uf, u.rest), p)
        (x1, y), pull = jax.vjp(_of_inexact(step, x, u, p), x.inexact, uf, p.inexact)
        lam, ct_u, ct_p = pull((_with_zeros(lam, x1), _with_zeros(ct_y, y)))
        return _Split((x.inexact, lam, _add(g, ct_p)), x.rest), _Split(ct_u, [])

    def inverse_adjoint(c, u, p):
        (xf, lam, g), (uf, ct_y) = c.inexact, u.inexact
        (x1, y), pull = jax.vjp(_of_inexact(step, c, u, p), xf, uf, p.inexact)
        ct_y = _with_zeros(ct_y, y)
        direct, _, _ = pull((_with_zeros(jax.tree.map(jnp.zeros_like, x1.inexact), x1), ct_y))
        x, pull_inverse = jax.vjp(lambda z: inverse(_Split(z, x1.rest), _Split(uf, u.rest), p), x1.inexact)
        (lam,) = pull_inverse(_with_zeros(_subtract(lam, direct), x))
        _, _, ct_p = pull((_with_zeros(lam, x1), ct_y))
        return _Split((x1.inexact, lam, _subtract(g, ct_p)), x1.rest)

    start = _Split((end.inexact, ct_end, jax.tree.map(jnp.zeros_like, p.inexact)), end.rest)
    us = _Split((us.inexact, ct_ys), us.rest)
    first, ct_us = _reversible(step_adjoint, inverse_adjoint, unroll, length, not reverse, start, us, p, count)
    _, lam, g = first.inexact
    return lam, ct_us.inexact, g


def _of_inexact(fun, x, u, p):
    """`fun` as a function of the inexact parts alone."""
    return lambda xf, uf, pf: fun(_Split(xf, x.rest), _Split(uf, u.rest), _Split(pf, p.rest))


def _apart(fun, x, u, p):
    """`fun` as a function of the inexact parts, its values and its tangents, from pairs of these."""
    values, tangents = zip(*(a.inexact for a in (x, u, p)))
    return _of_inexact(fun, x, u, p), values, tangents


def _with_zeros(tangent, value):
    """The tangent of a `_Split`: JAX wants zeros of dtype float0 for what has no derivative."""
    return _Split(tangent, [np.zeros(jnp.shape(a), jax.dtypes.float0) for a in value.rest])


def _check_inverse(step, inverse, init, x0, params):
    """`init`, once `inverse` has undone the first step, as far as values can be read."""
    if any(isinstance(a, Tracer) for a in jax.tree.leaves((init, x0, params))) and not are_checked_under_jit():
        return init
    end = step(init, x0, params)[0]
    error = _distance(_split(inverse(end, x0, params))[0], _split(init)[0], _split(end)[0])
    tolerance = _eps(init) ** (2 / 3)
    wrong = ~(error <= tolerance)
    message = (
        f"{_NAME}: the inverse does not undo the first step. inverse(step(x, x_i, params)[0], x_i, params) must be x"
    )
    if not isinstance(wrong, Tracer):
        if wrong:
            raise InputError(f"{message}, but differs from it by {float(error):.1e} of its largest entry.")
        return init
    return error_if(init, wrong, f"{message}.") if are_checked_under_jit() else init


def _round_trip_error(inverse, length, x0, end, us, p, count):
    """How far n inverse steps from `end` miss `x0`."""
    x0, end, us, p = jax.lax.stop_gradient((x0, end, us, p))
    back, _ = _loop(lambda x, u, p: (inverse(x, u, p), None), 1, length, True, end, us, p, count)
    return _distance(back, x0, end)


def _distance(found, true, other):
    """Largest difference over the largest entry of `true` (or of `other` if that is zero); 1 if `rest` differs."""
    if any(jnp.issubdtype(a.dtype, jax.dtypes.extended) for a in true.rest):
        found, true = (_Split(s.inexact, jax.tree.map(_raw, s.rest)) for s in (found, true))
    same = jnp.all(jnp.array([jnp.array_equal(a, b) for a, b in zip(found.rest, true.rest)] or [True]))
    scale = _largest(true.inexact)
    scale = jnp.where(scale == 0, _largest(other.inexact), scale)
    error = _largest(_subtract(found.inexact, true.inexact)) / jnp.where(scale == 0, 1, scale)
    return jnp.where(same, error, jnp.maximum(error, 1))


def _eps(tree) -> float:
    """The coarsest rounding of the inexact leaves."""
    dtypes = [a.dtype for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return max((float(jnp.finfo(d).eps) for d in dtypes), default=0.0)


def _raw(a):
    return jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a


def _largest(arrays):
    return jnp.max(jnp.array([0.0, *(jnp.max(jnp.abs(a), initial=0) for a in arrays)]))


_add = partial(jax.tree.map, jnp.add)
_subtract = partial(jax.tree.map, jnp.subtract)
