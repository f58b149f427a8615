"""A public function at one regular point, as the table of transformations calls it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """One row.

    Attributes:
        name: the public name, "linalg.eigh".
        function: arrays -> pytree of arrays that depends on no choice of basis or phase. Options are bound in it.
        inputs: the point.
        batched: whether it takes leading axes by itself: then an empty batch is tried outside `vmap` as well.
        cannot: transformation -> why it cannot work, in one line that is also in the documentation.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    batched: bool = False
    cannot: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def moved(self, t: Any, inputs: tuple) -> list[jax.Array]:
        """The inputs, t along a fixed direction away."""
        out = []
        for k, x in enumerate(inputs):
            x = jnp.asarray(x)
            v = np.cos(np.arange(x.size) + 1.0 + k / 2).reshape(x.shape)
            if x.ndim >= 2 and x.shape[-1] == x.shape[-2]:
                v = (v + np.swapaxes(v, -1, -2)) / 2  # Hermitian matrices stay so
            out.append(x + t * jnp.asarray(v, x.dtype))
        return out

    def number(self, t: Any, inputs: tuple) -> jax.Array:
        """φ(t) = Σ w·Re y + Σ w′·Im y + |y|²/2 over all numbers y of the function's value, with fixed weights."""
        total = jnp.zeros(())
        for leaf in jax.tree.leaves(self.function(*self.moved(t, inputs))):
            if not jnp.issubdtype(leaf.dtype, jnp.inexact):
                continue
            i = np.arange(leaf.size).reshape(leaf.shape) + 1.0
            w, v = jnp.asarray(np.sin(i)), jnp.asarray(np.cos(2 * i))
            re, im = jnp.real(leaf).astype(float), jnp.imag(leaf).astype(float)
            total = total + jnp.sum(w * re + v * im + (re * re + im * im) / 2)
        return total
