"""Host programs with rules of every kind, against derivatives in closed form and finite differences."""

import gc
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError, MissingDerivativeError, checks_under_jit
from pullback.external import FiniteDifference, HostError, jax_rule, primitive
from pullback.trust import check_derivatives

RNG = np.random.default_rng(0)
A, W = RNG.normal(size=(3, 4)), RNG.normal(size=3)
X = jnp.array([0.1, 0.5, -0.3, 0.8])
OUT = jax.ShapeDtypeStruct((3,), float)


def f(x):
    return np.sin(A @ x) * W


def jacobian(x):
    return (np.cos(A @ x) * W)[:, None] * A


def push(args, tangents):
    return jacobian(args[0]) @ tangents[0]


def pull(args, cotangent):
    return (cotangent @ jacobian(args[0]),)


HOST_RULES = {
    "both": {"jvp": push, "vjp": pull},
    "jvp": {"jvp": push},
    "vjp": {"vjp": pull},
    "jacobian": {"jacobian": lambda x: (jacobian(x),)},
    "none": {},
}


@pytest.mark.parametrize("rules", [k if k == "both" else pytest.param(k, marks=pytest.mark.slow) for k in HOST_RULES])
def test_all_modes_with_host_rules(rules):
    g = primitive(f, out=OUT, finite_difference=FiniteDifference(), **HOST_RULES[rules])
    with checks_under_jit():  # the two rules are compared as well
        check_derivatives(g, X, samples=1, throw=True)


@pytest.mark.parametrize("rules", ["jvp", "vjp", "jacobian"])
def test_one_rule_gives_the_other(rules):
    g = primitive(f, out=OUT, **HOST_RULES[rules])
    np.testing.assert_allclose(jax.jacfwd(g)(X), jacobian(X), rtol=1e-13)
    np.testing.assert_allclose(jax.jit(jax.jacrev(g))(X), jacobian(X), rtol=1e-13)


def exponential(a, z):
    """exp(a z), whose rule in JAX calls itself: integers, complex numbers, several arguments, every order."""
    return primitive(
        lambda a, z, n: {"value": np.exp(a * z), "twice": 2 * n},
        out=lambda a, z, n: {"value": z, "twice": n},
        jvp=jax_rule(
            lambda args, d: {"value": exponential(*args[:2]) * (args[1] * d[0] + args[0] * d[1]), "twice": None}
        ),
    )(a, z, 3)["value"]


def test_rules_in_jax_to_third_order():
    z = jnp.array([0.3 + 0.2j, -0.5j])
    check_derivatives(exponential, 0.7, z, samples=1, throw=True)
    third = jax.grad(jax.jit(jax.grad(jax.grad(lambda a: exponential(a, z)[0].real))))(0.7)
    assert third == pytest.approx(float((z[0] ** 3 * jnp.exp(0.7 * z[0])).real), rel=1e-14)


def test_a_function_that_is_not_holomorphic():
    """|z|² z: rules by differences along real and imaginary parts, in the convention of JAX."""
    z = jnp.array([0.3 + 0.2j, 0.1 - 0.5j])
    g = primitive(lambda z: np.abs(z) ** 2 * z, out=lambda z: z, finite_difference=FiniteDifference())
    gradient = jax.grad(lambda z: g(z).imag.sum())(z)
    exact = jax.grad(lambda z: (z.real**2 + z.imag**2) @ z.imag)(z)
    np.testing.assert_allclose(gradient, exact, rtol=1e-10)


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_batch_is_one_call_of_a_vectorized_program(vectorized):
    shapes = []

    def on_host(x, y):
        shapes.append(x.shape)
        return x * y if vectorized else np.multiply(x, y)

    g = primitive(on_host, out=lambda x, y: x, vectorized=vectorized)
    x = jnp.arange(24.0).reshape(2, 3, 4)
    out = jax.jit(jax.vmap(jax.vmap(g, in_axes=(0, None)), in_axes=(0, None)))(x, jnp.arange(4.0))
    np.testing.assert_array_equal(out, x * jnp.arange(4.0))
    assert shapes == ([(6, 4)] if vectorized else [(4,)] * 6)


def test_exceptions_and_wrong_results_name_the_program():
    def broken(x):
        raise ValueError("the detector is off")

    with pytest.raises(HostError, match="broken: fn raised ValueError: the detector is off"):
        primitive(broken, out=OUT)(X)
    with pytest.raises(Exception, match="the detector is off"):
        jax.block_until_ready(jax.jit(primitive(broken, out=OUT))(X))
    with pytest.raises(HostError, match=r"shape \(3,\) as result 0; announced is \(4,\)"):
        primitive(f, out=jax.ShapeDtypeStruct((4,), float))(X)
    with pytest.raises(HostError, match="dtype complex128"):
        primitive(lambda x: x * 1j, out=lambda x: x)(X)
    with pytest.raises(Exception, match="vjp returned shape"):
        jax.grad(lambda x: primitive(f, out=OUT, vjp=lambda args, c: (c,))(x).sum())(X)


def test_missing_and_contradicting_rules():
    wrong = primitive(f, out=OUT, jvp=push, vjp=lambda args, c: (-c @ jacobian(args[0]),))
    with checks_under_jit(), pytest.raises(Exception, match="not the transpose"):
        jax.grad(lambda x: wrong(x).sum())(X)
    with pytest.raises(MissingDerivativeError, match="finite_difference"):
        jax.jvp(primitive(f, out=OUT), (X,), (X,))
    with pytest.raises(MissingDerivativeError, match="the jvp rule of f"):
        jax.hessian(primitive(f, out=OUT, jvp=push))(X)
    with pytest.raises(InputError, match="not both"):
        primitive(f, out=OUT, jvp=push, jacobian=jacobian)
    with pytest.raises(InputError, match="positive"):
        FiniteDifference(relative_step=0.0)


def test_precision_and_units_of_differences():
    g = primitive(np.exp, out=lambda x: x, finite_difference=FiniteDifference(scale=1e-9))
    assert jax.grad(lambda x: g(x * 1e9) / 1e9)(1e-9) == pytest.approx(np.e, rel=1e-11)
    single = primitive(np.exp, out=lambda x: x, jvp=lambda args, d: np.exp(args[0]) * d[0])
    value, slope = jax.value_and_grad(single)(jnp.float32(1))
    assert value.dtype == slope.dtype == jnp.float32


@pytest.mark.slow
def test_ten_thousand_calls_leave_nothing_behind():
    gradient = jax.jit(jax.grad(lambda x: primitive(f, out=OUT, vjp=pull)(x).sum()))

    def calls(n):
        for _ in range(n):
            gradient(X).block_until_ready()

    calls(200)
    gc.collect()
    before, memory = len(gc.get_objects()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    calls(10_000)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20_000  # kB (bytes on macOS)
