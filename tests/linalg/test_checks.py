"""Checks of values inside `jit`, on request."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from pullback.core import checks_under_jit
from pullback.linalg import eigvalsh, qr


@pytest.mark.parametrize(
    ("function", "good", "bad", "message"),
    [
        (eigvalsh, jnp.eye(2), jnp.array([[1.0, 2.0], [0.0, 1.0]]), "Hermitian"),
        (eigvalsh, jnp.eye(2), jnp.full((2, 2), jnp.nan), "NaN or infinite"),
        (lambda a: qr(a, "r"), jnp.eye(2), jnp.full((2, 2), jnp.inf), "NaN or infinite"),
    ],
)
def test_values_are_checked_in_compiled_programs_on_request(function, good, bad, message):
    jax.jit(lambda a: function(a))(bad)  # not asked for
    with checks_under_jit():
        program = eqx.filter_jit(lambda a: function(a))
        assert jnp.isfinite(program(good)).all()
        gradient = jax.jit(jax.grad(lambda a: jnp.sum(function(a))))(good)
        assert jnp.isfinite(gradient).all()
        with pytest.raises(eqx.EquinoxRuntimeError, match=message):
            jax.block_until_ready(program(bad))
