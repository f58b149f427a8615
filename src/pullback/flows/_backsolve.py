r"""The adjoint equation solved backwards in time, beside the equation of the state itself.

For dy/dt = f(t, y, p) and a function of y(t_j) with the derivatives ȳ_j,

    dy/dt = f,      dλ/dt = −(∂f/∂y)^T λ,      dg/dt = −(∂f/∂p)^T λ,

from the last time to the first, where λ grows by ȳ_j at t_j and y is set to what it was there. Nothing else is stored.
Tangent and adjoint are transposes of each other up to the tolerances, and solutions of the same kind, so that every
order of every mode exists. What contracts forwards explodes backwards: the state that is found at the start of each
interval is compared with the true one, always.

Sources: R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, arXiv:1806.07366; on the lost digits A. Gholami,
K. Keutzer, G. Biros, arXiv:1902.10298.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pullback.core import RESULTS, distance, error_if, instantiated, is_live, linear_map
from pullback.flows._search import search
from pullback.flows._steps import Problem


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def backsolved(problem: Problem, y0: PyTree, ts: Float[Array, " times"], p: tuple) -> tuple[PyTree, tuple]:
    """(states at ts, how it went); ts has no derivative here."""
    ys, _, _, outcome = search(problem, y0, ts, p, store=False)
    return ys, outcome


@partial(backsolved.defjvp, symbolic_zeros=True)
def _backsolved_jvp(problem, primals, tangents):
    y0, ts, p = primals
    ys, outcome = backsolved(problem, y0, ts, p)
    tree = jax.tree.structure(p)
    flat = tree.flatten_up_to(tangents[2])
    live = [k for k, t in enumerate(flat) if is_live(t)]

    def field(t, y, p, values):
        new = dict(zip(live, values))
        whole = jax.tree.unflatten(tree, [new.get(k, a) for k, a in enumerate(jax.tree.leaves(p))])
        return problem.at(whole)(t, y)

    def moving(p):
        return [jax.tree.leaves(p)[k] for k in live]

    def tangent(residuals, tangents):
        (y0, _, ts, p), (dy0, dp) = residuals, tangents

        def pushed(_, t, pair, both):
            (y, dy), (p, dp) = pair, both
            return jax.jvp(lambda y, v: field(t, y, p, v), (y, moving(p)), (dy, dp))

        return backsolved(problem._replace(field=pushed), (y0, dy0), ts, ((), (p, dp)))[0][1]

    def adjoint(residuals, ct_ys):
        _, ys, ts, p = residuals

        def pulled(_, t, state, p):
            y, lam, _ = state
            slope, pull = jax.vjp(lambda y, v: field(t, y, p, v), y, moving(p))
            return slope, *jax.tree.map(jnp.negative, pull(lam))

        def interval(carry, u):
            (lam, g), (end, ct, y1, y_start) = carry, u
            lam = jax.tree.map(jnp.add, lam, ct)
            (_, lam, g), lost = _interval(problem, pulled, (y1, lam, g), end, p, y_start)
            return (lam, g), lost

        scale = jax.lax.stop_gradient(jnp.max(jnp.array([jnp.max(jnp.abs(c)) for c in jax.tree.leaves(ct_ys)])))
        scale = jnp.where(scale > 0, scale, 1)  # so that tolerances are relative
        cts = jax.tree.map(lambda c: c / scale.astype(c.real.dtype), ct_ys)
        zeros = jax.tree.map(lambda a: jnp.zeros_like(a[0]), ys), [jnp.zeros_like(a) for a in moving(p)]
        (lam, g), lost = jax.lax.scan(interval, zeros, _intervals(ts, cts, ys), reverse=True)
        lam = jax.tree.map(lambda a, c: a + c[0], lam, cts)
        out = jax.tree.map(lambda a: a * scale.astype(a.real.dtype), (lam, g))
        return error_if(out, jnp.any(lost > _allowed(problem)), RESULTS[RESULTS.irreversible])

    operands = (y0, ys, jax.lax.stop_gradient(ts), p)
    moves = instantiated(tangents[0], y0), [flat[k] for k in live]
    dys = linear_map(tangent, adjoint, operands, moves)
    return (ys, outcome), (dys, jax.tree.map(jnp.zeros_like, outcome))


def way_back(problem: Problem, ys: PyTree, ts: Float[Array, " times"], p: tuple) -> tuple[Array, Array]:
    """(how far solutions backwards miss the starts of their intervals, relative to these; whether that is too much)."""
    ys, ts, p = jax.lax.stop_gradient((ys, ts, p))

    def alone(_, t, y, p):
        return problem.at(p)(t, y)

    def interval(_, u):
        end, y1, y_start = u
        return None, _interval(problem, alone, y1, end, p, y_start)[1]

    ends, _, y1, y_start = _intervals(ts, ys, ys)
    _, lost = jax.lax.scan(interval, None, (ends, y1, y_start))
    return jnp.max(lost), jnp.any(lost > _allowed(problem))


def _intervals(ts, cts, ys):
    """For each interval its times from the end, what joins the adjoint there, and the states at its end and start."""
    last, first = (jax.tree.map(lambda a, k=k: a[1:] if k else a[:-1], (cts, ys)) for k in (1, 0))
    return jnp.stack([ts[1:], ts[:-1]], 1), *last, first[1]


def _interval(problem, field, start, ts, p, wanted):
    """(state at the start of an interval, how far its first part misses what is wanted)."""
    out, (arrived, *_) = backsolved(problem._replace(field=field, times=2), start, ts, ((), p))
    out = jax.tree.map(lambda a: a[-1], out)
    found = out if jax.tree.structure(out) == jax.tree.structure(wanted) else out[0]
    return out, jnp.where(arrived > 0, distance(found, wanted).astype(ts.dtype), jnp.inf)


def _allowed(problem: Problem) -> float:
    assert problem.controller is not None
    return float(problem.controller.rtol) ** 0.5
