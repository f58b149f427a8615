r"""`propagate`: Schrödinger's equation iψ' = H(t) ψ by unitary steps, undone in reverse mode.

A step is a product of exponentials (`_unitary.py`), unitary to rounding, and what rounding does to the norm is taken
back after each. It is undone by the step of the other sign, so that reverse mode stores no states on the way: tangent
and adjoint are reversible loops (`loops.reversible_scan`), in every order. The number of steps need not be known when
the program is made. It follows from the tolerance: steps are made shorter until the last state, compared with that of
fewer steps, is right; this choice has no derivatives.

Steps end at the given times and where drives jump; the times in between are common to all drives.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Inexact, Int, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    InputError,
    Solution,
    Uncompute,
    by_throw,
    hoist,
    is_varying,
    only_arrays,
    vary_like,
    whole_number,
)
from pullback.flows._hamiltonian import Family, family
from pullback.flows._spectrum import facts_of, hermitian
from pullback.flows._times import Numbers, monotonic, state_and_times
from pullback.flows._unitary import (
    Chebyshev,
    CommutatorFree,
    Eigh,
    Magnus,
    SplitOperator,
    Step,
    Taylor,
    longest,
    series_step,
    splitting_step,
)
from pullback.linalg import spectral
from pullback.loops import counted_scan, reversible_scan, scan

Method = Magnus | CommutatorFree | Chebyshev | Taylor | Eigh | SplitOperator
_GROWTH = 16  # the number of steps grows at most by this between two trials
_FIRST = 8  # the least number of steps of the first trial
_SHARE = 0.5  # of the longest |hH| of an exponential, in the steps of a constant H


class _System(NamedTuple):
    """How it moves.

    Attributes:
        step: (psi, t, h, params) -> psi, undone by a step of −h from t + h.
        order: of the step.
        radius: half the width of the spectrum of H; zero if nobody knows.
        size: of the longest steps, for an H that is constant between jumps; such steps are exact.
        columns: whether the norm of each column is kept.
        unitary: whether norms are kept.
    """

    step: Step
    order: int
    radius: Array
    size: Array | None
    columns: bool
    unitary: bool = True


class _Flow(NamedTuple):
    """`move` is (consts, psi, number of the step, ±1, edges, before) -> psi: a step, or the one that undoes it."""

    move: Callable[..., Array]
    consts: list[Any]
    last: Callable[[Array], Array]  # sizes of the steps -> the last state, without derivatives


@by_throw
def propagate(
    H: Any,
    psi0: Numbers,
    ts: Numbers,
    params: PyTree = None,
    *,
    method: Method | None = None,
    rtol: float = 1e-8,
    steps: int | None = None,
    step_size: ArrayLike | None = None,
    jumps: Numbers = (),
    adjoint: Adjoint = Uncompute(),  # noqa: B008
    max_steps: int = 10**7,
    throw: bool = True,
) -> Inexact[Array, "times *state"] | Solution[Inexact[Array, "times *state"]]:
    """ψ at the times `ts` of iψ' = H(t) ψ, ψ(ts[0]) = psi0, with ħ = 1.

    Differentiable in every mode and order with respect to psi0, ts, params and what H closes over. Reverse mode takes
    the memory of a few states, and of those that are returned.

    Args:
        H: Hermitian. A matrix, or an operator psi -> H psi (a model of `lattices`, a sum of `operators`); or a function
            of (t, params) that returns one of these; or a function (t, psi, params) -> H(t) psi; or a list
            [H0, (H1, f1), (H2, f2), …] of operators with drives f(t, params), numbers or `PiecewiseConstant`. For
            `SplitOperator` the pair (T, V).
        psi0: a state, or several as the columns of a matrix (`jnp.eye(n)`: the propagator U(t)). Operators that are
            functions are given it as it is, of any shape.
        ts: times, increasing or decreasing.
        params: any pytree.
        method: `Magnus(2 | 4 | 6)`, for matrices; `CommutatorFree(2 | 4)`; `SplitOperator(2 | 4 | 6 | 8)`;
            `Chebyshev()`, `Taylor()`, `Eigh()`, which say how exponentials are computed. None: `Eigh()` for a constant
            matrix, else `CommutatorFree(4)`, or `Magnus(4)` for a small matrix and for propagators.
        rtol: the number of steps is raised until the estimated error of the last state, relative to its norm, is less.
        steps: so many steps between two times, instead.
        step_size: steps of this length (a little less, so that they end at ts), instead.
        jumps: further times where H jumps, as `PiecewiseConstant` drives say it themselves.
        adjoint: `Uncompute()`, or `Uncompute(m)` with `steps=`, which stores every m-th state. `Checkpoint(m)`,
            `TwoLevel()`, `Direct()` as in `loops.scan`, with `steps=`, without jumps; second derivatives with those
            are for forward mode over forward mode.
        max_steps: bound on the steps that rtol may ask for.
        throw: if False, return a `Solution`, at the cost of one sweep backwards, and of one with twice as many steps if
            their number was given.

    Returns:
        The states, along an axis of length len(ts) in front. Or, if not `throw`, a `Solution` of these: `residual` is
        the estimated error of the last state relative to its norm, `steps` the number of steps,
        `stats["norm_drift"]` the largest relative change of a norm, `stats["round_trip"]` how far the way back misses
        the start (see `loops.reversible_scan`).

    Raises:
        ConvergenceError: rtol is not reached with max_steps; norms are not conserved, since the bounds of the spectrum
            are wrong; steps are too long for the exponentials, or something is not finite (`EquinoxRuntimeError` in
            compiled programs).
        InputError: H is not Hermitian, has none of the forms above or does not fit psi0; ts are not monotonic or not
            finite; both steps and step_size, or ones that are not positive; a method or adjoint that cannot be used.

    Examples:
        Half a Rabi period in a resonant field.

        >>> x, z = jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.diag(jnp.array([1.0, -1.0]))
        >>> H = [-5.0 * z, (x, lambda t, amplitude: amplitude * jnp.cos(10.0 * t))]
        >>> up, down = propagate(H, jnp.array([1.0, 0.0]), np.array([0.0, 10 * np.pi]), 0.1)[-1]
        >>> f"{abs(down)**2:.4f}"
        '1.0000'
    """
    only_arrays("propagate", "params", params)
    psi0, ts = state_and_times("propagate", "psi0", psi0, ts)
    psi0 = monotonic("propagate", psi0, ts)
    steps = _check_options(rtol, steps, step_size, max_steps)
    jumps = jnp.ravel(jnp.asarray(jumps)).astype(ts.dtype)
    if isinstance(method, SplitOperator):
        system = _splitting(method, H, psi0, ts, params, adjoint)
    else:
        found = family(H, psi0, ts[0], params)
        jumps = jnp.concatenate([a.astype(ts.dtype) for a in (jumps, *found.jumps)])
        method = _stepping(method, found, len(jumps) > 0, psi0)
        exponential = method.exponential
        facts = facts_of(found, psi0, ts, jumps, params, getattr(exponential, "bounds", None))
        psi0 = hermitian(psi0, facts)
        _refuse_varying((psi0, ts, facts.radius))
        if found.constant and isinstance(exponential, Eigh) and not len(jumps) and steps is step_size is None:
            return _by_eigenvalues(found, psi0, ts, params, throw)
        step = series_step(method, found, facts.bounds)
        size = _SHARE * longest(exponential) / facts.radius if found.constant else None
        system = _System(step, method.order, facts.radius, size, found.dense and psi0.ndim == 2)
    flow = _flow(system, psi0, ts, jumps, params)
    spans = jnp.abs(jax.lax.stop_gradient(jnp.diff(ts)))
    error, enough = jnp.zeros((), ts.dtype), jnp.asarray(True)
    if steps is not None:
        sizes = spans / steps
    elif step_size is not None:
        sizes = jnp.broadcast_to(jnp.asarray(step_size, ts.dtype), spans.shape)
    elif system.size is not None:
        sizes = jnp.broadcast_to(system.size.astype(ts.dtype), spans.shape)
    else:
        sizes, error, enough = _by_tolerance(system, flow, psi0, spans, len(jumps), rtol, max_steps)
    ys, count, back = _states(flow, psi0, ts, jumps, sizes, adjoint, steps, certified=not throw)
    if not throw and system.size is None and (steps is not None or step_size is not None):
        finer = flow.last(sizes / 2)
        error = _distance(finer, ys[-1]) / (1 - 2.0**-system.order)
    drift = _drift(jax.lax.stop_gradient(ys), system.columns)
    result = RESULTS.where(enough, RESULTS.successful, RESULTS.max_steps_reached)
    kept = drift <= float(jnp.finfo(ts.dtype).eps) ** 0.5
    result = RESULTS.where(kept | (not system.unitary), result, RESULTS.outside_bounds)
    finite = jnp.isfinite(jax.lax.stop_gradient(ys)).all()
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    solution = Solution(ys, result, error, count, {"norm_drift": drift, "round_trip": back})
    return solution.unwrap("propagate") if throw else solution


def _flow(system: _System, psi0: Array, ts: Array, jumps: Array, params: PyTree) -> _Flow:
    norms = jax.lax.stop_gradient(_norms(psi0, system.columns))
    eps = 64 * float(jnp.finfo(ts.dtype).eps)

    def move(psi, i, sign, edges, before):
        j = jnp.searchsorted(before, i, side="right") - 1 if len(before) > 2 else 0
        h = (edges[j + 1] - edges[j]) / jnp.maximum(before[j + 1] - before[j], 1).astype(ts.dtype)
        t = edges[j] + (i - before[j]).astype(ts.dtype) * h
        psi = system.step(psi, t + (1 - sign) / 2 * h, sign * h, params)
        if not system.unitary:
            return psi
        # What rounding did to the norm. More than that is none of its business, and is to be seen at the end.
        excess = jax.lax.stop_gradient(_norms(psi, system.columns)) / jnp.where(norms == 0, 1, norms) - 1
        return psi * (1 - jnp.clip(excess, -eps, eps)).astype(psi.dtype)

    size = jnp.abs(ts[1] - ts[0])
    edges, before = _grid(ts[0], ts[1], jumps, size)
    closed, consts, _ = hoist(move, psi0, before[0], jnp.ones((), ts.dtype), edges, before)
    _refuse_varying((consts, psi0, ts))
    fixed = jax.lax.stop_gradient((consts, psi0, ts, jumps))

    def last(sizes):
        consts, psi0, ts, jumps = fixed

        def interval(psi, given):
            edges, before = _grid(given[0], given[1], jumps, given[2])
            one = jnp.ones((), ts.dtype)
            return jax.lax.fori_loop(0, before[-1], lambda i, x: closed(consts, x, i, one, edges, before), psi), None

        return jax.lax.scan(interval, vary_like(psi0, ts, jumps, consts), (ts[:-1], ts[1:], sizes))[0]

    return _Flow(closed, consts, last)


def _states(flow: _Flow, psi0, ts, jumps, sizes, adjoint: Adjoint, steps: int | None, *, certified: bool):
    """(the states at ts, the number of steps, how far the way back misses): what is differentiated."""
    if (static := not isinstance(adjoint, Uncompute) or adjoint.checkpoint_every) and (steps is None or len(jumps)):
        raise InputError(f"propagate: {adjoint} stores states: pass steps=, and no jumps.")
    move, one = flow.move, jnp.ones((), ts.dtype)

    def forward(psi, i, shared):
        return move(shared[0], psi, i, one, *shared[1:]), None

    def backward(psi, i, shared):
        return move(shared[0], psi, i, -one, *shared[1:])

    def interval(psi, us, p):
        (((a, b), size),), (consts, jumps) = us, p
        edges, before = _grid(a, b, jumps, size)
        shared, back = (consts, edges, before), jnp.zeros((), ts.dtype)
        which: dict[str, Any] = {"xs": jnp.arange(steps)} if static else {"length": before[-1]}
        if isinstance(adjoint, Uncompute):
            found = reversible_scan(
                forward, backward, psi, params=shared, adjoint=adjoint, throw=not certified, **which
            )
            if isinstance(found, Solution):
                found, back = found.value, jnp.asarray(found.residual, ts.dtype)
            psi = found[0]
        else:
            psi, _ = scan(lambda psi, i: forward(psi, i, shared), psi, which["xs"], adjoint=adjoint)
        return psi, (psi, before[-1].astype(ts.dtype), jax.lax.stop_gradient(back)), ()

    n = len(ts) - 1
    inputs, outputs = ((((ts[:-1], ts[1:]), sizes), None),), ((n, None),) * 3
    # Not jax.lax.scan, in whose second reverse mode JAX forgets the rules of what is inside.
    _, (ys, counts, back), _ = counted_scan(
        interval, psi0, (flow.consts, jumps), n, bound=n, inputs=inputs, outputs=outputs
    )
    return jnp.concatenate([psi0[None], ys]), jnp.sum(counts).astype(int), jnp.max(back)


def _grid(a: Array, b: Array, jumps: Array, size: Array) -> tuple[Float[Array, " m"], Int[Array, " m"]]:
    """(edges, number of steps before each): a, the jumps up to b, and b; in equal steps of at most `size` between."""
    sign = jnp.where(b < a, -1, 1).astype(a.dtype)
    inside = sign * jnp.sort(sign * jnp.clip(jumps, jnp.minimum(a, b), jnp.maximum(a, b)))
    edges = jnp.concatenate([a[None], inside, b[None]])
    lengths = jnp.abs(jax.lax.stop_gradient(jnp.diff(edges)))
    counts = jnp.ceil(lengths / size * (1 - 8 * jnp.finfo(a.dtype).eps))
    counts = jnp.where(lengths > 0, jnp.maximum(counts, 1), 0)
    return edges, jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(counts.astype(int))])


def _by_tolerance(system: _System, flow: _Flow, psi0, spans, jumps: int, rtol, max_steps: int):
    """(sizes of steps, estimated error of the last state, whether it is below rtol), by comparing runs."""
    span, real = jnp.sum(spans), spans.dtype
    healthy = jnp.isfinite(jax.lax.stop_gradient(psi0)).all() & jnp.isfinite(system.radius)
    first = jnp.maximum(system.radius.astype(real) * span / 2, 2.0 * (len(spans) + jumps) + _FIRST)
    first = jnp.where(healthy, jnp.minimum(first, max_steps / 4), 1)

    def unfinished(state):
        n, _, error = state
        return healthy & ~(error <= rtol) & (n < max_steps)

    def refined(state):
        n, old, error = state
        factor = 1.1 * (error / rtol) ** (1 / system.order)
        factor = jnp.where(jnp.isfinite(factor), jnp.clip(factor, 2, _GROWTH), 2)
        new = flow.last(jnp.broadcast_to(span / (n * factor), spans.shape))
        return n * factor, new, (_distance(old, new) / (factor**system.order - 1)).astype(real)

    begin = vary_like(
        (first, flow.last(jnp.broadcast_to(span / first, spans.shape)), jnp.full_like(first, jnp.inf)), psi0
    )
    n, _, error = jax.lax.while_loop(unfinished, refined, begin)
    return jnp.broadcast_to(span / n, spans.shape), error, error <= rtol


def _by_eigenvalues(H: Family, psi0: Array, ts: Array, params: PyTree, throw: bool):
    """exp(−iHt) of a constant matrix, from one decomposition."""
    matrix: Any = H.combine((1.0,), (ts[0],), params)
    found = spectral(matrix)

    def at(t):
        return found.apply(lambda w: jnp.exp(-1j * (t - ts[0]) * w.astype(ts.dtype)).astype(psi0.dtype)) @ psi0

    _, ys = scan(lambda _, t: (None, at(t)), None, ts)
    drift = _drift(jax.lax.stop_gradient(ys), psi0.ndim == 2)
    result = RESULTS.where(jnp.isfinite(drift), RESULTS.successful, RESULTS.nonfinite)
    solution = Solution(ys, result, drift, len(ts) - 1, {"norm_drift": drift, "round_trip": jnp.zeros(())})
    return solution.unwrap("propagate") if throw else solution


def _stepping(method: Any, H: Family, jumps: bool, psi0: Array) -> Magnus | CommutatorFree:
    """The method, or the default, as a product of exponentials; for a constant H there is one."""
    if method is None:
        how = Eigh() if H.dense and H.constant and not jumps else Chebyshev()
        # A commutator, of 2 n³ operations, spares a second exponential, of about 12 n² for each state.
        few = H.dense and len(psi0) <= 6 * psi0[0].size
        method = Magnus(4, how) if few else CommutatorFree(4, how)
    elif isinstance(method, Chebyshev | Taylor | Eigh):
        method = CommutatorFree(4, method)
    if not isinstance(method, Magnus | CommutatorFree):
        raise InputError(f"propagate: method={method!r}; give one such as flows.Magnus(4), or None.")
    return CommutatorFree(2, method.exponential) if H.constant else method


def _splitting(method: SplitOperator, H: Any, psi0: Array, ts: Array, params: PyTree, adjoint: Adjoint) -> _System:
    if not isinstance(H, list | tuple) or len(H) != 2:
        raise InputError("propagate: SplitOperator needs H = (T, V), kinetic energies and potential.")
    unitary = True
    for name, f in zip("TV", H):
        out = jax.eval_shape(lambda t, f=f: jnp.asarray(f(t, params) if callable(f) else f), ts[0])
        if out.shape not in (psi0.shape, ()):
            raise InputError(f"propagate: {name} has the shape {out.shape}, the state {psi0.shape}.")
        unitary &= not jnp.issubdtype(out.dtype, jnp.complexfloating)
    if not unitary and isinstance(adjoint, Uncompute):
        raise InputError(
            "propagate: T or V is complex. What it absorbs cannot be undone: pass adjoint=Checkpoint() and steps=."
        )
    return _System(splitting_step(method.order, *H), method.order, jnp.zeros((), ts.dtype), None, False, unitary)


def _check_options(rtol, steps, step_size, max_steps) -> int | None:
    if steps is not None and step_size is not None:
        raise InputError("propagate: give steps or step_size, not both.")
    if steps is not None and (steps := whole_number("propagate", "steps", steps)) < 1:
        raise InputError(f"propagate: steps must be positive, got {steps}.")
    for name, value in {"rtol": rtol, "step_size": step_size, "max_steps": max_steps}.items():
        if value is not None and not isinstance(value, Tracer) and not 0 < value < np.inf:
            raise InputError(f"propagate: {name} must be positive and finite, got {value}.")
    return steps


def _refuse_varying(tree: PyTree) -> None:
    """Refuses what JAX types by the axes of a mesh.

    Raises:
        InputError: naming the way out.
    """
    if is_varying(tree):
        raise InputError("propagate: JAX's checks inside jax.shard_map do not pass here: use check_vma=False.")


def _norms(psi: Array, columns: bool) -> Array:
    return jnp.sqrt(jnp.sum(jnp.abs(psi) ** 2, axis=0 if columns else None))


def _drift(ys: Array, columns: bool) -> Array:
    norms = jax.vmap(partial(_norms, columns=columns))(ys)
    return jnp.max(jnp.where(norms[0] == 0, 0, jnp.abs(norms / jnp.where(norms[0] == 0, 1, norms[0]) - 1)))


def _distance(a: Array, b: Array) -> Array:
    size = jnp.linalg.norm(b.ravel())
    return jnp.linalg.norm((a - jax.lax.stop_gradient(b)).ravel()) / jnp.where(size == 0, 1, size)
