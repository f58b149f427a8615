"""Events of odeint: the bouncing ball and a kicked pendulum in closed form, in all modes; what is said of the rest."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback import flows
from pullback.core import RESULTS, ConvergenceError, InputError, TwoLevel
from pullback.flows import Event, odeint
from pullback.trust._derivatives import directional_derivative

TIGHT = {"rtol": 1e-12, "atol": 1e-12, "max_steps": 200}


def fall(t, y, p):
    return jnp.stack([y[1], -p[0] + 0 * y[1]])


def reflected(t, y, p):
    return jnp.stack([0 * y[0], -p[1] * y[1]])


FLOOR = Event(lambda t, y, p: y[0], jump=reflected, direction=-1)


def ball(height, gravity, restitution, ts, events=FLOOR, **options):
    start, params = jnp.stack([height, 0 * height]), jnp.stack([gravity, restitution])
    return odeint(fall, start, ts, params, events=events, **{**TIGHT, "max_events": 4, **options})


def bounces(height, gravity, restitution, ts):
    """Times of three bounces; states at ts, which lie in the flights 0, 1, 2 and 3."""
    speed = jnp.sqrt(2 * gravity * height)
    time, times, states = ts[0] + speed / gravity, [], []
    last = ts[0] - speed / gravity
    for k in range(4):
        s = ts[k] - last
        states.append(jnp.stack([speed * s - gravity * s**2 / 2, speed - gravity * s]))
        times.append(time)
        last, speed = time, speed * restitution
        time = time + 2 * speed / gravity
    return jnp.concatenate([jnp.stack(times[:3]), *states])


@pytest.mark.parametrize(
    "modes", [("fwd-rev",), pytest.param(("jvp", "vjp", "rev-rev", "fwd-fwd"), marks=pytest.mark.slow)]
)
def test_bouncing_ball(modes):
    """Times of events and states after them to 1e-10, by height, gravity, restitution and times, to second order."""
    args = jnp.asarray(1.0), jnp.asarray(9.81), jnp.asarray(0.8), jnp.array([0.1, 1.0, 1.5, 2.0])

    def solve(*args):
        path = ball(*args, max_events=4)
        return jnp.concatenate([path.times[:3], path.ys.ravel()])

    np.testing.assert_allclose(solve(*args), bounces(*args), atol=1e-11)
    directions = [tuple(jnp.cos(k + jnp.arange(a.size).reshape(a.shape)) for a in args) for k in range(2)]
    weights = jnp.sin(1.0 + jnp.arange(11))

    def derivatives(f, args):
        phi = lambda x: weights @ f(*x)  # noqa: E731
        return [directional_derivative(phi, args, directions[: m.count("-") + 1], m) for m in modes]

    found, wanted = (jax.jit(partial(derivatives, f))(args) for f in (solve, bounces))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def pendulum(t, y, kick):
    return jnp.stack([y[1], -jnp.sin(y[0])])


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
def test_a_pendulum_with_kicks(order):
    """Released at the angle a, kicked by b each time it hangs straight: the periods are elliptic integrals."""
    kicked = Event(lambda t, y, b: y[0], jump=lambda t, y, b: jnp.stack([y[0], y[1] + b * jnp.sign(y[1])]))

    def times(x):
        start = jnp.stack([x[0], 0.0])
        options = {**TIGHT, "max_steps": 2000, "max_events": 3, "throw": False}
        found = odeint(pendulum, start, jnp.array([0.0, 9.0]), x[1], events=kicked, **options)
        return found.value.times[:2]

    def exact(a, b):
        first = mp.ellipk(mp.sin(a / 2) ** 2)
        return [first, first + 2 * mp.ellipk(((2 * mp.sin(a / 2) + b) / 2) ** 2)]

    x = 1.0, 0.2
    value = times(jnp.array(x))
    slope = jax.jit(jax.jacrev(times))(jnp.array(x))
    second = jax.jit(jax.jacfwd(jax.jacrev(times)))(jnp.array(x)) if order == 2 else None
    with mp.workdps(40):
        for k in range(2):
            np.testing.assert_allclose(value[k], float(exact(*x)[k]), rtol=1e-11)
            for i in range(2):
                wanted = float(mp.diff(lambda *x, k=k: exact(*x)[k], x, tuple(int(j == i) for j in range(2))))
                np.testing.assert_allclose(slope[k, i], wanted, rtol=1e-10, atol=1e-11)
            if second is not None:
                mixed = float(mp.diff(lambda *x, k=k: exact(*x)[k], x, (1, 1)))
                np.testing.assert_allclose(second[k, 0, 1], mixed, rtol=1e-9, atol=1e-10)


def test_batches_and_a_terminal_event():
    """Members that bounce twice, four times and, thrown from above, not at all before the end; then they land."""
    heights, ts = jnp.array([0.5, 1.0, 30.0]), jnp.array([0.0, 1.3])
    landing = (FLOOR, Event(lambda t, y, p: t - 1.2, terminal=True))

    def solve(h):
        return ball(h, 9.81, 0.8, ts, landing, max_events=6, throw=False)

    found = jax.jit(jax.vmap(solve))(heights)
    slope = jax.jit(jax.vmap(jax.grad(lambda h: solve(h).value.end[0])))(heights)
    single = jax.jit(solve)
    for k, h in enumerate(heights):
        alone = single(h)
        np.testing.assert_allclose(found.value.times[k], alone.value.times, rtol=1e-12)
        np.testing.assert_allclose(found.value.end[k], alone.value.end, rtol=1e-11)
        flight = np.asarray(alone.value.times)[: int(alone.value.number) - 1]
        assert alone.result == RESULTS.successful and alone.value.which[len(flight)] == 1
        np.testing.assert_allclose(alone.value.end_time, 1.2)
        assert np.isinf(alone.value.ys[1]).all()  # 1.3 is not reached
        v = np.sqrt(2 * 9.81 * h) * 0.8 ** len(flight)  # height is v s − g s² / 2, s since the last bounce at c √h
        s = 1.2 - (flight[-1] if len(flight) else 0)
        if len(flight):
            wanted = v * s / (2 * h) - (v - 9.81 * s) * flight[-1] / (2 * h)
            np.testing.assert_allclose(slope[k], wanted, rtol=1e-9)
        else:
            np.testing.assert_allclose(slope[k], 1.0, rtol=1e-12)


@pytest.mark.slow
def test_closures_directions_and_single_precision():
    rise = lambda level, y0, **o: odeint(  # noqa: E731
        lambda t, y, p: jnp.stack([y[1], -y[0]]), y0, jnp.array([0.0, 12.0]),
        events=Event(lambda t, y, p: y[0] - level, **o), rtol=1e-10, max_events=4,
    )  # fmt: skip
    # sin t rises through 1/2 at π/6 + 2πk, falls at 5π/6 + 2πk; dt/dlevel = 1/cos t
    up = rise(0.5, jnp.array([0.0, 1.0]), direction=1)
    np.testing.assert_allclose(up.times[:2], [np.pi / 6, np.pi / 6 + 2 * np.pi], rtol=1e-8)
    both = rise(0.5, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(both.times, np.array([1, 5, 13, 17]) * np.pi / 6, rtol=1e-8)
    slope = jax.jacrev(lambda level: rise(level, jnp.array([0.0, 1.0])).times)(0.5)
    np.testing.assert_allclose(slope, 1 / np.cos(both.times), rtol=1e-7)
    single = odeint(
        lambda t, y, p: jnp.stack([y[1], -y[0]]), jnp.array([0.0, 1.0], jnp.float32), jnp.array([0.0, 3.0]),
        events=Event(lambda t, y, p: y[0] - 0.5), rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    assert single.times.dtype == jnp.float32 and single.number == 2
    np.testing.assert_allclose(single.times[:2], [np.pi / 6, 5 * np.pi / 6], rtol=1e-4)


def test_two_crossings_within_one_step():
    """A ball whose flight is shorter than a step, and an oscillation that dips below a level for a moment."""
    low = ball(1e-4, 9.81, 0.9, jnp.array([0.0, 0.03]))  # from 0.1 mm: the first trial is longer than the fall
    np.testing.assert_allclose(low.times[:3], bounces(1e-4, 9.81, 0.9, jnp.zeros(4))[:3], rtol=1e-9)
    depth = 1e-3
    dips = odeint(
        lambda t, y, p: jnp.stack([y[1], -y[0]]), jnp.array([0.0, 1.0]), jnp.array([0.0, 3.0]),
        events=Event(lambda t, y, p: 1 - depth - y[0]),
    )  # fmt: skip
    half = np.arccos(1 - depth)
    np.testing.assert_allclose(dips.times[:2], [np.pi / 2 - half, np.pi / 2 + half], rtol=1e-6)
    # Against dense samples, for many frequencies: no crossing of sin is lost.
    turns = jax.jit(lambda w: odeint(
        lambda t, y, w: jnp.stack([w * y[1], -w * y[0]]), jnp.array([0.1, 1.0]), jnp.array([0.0, 6.0]), w,
        events=Event(lambda t, y, p: y[0]), max_events=40,
    ))  # fmt: skip
    for w in (1.0, 3.7, 11.3):
        found = turns(w)
        dense = np.sin(w * np.linspace(0, 6, 10_001) + np.arctan(0.1))
        assert found.number == np.sum(dense[1:] * dense[:-1] < 0)


def test_simultaneous_events_happen_one_after_the_other():
    """A particle in a corner: both walls at once."""
    wall = lambda k: Event(  # noqa: E731
        lambda t, y, p: 1 - y[0, k], jump=lambda t, y, p: y.at[1, k].multiply(-1), direction=-1
    )
    path = odeint(
        lambda t, y, p: jnp.stack([y[1], 0 * y[1]]), jnp.array([[0.0, 0.0], [1.0, 1.0]]), jnp.array([0.0, 1.5]),
        events=(wall(0), wall(1)),
    )  # fmt: skip
    assert path.number == 2 and sorted(path.which[:2].tolist()) == [0, 1]
    np.testing.assert_allclose(path.ys[-1], [[0.5, 0.5], [-1.0, -1.0]], rtol=1e-9)


def test_what_goes_wrong_is_said():
    ts = jnp.array([0.0, 2.0])
    never = odeint(fall, jnp.array([1.0, 0.0]), ts, jnp.array([9.81, 0.8]), throw=False,
                   events=Event(lambda t, y, p: y[0] + 100, terminal=True))  # fmt: skip
    assert never.result == RESULTS.no_event and never.value.number == 0 and np.isinf(never.value.times).all()
    with pytest.raises(ConvergenceError, match="No terminal event"):
        never.unwrap("odeint")
    zeno = ball(1.0, 9.81, 0.5, jnp.array([0.0, 5.0]), max_events=8, throw=False)
    assert zeno.result == RESULTS.too_many_events
    # Thrown upwards so that it just touches the ceiling, or falls a little short of it, or reaches a little beyond.
    for more, result in ((0.0, RESULTS.grazing), (-1e-3, RESULTS.successful), (1e-3, RESULTS.successful)):
        touch = odeint(
            fall, jnp.array([0.0, np.sqrt(2 * 9.81)]), jnp.array([0.0, 0.8]), jnp.array([9.81, 0.8]), throw=False,
            events=Event(lambda t, y, p, top=1.0 - more: top - y[0]),
        )  # fmt: skip
        assert touch.result == result, more
        assert touch.value.number == 2 * (more > 0) or more == 0
    with pytest.raises(RuntimeError, match="so flatly"):
        jax.block_until_ready(jax.grad(lambda v: odeint(
            fall, jnp.stack([0.0, v]), jnp.array([0.0, 0.8]), jnp.array([9.81, 0.8]), throw=False,
            events=Event(lambda t, y, p: 1.0 - y[0])).value.end[0])(np.sqrt(2 * 9.81)))  # fmt: skip
    rests = odeint(fall, jnp.array([0.0, 0.0]), ts, jnp.array([0.0, 0.0]), events=FLOOR, throw=False)
    assert rests.result == RESULTS.grazing
    bad = odeint(fall, jnp.array([1.0, 0.0]), ts, jnp.array([9.81, 0.8]), throw=False,
                 events=Event(lambda t, y, p: jnp.sqrt(y[0])))  # fmt: skip
    assert bad.result == RESULTS.nonfinite


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"events": Event(lambda t, y, p: y)}, "one real number"),
        ({"events": Event(lambda t, y, p: y[0] > 0)}, "one real number"),
        ({"events": Event(lambda t, y, p: y[0], jump=lambda t, y, p: y[0])}, "the jump of event 0 must stay"),
        ({"events": []}, "an Event or a sequence"),
        ({"events": lambda t, y, p: y[0]}, "an Event or a sequence"),
        ({"max_events": 0}, "must be positive"),
        ({"adjoint": TwoLevel()}, "with events adjoint must be"),
    ],
)
def test_refusals(no_type_checks, change, text):
    options = {"events": FLOOR} | change
    with pytest.raises(InputError, match=text):
        odeint(fall, jnp.ones(2), jnp.array([0.0, 1.0]), jnp.ones(2), **options)


def test_refused_events(no_type_checks):
    with pytest.raises(InputError, match="direction must be"):
        Event(lambda t, y, p: y[0], direction=2)
    with pytest.raises(InputError, match="must be functions"):
        Event(1.0)  # pyright: ignore[reportArgumentType]


def test_no_root_of_random_polynomials_is_lost():
    """Of degree five, which a method of order five solves in a few steps: all roots, 0.02 apart or more."""
    run = jax.jit(lambda c: odeint(
        lambda t, y, c: jnp.polyval(jnp.polyder(c), t) + 0 * y, jnp.polyval(c, -1.0), jnp.array([-1.0, 1.0]), c,
        events=Event(lambda t, y, p: y), rtol=1e-10, throw=False,
    ))  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(100):
        roots = np.cumsum(rng.uniform(0.02, 0.35, 5)) - 0.95
        found = run(jnp.asarray(np.poly(roots))).value
        assert found.number == 5
        np.testing.assert_allclose(found.times[:5], roots, atol=1e-7)


@pytest.mark.slow
def test_bugs_of_others():
    """Two events in one step, in any order (diffrax 639); a cubic in one step (scipy 9228); complex (diffrax 387)."""
    early, late = (Event(lambda t, y, p, at=at: t - at, terminal=True) for at in (0.5, 1.0))
    for events in ((early, late), (late, early)):
        path = odeint(lambda t, y, p: jnp.ones_like(y), 0.0, jnp.array([0.0, 10.0]), step_size=2.0,
                      stepper=flows.Euler(), events=events)  # fmt: skip
        np.testing.assert_allclose([path.end_time, path.end], 0.5)
    cubic = odeint(lambda x, y, p: 3 * x**2 + 12 * x - 4 + 0 * y, -120.0, jnp.array([-8.0, 4.0]),
                   events=Event(lambda t, y, p: y))  # fmt: skip
    np.testing.assert_allclose(cubic.times[:3], [-6, -2, 2], rtol=1e-9)

    def decayed(k):  # |ψ|² = e^(−k t) is 0.95
        field = lambda t, psi, k: (1j * jnp.array([0.3, -1.0]) - k / 2) * psi  # noqa: E731
        norm = Event(lambda t, psi, k: jnp.sum(jnp.abs(psi) ** 2) - 0.95, terminal=True)
        return odeint(field, jnp.array([0.6, 0.8j]), jnp.array([0.0, 10.0]), k, rtol=1e-11, events=norm).end_time

    value, slope = jax.jit(jax.value_and_grad(decayed))(0.1)
    np.testing.assert_allclose([value, slope], [-np.log(0.95) / 0.1, np.log(0.95) / 0.1**2], rtol=1e-9)
