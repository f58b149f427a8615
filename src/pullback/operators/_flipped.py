"""Amplitudes with some bits of their numbers flipped."""

import jax.numpy as jnp
from jaxtyping import Array, Inexact

_RUNS = 3  # of ones in x, up to which axes are reversed; tensors of high rank compile badly


def flipped(a: Inexact[Array, "*batch N"], x: int) -> Inexact[Array, "*batch N"]:
    """a[..., i ^ x]: each run of ones in x reverses an axis."""
    n = a.shape[-1].bit_length() - 1
    runs, q = [], 0
    while x >> q:
        if x >> q & 1:
            end = q
            while x >> end & 1:
                end += 1
            runs.append((q, end))
            q = end
        q += 1
    if len(runs) > _RUNS:
        return a[..., jnp.arange(1 << n) ^ x]
    shape, axes, low = [], [], 0
    for start, end in runs:
        shape += [1 << (start - low), 1 << (end - start)]
        axes.append(len(shape))
        low = end
    shape = [1 << (n - low), *reversed(shape)]
    axes = [a.ndim - 1 + len(shape) - k for k in axes]
    return jnp.flip(a.reshape(*a.shape[:-1], *shape), axes).reshape(a.shape) if runs else a
