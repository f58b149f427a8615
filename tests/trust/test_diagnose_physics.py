"""`diagnose` on programs of physics and of numerical analysis: a second table, made without looking at the first."""

import math

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
import pytest

import pullback as pb
from tests.trust.test_diagnose import CHAOS, GAUGE, ILL, KINK, NAN, OK, OPEN, WRONG, check, row

N = 120
GRID = np.linspace(-5, 5, N)
STEP = GRID[1] - GRID[0]
WELL = 0.5 * GRID**2


def hamiltonian(v):
    return lambda u: (2 * u - jnp.roll(u, 1) - jnp.roll(u, -1)) / (2 * STEP**2) + v * u


def dense(v):
    return jnp.diag(1 / STEP**2 + v) - (jnp.eye(N, k=1) + jnp.eye(N, k=-1)) / (2 * STEP**2)


def double_well(distance):
    levels = pb.linalg.eigvalsh(dense(2 * (jnp.asarray(GRID) ** 2 - distance**2) ** 2 / distance**2))
    return levels[1] - levels[0]


def transfer(k):
    """ln Z per site of the Ising chain in a field, by the largest level."""
    b, h = k
    t = jnp.exp(jnp.array([[b + h, -b], [-b, b - h]]))
    return jnp.log(jnp.linalg.eigvalsh(t)[-1])


def ising_square(b, n=4):
    """ln Z of an n x n torus, row by row."""
    spins = jnp.array([[1.0 - 2 * ((i >> k) & 1) for k in range(n)] for i in range(2**n)])
    row = jnp.exp(b * jnp.sum(spins * jnp.roll(spins, 1, 1), 1) / 2)
    t = row[:, None] * jnp.exp(b * spins @ spins.T) * row[None, :]
    return jnp.log(jnp.trace(jnp.linalg.matrix_power(t, n)))


def trg(b):
    """ln Z per site of the Ising model by the tensor renormalisation group, four steps, eight states."""
    w = jnp.array([[jnp.sqrt(jnp.cosh(b)), jnp.sqrt(jnp.sinh(b))], [jnp.sqrt(jnp.cosh(b)), -jnp.sqrt(jnp.sinh(b))]])
    t, total = jnp.einsum("ia,ib,ic,id->abcd", w, w, w, w), 0.0
    for k in range(4):
        size = jnp.max(jnp.abs(t))
        t, total = t / size, total + jnp.log(size) / 2**k
        d = t.shape[0]

        def split(m, d=d):
            u, s, vh = pb.linalg.svd_truncated(m, min(8, d * d))[:3]
            root = jnp.where(s > 1e-12 * s[0], jnp.sqrt(jnp.maximum(s, 1e-12 * s[0])), 0)
            return (u * root).reshape(d, d, -1), (root[:, None] * vh).reshape(-1, d, d)

        a, b_ = split(t.reshape(d * d, d * d))
        c, e = split(t.transpose(1, 2, 3, 0).reshape(d * d, d * d))
        t = jnp.einsum("kwz,lxw,yxi,zyj->ijkl", b_, e, a, c)
    return total + jnp.log(jnp.einsum("abab->", t)) / 2**4


def circuit(theta):
    c = pb.circuits.variational_circuit(3, 1).with_parameters(theta)
    return pb.circuits.expect(pb.operators.transverse_ising(3, 0.7), c)


def mean_field(h):
    return pb.implicit.fixed_point(lambda m: jnp.tanh((m + h) / 0.8), 0.5)


def lennard_jones(x):
    x = x.reshape(-1, 2)
    d = x[:, None] - x[None]
    r2 = jnp.sum(d**2, -1) + jnp.eye(len(x))
    return jnp.sum(jnp.triu(r2**-6 - r2**-3, 1))


def crank_nicolson(v):
    h = dense(v) * 0.01j / 2
    psi = jnp.exp(-((jnp.asarray(GRID) - 1) ** 2)).astype(complex)
    lu = jax.scipy.linalg.lu_factor(jnp.eye(N) + h)
    psi = jax.lax.scan(lambda p, _: (jax.scipy.linalg.lu_solve(lu, p - h @ p), None), psi, None, 200)[0]
    return jnp.sum(jnp.abs(psi) ** 2 * GRID) * STEP


