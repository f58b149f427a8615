r"""`sdeint`: stochastic differential equations on a given Brownian path, with the derivatives of the steps.

    dy = f(t, y) dt + g(t, y) dW           (Itô)
    dy = f(t, y) dt + g(t, y) ∘ dW         (Stratonovich)

For additive noise, where g does not depend on y, both are the same. On one path W the solution is a function of y0, of
the parameters and of what f and g close over; it is that of steps of one length, and so is its derivative, in every
mode and order. With a Brownian tree the path is one function of time, whatever the steps: then the error of a solution
falls as a power of their length, the strong order.

`ReversibleHeun` carries a second state ŷ, and is undone:

    ŷ' = 2y − ŷ + f h + g ΔW,     y' = y + (f + f') h/2 + (g + g') ΔW/2,     f = f(t, ŷ), f' = f(t + h, ŷ').

Sources: P. E. Kloeden, E. Platen, Numerical Solution of Stochastic Differential Equations (Springer 1992); P. Kidger,
J. Foster, X. Li, T. Lyons, arXiv:2105.13493 (reversible Heun).
"""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Inexact, PyTree

from pullback.core import Adjoint, Checkpoint, InputError, Uncompute, error_if, only_arrays, whole_number
from pullback.flows._steppers import Euler
from pullback.flows._times import Numbers, monotonic, state_and_times
from pullback.loops import reversible_scan, scan

Field = Callable[[Array, Array, PyTree], Array]


SCHEMES = Euler, diffrax.ItoMilstein, diffrax.Heun, diffrax.ReversibleHeun


def sdeint(
    drift: Field,
    diffusion: Field,
    y0: Numbers,
    ts: Numbers,
    path: Any,
    params: PyTree = None,
    *,
    method: Any,
    steps: int,
    adjoint: Adjoint | None = None,
) -> Inexact[Array, "times *state"]:
    """y at the times `ts` of dy = drift dt + diffusion dW, y(ts[0]) = y0, on one Brownian path.

    Differentiable in every mode and order with respect to y0, params and what the functions close over, and, for given
    increments, to these.

    Args:
        drift: (t, y, params) -> an array like y.
        diffusion: (t, y, params) -> an array like y, where each y has its own noise; or of shape (*y.shape, m), for m
            noises in all.
        y0: array of real or complex numbers.
        ts: times, increasing. They are held fixed.
        path: a key of `jax.random`, for a Brownian tree (the same path with any number of steps, up to a resolution of
            2^-20 of the whole time); or a path of diffrax, such as `VirtualBrownianTree`, of the shape of the noise; or
            increments, of shape (number of all steps, *noise).
        params: any pytree.
        method: the scheme, by its name in diffrax, which says whose equation it is, with its strong order.
            `Euler()`: Itô, ½, or 1 for additive noise. `ItoMilstein()`: Itô, 1, where each y has its own noise.
            `Heun()`, and `ReversibleHeun()`, which reverse mode undoes: Stratonovich, 1 for additive noise and where
            each y has its own, else ½.
        steps: number of steps between two times.
        adjoint: what reverse mode stores. None: `Uncompute()` for `ReversibleHeun`, `Checkpoint()` for the others;
            `Checkpoint(m)`, `TwoLevel()`, `Direct()` as in `loops.scan`.

    Raises:
        InputError: shapes or dtypes that do not fit; ts do not increase; steps is not positive; a path that is none;
            Milstein's scheme with noise that is not diagonal; an adjoint that cannot be used.
        EquinoxRuntimeError: a state is not finite, in compiled programs; `InputError` otherwise.

    Examples:
        A particle in a harmonic trap at temperature 1 forgets where it was.

        >>> trap = lambda t, x, k: -k * x
        >>> noise = lambda t, x, k: jnp.sqrt(2.0) * jnp.ones_like(x)
        >>> path, options = jax.random.key(0), {"method": diffrax.Heun(), "steps": 100}
        >>> end = lambda x: sdeint(trap, noise, x, [0.0, 3.0], path, 1.0, **options)[-1]
        >>> f"{jax.grad(end)(0.2):.4f}"  # e^{-3}
        '0.0498'
    """
    only_arrays("sdeint", "params", params)
    start, times = state_and_times("sdeint", "y0", y0, ts, forward=True, to_complex=False)
    start = monotonic("sdeint", start, times, forward=True)
    if (steps := whole_number("sdeint", "steps", steps)) < 1:
        raise InputError(f"sdeint: steps must be positive, got {steps}.")
    if not isinstance(method, SCHEMES):
        names = ", ".join(scheme.__name__ for scheme in SCHEMES)
        raise InputError(f"sdeint: method={method!r}; give one of {names}, such as flows.Heun().")
    drift, diffusion, diagonal, noise = _checked(drift, diffusion, start, times, params)
    if isinstance(method, diffrax.ItoMilstein) and not diagonal:
        raise InputError("sdeint: Milstein's scheme is for a diffusion of the shape of y; take Euler or Heun.")
    if adjoint is None:
        adjoint = Uncompute() if isinstance(method, diffrax.ReversibleHeun) else Checkpoint()
    if isinstance(adjoint, Uncompute) and not isinstance(method, diffrax.ReversibleHeun):
        raise InputError(f"sdeint: {type(method).__name__} is not undone; take Checkpoint(), or ReversibleHeun().")
    increment = _increments(path, times, steps, noise)

    def f(t, y, p):
        return drift(t, y, p)

    def g(t, y, p, dw):
        """The noise of a step: g ΔW."""
        d = diffusion(t, y, p)
        return d * dw if diagonal else jnp.tensordot(d, dw, dw.ndim)

    def advance(state, given, p):
        t, h, i = given
        dw = increment(t, t + h, i).astype(noise.dtype)
        h = h.astype(start.dtype)
        if isinstance(method, diffrax.ReversibleHeun):
            y, other = state
            first = f(t, other, p) * h + g(t, other, p, dw)
            other = y + y - other + first
            return (y + (first + f(t + h.real, other, p) * h + g(t + h.real, other, p, dw)) / 2, other), None
        (y,) = state
        change = f(t, y, p) * h + g(t, y, p, dw)
        if isinstance(method, diffrax.Heun):
            end = y + change
            return (y + (change + f(t + h.real, end, p) * h + g(t + h.real, end, p, dw)) / 2,), None
        if isinstance(method, diffrax.ItoMilstein):
            _, slope = jax.jvp(lambda y: diffusion(t, y, p), (y,), (diffusion(t, y, p),))
            change = change + slope * (dw * dw - h) / 2  # for g of which each entry depends on its own y
        return (y + change,), None

    def back(state, given, p):
        t, h, i = given
        dw = increment(t, t + h, i).astype(noise.dtype)
        h = h.astype(start.dtype)
        y, other = state
        last = f(t + h.real, other, p) * h + g(t + h.real, other, p, dw)
        before = y + y - other - last
        return y - (last + f(t, before, p) * h + g(t, before, p, dw)) / 2, before

    def interval(state, given):
        a, b, k = given
        h = (b - a) / steps
        i = jnp.arange(steps)
        xs = a + h * i.astype(times.dtype), jnp.broadcast_to(h, steps), k * steps + i
        if isinstance(adjoint, Uncompute):
            state, _ = reversible_scan(advance, back, state, xs, params, adjoint=adjoint)
        else:
            state, _ = scan(lambda state, given: advance(state, given, params), state, xs, adjoint=adjoint)
        return state, state[0]

    begin = (start, start) if isinstance(method, diffrax.ReversibleHeun) else (start,)
    times = jax.lax.stop_gradient(times)
    _, ys = jax.lax.scan(interval, begin, (times[:-1], times[1:], jnp.arange(len(times) - 1)))
    ys = jnp.concatenate([start[None], ys])
    finite = jnp.isfinite(jax.lax.stop_gradient(ys)).all()
    text = "sdeint: a state became NaN or infinite; take more steps, or see where drift and diffusion are finite."
    if not isinstance(finite, Tracer):
        if not finite:
            raise InputError(text)
        return ys
    return error_if(ys, ~finite, text)


