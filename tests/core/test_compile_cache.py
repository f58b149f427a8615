"""Functions that do the same share a program; any that do not, do not."""

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core import linear_map
from pullback.core._compile_cache import compiled_once
from pullback.core._linear_map import hoist

made = []


def total(function, static=("test",)):
    """Σ f(0), Σ f(1), …, each by a program in which f was traced, or not."""
    x = jnp.arange(3.0)
    closed, consts, _ = hoist(function, x)

    def fun(consts, x):
        made.append(1)
        return closed(consts, x).sum()

    before = len(made)
    value = compiled_once(fun, static, [(closed, (consts, x))], consts, x)
    return float(value), len(made) > before


def test_what_is_the_same_and_what_is_not():
    shift = np.ones(3)
    assert total(lambda x: x * jnp.asarray(shift) + 2.0) == (9.0, True)
    shift[:] = 10.0  # arrays are handed over at every call
    assert total(lambda x: x * jnp.asarray(shift) + 2.0) == (36.0, False)
    assert total(lambda x: x * jnp.asarray(shift) + 2.5) == (37.5, True)
    assert total(lambda x: x * jnp.asarray(shift) - 2.0) == (24.0, True)
    assert total(lambda x: x * jnp.asarray(shift) + 2.0, ("test", "other")) == (36.0, True)

    def looped(bound):
        return lambda x: jax.lax.fori_loop(0, bound, lambda i, y: 2 * y, x)

    assert [total(looped(n)) for n in (2, 3, 2)] == [(12.0, True), (24.0, True), (12.0, False)]


def test_functions_inside_of_primitives():
    """`linear_map` keeps functions, which are looked into; a callback is not known, and its program not kept."""

    def mapped(number):
        return lambda x: linear_map(lambda _, x: number * x, lambda _, y: number * y, (), x)

    assert [total(mapped(n)) for n in (2.0, 3.0, 2.0)] == [(6.0, True), (9.0, True), (6.0, False)]

    def called(number):
        return lambda x: jax.pure_callback(lambda x: number * x, jax.ShapeDtypeStruct((3,), float), x)

    assert [total(called(n)) for n in (2.0, 3.0)] == [(6.0, True), (9.0, True)]
    assert jax.jit(lambda: compiled_once(jnp.sin, "sin", [(jnp.sin, (1.0,))], jnp.ones(())))() == np.sin(1.0)