def stiff(k):
    def field(t, y, k):
        a, b = k[0] * y[0], k[1] * y[1] ** 2
        c = k[2] * y[1] * y[2]
        return jnp.stack([-a + c, a - b - c, b])

    ts = jnp.array([0.0, 40.0])
    return pb.flows.odeint(field, jnp.array([1.0, 0.0, 0.0]), ts, k, stepper=pb.flows.Kvaerno5(), rtol=1e-7, atol=1e-9)[
        -1, 2
    ]


def rk4(field, x, h, n, average=None):
    def step(x, _):
        a = field(x)
        b = field(x + h / 2 * a)
        c = field(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + field(x + h * c))
        return x, None if average is None else average(x)

    x, ys = jax.lax.scan(step, x, None, n)
    return x if average is None else jnp.mean(ys)


def double_pendulum(x):
    a, b, u, v = x
    d = a - b
    den = 3 - jnp.cos(2 * d)
    du = (-3 * jnp.sin(a) - jnp.sin(a - 2 * b) - 2 * jnp.sin(d) * (v**2 + u**2 * jnp.cos(d))) / den
    dv = 2 * jnp.sin(d) * (2 * u**2 + 2 * jnp.cos(a) + v**2 * jnp.cos(d)) / den
    return jnp.stack([u, v, du, dv])


def lorenz96(x):
    return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + 8.0


def roessler(t, x, c):
    return jnp.stack([-x[1] - x[2], x[0] + 0.2 * x[1], 0.2 + x[2] * (x[0] - c)])


def by_diffrax(time):
    """Lorenz's equations with diffrax's own loops, which have a rule for reverse mode only."""

    def field(t, x, args):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    def end(x):
        control = diffrax.PIDController(1e-8, 1e-8)
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, time, 0.01, x, stepsize_controller=control, max_steps=20_000
        )
        return found.ys[-1, 0]

    return end


def standard_map(k):
    def step(s, _):
        q, p = s
        p = p + k * jnp.sin(q)
        return (q + p, p), jnp.cos(q)

    return jnp.mean(jax.lax.scan(step, (jnp.asarray(0.5), jnp.asarray(0.2)), None, 200)[1])


def recurrent(gain, n=40):
    w = gain * jnp.asarray(np.random.default_rng(5).normal(size=(n, n))) / n**0.5
    return lambda x: jnp.sum(jax.lax.fori_loop(0, 200, lambda _, x: jnp.tanh(w @ x), x) ** 3)


def three_bodies(m):
    def field(s):
        q, p = s[:6].reshape(3, 2), s[6:]
        d = q[None] - q[:, None]
        f = jnp.sum(d / (jnp.sum(d**2, -1, keepdims=True) + 0.05) ** 1.5 * m[None, :, None], 1)
        return jnp.concatenate([p, f.ravel()])

    s = jnp.array([1.0, 0.0, -0.5, 0.8, -0.5, -0.7, 0.0, 0.3, -0.4, 0.0, 0.35, -0.2])
    return rk4(field, s, 0.01, 20_000)[0]


def adam(rate):
    """Fifty steps of Adam on a quadratic form, as a function of its rate."""
    a = jnp.array([1.0, 10.0])

    def step(s, k):
        x, m, v = s
        g = a * x
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        x = x - rate * m / (1 - 0.9**k) / (jnp.sqrt(v / (1 - 0.99**k)) + 1e-8)
        return (x, m, v), None

    x = jax.lax.scan(step, (jnp.array([1.0, -2.0]), jnp.zeros(2), jnp.zeros(2)), 1.0 + jnp.arange(50))[0][0]
    return jnp.sum(a * x**2)


