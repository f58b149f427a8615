"""The public functions at one small regular point each."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb  # flows only when its rows are asked for: it loads diffrax
from pullback import elementary, external, implicit, krylov, linalg, loops, operators, special
from pullback.trust._transformations._subject import Subject

_POINTS = np.array([0.3, 0.7])
_HERMITIAN = np.array([[2.0, 0.3, 0.1, 0.0], [0.3, 0.5, 0.2, 0.1], [0.1, 0.2, -1.0, 0.4], [0.0, 0.1, 0.4, -2.5]])
_GENERAL = _HERMITIAN + np.array([[0, 0.4, 0, 0.2], [0, 0, 0.3, 0], [0.1, 0, 0, 0.5], [0, 0.2, 0, 0]])
_POSITIVE = _HERMITIAN + 4 * np.eye(4)
_RIGHT = _GENERAL + 4 * np.eye(4)  # eigenvalues in the right half plane
_TALL = _GENERAL[:, :3]
_B = np.array([1.0, -0.5, 0.2, 0.8])
_SKEW = np.triu(_GENERAL, 1) - np.triu(_GENERAL, 1).T
_BANDS = np.array([[0.0, 0.3, 0.2, 0.1], [2.0, 3.0, 2.5, 2.2], [0.1, 0.4, 0.2, 0.0]])
_OPTIMISTIX = "optimistix does not pass JAX's checks there: use solver=Newton() or check_vma=False"


@cache
def primitive_subjects() -> tuple[Subject, ...]:
    """The rows of this floor in the table of transformations."""
    rooms = (_linalg, _elementary, _special, _loops, _flows, _trust, _implicit, _operators, _krylov, _external)
    return tuple(subject for room in rooms for subject in room())


def _projector(v):
    return v @ jnp.conj(jnp.swapaxes(v, -1, -2))


def _linalg():
    def of(name: str, function: Callable, *inputs, batched: bool = True):
        return Subject(f"linalg.{name}", function, inputs, batched)

    def pair(w, v):
        return w, _projector(v[..., :2])

    def filled(a):
        return linalg.density_matrix(a, n_electrons=2)

    def banded(dl, d, du, b):  # the corners of the array of bands are not read, not even a NaN in them
        ab = jnp.stack([jnp.pad(du, (1, 0)), d, jnp.pad(dl, (0, 1))])
        return linalg.solve_banded((1, 1), ab, b)

    return (
        of("eigh", lambda a: pair(*linalg.eigh(a)), _HERMITIAN),
        of("eigvalsh", linalg.eigvalsh, _HERMITIAN),
        of("eigh, generalized", lambda a, s: linalg.eigh(a, s)[0], _HERMITIAN, _POSITIVE),
        of("eigh_tridiagonal", lambda d, e: pair(*linalg.eigh_tridiagonal(d, e, k=2)), np.diag(_HERMITIAN),
           np.array([0.3, 0.2, 0.4]), batched=False),
        of("svd", lambda a: _triple(linalg.svd(a)), _GENERAL),
        of("svdvals", linalg.svdvals, _TALL),
        of("svd_truncated", lambda a: _triple(linalg.svd_truncated(a, 2)[:3]), _GENERAL),
        of("low_rank", lambda a: linalg.low_rank(a, 2), _GENERAL),
        of("eig", lambda a: _sorted_sums(linalg.eig(a)[0]), _GENERAL),
        of("eigvals", lambda a: _sorted_sums(linalg.eigvals(a)), _GENERAL),
        of("schur", lambda a: jnp.trace(linalg.schur(a)[0], axis1=-2, axis2=-1), _GENERAL),
        of("qr", linalg.qr, _TALL),
        of("lq", linalg.lq, _TALL),
        of("cholesky", linalg.cholesky, _POSITIVE),
        of("polar", linalg.polar, _RIGHT),
        of("pinv", linalg.pinv, _TALL),
        of("lstsq", linalg.lstsq, _TALL, _B, batched=False),
        of("funmh", lambda a: linalg.funmh(a, jnp.exp), _HERMITIAN),
        of("spectral", lambda a: linalg.spectral(a).trace(jnp.exp), _HERMITIAN),
        of("spectral_projector", lambda a: linalg.spectral_projector(a, 2), _HERMITIAN),
        of("density_matrix", filled, _HERMITIAN),
        of("density_matrix, mu", lambda a: linalg.density_matrix(a, 0.1), _HERMITIAN),
        of("density_matrix, warm", lambda a: linalg.density_matrix(a, n_electrons=2.0, temperature=0.3), _HERMITIAN),
        of("funm", lambda a: linalg.funm(a, jnp.exp), _GENERAL),
        of("expm", linalg.expm, _GENERAL),
        of("expm_multiply", linalg.expm_multiply, _GENERAL, _B, batched=False),
        of("logm", linalg.logm, _RIGHT),
        of("sqrtm", linalg.sqrtm, _RIGHT),
        of("signm", linalg.signm, _GENERAL),
        of("cosm", linalg.cosm, _GENERAL),
        of("sinm", linalg.sinm, _GENERAL),
        of("fractional_power", lambda a: linalg.fractional_power(a, 0.4), _RIGHT),
        of("det", linalg.det, _GENERAL),
        of("slogdet", linalg.slogdet, _GENERAL),
        of("pfaffian", linalg.pfaffian, _SKEW),
        of("slogpfaffian", linalg.slogpfaffian, _SKEW),
        of("solve_sylvester", linalg.solve_sylvester, _RIGHT, _POSITIVE, _GENERAL),
        of("solve_lyapunov", linalg.solve_lyapunov, _RIGHT, _HERMITIAN),
        of("solve_continuous_lyapunov", linalg.solve_continuous_lyapunov, _RIGHT, _HERMITIAN),
        of("solve_discrete_lyapunov", linalg.solve_discrete_lyapunov, _GENERAL / 6, _HERMITIAN),
        of("solve_triangular", lambda a, b: linalg.solve_triangular(a, b, lower=True), np.tril(_POSITIVE), _B,
           batched=False),
        of("solve_banded", banded, _BANDS[2, :3], _BANDS[1], _BANDS[0, 1:], _B, batched=False),
        of("solve_tridiagonal", linalg.solve_tridiagonal, _BANDS[2, :3], _BANDS[1], _BANDS[0, 1:], _B, batched=False),
        of("entropy", lambda a: linalg.entropy(_state(a)), _RIGHT),
        of("relative_entropy", lambda a, b: linalg.relative_entropy(_state(a), _state(b)), _RIGHT, _POSITIVE),
        of("fidelity", lambda a, b: linalg.fidelity(_state(a), _state(b)), _RIGHT, _POSITIVE),
        of("bures_distance", lambda a, b: linalg.bures_distance(_state(a), _state(b)), _RIGHT, _POSITIVE),
        of("nuclear_norm", linalg.nuclear_norm, _GENERAL),
        of("spectral_norm", linalg.spectral_norm, _GENERAL),
        of("schatten_norm", lambda a: linalg.schatten_norm(a, 3.0), _GENERAL),
        of("ky_fan_norm", lambda a: linalg.ky_fan_norm(a, 2), _GENERAL),
    )  # fmt: skip


def _state(a):
    """A density matrix of full rank."""
    square = a @ jnp.swapaxes(a, -1, -2)
    return square / jnp.trace(square, axis1=-2, axis2=-1)[..., None, None]


def _triple(usv):
    u, s, vh = usv
    return s, (u * s[..., None, :].astype(u.dtype)) @ vh, _projector(u[..., :2])


def _sorted_sums(w):
    """Symmetric functions of the eigenvalues, which no order enters."""
    return jnp.sum(w * w, axis=-1), jnp.sum(w * w * w, axis=-1)


def _elementary():
    x, y = _POINTS, np.array([-0.6, 0.4])
    positive = np.array([1.2, 2.5])
    one = {"abs": x, "abs2": x, "sign": x, "std": x, "norm": x, "safe_sqrt": x, "arccos": x, "arcsin": x,
           "arccosh": positive, "logcosh": x, "logsumexp": x, "i0": x, "i1": x, "sinc": x, "spence": x}  # fmt: skip
    two = {"arctan2": y, "hypot": y, "logaddexp": y, "logaddexp2": y, "power": y, "xlogy": positive,
           "safe_divide": positive, "gammainc": positive, "gammaincc": positive}  # fmt: skip
    fixed = ("gammainc", "gammaincc")  # the order is not differentiated
    return (
        *(Subject(f"elementary.{name}", getattr(elementary, name), (at,)) for name, at in one.items()),
        Subject("elementary.angle", lambda re, im: elementary.angle(jax.lax.complex(re, im)), (x, y)),
        *(
            Subject(f"elementary.{name}", getattr(elementary, name), (x, other))
            for name, other in two.items()
            if name not in fixed
        ),
        *(Subject(f"elementary.{name}", _with_orders(getattr(elementary, name), 1.5), (positive,)) for name in fixed),
    )


def _with_orders(function, *orders):
    return lambda *x: function(*orders, *x)


def _special():
    x, positive = _POINTS, np.array([1.2, 2.5])
    orders = {
        "hankel1": (1.0,), "hankel2": (1.0,), "iv": (1.5,), "ive": (1.5,), "jv": (1.5,), "kv": (1.5,), "kve": (1.5,),
        "yv": (1.5,), "spherical_in": (2,), "spherical_jn": (2,), "spherical_kn": (2,), "spherical_yn": (2,),
        "polygamma": (2,), "hyperu": (1.0, 2.0), "struve": (1.0,),
    }  # fmt: skip
    at_unit = {
        "ellipe": (), "ellipk": (), "ellipkm1": (), "dawsn": (), "erfcx": (), "erfi": (),
        "eval_chebyt": (3,), "eval_chebyu": (3,), "eval_gegenbauer": (3, 0.7), "eval_genlaguerre": (3, 0.5),
        "eval_hermite": (3,), "eval_hermitenorm": (3,), "eval_jacobi": (3, 0.5, 1.0), "eval_laguerre": (3,),
        "eval_legendre": (3,), "lpmv": (1, 3.0),
    }  # fmt: skip
    plain = ("i0", "i1", "j0", "j1", "k0", "k1", "y0", "y1", "airy", "digamma", "gamma", "loggamma", "lambertw")
    two = {"ellipeinc": x, "ellipkinc": x, "ellipj": x}
    rows = [(name, fixed, (positive,)) for name, fixed in orders.items()]
    rows += [(name, fixed, (x,)) for name, fixed in at_unit.items()]
    rows += [(name, (), (positive,)) for name in plain]
    rows += [(name, (), (x, other)) for name, other in two.items()]
    rows += [("zeta", (), (positive + 1, positive)), ("voigt_profile", (), (x, positive, positive))]
    return (
        *(Subject(f"special.{n}", _with_orders(getattr(special, n), *fixed), at) for n, fixed, at in rows),
        Subject("special.wofz", lambda re, im: special.wofz(jax.lax.complex(re, im)), (x, x)),
    )


def _loops():
    def step(x, u):
        return x + 0.1 * jnp.sin(x) * u, x * u

    def kick(x, u, p):
        q, v = x
        v = v - p * jnp.sin(q) * u
        return (q + 0.1 * v, v), q

    def unkick(x, u, p):
        q, v = x
        q = q - 0.1 * v
        return q, v + p * jnp.sin(q) * u

    def counted(x, u, p):
        def moved(x, us, p):
            x = x + p * jnp.sin(x) * us[0]
            return x, (x,), jnp.sum(x)

        return loops.counted_scan(moved, x, p, 3, bound=4, inputs=((u, None),), outputs=((4, None),))

    def halved(a):
        return loops.while_loop(lambda s: jnp.max(s) > 0.2, lambda s: 0.7 * s - 0.01 * s * s, a, max_steps=20)

    return (
        Subject("loops.scan", lambda x, u: loops.scan(step, x, u), (_POINTS, _B)),
        Subject("loops.scan, two levels", lambda x, u: loops.scan(step, x, u, adjoint=loops.TwoLevel()), (_POINTS, _B)),
        Subject("loops.while_loop", halved, (_POINTS,)),
        Subject("loops.reversible_scan", lambda q, v, u, p: loops.reversible_scan(kick, unkick, (q, v), u, p),
                (_POINTS, _POINTS, _B, np.array(0.3))),
        Subject("loops.counted_scan", counted, (_POINTS, _B, np.array(0.3))),
    )  # fmt: skip


def _flows():
    def pendulum(t, y, p):
        return jnp.stack([y[1], -p * jnp.sin(y[0]) + t])

    def solved(**options):
        def of(y, ts, p):
            times = jnp.sort(jnp.abs(ts)) / 2  # increasing
            return pb.flows.odeint(pendulum, y, times, p, max_steps=64, **options)

        return of

    def until(y, level):
        event = pb.flows.Event(lambda t, y, p: y[1] - level, jump=lambda t, y, p: -p * y)
        options = {"rtol": 1e-6, "atol": 1e-6, "max_steps": 64, "events": event, "max_events": 1}
        path = pb.flows.odeint(pendulum, y, jnp.array([0.0, 2.0]), level, **options)
        return path.times, path.ys

    def between(y, t, p):
        span = jnp.array([0.0, 1.0])
        return pb.flows.trajectory(pendulum, y, span, p, rtol=1e-6, atol=1e-6, max_steps=64)(jnp.abs(t))

    def balance(a):
        return pb.flows.steady_state(lambda t, y, a: a - y - y**3, 0.5 * jnp.ones_like(a), a)

    def split(arithmetic):
        def of(q, p, m):
            parts = (lambda p, m: jnp.sum(p**2) / 2), (lambda q, m: -m * jnp.sum(jnp.cos(q)))
            return pb.flows.symplectic(parts, q, p, 0.1, 5, m, order=4, arithmetic=arithmetic)

        return of

    x, z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])

    def as_state(psi):
        return jax.lax.complex(psi, 0.3 * psi[::-1])

    def sweep(t, p):
        return (p * t).astype(p.dtype) * jnp.asarray(z, p.dtype) + jnp.asarray(x, p.dtype)

    def propagated(psi, ts, p):
        times = jnp.sort(jnp.abs(ts)) / 2
        return pb.flows.propagate(sweep, as_state(psi), times, p, steps=2)

    def by_products(psi, ts, p):
        times = jnp.sort(jnp.abs(ts)) / 2
        method = pb.flows.Chebyshev((-2.0, 2.0))
        return pb.flows.propagate(
            lambda t, u, p: sweep(t, p).astype(u.dtype) @ u, as_state(psi), times, p, method=method, step_size=0.3
        )

    def grid_state(psi, p):
        parts = jnp.asarray([0.0, 0.4], p.dtype), lambda t, p: p * t * jnp.asarray([0.3, -0.2], p.dtype)
        times = jnp.asarray([0.0, 0.5], p.dtype)
        return pb.flows.propagate(parts, as_state(psi), times, p, method=pb.flows.SplitOperator(2), steps=2)

    def opened(psi, p):
        jump = jnp.asarray([[0.0, 0.6], [0.0, 0.0]], p.dtype)
        return pb.flows.lindblad(p * jnp.asarray(x, p.dtype), [jump], as_state(psi), jnp.asarray([0.0, 0.7], p.dtype))

    def jumping(psi, p):
        jump = jnp.asarray([[0.0, 0.6], [0.0, 0.0]], p.dtype)
        state, times = as_state(psi), jnp.asarray([0.0, 0.2], p.dtype)
        state = state / jnp.sqrt(jnp.sum(jnp.abs(state) ** 2)).astype(state.dtype)
        H = p * jnp.asarray(x, p.dtype)
        psi = pb.flows.trajectories(H, [jump], state, times, jax.random.key(0), n=2, steps=2)
        chances = jnp.abs(psi) ** 2  # their sum has the derivatives of a probability, which no differences see
        return chances / jnp.sum(chances, axis=-1, keepdims=True)

    def noisy(method):
        def of(y, dw, p):
            times = jnp.asarray([0.0, 0.5], y.dtype)
            drift, diffusion = (lambda t, y, p: -p * y), (lambda t, y, p: p * jnp.sin(y))
            dw = jnp.stack([dw[:2], dw[2:]])
            return pb.flows.sdeint(drift, diffusion, y, times, dw, p, method=method, steps=2)

        return of

    mesh = {"shard_map": "JAX's checks do not pass there: use check_vma=False"}
    grid = {
        "float32": "the grid of integers is for double precision",
        "shard_map": "JAX has no derivatives of loops with integers in their state there: check_vma=False",
    }
    return (
        Subject("flows.odeint", solved(rtol=1e-6, atol=1e-6), (_POINTS, _B, np.array(0.3))),
        Subject("flows.odeint, fixed steps", solved(step_size=0.08, stepper=pb.flows.RK4()),
                (_POINTS, _B, np.array(0.3))),
        Subject("flows.odeint, Reversible", solved(rtol=1e-6, atol=1e-6, adjoint=pb.flows.Reversible()),
                (_POINTS, _B, np.array(0.3))),
        Subject("flows.odeint, Backsolve", solved(rtol=1e-6, atol=1e-6, adjoint=pb.flows.Backsolve()),
                (_POINTS, _B, np.array(0.3))),
        Subject("flows.odeint, events", until, (_POINTS, np.array(0.9))),
        Subject("flows.trajectory", between, (_POINTS, _B[2:], np.array(0.3))),
        Subject("flows.steady_state", balance, (_POINTS,)),
        Subject("flows.symplectic", split("float"), (_POINTS, _POINTS, np.array(0.8))),
        Subject("flows.symplectic, fixed", split("fixed"), (_POINTS, _POINTS, np.array(0.8)), cannot=grid),
        Subject("flows.propagate", propagated, (_POINTS, _B, np.array(0.8)), cannot=mesh),
        Subject("flows.propagate, products", by_products, (_POINTS, _B, np.array(0.8)), cannot=mesh),
        Subject("flows.propagate, splitting", grid_state, (_POINTS, np.array(0.8)), cannot=mesh),
        Subject("flows.lindblad", opened, (_POINTS, np.array(0.8))),
        Subject("flows.trajectories", jumping, (_POINTS, np.array(0.8))),
        Subject("flows.sdeint", noisy(pb.flows.Heun()), (_POINTS, _B, np.array(0.8))),
        Subject("flows.sdeint, reversible", noisy(pb.flows.ReversibleHeun()), (_POINTS, _B, np.array(0.8))),
    )  # fmt: skip


def _implicit():
    def root(c):
        return implicit.root(lambda x: x**3 + x - c, jnp.ones_like(c))

    def attached(c):
        x = jax.lax.stop_gradient(root(c))
        return implicit.attach(lambda x: x**3 + x - c, x)

    def energy(c):
        return lambda x: jnp.sum((x - c) ** 2 + 0.1 * x**4)

    return (
        Subject("implicit.root", root, (_POINTS,)),
        Subject("implicit.fixed_point", lambda c: implicit.fixed_point(lambda x: jnp.cos(c * x), jnp.ones_like(c)),
                (_POINTS,)),
        Subject("implicit.argmin", lambda c: implicit.argmin(energy(c), jnp.zeros_like(c)), (_POINTS,),
                cannot={"shard_map": _OPTIMISTIX}),
        Subject("implicit.argmin, Newton",
                lambda c: implicit.argmin(energy(c), jnp.zeros_like(c), solver=implicit.Newton()), (_POINTS,)),
        Subject("implicit.attach", attached, (_POINTS,)),
    )  # fmt: skip


def _operators():
    states = np.cos(np.arange(16.0)).reshape(2, 8)
    couplings = np.array([0.4, 0.7, -0.3])

    def pauli(c):
        words = operators.PauliSum(3, {"X0 X2": 1, "Z0 Z1 Z2": 1, "Y1 Y2": 1}).words
        return operators.PauliSum(3, operators.Terms(words, c))

    def algebra(c):
        h = pauli(c)
        square = h @ h - operators.commutator(h, h.on([1, 2, 0])).adjoint() + operators.anticommutator(h, 2 * h)
        return square.coefficients, operators.reverse_sites(h).matrix()

    def fermions(c, psi):
        h = operators.FermionSum(3, {"0^ 1": c[0], "1^ 0": c[0], "2^ 2": c[1], "1^ 2^ 2 1": c[2]})
        return h(psi), h.expect(psi).real

    def spins(c, psi):
        h = operators.SpinSum(2, {"Z0 Z0": c[0], "X0 X1": c[1], "Y0 Y1": c[2]})
        return h(psi), operators.heisenberg(2, c[0], spin=1.0).expect(psi).real

    def models(g):
        sums = (operators.transverse_ising(3, g), operators.heisenberg(3, g), operators.j1_j2(5, 1.0, g))
        return [h.expect(jnp.ones(h.dimension, g.dtype) / h.dimension**0.5) for h in sums]

    return (
        Subject("operators.PauliSum", lambda c, psi: (pauli(c)(psi), pauli(c).expect(psi)), (couplings, states)),
        Subject("operators.commutator", algebra, (couplings,)),
        Subject("operators.FermionSum", fermions, (couplings, states)),
        Subject("operators.SpinSum", spins, (couplings, np.cos(np.arange(9.0)))),
        Subject("operators.heisenberg", models, (np.array(0.7),)),
    )  # fmt: skip


def _krylov():
    n = 104  # beyond the dense path
    wells = np.cos(np.arange(float(n)))
    wells[[20, 70]] = -40, -25  # two bound states, far from the rest: few steps lead to them
    chain = np.arange(6.0) / 6

    def hamiltonian(v):
        def apply(u):
            return 2 * u - jnp.roll(u, 1) - jnp.roll(u, -1) + v * u

        return apply

    def like(v):
        return jax.ShapeDtypeStruct(v.shape, v.dtype)

    def skewed(v):
        return lambda u: v * u + 0.1 * jnp.roll(u, 1)

    def low(v):
        w, x = krylov.eigsh(hamiltonian(v), 2, shape=like(v))
        return w, jnp.sum(x * x, axis=1)

    potential = 3 * chain**2 + np.cos(7 * chain)
    random: Any = {"key": jax.random.key(0), "samples": 2}
    return (
        Subject("krylov.eigsh", low, (wells,)),
        Subject("krylov.eigsh, small", lambda a: krylov.eigsh(a, 2)[0], (_HERMITIAN,)),
        Subject("krylov.eigs", lambda a: _sorted_sums(krylov.eigs(a, 2)[0]), (_RIGHT,)),
        Subject("krylov.svds", lambda a: krylov.svds(a, 2)[1], (_GENERAL,)),
        Subject("krylov.expm_multiply", lambda v, u, t: krylov.expm_multiply(skewed(v), u, t, max_steps=4),
                (potential, chain, np.array(0.7))),
        Subject("krylov.expm_multiply, Hermitian",
                lambda v, u, t: krylov.expm_multiply(hamiltonian(v), u, t, hermitian=True, max_steps=40),
                (potential, chain, np.array(-0.7))),
        Subject("krylov.funm_multiply", lambda v, u: krylov.funm_multiply(hamiltonian(v), u, jnp.cos, max_degree=40),
                (potential, chain)),
        Subject("krylov.trace",
                lambda v: krylov.trace(hamiltonian(v), lambda w: jnp.exp(-w), like(v), max_degree=40, **random),
                (potential,)),
        Subject("krylov.logdet",
                lambda v: krylov.logdet(hamiltonian(v + 4), like(v), max_degree=60, **random), (potential,)),
    )  # fmt: skip


def _trust():
    from pullback.trust._chaos import evolution_strategies, lyapunov_spectrum
    from pullback.trust._cut import clip_gradient, truncated
    from pullback.trust._shadowing import shadowing

    def turned(x, p):
        return jnp.sin(p * x + 0.3) + 0.2 * jnp.roll(x, 1)

    def cut(x, us):  # a cut beyond the end: with one inside, the derivative is not that of differences
        numbers = jnp.arange(us.shape[0])
        return jax.lax.scan(truncated(lambda x, u: (turned(x, u), None), every=9), x, (numbers, us))[0]

    def shadow(x, p):
        found = shadowing(turned, x, p, lambda x, p: jnp.sum(x**2), 32, every=2, throw=False)
        return found.value, found.stats["objective"]

    def smoothed(x):
        return evolution_strategies(lambda x: jnp.sum(x**3), x, jax.random.key(0), sigma=0.1, pairs=4)

    return (
        Subject("trust.lyapunov_spectrum", lambda x, p: lyapunov_spectrum(lambda x: turned(x, p), x, 6, k=1),
                (_POINTS, np.array(1.3))),
        Subject("trust.evolution_strategies", smoothed, (_POINTS,),
                cannot={"float32": "random draws in single precision are other ones"}),
        Subject("trust.shadowing", shadow, (_POINTS, np.array(1.3))),
        Subject("trust.truncated", cut, (_POINTS, np.array([0.4, 0.9, 1.2]))),
        Subject("trust.clip_gradient", lambda x: clip_gradient(x, 1e6) ** 2, (_POINTS,)),
    )  # fmt: skip


def _external():
    sine = external.primitive(np.sin, out=lambda z: z, jvp=lambda x, v: np.cos(x[0]) * v[0])
    on_host = external.with_partials(lambda x: external.host_elementwise(np.sin, x, dtype=x.dtype), jnp.cos)
    return (
        Subject("external.primitive", sine, (_POINTS,)),
        Subject("external.with_partials", on_host, (_POINTS,)),
    )
