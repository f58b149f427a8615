"""reversible_scan against lax.scan in all modes, its memory, its certificate, its refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, InputError, TwoLevel, Uncompute, checks_under_jit
from pullback.loops import reversible_scan
from pullback.trust import directional_derivative
from tests.loops.systems import leapfrog, leapfrog_back, point

MODES = ("jvp", "vjp", "fwd-fwd", "fwd-rev", "rev-fwd", "rev-rev")


def energy_like(end, ys):
    return jnp.sum(jnp.cos(end[0]) + end[1] ** 2) + jnp.sum(ys["q0"] ** 3)


def losses(count, **options):
    """The same function of (q, v, xs, params) by reversible_scan and by lax.scan."""

    def ours(args):
        q, v, xs, p = args
        return energy_like(*reversible_scan(leapfrog, leapfrog_back, (q, v, count), xs, p, **options))

    def plain(args):
        q, v, xs, p = args
        return energy_like(*jax.lax.scan(lambda s, u: leapfrog(s, u, p), (q, v, count), xs))

    return ours, plain


def directions(args, order):
    rng = np.random.default_rng(1)
    return [jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), args) for _ in range(order)]


def compare(modes, **options):
    (q, v, count), xs, p = point()
    args = q, v, xs, p
    found, wanted = (
        jax.jit(
            lambda args, f=f: [directional_derivative(f, args, directions(args, m.count("-") + 1), m) for m in modes]
        )(args)
        for f in losses(count, **options)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-11)


@pytest.mark.optimised
def test_modes():
    compare(("jvp", "vjp", "fwd-rev", "rev-rev"))


@pytest.mark.slow
def test_third_order():
    compare((*MODES, "rev-rev-rev", "fwd-rev-rev", "rev-fwd-rev"))


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 7, 10, 20, 50])
def test_checkpoints(every):
    compare(("jvp", "vjp", "fwd-rev", "rev-rev"), adjoint=Uncompute(checkpoint_every=every))


def test_the_result_is_that_of_scan_and_integers_are_carried():
    init, xs, p = point()
    end, ys = reversible_scan(leapfrog, leapfrog_back, init, xs, p, adjoint=Uncompute(checkpoint_every=7))
    end_plain, ys_plain = jax.lax.scan(lambda s, u: leapfrog(s, u, p), init, xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), (end, ys), (end_plain, ys_plain))
    assert end[2] == 20 and ys["count"][-1] == 19


@pytest.mark.parametrize("mode", ["jvp", "vjp", "fwd-rev", pytest.param("rev-rev", marks=pytest.mark.slow)])
def test_memory_does_not_depend_on_the_number_of_steps(mode):
    (q, v, count), _, p = point()

    def size(n):
        def loss(args):
            end, _ = reversible_scan(
                lambda s, _, p: leapfrog(s, 0.0, p),
                lambda s, _, p: leapfrog_back(s, 0.0, p),
                (*args[:2], count),
                None,
                args[2],
                length=n,
            )
            return jnp.sum(end[0])

        args = q, v, p
        program = jax.jit(lambda args: directional_derivative(loss, args, directions(args, mode.count("-") + 1), mode))
        return program.lower(args).compile().memory_analysis().temp_size_in_bytes

    assert size(10**6) == size(10**3) < 20_000


@pytest.mark.slow
def test_complex_vmapped_closure_and_float32():
    """Rotations by closed-over angles: x_n = x exp(i n a), so d|Re x_n| is known."""

    def end(angle, x):
        turn = lambda x, _, __: (x * jnp.exp(1j * angle), None)  # noqa: E731
        back = lambda x, _, __: x * jnp.exp(-1j * angle)  # noqa: E731
        return reversible_scan(turn, back, x, length=50)[0].real

    angles = jnp.array([1e-3, 2e-2])
    found = jax.jit(jax.vmap(jax.grad(end), (0, None)))(angles, jnp.asarray(1 + 0j))
    np.testing.assert_allclose(found, -50 * np.sin(50 * angles), rtol=1e-11)
    single = jax.grad(end)(jnp.float32(0.02), jnp.complex64(1))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, -50 * np.sin(1.0), rtol=1e-4)


@pytest.mark.parametrize("rate", [0.0, 0.02])
def test_the_certificate_measures_the_error_of_the_recovered_states(rate):
    """Friction: the inverse step magnifies rounding errors by exp(rate) each; the witness is the stored first state."""
    n = 1000
    x0 = jnp.linspace(0.3, 1.0, 8)

    def step(x, _, rate):
        return jnp.exp(-rate) * jnp.roll(jnp.tanh(0.5 * x) * 2, 1), None

    def back(x, _, rate):
        return 2 * jnp.arctanh(jnp.roll(jnp.exp(rate) * x, -1) / 2)

    found = reversible_scan(step, back, x0, None, jnp.asarray(rate), length=n, throw=False)
    (end, _), error = found.value, found.residual
    assert found.steps == n and found.result == RESULTS.successful
    stored = [x0]
    for _ in range(50):
        stored.append(step(stored[-1], None, rate)[0])
    x, worst = end, 0.0
    for i in range(n, -1, -1):
        if i < len(stored):
            worst = max(worst, float(jnp.max(jnp.abs(x - stored[i])) / jnp.max(jnp.abs(x0))))
        x = back(x, None, rate)
    assert worst / 10 < error < worst * 10
    blocks = Uncompute(checkpoint_every=100)
    shorter = reversible_scan(step, back, x0, None, jnp.asarray(rate), length=n, adjoint=blocks, throw=False)
    assert shorter.residual < 1e-9 and shorter.result == RESULTS.successful


def test_an_inverse_that_is_none_is_refused():
    init, xs, p = point()

    def wrong(state, u, p):
        return leapfrog_back(state, u, {**p, "k": p["k"] * 1.001})

    with pytest.raises(InputError, match="does not undo the first step"):
        reversible_scan(leapfrog, wrong, init, xs, p)
    with checks_under_jit(), pytest.raises(RuntimeError, match="does not undo"):
        eqx.filter_jit(lambda p: reversible_scan(leapfrog, wrong, init, xs, p)[0][0])(p)
    with pytest.raises(InputError, match=r"the inverse's state\[0\] must stay"):
        reversible_scan(leapfrog, lambda s, u, p: (s[0][:2], *s[1:]), init, xs, p)
    rounding = reversible_scan(
        lambda x, _, p: (jnp.floor(x * 4) / 4, None), lambda x, _, p: x, jnp.asarray(0.5), length=3, throw=False
    )
    assert rounding.residual == 0
    with pytest.raises(InputError, match="adjoint must be Uncompute"):
        reversible_scan(leapfrog, leapfrog_back, init, xs, p, adjoint=TwoLevel())


def test_a_loop_that_forgets_its_start_and_one_that_overflows_say_so():
    forgets = reversible_scan(
        lambda x, _, p: (1 + p * x, None),
        lambda x, _, p: (x - 1) / p,
        jnp.asarray(0.3),
        None,
        0.7,
        length=100,
        throw=False,
    )
    assert forgets.residual > 0.1 and forgets.result == RESULTS.irreversible
    found = reversible_scan(
        lambda x, _, p: (x * p, None), lambda x, _, p: x / p, jnp.asarray(1.0), None, 1e30, length=20, throw=False
    )
    assert found.result == RESULTS.nonfinite and not found.converged


def test_a_traced_number_of_steps():
    """Each step is given its number; the number differs between members of a batch."""

    def turned(angle, n):
        def turn(x, i, angle):
            return x * jnp.exp(1j * angle * jnp.cos(i)), None

        def back(x, i, angle):
            return x * jnp.exp(-1j * angle * jnp.cos(i))

        return reversible_scan(turn, back, 1 + 0j, None, angle, length=n)[0].real

    counts = jnp.array([3, 7, 0])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(turned), (None, 0)))(0.3, counts)
    sums = np.array([np.cos(np.arange(n)).sum() for n in (3, 7, 0)])
    np.testing.assert_allclose(values, np.cos(0.3 * sums), rtol=1e-14)
    np.testing.assert_allclose(slopes, -sums * np.sin(0.3 * sums), rtol=1e-12)
    second = jax.jit(jax.grad(jax.grad(turned)))(0.3, counts[1])
    np.testing.assert_allclose(second, -(sums[1] ** 2) * np.cos(0.3 * sums[1]), rtol=1e-12)
    step = lambda x, i, p: (x, x)  # noqa: E731
    with pytest.raises(InputError, match="no outputs"):
        reversible_scan(step, lambda x, i, p: x, 1.0, length=counts[0])
