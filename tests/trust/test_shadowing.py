"""Shadowing against exact derivatives of averages, and published ones; gradients that are cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, ConvergenceError, InputError
from pullback.loops import Checkpoint, scan
from pullback.trust import clip_gradient, shadowing, truncated
from tests.trust.test_chaos import lorenz, runge_kutta

H = 0.005
MATRIX = jnp.array([[2.0, 1.0], [1.0, 1.0]])


def logistic(x, p):
    """On [0, s]; the average of x is s/2, that of (x/s)² is 3/8."""
    return p["r"] * x * (1 - x / p["s"])


def cat(x, s):
    """The cat map in coordinates that are bent, x + s g(x), to first order in s.

    Averages are those over the square in straight coordinates: d⟨A⟩/ds = ∫ ∇A · g, as Arnold's map keeps areas.
    """
    g = lambda x: jnp.stack([jnp.sin(2 * jnp.pi * x[0]), jnp.cos(2 * jnp.pi * x[1])]) / (2 * jnp.pi)  # noqa: E731
    image = MATRIX @ x
    return (image + s * (g(image) - MATRIX @ g(x))) % 1.0


def test_logistic_map():
    params = {"r": jnp.asarray(4.0), "s": jnp.asarray(1.5)}
    found = shadowing(logistic, jnp.asarray(0.4), params, lambda x, p: x, 40_000, every=5, throw=False)
    assert found.converged and found.residual < 1e-10
    assert abs(found.value.value["s"] - 0.5) < 4 * found.value.error["s"] < 0.02
    np.testing.assert_allclose(found.stats["exponents"], np.log(2), atol=1e-2)
    np.testing.assert_allclose(found.stats["objective"], 0.75, atol=1e-2)


@pytest.mark.parametrize("k", [None, 1])
def test_cat_map(k):
    observable = lambda x, s: jnp.cos(2 * jnp.pi * x[0]) + jnp.sin(2 * jnp.pi * x[1])  # noqa: E731
    run = jax.jit(lambda x: shadowing(cat, x, jnp.asarray(0.0), observable, 80_000, every=5, k=k, throw=False))
    found = run(jnp.array([0.1234, 0.3217]))
    assert abs(found.value.value - (-0.5 + 0.5)) < 4 * found.value.error < 0.03
    assert found.converged == (k is None)  # one tangent, which grows, leaves open whether there is another
    one = lambda x, s: observable(x * jnp.array([1.0, 0.0]), s)  # noqa: E731
    single = jax.jit(lambda x: shadowing(cat, x, jnp.asarray(0.0), one, 80_000, every=5))(jnp.array([0.1234, 0.3217]))
    assert abs(single.value + 0.5) < 4 * single.error < 0.03


def test_derivatives_by_the_objective_and_a_tree():
    """A contraction to c/(1 − a): the derivative of the end, no chaos; and ∂J/∂p."""
    step = lambda x, p: {"y": p["a"] * x["y"] + p["c"]}  # noqa: E731
    p = {"a": jnp.array(0.5), "c": jnp.array([1.0, 3.0])}
    found = shadowing(step, {"y": jnp.zeros(2)}, p, lambda x, p: jnp.sum(x["y"]) * p["a"], 800, transient=100)
    np.testing.assert_allclose(found.value["a"], 2 * 4.0 + 0.5 * 4 / 0.25, rtol=1e-2)
    np.testing.assert_allclose(found.value["c"], [1.0, 1.0], rtol=1e-2)


def test_what_shadows_cannot_know():
    """x → 3x + s sin 6πx: the derivative of ⟨cos 2πx⟩ is −π, and 0 along the shadow, as the documentation says."""
    tripled = lambda x, s: (3 * x + s * jnp.sin(6 * jnp.pi * x)) % 1.0  # noqa: E731
    found = shadowing(tripled, jnp.asarray(0.123456), 0.0, lambda x, s: jnp.cos(2 * jnp.pi * x), 80_000, every=4)
    assert abs(found.value) < 4 * found.error < 0.05


def lorenz_step(x, rho):
    return runge_kutta(x, rho, H)


def test_lorenz():
    """d⟨z⟩/dρ = 1.01 at ρ = 28 (Q. Wang, 2013), with a flow's neutral direction."""
    field = lambda x, rho: lorenz(0, x, rho)  # noqa: E731
    found = jax.jit(
        lambda x: shadowing(lorenz_step, x, 28.0, lambda x, rho: x[2], 40_000, every=40, transient=4000, field=field,
                            dt=H, throw=False)
    )(jnp.array([1.0, 1.0, 20.0]))  # fmt: skip
    assert found.converged and abs(found.value.value - 1.01) < 0.03 and found.value.error < 0.01
    np.testing.assert_allclose(found.stats["exponents"], [0.9056, -14.5723], atol=0.05)
    np.testing.assert_allclose(found.stats["objective"], 23.55, atol=0.15)


