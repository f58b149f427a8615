r"""How the loops of a program treat a small change of their state.

Beside the state x_n a tangent is carried along, d_{n+1} = ∂F/∂x d_n, brought back to length one after each step; the
sum of the logarithms of its growth is λT, the finite-time Lyapunov exponent times the time. Lengths are relative to the
size of the state: what only grows as the state does (compound interest) is no chaos.

An iteration that is meant to converge shows in the changes |x_{n+1} − x_n|: they shrink, and the last one says how far
it was from its end.

Programs without loops (loops of Python) are chains of equations; the tangent is followed from one to the next.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core._compat import ClosedJaxpr, Literal, bound, jaxpr_as_fun
from pullback.trust._diagnose._affine import is_affine
from pullback.trust._diagnose._cut_off import cut_off
from pullback.trust._diagnose._program import called, equations, evaluate, scan_parts, while_parts

_MUCH, _FAST = math.log(1e4), 4.0  # growth in all, and in one doubling of the number of steps: n³ grows by 2.1
_CHAIN = range(30, 3000)  # equations that make a chain; it is followed outside `jit`, which would compile for minutes


class Loop(NamedTuple):
    """One run of a loop, or a chain of equations.

    Attributes:
        steps: how many there were.
        growth: log of the growth of a tangent.
        largest: of one step.
        burst: the most in one doubling of the number of steps, the first four left out.
        change: |x_n − x_{n−1}| / |x| of the last step.
        before: the same of the step before.
        waits: whether the number of steps depends on the state.
        cut_off: whether it is not differentiated step by step.
        affine: whether the step is affine in the state.
    """

    steps: int
    growth: float
    largest: float
    burst: float
    change: float = 0.0
    before: float = 0.0
    waits: bool = False
    cut_off: bool = False
    affine: bool = False

    @property
    def is_chaotic(self) -> bool:
        """Whether a tangent grows by much in many steps, and faster than a power of their number."""
        if self.affine:
            return False
        return min(self.growth / _MUCH, self.burst / _FAST) > 1 and self.growth - self.largest > _MUCH / 2

    @property
    def is_unfinished(self) -> bool:
        """Whether it is an iteration that converges, and has not."""
        return 1e-9 < self.change < 0.9 * self.before


class _Probe(NamedTuple):
    n: jax.Array
    growth: jax.Array
    largest: jax.Array
    burst: jax.Array
    mark: jax.Array  # the growth at the last power of two
    change: jax.Array
    before: jax.Array


def has_loops(program: ClosedJaxpr) -> bool:
    return any(e.primitive.name in ("scan", "while") for e in equations(program.jaxpr))


def has_chain(program: ClosedJaxpr) -> bool:
    return sum(called(e) is None for e in equations(program.jaxpr)) in _CHAIN


def watched(program: ClosedJaxpr, record: Callable[[Loop], None], *, beside: bool = False) -> Callable[[list], list]:
    """The program, with a report of each loop that it runs: to `record`, when it runs.

    With `beside` a second state near the first is carried along instead of a tangent, for loops that have a rule for
    reverse mode only.
    """

    hidden = cut_off(program)

    def rule(equation, values):
        def run(inner, values):
            return list(jaxpr_as_fun(inner)(*values))

        kinds = {
            "waits": equation.primitive.name == "while" and _reads_numbers(equation),
            "cut_off": id(equation) in hidden,
            "affine": _is_affine(equation),
        }
        report = lambda probe: jax.debug.callback(lambda p: record(_loop(p, **kinds)), probe)  # noqa: E731
        if equation.primitive.name == "scan":
            step, carry, xs = scan_parts(equation, values, run)

            def both(state, x):
                carry, tangent, probe = state
                new, tangent, probe, ys = _pushed(lambda c: step(c, x), carry, tangent, probe, beside)
                return (new, tangent, probe), ys

            (carry, _, probe), ys = jax.lax.scan(
                both, (carry, *_first(carry)), xs, equation.params["length"], reverse=equation.params["reverse"]
            )
            report(probe)
            return [*carry, *ys]
        cond, body, carry = while_parts(equation, values, run)

        def advance(state):
            carry, tangent, probe = state
            return _pushed(lambda c: (body(c), []), carry, tangent, probe, beside)[:3]

        carry, _, probe = jax.lax.while_loop(lambda s: cond(s[0]), advance, (carry, *_first(carry)))
        report(probe)
        return list(carry)

    return lambda values: evaluate(program, values, {"scan": rule, "while": rule})


def _is_affine(equation) -> bool:
    params = equation.params
    if equation.primitive.name == "scan":
        return is_affine(params["jaxpr"], params["num_consts"], params["num_carry"])
    consts = params["body_nconsts"]
    return is_affine(params["body_jaxpr"], consts, len(params["body_jaxpr"].jaxpr.invars) - consts)


def _reads_numbers(equation) -> bool:
    """Whether the condition of a while loop reads floating-point numbers."""
    inputs = equation.params["cond_jaxpr"].jaxpr.invars
    used = {v for e in equation.params["cond_jaxpr"].jaxpr.eqns for v in e.invars if not isinstance(v, Literal)}
    return any(v in used and jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in inputs)


def _moving(carry: list) -> list[int]:
    return [i for i, a in enumerate(carry) if jnp.issubdtype(jnp.result_type(a), jnp.inexact) and jnp.size(a)]


def _first(carry: list) -> tuple[list, _Probe]:
    """A random tangent of length one, and an empty record."""
    rng, tangent = np.random.default_rng(0), []
    for i in _moving(carry):
        shape, dtype = jnp.shape(carry[i]), jnp.result_type(carry[i])
        tangent.append(jnp.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape), dtype) * _size(carry[i]))
    real = jnp.zeros((), float)
    probe = _Probe(jnp.asarray(0), real, real, real, real, real + jnp.inf, real + jnp.inf)
    return _shortened(tangent, [carry[i] for i in _moving(carry)])[0], probe


def _size(a):
    size = jnp.max(jnp.where(jnp.isfinite(a), jnp.abs(a), 0))
    return jnp.where(size > 0, size, 1).astype(jnp.result_type(a))


def _shortened(tangent: list, like: list) -> tuple[list, Any]:
    """A tangent divided by its length, the largest entry relative to the size of its array, and that length."""
    lengths = [jnp.max(jnp.abs(t)) / _size(a).real for t, a in zip(tangent, like)]
    length = jnp.max(jnp.stack([jnp.asarray(x, float) for x in lengths])) if lengths else jnp.ones(())
    safe = jnp.where((length > 0) & jnp.isfinite(length), length, 1)
    return [t / safe.astype(jnp.result_type(t).type(0).real.dtype) for t in tangent], length


def _pushed(step: Callable, carry: list, tangent: list, probe: _Probe, beside: bool):
    """(new state, new tangent, record, outputs) after one step."""
    moving = _moving(carry)

    def of_moving(*x):
        full = list(carry)
        for i, a in zip(moving, x):
            full[i] = a
        new, ys = step(full)
        return [new[i] for i in moving], (new, ys)

    x = [jnp.asarray(carry[i]) for i in moving]
    if beside:
        after, (new, ys) = of_moving(*x)
        tiny = [jnp.finfo(a.dtype).eps ** 0.5 for a in x]
        second, _ = of_moving(*(a + h * t for a, h, t in zip(x, tiny, tangent)))
        dx = [(b - a) / h for a, b, h in zip(after, second, tiny)]
    else:
        after, dx, (new, ys) = jax.jvp(of_moving, x, tangent, has_aux=True)
    dx = [jnp.where(jnp.isfinite(t), t, 0) for t in dx]  # where a state waits to be filled it may be infinite
    dx, length = _shortened(dx, after)
    length = jnp.maximum(length, 1e-30)
    size, moved = jnp.zeros((), float), jnp.zeros((), float)
    for a, b in zip(x, after):
        finite = jnp.isfinite(a) & jnp.isfinite(b)
        size = jnp.maximum(size, jnp.max(jnp.where(finite, jnp.abs(b), 0)).astype(float))
        moved = jnp.maximum(moved, jnp.max(jnp.where(finite, jnp.abs(b - a), 0)).astype(float))
    n = probe.n + 1
    growth = probe.growth + jnp.log(length)
    probe = _Probe(
        n,
        growth,
        jnp.maximum(probe.largest, jnp.log(length)),
        jnp.where(n > 4, jnp.maximum(probe.burst, growth - probe.mark), 0),
        jnp.where(n & (n - 1) == 0, growth, probe.mark),
        jnp.where(size > 0, moved / jnp.where(size > 0, size, 1), 0),
        probe.change,
    )
    return new, dx, probe, ys


def _loop(probe: _Probe, **kinds: bool) -> Loop:
    n, growth, largest, burst, _, change, before = map(float, probe)
    return Loop(int(n), growth, largest, burst, change, before, **kinds)


def along(program: ClosedJaxpr, tangents: list) -> Callable[[list], list]:
    """values -> [the logs of the relative lengths of a tangent, first and after each equation]."""

    def run(values):
        known: dict[Any, tuple[Any, Any]] = {}
        logs = [jnp.stack([_relative(*pair) for pair in zip(values, tangents)]).max()]

        def read(variable):
            return (variable.val, None) if isinstance(variable, Literal) else known[variable]

        def follow(program, pairs):
            known.update({v: (c, None) for v, c in zip(program.jaxpr.constvars, program.consts)})
            known.update(zip(program.jaxpr.invars, pairs))
            for equation in program.jaxpr.eqns:
                pairs = [read(v) for v in equation.invars]
                if (inner := called(equation)) is not None:
                    known.update(zip(equation.outvars, follow(inner, pairs)))
                    continue
                known.update(zip(equation.outvars, _pair_results(equation, pairs)))
                logs.append(jnp.stack([_relative(*known[v]) for v in equation.outvars]).max())
            return [read(v) for v in program.jaxpr.outvars]

        follow(program, list(zip(values, tangents)))
        return [jnp.stack(logs)]

    return run


def of_chain(logs: np.ndarray) -> Loop:
    """A chain of equations as if it were a loop."""
    logs = np.maximum.accumulate(logs)
    rises = np.diff(logs)
    growth = float(logs[-1] - logs[0])
    return Loop(len(rises), growth, float(np.max(rises, initial=0)), growth)


def _pair_results(equation, pairs) -> list:
    live = [i for i, (_, t) in enumerate(pairs) if t is not None]
    values = [a for a, _ in pairs]
    if not live:
        return [(a, None) for a in bound(equation, values)]

    def of_live(*x):
        full = list(values)
        for i, a in zip(live, x):
            full[i] = a
        return bound(equation, full)

    outs, tangents = jax.jvp(of_live, [values[i] for i in live], [pairs[i][1] for i in live])
    return [(a, t if jnp.issubdtype(jnp.result_type(a), jnp.inexact) else None) for a, t in zip(outs, tangents)]


def _relative(value, tangent):
    """log of the length of a tangent, relative to the size of its value."""
    if tangent is None or not jnp.size(value):
        return jnp.asarray(-1e3)
    length = (jnp.max(jnp.abs(tangent)) / _size(value).real).astype(float)
    return jnp.where(length > 0, jnp.log(jnp.where(length > 0, jnp.minimum(length, 1e300), 1)), -1e3)