def deep_equilibrium(steps):
    """A fixed point by some steps, and the derivative as if it were one (a custom rule for reverse mode)."""

    def g(a, x):
        return jnp.tanh(a * x + 0.5)

    @jax.custom_vjp
    def solve(a):
        return jax.lax.fori_loop(0, steps, lambda _, x: g(a, x), jnp.asarray(0.0))

    def backward(kept, c):
        a, x = kept
        da, dx = jax.grad(g, (0, 1))(a, x)
        return (c * da / (1 - dx),)

    solve.defvjp(lambda a: (solve(a), (a, solve(a))), backward)
    return solve


def dominant(steps):
    """The largest eigenvalue by power iteration, with the rule of perturbation theory."""

    @jax.custom_jvp
    def level(a):
        x = jax.lax.fori_loop(0, steps, lambda _, x: a @ x / jnp.linalg.norm(a @ x), jnp.ones(len(a)) / len(a) ** 0.5)
        return x @ a @ x

    @level.defjvp
    def _(primals, tangents):
        (a,), (da,) = primals, tangents
        x = jnp.linalg.eigh(a)[1][:, -1]
        return level(a), x @ da @ x

    return level


def bloch(k):
    """The lower state of a Su–Schrieffer–Heeger chain with a mass."""
    z = 0.7 + 0.4 * jnp.exp(1j * k)
    return pb.linalg.eigh(jnp.array([[0.3 + 0j, z], [jnp.conj(z), -0.3 + 0j]]))[1][:, 0]


def berry(shift):
    u = jax.vmap(lambda k: bloch(k + shift * jnp.sin(k)))(2 * jnp.pi * jnp.arange(12) / 12)
    links = jnp.sum(jnp.conj(u) * jnp.roll(u, -1, 0), 1)
    return -jnp.angle(jnp.prod(links))


def wrong_solve(a, b):
    @jax.custom_vjp
    def solve(a, b):
        return jnp.linalg.solve(a, b)

    def backward(kept, c):
        a, x = kept
        back = jnp.linalg.solve(a, c)  # of the transpose, that would be
        return -jnp.outer(back, x), back

    solve.defvjp(lambda a, b: (solve(a, b), (a, solve(a, b))), backward)
    return jnp.sum(solve(a, b) ** 2)


@jax.custom_jvp
def straight_through(x):
    return jnp.round(x)


straight_through.defjvp(lambda p, t: (jnp.round(p[0]), t[0]))


@jax.custom_jvp
def only_first(x):
    return jnp.sin(x)


only_first.defjvp(lambda p, t: (only_first(p[0]), jax.lax.stop_gradient(jnp.cos(p[0])) * t[0]))


@jax.custom_jvp
def wrong_modulus(z):
    return jnp.abs(z) ** 2


wrong_modulus.defjvp(lambda p, t: (wrong_modulus(p[0]), jnp.real(p[0] * t[0])))  # a conjugate and a 2 are missing


def taylor_exp(x):
    terms = jax.lax.scan(lambda t, k: (t * x / k, t), jnp.asarray(1.0), 1.0 + jnp.arange(150))[1]
    return jnp.sum(terms)


def upward(x):
    """The Bessel function J_30 by the recurrence in the unstable direction."""

    def step(s, n):
        return (s[1], 2 * n / x * s[1] - s[0]), None

    start = pb.special.jv(0, x), pb.special.jv(1, x)
    return jax.lax.scan(step, start, jnp.arange(1.0, 30.0))[0][1]


def attention(x):
    q = jnp.asarray(np.random.default_rng(2).normal(size=(3, 4, 4)), x.dtype)
    k = jax.nn.softmax((x @ q[0]) @ (x @ q[1]).T)
    return jnp.mean((k @ x @ q[2]) ** 2)


def random_walk(s):
    return jnp.mean(jnp.exp(jnp.cumsum(s * jax.random.normal(jax.random.key(0), (50, 100)), 0))[-1])


DISCS = np.random.default_rng(7).uniform(0, 4, 24)
POSITIVE = 0.3 * np.random.default_rng(8).normal(size=(5, 5)) + np.eye(5) * 2
VECTOR = np.random.default_rng(9).normal(size=6)
ANGLES = np.linspace(0.1, 1.7, 12)

