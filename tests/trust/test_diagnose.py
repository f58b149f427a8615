"""`diagnose` on a table of functions of which the verdict is known: good ones, and ones that are bad in every way."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optimistix
import pytest

import pullback as pb
from pullback.core import InputError
from pullback.trust import VERDICTS, diagnose

RNG = np.random.default_rng(0)
SYMMETRIC = np.diag([1.0, 2.0, 3.5, 5.0]) + 0.1 * np.ones((4, 4))
HERMITIAN = SYMMETRIC + 0.2j * np.triu(np.ones((4, 4)), 1) - 0.2j * np.tril(np.ones((4, 4)), -1)
VECTOR = np.array([0.3, -0.7, 1.1])


def hilbert(n):
    i = np.arange(n)
    return 1.0 / (i[:, None] + i[None, :] + 1)


def near(gap):
    """Levels 1, 1 + gap, 3 in a general basis."""
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    return q @ np.diag([1.0, 1.0 + gap, 3.0]) @ q.T


def logistic(n, r=4.0):
    return lambda x: jax.lax.fori_loop(0, n, lambda _, x: r * x * (1 - x), x)


def lorenz(t, x, rho):
    return jnp.stack([10 * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def lorenz_end(time, h=0.01):
    def of(rho):
        ts = jnp.array([0.0, time])
        return pb.flows.odeint(lorenz, jnp.ones(3), ts, rho, step_size=h, stepper=pb.flows.RK4())[-1, 2]

    return of


def with_rule(f, factor=1.0, drop=False):
    """f with the derivative of f times a factor, or without the part of the second argument."""

    @jax.custom_jvp
    def g(*x):
        return f(*x)

    @g.defjvp
    def _(x, dx):
        dx = (dx[0], jnp.zeros_like(dx[1])) if drop else dx
        y, dy = jax.jvp(f, x, dx)
        return y, factor * dy

    return g


def with_transpose(factor):
    @jax.custom_vjp
    def g(x):
        return jnp.sum(jnp.sin(x))

    g.defvjp(lambda x: (g(x), x), lambda x, c: (factor * c * jnp.cos(x),))
    return g


def iterated(tol, bound=1000):
    """cos x = a x solved by damped iteration to a tolerance, with the derivative of the solution."""

    def solve(a):
        step = lambda x: x - 0.1 * (a * x - jnp.cos(x))  # noqa: E731
        state = (jnp.asarray(0.1), jnp.asarray(jnp.inf), 0)
        unfinished = lambda s: (s[1] > tol) & (s[2] < bound)  # noqa: E731
        moved = lambda s: (step(s[0]), jnp.abs(step(s[0]) - s[0]), s[2] + 1)  # noqa: E731
        return jax.lax.while_loop(unfinished, moved, state)[0]

    g = jax.custom_jvp(solve)

    @g.defjvp
    def _(primals, tangents):
        (a,), (da,) = primals, tangents
        x = g(a)
        return x, -x / (a + jnp.sin(x)) * da

    return g


def power_iteration(a):
    x = jnp.ones(len(a))
    return jax.lax.fori_loop(0, 200, lambda _, x: a @ x / jnp.linalg.norm(a @ x), x)


def heat(u):
    return jax.lax.scan(lambda u, _: (u + 0.2 * (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)), None), u, None, 2000)[0]


def kepler(q):
    """An orbit, 2000 steps of leapfrog."""

    def step(s, _):
        q, p = s
        p = p - 0.005 * q / jnp.linalg.norm(q) ** 3
        q = q + 0.01 * p
        return (q, p - 0.005 * q / jnp.linalg.norm(q) ** 3), None

    return jax.lax.scan(step, (q, jnp.array([0.0, 1.1])), None, 2000)[0][0][0]


def network(x):
    w = jnp.asarray(np.random.default_rng(3).normal(size=(50, 3)))
    return jnp.sum(jax.nn.relu(w @ x + 0.1)) / 50


@dataclasses.dataclass(frozen=True)
class Row:
    kind: VERDICTS | tuple[VERDICTS, ...]
    name: str
    f: Callable[..., Any]
    args: tuple

    @property
    def kinds(self):
        return self.kind if isinstance(self.kind, tuple) else (self.kind,)


def row(kind, name, f, *args):
    return Row(kind, name, f, args)


OK, ILL, GAUGE, KINK = VERDICTS.reliable, VERDICTS.ill_conditioned, VERDICTS.gauge_dependent, VERDICTS.non_smooth
CHAOS, OPEN, WRONG, NAN = VERDICTS.chaotic, VERDICTS.not_converged, VERDICTS.wrong_rule, VERDICTS.not_finite
eigh, norm = pb.linalg.eigh, jnp.linalg.norm

TABLE = (
    row(OK, "sine", jnp.sin, 0.3),
    row(OK, "a polynomial with a tree", lambda p, n: p["a"] ** n + jnp.sum(p["b"] ** 2), {"a": 2.0, "b": VECTOR}, 3),
    row(OK, "complex", lambda z: jnp.sum(jnp.abs(jnp.exp(1j * z) + z**2) ** 2), VECTOR + 0.5j),
    row(OK, "an index", lambda x, i: jnp.exp(x[i]), VECTOR, 1),
    row(OK, "large values", lambda x: jnp.exp(x), 460.0),
    row(OK, "small values", lambda x: jnp.exp(x), -460.0),
    row(OK, "large numbers", lambda x: jnp.sum(x * jnp.log(x)), np.array([1e200, 3e200])),
    row(
        OK,
        "rates of many sizes",
        lambda k: jnp.sum(jnp.log(k)) + k[0] / (k[0] + k[2] * 1e-6),
        np.array([0.04, 3e7, 1e4]),
    ),
    row(OK, "a flat minimum", lambda x: jnp.sum((x - 1) ** 4), np.ones(3)),
    row(OK, "a minimum on a hill", lambda x: 1e6 + jnp.sum((x - 1) ** 2), np.ones(3)),
    row(OK, "constant", lambda x: jnp.sum(0 * x) + 3.0, VECTOR),
    row(OK, "a norm that is fixed", lambda x: jnp.sum((x / norm(x)) ** 2), VECTOR),
    row(OK, "relu away from zero", lambda x: jnp.sum(jax.nn.relu(x)), VECTOR),
    row(OK, "relu where it is zero", lambda x: jax.nn.relu(x), -1.0),
    row(OK, "a network of relus", network, VECTOR),
    row(OK, "a big array", lambda x: jnp.sum(jnp.tanh(x) ** 2), np.linspace(-3, 3, 200_000)),
    row(OK, "a fast wave", lambda x: jnp.sin(1e6 * x), 0.3),
    row(OK, "an equation with a large condition", lambda b: jnp.sum(jnp.linalg.solve(hilbert(6), b) ** 2), np.ones(6)),
    row(OK, "the determinant of a large condition", lambda a: jnp.linalg.slogdet(a)[1], hilbert(6)),
    row(OK, "heat, many stable steps", lambda u: jnp.sum(heat(u) ** 3), 1 + np.cos(np.arange(32))),
    row(OK, "interest over interest", lambda x: jax.lax.fori_loop(0, 300, lambda _, y: 1.1 * y, x), 2.0),
    row(OK, "an orbit, many steps", lambda q: kepler(q), np.array([1.0, 0.2])),
    row(OK, "a regular map", logistic(200, 3.2), 0.3),
    row(OK, "few chaotic steps", logistic(6), 0.3),
    row(OK, "Lorenz, a short time", lorenz_end(3.0), 28.0),
    row(
        OK,
        "adaptive steps",
        lambda k: pb.flows.odeint(lambda t, y, k: -k * y**2, 1.0, jnp.array([0.0, 5.0]), k)[-1],
        0.7,
    ),
    row(OK, "power iteration", lambda a: power_iteration(a)[0] ** 2, SYMMETRIC),
    row(OK, "a fixed point", lambda a: pb.implicit.fixed_point(lambda x: a * jnp.cos(x), 0.5), 0.8),
    row(OK, "an iteration that has converged", iterated(1e-12), 1.3),
    row(OK, "levels", lambda a: jnp.sum(eigh(a)[0][:2] ** 2), SYMMETRIC),
    row(OK, "a density", lambda a: jnp.sum(jnp.abs(eigh(a)[1][:, 0]) ** 4), HERMITIAN),
    row(OK, "a projector on equal levels", lambda a: (lambda v: (v @ v.T)[0, 1])(eigh(a)[1][:, :2]), near(0.0)),
    row(OK, "a projector on close levels", lambda a: (lambda v: (v @ v.T)[0, 1])(eigh(a)[1][:, :2]), near(1e-10)),
    row(OK, "a low rank", lambda a: jnp.sum(pb.linalg.low_rank(a, 2) ** 3), SYMMETRIC[:, :3]),
    row(OK, "single precision", lambda x: jnp.sum(jnp.sin(x) * x), VECTOR.astype(np.float32)),
    row(OK, "single precision inside", lambda x: jnp.sum(jnp.sin(x.astype(jnp.float32))), VECTOR),
    row(OK, "a branch of Python", lambda x: x**2 if x > 0 else -x, 0.7),
    row(OK, "reverse mode only", with_transpose(1.0), VECTOR),
    row(ILL, "1 − cos x", lambda x: (1 - jnp.cos(x)) / x**2, 1e-7),
    row(ILL, "1 − cos x, nearer", lambda x: (1 - jnp.cos(x)) / x**2, 1e-5),
    row(ILL, "exp x − 1", lambda x: (jnp.exp(x) - 1) / x, 1e-12),
    row(ILL, "a difference of roots", lambda x: jnp.sqrt(x + 1) - jnp.sqrt(x), 1e15),
    row(
        ILL,
        "a singular equation",
        lambda b, a: jnp.sum(jnp.linalg.solve(a, b) ** 2),
        np.cos(np.arange(14.0)),
        hilbert(14),
    ),
    row(ILL, "a vector of close levels", lambda a: eigh(a, degeneracy_tol=0.0)[1][0, 0] ** 2, near(1e-10)),
    row(ILL, "a vector of close levels, JAX", lambda a: jnp.linalg.eigh(a)[1][0, 1] ** 4, near(1e-9)),
    row(ILL, "cancellation in single precision", lambda x: (jnp.tan(x) - x) / x**3, np.float32(3e-3)),
    row(GAUGE, "an entry of a vector", lambda a: eigh(a)[1][0, 0], SYMMETRIC),
    row(GAUGE, "a product of two vectors", lambda a: (lambda v: v[0, 0] * v[0, 1])(jnp.linalg.eigh(a)[1]), SYMMETRIC),
    row(GAUGE, "a complex phase", lambda a: jnp.real(eigh(a)[1][0, 0]), HERMITIAN),
    row(GAUGE, "a vector of equal levels", lambda a: eigh(a)[1][0, 0] ** 2, near(0.0)),
    row(
        GAUGE, "a singular vector", lambda a: jnp.sum(jnp.linalg.svd(a, full_matrices=False)[0][:, 0]), SYMMETRIC[:, :3]
    ),
    row(KINK, "a modulus", lambda x: jnp.sum(jnp.abs(x)), np.array([0.0, 1.0, -2.0])),
    row(KINK, "relu", lambda x: jax.nn.relu(x), 0.0),
    row(KINK, "a maximum at a tie", lambda x: jnp.max(x**2), np.array([1.0, -1.0, 0.3])),
    row(KINK, "sorted ties", lambda x: jnp.sum(jnp.arange(3.0) * jnp.sort(x)), np.array([1.0, 1.0, 2.0])),
    row(KINK, "a jump", lambda x: jnp.where(x > 0.3, 1.0, 0.0) + x, 0.3),
    row(KINK, "the floor", lambda x: jnp.floor(10 * x) / 10, 0.33),
    row(KINK, "a position", lambda x: jnp.array([1.0, 4.0, 9.0])[jnp.argmax(x)], VECTOR),
    row(KINK, "a count", lambda x: jnp.sum(jnp.where(x > 0.1, 1.0, 0.0)), VECTOR),
    row(KINK, "the lowest of equal levels", lambda a: jnp.linalg.eigvalsh(a)[0], near(0.0)),
    row(CHAOS, "the logistic map", logistic(60), 0.3),
    row(CHAOS, "the logistic map, unrolled", lambda x: [x := 4 * x * (1 - x) for _ in range(60)][-1], 0.3),
    row(CHAOS, "the logistic map, beyond numbers", logistic(3000), 0.3),
    row(CHAOS, "Lorenz", lorenz_end(40.0), 28.0),
    row(
        CHAOS,
        "Lorenz, adaptive",
        lambda r: pb.flows.odeint(lorenz, jnp.ones(3), jnp.array([0.0, 30.0]), r)[-1, 2],
        28.0,
    ),
    row(
        CHAOS,
        "a mean over Hénon's map",
        lambda a: jnp.mean(
            jax.lax.scan(
                lambda x, _: (jnp.stack([1 - a * x[0] ** 2 + x[1], 0.3 * x[0]]), x[0]), jnp.zeros(2), None, 500
            )[1]
        ),
        1.4,
    ),
    row(
        CHAOS,
        "Hénon and Heiles",
        lambda q: pb.flows.symplectic(
            (lambda p, m: jnp.sum(p**2) / 2, lambda q, m: jnp.sum(q**2) / 2 + q[0] ** 2 * q[1] - q[1] ** 3 / 3),
            q,
            jnp.array([0.45, 0.2]),
            0.05,
            16_000,
        )[0][0],
        np.array([0.1, -0.2]),
    ),
    row(OPEN, "too few steps", lambda a: pb.implicit.fixed_point(lambda x: a * jnp.cos(x), 0.5, max_steps=3), 0.8),
    row(
        OPEN,
        "too few steps, of optimistix",
        lambda a: (
            optimistix.fixed_point(
                lambda x, _: a * jnp.cos(x), optimistix.FixedPointIteration(1e-9, 1e-9), jnp.asarray(0.5), max_steps=5
            ).value
        ),
        0.8,
    ),
    row(
        OPEN,
        "too few steps, without an error",
        lambda a: (
            pb.implicit.fixed_point(
                lambda x: a * jnp.cos(x), 0.5, solver=pb.implicit.Picard(), max_steps=4, throw=False
            ).value
        ),
        0.8,
    ),
    row(OPEN, "an iteration that stops early", iterated(1e-3), 1.3),
    row(OPEN, "an iteration that is cut", iterated(1e-12, 20), 1.3),
    row(
        OPEN,
        "conjugate gradients that are cut",
        lambda s: jnp.sum(jax.scipy.sparse.linalg.cg(lambda x: s @ x, jnp.arange(1.0, 5), maxiter=2)[0] ** 2),
        SYMMETRIC,
    ),
    row(WRONG, "a factor", with_rule(jnp.sin, 1.001), 0.3),
    row(WRONG, "a sign", with_rule(lambda x: jnp.sum(x**3), -1.0), VECTOR),
    row(WRONG, "a term is missing", with_rule(lambda x, y: x * y**2, drop=True), 1.3, 0.4),
    row(WRONG, "a factor, reverse mode only", with_transpose(2.0), VECTOR),
    row(WRONG, "stop_gradient", lambda x: x * jax.lax.stop_gradient(jnp.exp(x)), 0.3),
    row(WRONG, "all is stopped", lambda x: jax.lax.stop_gradient(x) ** 2, 0.3),
    row(
        WRONG, "a transpose", lambda x: pb.core.linear_map(lambda r, t: 2.0 * t, lambda r, c: 2.01 * c, (), x) ** 2, 0.3
    ),
    row(WRONG, "no reverse mode", lambda x: jax.lax.while_loop(lambda y: y < 10, lambda y: 2 * y, x), 0.3),
    row(WRONG, "a factor in a converged iteration", with_rule(iterated(1e-13), 1.01), 1.3),
    row(NAN, "a root at zero", jnp.sqrt, 0.0),
    row(NAN, "a norm at zero", lambda x: norm(x), np.zeros(3)),
    row(NAN, "the wrong where", lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), 0.0),
    row(NAN, "overflow", lambda x: jnp.log(jnp.sum(jnp.exp(x))), np.array([1000.0, 999.0])),
    row(
        NAN, "overflow in single precision", lambda x: jnp.log(jnp.sum(jnp.exp(x))), np.array([100.0, 99.0], np.float32)
    ),
    row(NAN, "a solver's NaN", lambda a: pb.implicit.root(lambda x: jnp.log(x) + a, -1.0), 0.3),
    row(
        NAN,
        "equal levels, JAX",
        lambda a: (lambda v: (v @ v.T)[0, 1])(jnp.linalg.eigh(a)[1][:, :2]),
        np.diag([1.0, 1.0, 2.0]),
    ),
)


def check(rows):
    """Most verdicts are right, and no good function is condemned."""
    found = {row.name: diagnose(row.f, *row.args) for row in rows}
    wrong = {row.name: str(found[row.name]) for row in rows if found[row.name].kind not in row.kinds}
    condemned = [row.name for row in rows if row.kind is OK and row.name in wrong]
    assert not condemned, [wrong[name] for name in condemned]
    assert len(wrong) <= 0.05 * len(rows), wrong
    assert max(verdict.evaluations for verdict in found.values()) <= 45
    assert np.mean([verdict.evaluations for verdict in found.values()]) <= 30


HEAVY = {
    "Lorenz, adaptive",
    "adaptive steps",
    "the determinant of a large condition",
    "too few steps, without an error",
}


def test_part_of_the_table():
    """Every third row, of every kind some; all of them in the slow test."""
    check([row for row in TABLE if row.name not in HEAVY][::3])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_table(part):
    assert len(TABLE) >= 60 and {kind for row in TABLE for kind in row.kinds} == set(VERDICTS)
    check(TABLE[part::4])


def test_a_verdict_says_what_it_found():
    verdict = diagnose(logistic(60), 0.3)
    assert verdict.kind is VERDICTS.chaotic and verdict.kind == "chaotic" and not verdict.ok
    text = str(verdict)
    assert text.startswith("gradient  chaotic, 0 digits") and "exponent 0.69" in text and "trust.shadowing" in text
    assert max(map(len, text.splitlines())) <= 100
    good = diagnose(jnp.sin, 0.3)
    assert good.ok and good.digits > 14 and good.value == pytest.approx(np.sin(0.3)) and not good.remedy
    assert "relative steps" in good.reasons[0]


def test_digits_are_those_of_the_gradient():
    """Of (tan x − x)/x³ near zero, where it cancels, beside arithmetic with 50 digits."""
    f = lambda x: (jnp.tan(x) - x) / x**3  # noqa: E731
    for x in (0.05, 0.01, 0.002, 0.0003):
        with mpmath.workdps(50):
            right = float(mpmath.diff(lambda x: (mpmath.tan(x) - x) / x**3, x))
        found = -np.log10(abs(float(jax.jit(jax.grad(f))(x)) / right - 1))
        assert abs(diagnose(f, x).digits - max(found, 0)) < 2, x


def test_evaluations_are_counted():
    calls = []

    def f(x):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.sum(jnp.sin(x))

    verdict = diagnose(f, VECTOR)
    jax.effects_barrier()
    assert 10 <= len(calls) <= verdict.evaluations <= 30  # a gradient calls once, and counts three times


def test_bad_input(no_type_checks):
    for f, args, message in (
        (lambda x: x, (VECTOR,), r"one real number.*float64\[3\]"),
        (lambda x: jnp.exp(1j * x), (0.3,), "one real number.*complex128"),
        (lambda x: jnp.argmax(x), (VECTOR,), "one real number.*int"),
        (lambda x: (x, x), (0.3,), "one real number"),
        (lambda n: 1.0 * n, (3,), "no argument holds"),
        (lambda x: x, (np.float16(1),), "single or double precision"),
    ):
        with pytest.raises(InputError, match=message):
            diagnose(f, *args)
    with pytest.raises(ZeroDivisionError):  # an error of the function is the function's
        diagnose(lambda x: x / 0 if x > 0 else 1 // 0, -1.0)