def test_what_goes_wrong_is_said(no_type_checks):
    with pytest.raises(ConvergenceError, match="All tangents that were carried along grow"):
        shadowing(cat, jnp.array([0.1, 0.3]), 0.0, lambda x, s: x[0], 800, k=1)
    found = shadowing(lambda x, p: p * x**2, jnp.asarray(3.0), 1.0, lambda x, p: x, 800, throw=False)
    assert found.result == RESULTS.nonfinite
    for options, message in (
        ({"n": 801}, "multiple of 8"),
        ({"n": 800, "k": 3}, "between 1 and 2"),
        ({"n": 800, "k": 2, "field": lambda x, p: x}, "between 1 and 1"),
        ({"n": 800, "every": 0}, "multiple"),
    ):
        with pytest.raises(InputError, match=message):
            shadowing(cat, jnp.array([0.1, 0.3]), 0.0, lambda x, s: x[0], **options)
    with pytest.raises(InputError, match="objective must return one number"):
        shadowing(cat, jnp.array([0.1, 0.3]), 0.0, lambda x, s: x, 800)
    with pytest.raises(InputError, match="form of x"):
        shadowing(lambda x, s: x[:1], jnp.array([0.1, 0.3]), 0.0, lambda x, s: x[0], 800)
    with pytest.raises(InputError, match="real numbers"):
        shadowing(cat, jnp.array([0.1, 0.3]), 1j, lambda x, s: x[0], 800)


def test_truncation_is_the_gradient_of_the_last_steps():
    """In both modes, second order, and under the loops of pullback: against steps from a state that is held fixed."""

    def step(x, u):
        return jnp.sin(x * u) + 0.3 * x, x

    us = jnp.linspace(0.5, 1.5, 10)

    def whole(us, x=0.7):
        return scan(truncated(step, every=4), x, (jnp.arange(10), us), adjoint=Checkpoint())[0]

    kept = jax.lax.scan(step, 0.7, us[:8])[0]
    last = lambda us: jax.lax.scan(step, kept, us[8:])[0]  # noqa: E731
    np.testing.assert_allclose(whole(us), jax.lax.scan(step, 0.7, us)[0], rtol=1e-15)
    np.testing.assert_allclose(jax.jit(jax.grad(whole))(us), jax.grad(last)(us), rtol=1e-14)
    np.testing.assert_allclose(jax.jacfwd(whole)(us), jax.grad(last)(us), rtol=1e-14)
    np.testing.assert_allclose(jax.hessian(whole)(us), jax.hessian(last)(us), rtol=1e-12, atol=1e-14)
    first = lambda x: jax.lax.scan(truncated(step, every=20), x, (jnp.arange(10), us))[0]  # noqa: E731
    np.testing.assert_allclose(jax.grad(first)(0.7), jax.grad(lambda x: jax.lax.scan(step, x, us)[0])(0.7), rtol=1e-14)
    with pytest.raises(InputError, match="positive"):
        truncated(step, every=0)


def test_clipping():
    x = {"a": jnp.array([3.0, 0.0]), "b": 4j * jnp.ones(1), "n": jnp.arange(2)}

    def f(a, b):
        clipped = clip_gradient({"a": a, "b": b, "n": x["n"]}, 2.0)
        return jnp.sum(clipped["a"] ** 2) + jnp.sum(jnp.abs(clipped["b"]) ** 2)

    a, b = jax.jit(jax.grad(f, (0, 1)))(x["a"], x["b"])
    np.testing.assert_allclose(a, [1.2, 0.0])
    np.testing.assert_allclose(b, [-1.6j])
    np.testing.assert_allclose(jax.grad(f)(x["a"] / 100, x["b"] / 100), [0.06, 0])  # short ones stay
    _, tangent = jax.jvp(f, (x["a"], x["b"]), (x["a"], x["b"]))
    np.testing.assert_allclose(tangent, 50.0)
    many = jax.vmap(jax.grad(lambda x: clip_gradient(x, 1.0) ** 2))(jnp.array([0.1, 10.0]))
    np.testing.assert_allclose(many, [0.2, 1.0])
    huge = jax.grad(lambda x: 1e300 * jnp.sum(clip_gradient(x, 1.0)))(jnp.ones(4, jnp.float64))
    np.testing.assert_allclose(huge, 0.5 * np.ones(4))
    assert jax.grad(lambda x: jnp.sum(clip_gradient(x, 1.0)))(jnp.ones(4, jnp.float32)).dtype == jnp.float32
    with pytest.raises(InputError, match="positive number"):
        clip_gradient(1.0, 0.0)
