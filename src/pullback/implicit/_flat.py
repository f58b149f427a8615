"""A pytree of real and complex arrays as one real vector.

Every equation of this room is solved and differentiated in this form. A function of complex numbers that is not
holomorphic (|ψ|², conjugates) has no complex-linear derivative, but a real-linear one on pairs (Re x, Im x); on the
vector of all real and imaginary parts its Jacobian is an ordinary real matrix.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


class Flat(eqx.Module):
    """The layout of a pytree: `pack` makes it a real vector, `unpack` undoes that. Made by `Flat.of`."""

    tree: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    dtypes: tuple[Any, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, x: PyTree) -> "Flat":
        """The layout of `x`: arrays or `ShapeDtypeStruct`s of floating-point or complex dtype."""
        leaves, tree = jax.tree.flatten(x)
        return cls(tree, tuple(tuple(a.shape) for a in leaves), tuple(jnp.dtype(a.dtype) for a in leaves))

    @property
    def dtype(self) -> Any:
        """The real dtype that holds all leaves."""
        return jnp.result_type(*(jnp.finfo(d).dtype for d in self.dtypes))

    @property
    def size(self) -> int:
        """The number of real unknowns."""
        return sum(self._sizes)

    @property
    def _sizes(self):
        return [math.prod(s) * (2 if _is_complex(d) else 1) for s, d in zip(self.shapes, self.dtypes)]

    def pack(self, x: PyTree) -> Float[Array, " n"]:
        parts = []
        for a in map(jnp.asarray, jax.tree.leaves(x)):
            parts += [a.real.ravel(), a.imag.ravel()] if jnp.iscomplexobj(a) else [a.ravel()]
        return jnp.concatenate([p.astype(self.dtype) for p in parts])

    def unpack(self, v: Float[Array, " n"]) -> PyTree:
        leaves, start = [], 0
        for shape, dtype, size in zip(self.shapes, self.dtypes, self._sizes):
            part = v[start : start + size].astype(jnp.finfo(dtype).dtype)
            if _is_complex(dtype):
                part = jax.lax.complex(part[: size // 2], part[size // 2 :])
            leaves.append(part.reshape(shape))
            start += size
        return jax.tree.unflatten(self.tree, leaves)


def _is_complex(dtype):
    return jnp.issubdtype(dtype, jnp.complexfloating)
