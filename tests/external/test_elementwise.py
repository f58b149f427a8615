"""Host functions as JAX functions: shapes, batching, precision, derivatives given by the caller."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import MissingDerivativeError
from pullback.external import host_elementwise, with_partials
from pullback.trust import check_derivatives


def test_one_call_for_a_batch_and_no_copies():
    shapes = []

    def on_host(x, y):
        shapes.append((x.shape, y.shape, x.dtype))
        return x + y

    x, y = jnp.ones((3, 2), jnp.float32), jnp.ones(2, jnp.float32)
    out = jax.jit(jax.vmap(lambda x: host_elementwise(on_host, x, y, dtype=jnp.float32)))(x)
    assert shapes == [((3, 2), (1, 2), np.float64)]
    assert out.shape == (3, 2) and out.dtype == jnp.float32


def test_arguments_of_different_rank_under_vmap():
    x, y = jnp.arange(12.0).reshape(3, 4), jnp.arange(20.0).reshape(5, 4)
    out = jax.vmap(lambda x: host_elementwise(np.add, x, y, dtype=float))(x)
    np.testing.assert_array_equal(out, x[:, None, :] + y)


def test_several_results():
    out = host_elementwise(np.divmod, jnp.array([7.0, 8.0]), 3.0, dtype=(float, float))
    np.testing.assert_array_equal(out, [[2, 2], [1, 2]])


def sine(x):
    return with_partials(lambda x: host_elementwise(np.sin, x, dtype=x.dtype), cosine)(x)


def cosine(x):
    return with_partials(lambda x: host_elementwise(np.cos, x, dtype=x.dtype), lambda x: -sine(x))(x)


def test_all_modes():
    check_derivatives(sine, jnp.array([0.3, 0.5 + 0.2j]), samples=1, throw=True)


def test_a_missing_partial_raises_only_when_it_is_asked_for():
    scaled = with_partials(lambda a, x: a * jnp.sin(x), "scaled: no rule for 'a'", lambda a, x: a * jnp.cos(x))
    assert jax.grad(jax.jit(scaled), argnums=1)(2.0, 0.0) == 2.0
    assert jax.jvp(jax.grad(lambda x: scaled(2.0, x)), (0.5,), (1.0,))[1] == pytest.approx(-2 * np.sin(0.5))
    with pytest.raises(MissingDerivativeError, match="no rule for 'a'"):
        jax.grad(scaled)(2.0, 0.5)
