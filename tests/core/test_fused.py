"""`fused`: `whole` where everything is evaluated at once, `parts` where JAX differentiates or splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import fused, linear_map

X = jnp.array([0.3, -1.2])


def sine(joint=False):
    """sin with a rule whose value and tangent are one program."""

    @jax.custom_jvp
    def f(x):
        return jnp.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        def whole(x, dx):
            return jnp.sin(x), jnp.cos(x) * dx

        def parts(x, dx):
            def times_cos(x, dx):
                return jnp.cos(x) * dx

            return f(x), linear_map(times_cos, times_cos, x, dx, joint=joint)

        return fused(whole, parts, *primals, *tangents)

    return f


MODES = {
    "jvp": lambda f: jax.jvp(f, (X,), (X,))[1],
    "vjp": lambda f: jax.vjp(f, X)[1](X)[0],
    "linearize": lambda f: jax.linearize(f, X)[1](X),
    "transposed tangent": lambda f: jax.linear_transpose(lambda d: jax.jvp(f, (X,), (d,))[1], X)(X)[0],
    "jacfwd": lambda f: jax.jacfwd(f)(X),
    "jacrev": lambda f: jax.jacrev(f)(X),
    "hessian": lambda f: jax.hessian(f)(X),
    "fwd-fwd": lambda f: jax.jvp(lambda x: jax.jvp(f, (x,), (X,))[1], (X,), (X,))[1],
    "fwd-rev": lambda f: jax.jvp(jax.grad(lambda x: f(x).sum()), (X,), (X,))[1],
    "rev-fwd": lambda f: jax.grad(lambda x: jax.jvp(f, (x,), (X,))[1].sum())(X),
    "rev-rev": lambda f: jax.grad(lambda x: jax.grad(lambda x: f(x).sum())(x) @ X)(X),
    "third": lambda f: jax.jacfwd(jax.jacfwd(jax.jacrev(f)))(X),
}
WRAPPERS = {
    "plain": lambda f: f,
    "jit": jax.jit,
    "vmap": jax.vmap,
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, u: (c + f(u), None), 0 * x[0], x)[0] * jnp.ones(2),
    "scan of states": lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, None, 3)[0],
    "checkpoint": jax.checkpoint,
    "checkpointed scan": lambda f: lambda x: jax.lax.scan(jax.checkpoint(lambda c, _: (f(c), None)), x, None, 3)[0],
    "cond": lambda f: lambda x: jax.lax.cond(x[0] > 0, f, jnp.cos, x),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("mode", MODES)
def test_derivatives(mode, wrapper):
    """As those of jnp.sin, inside all transformations."""
    found, expected = (MODES[mode](WRAPPERS[wrapper](f)) for f in (sine(), jnp.sin))
    np.testing.assert_allclose(found, expected, atol=1e-14)
    jitted = jax.jit(lambda: MODES[mode](WRAPPERS[wrapper](sine())))()
    np.testing.assert_allclose(jitted, expected, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_joint_derivatives(mode):
    """`linear_map` differentiated in residuals and argument at once."""
    np.testing.assert_allclose(MODES[mode](sine(joint=True)), MODES[mode](jnp.sin), atol=1e-14)


def test_what_runs():
    """Forward mode runs the common program, reverse mode the separate ones."""
    f = sine()

    def names(g):
        return [eqn.primitive.name for eqn in jax.make_jaxpr(g)(X).eqns]

    forward = names(lambda x: jax.jvp(f, (x,), (x,)))
    assert "fused" in forward and "linear_map" not in forward and "custom_jvp_call" not in forward
    reverse = names(lambda x: jax.vjp(f, x)[1](x))
    assert "linear_map" in reverse and "custom_jvp_call" in reverse and "fused" not in reverse
    both = names(lambda x: jax.jvp(lambda x: jax.vjp(f, x)[1](x)[0], (x,), (x,)))
    assert "fused" in both and "custom_jvp_call" not in both  # the value comes with its tangent


def test_pytrees_and_integers():
    def whole(tree, k):
        return {"out": tree["a"] * k, "twice": 2 * tree["b"]}

    tree = {"a": X, "b": X[0]}
    found = jax.jit(jax.vmap(lambda t, k: fused(whole, whole, t, k), (None, 0)))(tree, jnp.arange(3))
    np.testing.assert_array_equal(found["out"], X * jnp.arange(3)[:, None])
    assert found["twice"].shape == (3,)