TABLE = (
    row(OK, "transfer matrix", transfer, np.array([0.5, 0.1])),
    row(OK, "Ising on a torus", ising_square, 0.3),
    row(OK, "tensor renormalisation", trg, 0.4),
    row(OK, "a circuit", circuit, ANGLES),
    row(OK, "the ground state's energy", lambda v: pb.krylov.eigsh(hamiltonian(v), shape=N)[0][0], WELL),
    row(OK, "an interaction", lambda v: jnp.sum(pb.krylov.eigsh(hamiltonian(v), shape=N)[1][:, 0] ** 4), WELL),
    row(
        OK,
        "imaginary time",
        lambda v: jnp.sum(pb.krylov.expm_multiply(hamiltonian(v), jnp.ones(N), -0.3, hermitian=True) ** 2),
        WELL,
    ),
    row(OK, "splitting of a double well", double_well, 1.5),
    row(OK, "mean field", mean_field, 0.1),
    row(OK, "Kepler's equation", lambda e: pb.implicit.root(lambda x: x - e * jnp.sin(x) - 1.0, 1.0), 0.6),
    row(
        OK,
        "an inner minimum",
        lambda c: jnp.sum(pb.implicit.argmin(lambda x: jnp.sum((x - c) ** 2 + x**4), jnp.zeros(3)) ** 2),
        VECTOR[:3],
    ),
    row(
        OK, "Lennard-Jones", lennard_jones, (np.arange(24.0) * 1.1 + 0.1 * np.cos(np.arange(24))).reshape(12, 2).ravel()
    ),
    row(OK, "Crank and Nicolson", crank_nicolson, WELL),
    row(OK, "Robertson's kinetics", stiff, np.array([0.04, 3e7, 1e4])),
    row(
        OK,
        "a limit cycle",
        lambda m: rk4(
            lambda x: jnp.stack([x[1], m * (1 - x[0] ** 2) * x[1] - x[0]]), jnp.array([2.0, 0.0]), 0.01, 3000
        )[0],
        1.0,
    ),
    row(
        OK,
        "integers that are undone",
        lambda m: pb.flows.symplectic(
            (lambda p, m: p @ p / 2, lambda q, m: -m / jnp.sqrt(q @ q)),
            jnp.array([0.4, 0.0]),
            jnp.array([0.0, 2.0]),
            0.01,
            3000,
            m,
            arithmetic="fixed",
        )[0][0],
        1.0,
    ),
    row(OK, "a quiet recurrent network", recurrent(0.5), VECTOR[0] * np.ones(40)),
    row(OK, "many steps of Adam", adam, 0.05),
    row(OK, "entropy", lambda a: pb.linalg.entropy(a @ a.T / jnp.trace(a @ a.T)), POSITIVE),
    row(
        OK,
        "a Gaussian's likelihood",
        lambda a, y: (
            -0.5 * y @ jnp.linalg.solve(a @ a.T, y) - jnp.log(jnp.diagonal(jnp.linalg.cholesky(a @ a.T))).sum()
        ),
        POSITIVE,
        VECTOR[:5],
    ),
    row(OK, "low temperature", lambda e: -jax.nn.logsumexp(-1e3 * e) / 1e3, VECTOR),
    row(OK, "attention in single precision", attention, np.cos(np.arange(20.0)).reshape(5, 4).astype(np.float32)),
    row(OK, "a tail", lambda x: jax.scipy.special.erfc(x), 9.0),
    row(OK, "a large factorial", lambda x: jax.scipy.special.gammaln(x), 1e6),
    row(OK, "tunnelling", lambda x: jnp.exp(-1 / x), 0.004),
    row(
        OK,
        "quanta in SI units",
        lambda w: 1.05457e-34 * w / (jnp.exp(1.05457e-34 * w / (1.380649e-23 * 300)) - 1),
        1e13,
    ),
    row(OK, "a random walk", random_walk, 0.1),
    row(OK, "Rosenbrock's minimum", lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, np.ones(2)),
    row(OK, "a sum of many", lambda x: jnp.sum(x**2), np.ones(1_000_000, np.float32)),
    row(OK, "a shortest path", lambda c: jnp.min(c[:2] + jnp.min(c[2:].reshape(2, 2), 1)), VECTOR),
    row(OK, "interpolation", lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), 1.3),
    row(OK, "clipped", lambda x: jnp.clip(x, -1, 1) ** 2, 3.0),
    row(OK, "sorted", lambda x: jnp.sum(jnp.arange(6.0) * jnp.sort(x)), VECTOR),
    row(OK, "a rotation", lambda a: pb.linalg.expm(30 * (a - a.T))[0, 1], POSITIVE),
    row(
        OK,
        "an overlap",
        lambda v: jnp.abs(jnp.vdot(jnp.arange(N) * 0.01, pb.krylov.eigsh(hamiltonian(v), shape=N)[1][:, 0])),
        WELL,
    ),
    row(OK, "a phase around a circle", berry, 0.2),
    row(
        OK,
        "a vector whose sign is chosen",
        lambda a: (lambda v: v[0] * jnp.sign(v[2]))(pb.linalg.eigh(a @ a.T)[1][:, 0]),
        POSITIVE,
    ),
    row(OK, "a rule that is right to first order", only_first, 0.7),
    row(
        OK,
        "a state that is cut",
        lambda a: jnp.sum(pb.linalg.low_rank(a, 2) * jnp.cos(jnp.arange(25.0)).reshape(5, 5)),
        POSITIVE,
    ),
    row(OK, "an iteration of a custom rule", deep_equilibrium(200), 0.7),
    row(OK, "variance", lambda x: jnp.mean(x**2) - jnp.mean(x) ** 2, 1e8 + VECTOR),
    row(ILL, "log1p", lambda x: jnp.log(1 + x) / x, 1e-14),
    row(ILL, "roots of a parabola", lambda b: (-b + jnp.sqrt(b**2 - 4)) / 2, 3e8),
    row(
        ILL,
        "Vandermonde",
        lambda y: jnp.sum(jnp.linalg.solve(jnp.vander(jnp.linspace(0, 1, 24)), y)),
        np.random.default_rng(1).normal(size=24) * 1e-3 + 1,
    ),
    row(ILL, "a series with cancellation", taylor_exp, -32.0),
    row((ILL, CHAOS), "a recurrence in the wrong direction", upward, 1.5),
    row(ILL, "splitting of distant wells", double_well, 4.0),
    row(GAUGE, "a Schmidt vector", lambda a: pb.linalg.svd(a)[0][0, 0], POSITIVE),
    row(
        GAUGE, "an overlap without modulus", lambda v: jnp.sum(pb.krylov.eigsh(hamiltonian(v), shape=N)[1][:, 0]), WELL
    ),
    row(GAUGE, "one link of a phase", lambda k: jnp.real(jnp.vdot(bloch(k), bloch(k + 0.1))), 0.3),
    row(GAUGE, "a right vector", lambda a: jnp.real(pb.linalg.eig(a)[1][0, 1]), POSITIVE),
    row(KINK, "a cone", lambda x: jnp.max(jnp.abs(x)), np.array([1.0, -1.0, 0.5])),
    row(KINK, "soft discs at contact", lambda r: jnp.maximum(0.0, 1 - r), 1.0),
    row(KINK, "lasso", lambda w: jnp.sum(jnp.abs(w)) + jnp.sum((w - 0.1) ** 2), np.array([0.0, 0.4, 0.0, -0.2])),
    row(KINK, "a first-order transition", lambda g: jnp.minimum(-1 - g, -2 * g), 1.0),
    row(KINK, "a knot", lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), 2.0),
    row(KINK, "a lattice site", lambda x: jnp.sum(jnp.round(4 * x)), VECTOR),
    row(KINK, "a network at rest", lambda w: jnp.sum(jax.nn.relu(w @ jnp.array([1.0, -2.0]))), np.zeros((3, 2))),
    row(KINK, "a median of ties", lambda x: jnp.median(x), np.array([1.0, 1.0, 1.0, 2.0])),
    row(
        CHAOS, "a double pendulum", lambda a: rk4(double_pendulum, jnp.stack([a, 2.0, 0.0, 0.0]), 0.005, 20_000)[0], 2.0
    ),
    row(CHAOS, "the standard map", standard_map, 6.0),
    row(
        CHAOS,
        "Lorenz's forty variables",
        lambda x: jnp.mean(rk4(lorenz96, x, 0.02, 2500)),
        1 + 0.1 * np.cos(np.arange(40.0)),
    ),
    row(
        CHAOS,
        "Rössler",
        lambda c: pb.flows.odeint(
            roessler, jnp.ones(3), jnp.array([0.0, 400.0]), c, step_size=0.05, stepper=pb.flows.RK4()
        )[-1, 0],
        5.7,
    ),
    row(CHAOS, "a loud recurrent network", recurrent(4.0), VECTOR[0] * np.ones(40)),
    row(CHAOS, "three bodies", three_bodies, np.array([1.0, 0.8, 1.1])),
    row(CHAOS, "Lorenz by diffrax", by_diffrax(40.0), np.array([1.0, 1.0, 20.0])),
    row(OK, "Lorenz by diffrax, a short time", by_diffrax(2.0), np.array([1.0, 1.0, 20.0])),
    row(
        CHAOS,
        "a while loop",
        lambda x: pb.loops.while_loop(
            lambda s: s[1] < 200, lambda s: (3.9 * s[0] * (1 - s[0]), s[1] + 1), (x, 0), max_steps=400
        )[0],
        0.4,
    ),
    row(
        OPEN,
        "mean field, few steps",
        lambda h: pb.implicit.fixed_point(lambda m: jnp.tanh((m + h) / 0.99), 0.5, max_steps=4),
        0.1,
    ),
    row(
        OPEN,
        "an inner minimum, few steps",
        lambda c: jnp.sum(
            optimistix.minimise(
                lambda x, _: jnp.sum(jnp.cosh(x - c) + x**4), optimistix.BFGS(1e-10, 1e-10), jnp.zeros(3), max_steps=3
            ).value
            ** 2
        ),
        VECTOR[:3],
    ),
    row(OPEN, "a deep equilibrium that is none", deep_equilibrium(4), 0.9),
    row(OPEN, "power iteration, few steps", dominant(6), POSITIVE @ POSITIVE.T),
    row(
        OPEN,
        "GMRES, few steps",
        lambda b: jnp.sum(
            lineax.linear_solve(
                lineax.MatrixLinearOperator(jnp.asarray(POSITIVE)),
                b,
                lineax.GMRES(1e-10, 1e-10, max_steps=2, restart=2),
            ).value
        ),
        VECTOR[:5],
    ),
    row(WRONG, "a transpose is missing", wrong_solve, POSITIVE, VECTOR[:5]),
    row((WRONG, KINK), "straight through", lambda x: straight_through(x) ** 2, 1.3),
    row(WRONG, "a conjugate is missing", lambda z: jnp.sum(wrong_modulus(z)), VECTOR + 0.4j),
    row(
        WRONG, "half a factor", lambda x: dominant(300)(x) + jax.lax.stop_gradient(jnp.trace(x)), POSITIVE @ POSITIVE.T
    ),
    row(
        WRONG,
        "a program on the host",
        lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), jnp.float64), x),
        0.3,
    ),
    row(
        NAN, "an angle of parallel vectors", lambda u: jnp.arccos(u @ u / jnp.linalg.norm(u) ** 2), np.array([1.0, 0.0])
    ),
    row(NAN, "0 log 0", lambda p: -jnp.sum(p * jnp.log(p)), np.array([0.0, 0.5, 0.5])),
    row(
        NAN,
        "coinciding particles",
        lambda x: jnp.sum(jnp.linalg.norm(x[:, None] - x[None], axis=-1)),
        np.arange(6.0).reshape(3, 2),
    ),
    row(NAN, "an angle at the origin", lambda x: jnp.arctan2(x[0], x[1]), np.zeros(2)),
    row(NAN, "a deviation of equal numbers", lambda x: jnp.std(x), np.ones(4)),
    row(NAN, "no number at the start", lambda x: jnp.sum(x**2), np.array([1.0, math.nan])),
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_table(part):
    check(TABLE[part::4])