def _checked(drift: Field, diffusion: Field, y0: Array, ts: Array, params: PyTree):
    """(drift, diffusion, whether each y has its own noise, shape and dtype of the noise)."""
    f, g = (jax.eval_shape(fun, ts[0], y0, params) for fun in (drift, diffusion))
    for name, out in (("drift", f), ("diffusion", g)):
        fits = out.shape == y0.shape or (name == "diffusion" and out.shape[:-1] == y0.shape)
        if not fits or jnp.promote_types(out.dtype, y0.dtype) != y0.dtype:
            more = " or with one axis more" if name == "diffusion" else ""
            raise InputError(
                f"sdeint: {name}(t, y, params) must be {y0.dtype}{list(y0.shape)} as y is{more}; it is "
                f"{out.dtype}{list(out.shape)}."
            )
    diagonal = g.shape == y0.shape
    noise = jax.ShapeDtypeStruct(y0.shape if diagonal else g.shape[-1:], y0.real.dtype)

    def typed(fun):
        return lambda t, y, p: jnp.asarray(fun(t, y, p)).astype(y0.dtype)

    return typed(drift), typed(diffusion), diagonal, noise


def _increments(
    path: Any, ts: Array, steps: int, noise: jax.ShapeDtypeStruct
) -> Callable[[Array, Array, Array], Array]:
    """(start, end, number of the step) -> ΔW."""
    count = steps * (len(ts) - 1)
    dtype = getattr(path, "dtype", None)
    if dtype is not None and (jnp.issubdtype(dtype, jax.dtypes.prng_key) or dtype == jnp.uint32):
        span = ts[-1] - ts[0]
        path = diffrax.VirtualBrownianTree(*jax.lax.stop_gradient((ts[0], ts[-1], span * 2.0**-20)), noise, path)
    if isinstance(path, diffrax.AbstractPath):
        out = jax.eval_shape(path.evaluate, ts[0], ts[1])
        if getattr(out, "shape", None) != noise.shape:
            raise InputError(f"sdeint: the path has increments {out}, the noise the shape {noise.shape}.")
        return lambda a, b, i: path.evaluate(a, b)
    try:
        given = jnp.asarray(path)
    except (TypeError, ValueError):
        raise InputError(f"sdeint: the path must be a key, a path of diffrax or increments, got {path!r}.") from None
    if given.shape != (count, *noise.shape):
        raise InputError(f"sdeint: {count} steps need increments of shape {(count, *noise.shape)}, got {given.shape}.")
    return lambda a, b, i: given[i]
