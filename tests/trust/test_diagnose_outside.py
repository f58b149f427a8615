"""`diagnose` on a third table, written from its documentation alone: what its first version got wrong, and the like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import pullback as pb
from pullback.core import InputError
from pullback.trust import diagnose
from tests.trust.test_diagnose import CHAOS, GAUGE, ILL, KINK, NAN, OK, OPEN, WRONG, check, row, with_rule

RNG = np.random.default_rng(7)
SYMMETRIC = (lambda a: a + a.T)(RNG.normal(size=(6, 6)))
POSITIVE = SYMMETRIC @ SYMMETRIC + 6 * np.eye(6)
RANGE = np.arange(6.0)
HILBERT = 1 / (1 + np.add.outer(np.arange(12.0), np.arange(12.0)))
GRID = np.linspace(0, 1, 5001)


def transposed(a):
    """x A y, with the gradient of y A x."""
    x, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -2.0, 0.5])
    f = jax.custom_vjp(lambda a: x @ a @ y)
    f.defvjp(lambda a: (x @ a @ y, None), lambda _, g: (g * jnp.outer(y, x),))
    return f(a)


def metropolis(step, beta, n=2000):
    """The mean square of a coordinate in a harmonic well."""

    def move(x, key):
        a, b = jax.random.split(key)
        y = x + step * jax.random.normal(a)
        x = jnp.where(jax.random.uniform(b) < jnp.exp(-beta * (y**2 - x**2) / 2), y, x)
        return x, x**2

    return jnp.mean(lax.scan(move, 0.0 * beta, jax.random.split(jax.random.key(0), n))[1])


def spins(beta):
    """Magnetisation of a ring of 16 spins."""

    def move(s, key):
        i = jax.random.randint(key, (), 0, 16)
        cost = 2 * s[i] * (s[(i + 1) % 16] + s[i - 1])
        flip = jax.random.uniform(jax.random.fold_in(key, 1)) < jnp.exp(-beta * cost)
        s = s.at[i].multiply(jnp.where(flip, -1, 1))
        return s, jnp.mean(s)

    return jnp.mean(lax.scan(move, jnp.ones(16), jax.random.split(jax.random.key(1), 2000))[1])


def births(rate):
    """Number of a birth and death process after 300 events."""

    def event(_, state):
        t, n, key = state
        key, a, b = jax.random.split(key, 3)
        t = t - jnp.log(jax.random.uniform(a)) / (rate + 0.1 * n)
        return t, n + jnp.where(jax.random.uniform(b) < rate / (rate + 0.1 * n), 1.0, -1.0), key

    return lax.fori_loop(0, 300, event, (0.0 * rate, 5.0 + 0 * rate, jax.random.key(0)))[1]


def rejected(a):
    """The mean of e^(−a x) by rejection."""
    u = jax.random.uniform(jax.random.key(3), (20_000, 2))
    kept = u[:, 1] < jnp.exp(-3 * a * u[:, 0])
    return jnp.sum(jnp.where(kept, 3 * u[:, 0], 0.0)) / jnp.sum(kept)


def accepted(p):
    return jnp.mean(jnp.where(jax.random.uniform(jax.random.key(0), (100_000,)) < p, 1.0, 0.0)) + 0.2 * p


def payoff(mean):
    return jnp.mean(jax.nn.relu(mean + jax.random.normal(jax.random.key(0), (2000,))))


def relaxed(x):
    return lax.fori_loop(0, 30, lambda _, y: y - 0.1 * (y - x), 0.0 * x)


def wrong_inside(x):
    return lax.fori_loop(0, 5, lambda _, y: with_rule(jnp.sin, 0.9)(y) + y / 2, x)


def attached(n):
    """A mean field found without derivatives, and one step of Newton that has them."""

    def f(h):
        g = lambda m, h: jnp.tanh((m + h) / 1.1)  # noqa: E731
        m = lax.stop_gradient(lax.fori_loop(0, n, lambda _, m: g(m, h), 1.0 + 0 * h))
        slope = lax.stop_gradient(jax.grad(g)(m, h))
        return m + (g(m, h) - lax.stop_gradient(g(m, h))) / (1 - slope)

    return f


def series(x):
    """e^x by its power series."""
    return lax.fori_loop(1, 120, lambda k, c: (c[0] + c[1] * x / k, c[1] * x / k), (1.0 + 0 * x, 1.0 + 0 * x))[0]


def cosine(x):
    """cos x by its power series."""

    def add(k, c):
        term = -c[1] * x * x / (2 * k) / (2 * k - 1)
        return c[0] + term, term

    return lax.fori_loop(1, 150, add, (1.0 + 0 * x, 1.0 + 0 * x))[0]


def bessel(n):
    """j_n by upward recurrence, which is unstable for n > x."""

    def f(x):
        start = jnp.sin(x) / x, jnp.sin(x) / x**2 - jnp.cos(x) / x
        return lax.fori_loop(1, n, lambda k, c: (c[1], (2 * k + 1) / x * c[1] - c[0]), start)[1]

    return f


def cat(x):
    return lax.fori_loop(0, 80, lambda _, v: jnp.stack([2 * v[0] + v[1], v[0] + v[1]]) % 1.0, x)[0]


def tent(x):
    return lax.fori_loop(0, 60, lambda _, x: jnp.where(x < 0.5, 1.999 * x, 1.999 * (1 - x)), x)


def disorder(e):
    """A wave through a disordered chain: a linear recurrence that grows exponentially."""
    ws = np.random.default_rng(1).uniform(-1, 1, 60)
    start = jnp.array([1.0, 0.0]) + 0 * e
    return lax.scan(lambda v, w: (jnp.stack([(e - w) * v[0] - v[1], v[0]]), None), start, ws)[0][0]


def minimum_image(q):
    d = q[:, None] - q[None]
    r2 = jnp.sum((d - 3 * jnp.round(d / 3)) ** 2, -1) + 9 * jnp.eye(20)
    return jnp.sum(jnp.where(r2 < 2, (1 / r2**3 - 1 / 8) ** 2, 0.0))


TABLE = (
    # Hermitian matrices
    row(OK, "one triangle", lambda a: jnp.sum(jax.scipy.linalg.solve(a, RANGE, assume_a="pos")), POSITIVE),
    row(OK, "Lanczos", lambda a: jnp.sum(jnp.ravel(pb.krylov.eigsh(a, 1)[1]) ** 2 * RANGE), SYMMETRIC),
    row(GAUGE, "Lanczos, a component", lambda a: jnp.ravel(pb.krylov.eigsh(a, 1)[1])[1], SYMMETRIC),
    row(OK, "a likelihood", lambda a: jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(a)))), POSITIVE),
    row(WRONG, "a transposed gradient", transposed, np.eye(3) + 0.2),
    row(ILL, "a pole that steps cannot see", lambda a: jnp.linalg.solve(a, jnp.ones(12))[5], HILBERT),
    # jumps
    row(KINK, "a jump, and the mean there", lambda x: x + jnp.sign(x), 0.0),
    row(KINK, "a step, and the mean there", lambda x: x**2 + jnp.heaviside(x - 0.5, 0.5), 0.5),
    row(KINK, "a jump that a factor scales", lambda x: x[0] * jnp.sign(x[1]), np.array([1.5, 0.0])),
    row(KINK, "one number apart", lambda x: jnp.where(x == 1.0, 5.0, x**2), 1.0),
    row(OK, "beside a jump", lambda x: x**2 + jnp.heaviside(x - 0.5, 0.5), 0.5003),
    row(OK, "another formula beyond a jump", lambda x: jnp.where(x > 0.5, x**2 + 1, x), 0.5003),
    row(OK, "flat beside a kink", lambda x: jnp.where(x > 1, 1.0, x), 1.0002),
    row(OK, "between steps", lambda x: jnp.floor(x * 20) + x, 1.02),
    # steps
    row(KINK, "Metropolis, by the temperature", lambda b: metropolis(1.0, b), 1.0),
    row(KINK, "Metropolis, by the width of moves", lambda s: metropolis(s, 1.0), 1.0),
    row(KINK, "spins", spins, 0.4),
    row(KINK, "births and deaths", births, 1.0),
    row(KINK, "rejection", rejected, 1.0),
    row(KINK, "a quantised weight", lambda x: x * jnp.round(x * 500) / 500, 0.7337),
    row(KINK, "an area by pixels", lambda a: jnp.mean(jnp.where(a > GRID, GRID, 0.0)) + 0.1 * a, 0.61803),
    row(KINK, "many rare steps", accepted, 0.4137),
    row(OK, "sampling by reparametrisation", payoff, 0.1),
    row(OK, "the nearest image", minimum_image, RNG.uniform(0, 3, (20, 2))),
    row(OK, "a sorted array", lambda x: jnp.sort(x) @ np.arange(500.0), RNG.normal(size=500)),
    # who is to blame
    row(OK, "a relaxation", relaxed, 1.3),
    row(WRONG, "a wrong rule beside a relaxation", lambda x: relaxed(x) + with_rule(jnp.sin, -1.0)(x), 1.3),
    row(WRONG, "stop_gradient beside a relaxation", lambda x: relaxed(x) * lax.stop_gradient(x), 1.3),
    row(WRONG, "a wrong rule in a loop", wrong_inside, 0.6),
    row(OK, "attached", attached(500), 0.1),
    row(OPEN, "attached too early", attached(5), 0.1),
    # recurrences are no chaos
    row(ILL, "a series that cancels", series, -30.0),
    row(OK, "a series", series, 5.0),
    row(ILL, "an unstable recurrence", bessel(15), 0.7),
    row(OK, "a stable recurrence", bessel(5), 8.0),
    row(OK, "a localised wave", disorder, 0.3),
    row(CHAOS, "Arnold's cat", cat, np.array([0.2312, 0.7113])),
    row(CHAOS, "a tent", tent, 0.3123),
    row(NAN, "a cube root", lambda x: jnp.power(x, 1 / 3), 0.0),
    row((ILL, OK), "modes that differ by roundings", cosine, 30.0),
    row(OK, "the largest number", lambda x: 1.0 * x, 1.7e308),
)  # fmt: skip


def test_part_of_the_table():
    check([row for row in TABLE if row.name in QUICK])


QUICK = (
    "one triangle",
    "a transposed gradient",
    "a jump, and the mean there",
    "one number apart",
    "flat beside a kink",
    "births and deaths",
    "a quantised weight",
    "stop_gradient beside a relaxation",
    "attached too early",
    "a series that cancels",
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_table(part):
    check(TABLE[part::2])


def test_nothing_to_vary():
    with pytest.raises(InputError, match="no argument holds"):
        diagnose(jnp.sum, np.zeros(0))
