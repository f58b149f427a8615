r"""`symplectic`: Hamilton's equations by splitting methods, undone in reverse mode, on request to the last bit.

For H = T(p) + V(q) the flows of T and of V are shifts. A symmetric product of them is a symplectic map of even order,

    Π_k D(d_k h) K(c_k h),       D(s): q → q + s ∂T/∂p,       K(s): p → p − s ∂V/∂q,

undone by the shifts with the other sign in the opposite order. In floating point a shift loses digits when it is
undone; in a chaotic system they grow like exp(λt). On grids of integers, q = Q u and p = P v with powers of two u, v,
the shifts

    P → P − round(s ∂V/∂q (Q u) / v)

are undone exactly: the trajectory that reverse mode finds is the one that was, bit for bit, without a stored state. The
derivative is that of the shifts at the points of the grid. The rounding to it, 2^-44 of the size of the start, is one
more rounding error.

Sources: D. Levesque, L. Verlet, J. Stat. Phys. 72, 519 (1993) (integers); W. Kahan, R.-C. Li, Math. Comp. 66, 1089
(1997), M. Suzuki and K. Umeno (1993), coefficients as in E. Hairer, C. Lubich, G. Wanner, Geometric Numerical
Integration (Springer 2006), V.3.
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import ArrayLike, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    InputError,
    Solution,
    Uncompute,
    all_finite,
    by_throw,
    inexact_arrays,
    keeps_form,
    only_arrays,
)
from pullback.loops import reversible_scan, scan

_THIRD = 4 ** (1 / 3)
# The outer half of a palindrome, its middle last: parts of a step of order 2 whose product has the order of the key.
PARTS = {
    2: (1.0,),
    4: (1 / (4 - _THIRD), 1 / (4 - _THIRD), -_THIRD / (4 - _THIRD)),
    6: (
        *(0.39216144400731413928, 0.33259913678935943860, -0.70624617255763935981, 0.082213596293550800230),
        0.79854399093482996340,
    ),
    8: (
        *(0.74167036435061295345, -0.40910082580003159400, 0.19075471029623837995, -0.57386247111608226666),
        *(0.29906418130365592384, 0.33462491824529818378, 0.31529309239676659663, -0.79688793935291635402),
    ),
}
_BITS = 44  # of the grid below the largest entry of the start; 2^19 times that entry still fits


class _System(NamedTuple):
    """∂H/∂p and ∂H/∂q as functions of (q, p, params, t)."""

    velocity: Callable[[PyTree, PyTree, PyTree, Any], PyTree]
    slope: Callable[[PyTree, PyTree, PyTree, Any], PyTree]


@by_throw
def symplectic(
    hamiltonian: Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]],
    q0: PyTree,
    p0: PyTree,
    h: ArrayLike,
    n: int,
    params: PyTree = None,
    *,
    order: Literal[2, 4, 6, 8] = 2,
    arithmetic: Literal["float", "fixed"] = "float",
    every: int | None = None,
    t0: ArrayLike = 0.0,
    adjoint: Adjoint = Uncompute(),  # noqa: B008
    throw: bool = True,
) -> tuple[PyTree, PyTree] | Solution[tuple[PyTree, PyTree]]:
    """(q, p) after n steps of length h of Hamilton's equations q' = ∂H/∂p, p' = −∂H/∂q.

    Differentiable in every mode and order with respect to q0, p0, h, params and what the functions close over. Reverse
    mode takes the memory of a few states, whatever n.

    Args:
        hamiltonian: H(q, p, params) = T + V, a real number; or the pair T(p, params), V(q, params). With one more
            argument, the time: H(q, p, params, t), V(q, params, t).
        q0: coordinates, a pytree of real arrays.
        p0: momenta, like q0.
        h: length of a step; negative ones go back in time.
        n: number of steps, a Python integer.
        params: any pytree.
        order: of the method: 1, 5, 9 or 15 evaluations of ∂V/∂q a step.
        arithmetic: "fixed" computes on a grid of 64-bit integers (see above), "float" in floating point.
        every: if given, the states after each multiple of so many steps are returned, along an axis in front. It
            divides n.
        t0: time at the start, for Hamiltonians that depend on it.
        adjoint: `Uncompute()`, which goes back step by step; `Uncompute(m)` stores every m-th state. `Checkpoint(m)`,
            `TwoLevel()`, `Direct()` as in `loops.scan`.
        throw: if False, return a `Solution`, at the cost of one sweep backwards.

    Returns:
        (q, p); or, if not `throw`, a `Solution` of both: `residual` is how far the way back misses the first state (see
        `loops.reversible_scan`; 0 on the grid), `steps` is n, and `stats["energy_change"]` is H at the end less H at
        the start, where H does not depend on the time.

    Raises:
        InputError: H is not a sum T(p) + V(q) (outside `jit`); q0 and p0 of different forms, or not real; n is not a
            positive integer, or not a multiple of `every`; another order, arithmetic or adjoint.

    Examples:
        A planet is after one period where it was.

        >>> T, V = (lambda p, m: p @ p / 2), (lambda q, m: -m / jnp.sqrt(q @ q))
        >>> q, p = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> after, _ = symplectic((T, V), q, p, 2 * jnp.pi / 500, 500, 1.0, order=8)
        >>> bool(jnp.allclose(after, q, atol=1e-9))
        True
    """
    system, energy = _system(hamiltonian)
    only_arrays("symplectic", "params", params)
    q0, p0 = _start(q0, p0)
    if order not in PARTS:
        raise InputError(f"symplectic: order must be one of {sorted(PARTS)}, got {order!r}.")
    if arithmetic not in ("float", "fixed"):
        raise InputError(f"symplectic: arithmetic must be 'float' or 'fixed', got {arithmetic!r}.")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"symplectic: n must be a positive Python integer, got {n!r}.")
    if every is not None and (every < 1 or n % every):
        raise InputError(f"symplectic: every={every} must divide the number of steps, {n}.")
    real = jnp.result_type(*jax.tree.leaves((q0, p0)))
    h, t0 = jnp.asarray(h, real), jnp.asarray(t0, real)
    _check_split(system, callable(hamiltonian), q0, p0, params, t0)
    if arithmetic == "float":
        (step, inverse), start = _float_steps(system, order), (q0, p0)
    else:
        units = _units(q0, p0)
        (step, inverse), start = _grid_steps(system, order, units), _to_grid(q0, p0, units)

    def run(state, first, length):
        times = t0 + h * (first + jnp.arange(length)).astype(h.dtype)
        shared = params, h
        if isinstance(adjoint, Uncompute):
            return reversible_scan(step, inverse, state, times, shared, adjoint=adjoint, throw=throw)
        return scan(lambda state, t: step(state, t, shared), state, times, adjoint=adjoint)

    def block(state, k):
        found = run(state, k * (every or n), every or n)
        found, rest = (found, ()) if throw or not isinstance(found, Solution) else (found.value, found)
        return found[0], (found[0], rest)

    if every is None:
        _, (end, rest) = block(start, 0)
    else:
        _, (end, rest) = jax.lax.scan(block, start, jnp.arange(n // every))
    q, p = end if arithmetic == "float" else end[:2]
    if throw:
        return q, p
    return _certified(q, p, rest, n, every, energy, (q0, p0, params))


def _float_steps(system: _System, order: int):
    shifts = _shifts(order)

    def shifted(state, t, shared, sign):
        (q, p), (params, h) = state, shared
        for moves, share, at in shifts if sign > 0 else reversed(shifts):
            if moves:
                rate = system.velocity(q, p, params, t + at * h)
                q = jax.tree.map(lambda a, b, s=share: a + sign * s * h * b, q, rate)
            else:
                rate = system.slope(q, p, params, t + at * h)
                p = jax.tree.map(lambda a, b, s=share: a - sign * s * h * b, p, rate)
        return q, p

    return (lambda s, t, shared: (shifted(s, t, shared, 1), None)), lambda s, t, shared: shifted(s, t, shared, -1)


def _grid_steps(system: _System, order: int, units):
    """On states (q, p, Q, P) with q = Q u, p = P v: the integers are what is, the numbers carry the derivatives."""
    shifts = _shifts(order)
    u, v = units

    def moved(value, integers, unit, change, sign):
        """One shift: the change is rounded to the grid; its derivative is that of the change itself."""
        whole = jnp.round(jax.lax.stop_gradient(change) / unit)
        fits = jnp.abs(whole) < 2.0**62
        integers = integers + sign * jnp.where(fits, whole, 0).astype(integers.dtype)
        exact = value + sign * change
        exact = jnp.where(fits & (jnp.abs(integers) < 2**62), exact, jnp.nan)  # beyond the grid nothing is right
        return _on(integers, unit, exact), integers

    def shifted(state, t, shared, sign):
        (q, p, Q, P), (params, h) = state, shared
        q, p = (jax.tree.map(lambda a, b, w=w: _on(b, w, a), x, X) for x, X, w in ((q, Q, u), (p, P, v)))
        for moves, share, at in shifts if sign > 0 else reversed(shifts):
            if moves:
                rate = jax.lax.optimization_barrier(system.velocity(q, p, params, t + at * h))
                pairs = jax.tree.map(lambda a, b, c, s=share: moved(a, b, u, s * h * c, sign), q, Q, rate)
                q, Q = _unzipped(pairs, q)
            else:
                rate = jax.lax.optimization_barrier(system.slope(q, p, params, t + at * h))
                pairs = jax.tree.map(lambda a, b, c, s=share: moved(a, b, v, -s * h * c, sign), p, P, rate)
                p, P = _unzipped(pairs, p)
        return q, p, Q, P

    return (lambda s, t, shared: (shifted(s, t, shared, 1), None)), lambda s, t, shared: shifted(s, t, shared, -1)


def _on(integers, unit, value):
    """The number that the integers stand for, with the derivatives of `value`; NaN if that is no number."""
    return integers.astype(value.dtype) * unit + (value - jax.lax.stop_gradient(value))


def _unzipped(pairs, like):
    flat = jax.tree.structure(like).flatten_up_to(pairs)
    return tuple(jax.tree.unflatten(jax.tree.structure(like), [pair[k] for pair in flat]) for k in (0, 1))


def _shifts(order: int) -> list[tuple[bool, float, float]]:
    """(whether it moves q, part of h, time at which it is done as a part of h), for a step."""
    half = PARTS[order]
    parts = (*half[:-1], half[-1], *reversed(half[:-1]))
    out: list[tuple[bool, float, float]] = []
    t = 0.0
    for k, part in enumerate(parts):
        before = parts[k - 1] if k else 0.0
        out.append((True, (before + part) / 2, t))
        t += part / 2
        out.append((False, part, t))
        t += part / 2
    out.append((True, parts[-1] / 2, 1.0))
    return out


def _units(q0, p0):
    """The lengths of the grids, powers of two."""

    def of(tree):
        largest = jnp.max(jnp.array([jnp.max(jnp.abs(a), initial=0.0) for a in jax.tree.leaves(tree)]))
        largest = jax.lax.stop_gradient(largest)
        exponent = jnp.frexp(jnp.where(largest > 0, largest, 1))[1]
        return jnp.ldexp(jnp.ones((), largest.dtype), exponent - _BITS)

    return of(q0), of(p0)


def _to_grid(q0, p0, units):
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise InputError("symplectic: the grid needs 64-bit integers; switch on jax_enable_x64.")
    out = []
    for x, unit in zip((q0, p0), units):
        integers = jax.tree.map(lambda a, w=unit: jnp.round(jax.lax.stop_gradient(a) / w).astype(jnp.int64), x)
        out.append((jax.tree.map(lambda a, b, w=unit: _on(b, w, a), x, integers), integers))
    (q, Q), (p, P) = out
    return q, p, Q, P


def _system(hamiltonian) -> tuple[_System, Callable | None]:
    """The derivatives, and H as a function of (q, p, params) where it does not depend on the time."""

    def timed(f, m: int):
        try:
            takes = len(inspect.signature(f).parameters) > m
        except (TypeError, ValueError):
            takes = False
        return takes, (f if takes else lambda *a: f(*a[:-1]))

    if callable(hamiltonian):
        takes, H = timed(hamiltonian, 3)
        energy = None if takes else lambda q, p, params: hamiltonian(q, p, params)
        return _System(jax.grad(H, 1), jax.grad(H, 0)), energy
    kinetic, potential = hamiltonian
    (of_p, T), (of_q, V) = timed(kinetic, 2), timed(potential, 2)
    energy = None if of_p or of_q else lambda q, p, params: kinetic(p, params) + potential(q, params)
    velocity, slope = jax.grad(T), jax.grad(V)
    return _System(lambda q, p, params, t: velocity(p, params, t), lambda q, p, params, t: slope(q, params, t)), energy


def _check_split(system: _System, whole: bool, q, p, params, t) -> None:
    """Refuses, where numbers can be seen, an H whose derivative by p depends on q, or by q on p."""
    for name, rate, like in (("∂H/∂p", system.velocity, p), ("∂H/∂q", system.slope, q)):
        out = jax.eval_shape(rate, q, p, params, t)
        if jax.tree.structure(out) != jax.tree.structure(like):
            raise InputError(f"symplectic: {name} has the structure {jax.tree.structure(out)}, not that of q0 and p0.")
    if not whole or any(isinstance(a, Tracer) for a in jax.tree.leaves((q, p, params, t))):
        return
    q_other, p_other = (
        jax.tree.map(lambda a: a + 0.1 * jnp.cos(jnp.arange(a.size).reshape(a.shape)), x) for x in (q, p)
    )
    pairs = [
        (system.velocity(q, p, params, t), system.velocity(q_other, p, params, t)),
        (system.slope(q, p, params, t), system.slope(q, p_other, params, t)),
    ]
    for found, other in pairs:
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(other)):
            if not jnp.allclose(a, b, rtol=1e-5, atol=1e-12, equal_nan=True):
                raise InputError("symplectic: H(q, p) is not a sum T(p) + V(q); its flow is no product of shifts.")


def _start(q0, p0):
    """Both as real arrays of one form.

    Raises:
        InputError: they are not.
    """
    q, p = inexact_arrays("symplectic", "q0", q0), inexact_arrays("symplectic", "p0", p0)
    keeps_form("symplectic", p, q, "p0", "q0")
    if any(map(jnp.iscomplexobj, jax.tree.leaves((q, p)))):
        raise InputError("symplectic: q0 and p0 must be real.")
    return q, p


def _certified(q, p, rest, n, every, energy, start):
    """The `Solution`, from those of the blocks."""
    if rest == ():  # an adjoint that stores: nothing is undone
        result, residual = RESULTS.successful, jnp.zeros(())
    elif every is None:
        result, residual = rest.result, rest.residual
    else:
        worst = jnp.argmax(rest.residual)
        result, residual = jax.tree.map(lambda a: a[worst], (rest.result, rest.residual))
    result = RESULTS.where(all_finite((q, p)), result, RESULTS.nonfinite)
    stats = {}
    if energy is not None:
        last = (q, p) if every is None else jax.tree.map(lambda a: a[-1], (q, p))
        stats["energy_change"] = energy(*last, start[2]) - energy(*start)
    return Solution((q, p), result, residual, n, stats)
