"""Zero modes: directions along which a solution moves freely (translations, rotations, rattlers, gauges)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pullback.core import InputError
from pullback.implicit import _linear
from pullback.implicit._flat import Flat

Modes = tuple[Float[Array, "k n"], Float[Array, "k n"]]


class Find(eqx.Module):
    """Finds the zero modes from the whole Jacobian at the solution: singular values below `rtol` times the largest.

    Finds rattlers and unforeseen symmetries. Costs a dense decomposition at the solution. First derivatives are the
    minimum-norm ones; in higher derivatives the modes found are held fixed, which is exact for functions that do not
    depend on the position along the modes.

    Attributes:
        rtol: None stands for the square root of the precision (1.5e-8 in double precision).
    """

    rtol: float | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.rtol is not None and not 0 < self.rtol < 1:
            raise InputError(f"Find(rtol={self.rtol}): rtol must be between 0 and 1.")


class Held(eqx.Module):
    """Zero modes that were found, the same for every v."""

    modes: Modes

    def __call__(self, v: Array) -> Modes:
        del v
        return self.modes


def no_modes(v: Array) -> None:
    """For regular equations."""
    del v


def rows(name: str, zero_modes: Any, flat: Flat) -> Callable[[Array], Modes]:
    """v -> (Z, Z), orthonormal rows, of zero modes that the user declares by arrays or as a function of x."""
    declared = zero_modes if callable(zero_modes) else lambda x: zero_modes
    like = jax.tree.unflatten(flat.tree, [jax.ShapeDtypeStruct(s, d) for s, d in zip(flat.shapes, flat.dtypes)])
    stack = jax.eval_shape(lambda x: jax.tree.map(jnp.asarray, declared(x)), like)
    shapes = [a.shape for a in jax.tree.leaves(stack)]
    if jax.tree.structure(stack) != flat.tree or any(s[1:] != t for s, t in zip(shapes, flat.shapes)):
        raise InputError(
            f"{name}: zero_modes must have the structure of x, each leaf with one more axis in front that counts the "
            f"modes: {list(flat.shapes)} needs {[('k', *s) for s in flat.shapes]}, got {shapes}."
        )
    if len({s[0] for s in shapes}) != 1 or not 0 < shapes[0][0] < flat.size:
        raise InputError(f"{name}: zero_modes must hold the same number of modes in each leaf, got {shapes}.")

    def basis(v):
        z = jax.vmap(flat.pack)(jax.tree.map(jnp.asarray, declared(flat.unpack(v))))
        z = jnp.linalg.qr(z.T)[0].T
        return z, z

    return basis


def find(a: Float[Array, "n n"], rtol: float | None, symmetric: bool) -> tuple[Modes, Int[Array, ""], Float[Array, ""]]:
    """Zero modes of a matrix, as n rows of which only the zero modes are not zero; their number; the smallest kept.

    The last is the smallest singular value that is not counted as zero, relative to the largest.
    """
    if symmetric:
        s, u = jnp.linalg.eigh((a + a.T) / 2)
        s, uh, vh = jnp.abs(s), u.T, u.T
    else:
        u, s, vh = jnp.linalg.svd(a)
        uh = u.T
    zero = s <= (float(jnp.finfo(a.dtype).eps) ** 0.5 if rtol is None else rtol) * jnp.max(s)
    kept = jnp.min(jnp.where(zero, jnp.inf, s)) / jnp.max(s)
    mask = zero[:, None].astype(a.dtype)
    return (mask * uh, mask * vh), jnp.sum(zero), kept


def leak(modes: Modes, jacobian: Callable[[Array], Array], v: Float[Array, " n"]) -> Float[Array, ""]:
    """max |J z| over the declared modes, relative to the size of J: zero if they are what they are said to be."""
    return jnp.max(_linear.norm(jax.vmap(jacobian)(modes[1]), axis=1)) / _linear.scale(jacobian, v)
