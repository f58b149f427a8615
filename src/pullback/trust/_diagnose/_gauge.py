r"""Does a function depend on the basis of eigenvectors that the library happened to return?

Eigenvectors have a free phase (a sign, if real), and those of equal levels a free rotation. A function that depends on
that choice has no derivative: another library, or a neighbouring point, may choose differently. So the choice is
changed inside the program, V → V G with G unitary inside groups of equal levels, and the value compared.

Signs are changed in a pattern: with three of them every column is flipped at least once, and any two columns among
seven differently at least once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core._compat import ClosedJaxpr, bound
from pullback.trust._diagnose._program import equations, evaluate

PATTERNS = 3
NEAR = 1e-7  # gaps below, relative to the largest level, cannot be told from zero by steps of any use
_DECOMPOSITIONS = ("eigh", "svd", "eig")


def has_vectors(program: ClosedJaxpr) -> bool:
    """Whether eigenvectors or singular vectors are computed in it."""
    return any(e.primitive.name in _DECOMPOSITIONS and len(e.outvars) > 1 for e in equations(program))


def patterns(program: ClosedJaxpr) -> int:
    """How many changes of signs are needed."""
    sizes = [max(v.aval.shape[-1] for v in e.outvars) for e in equations(program)
             if e.primitive.name in _DECOMPOSITIONS]  # fmt: skip
    return min(PATTERNS, int(np.ceil(np.log2(max(sizes) + 1))))


def regauged(
    program: ClosedJaxpr, pattern: int, closeness: float | None, record: Callable[[Any], None]
) -> Callable[[list], list]:
    """The program with other eigenvectors.

    Args:
        program: that is changed.
        pattern: number of the pattern of signs.
        closeness: levels closer than this, relative to the largest one, are taken as equal; None: up to rounding.
        record: is told the smallest gap of each decomposition that is not rounding, relative to the largest level.
    """
    place: dict[Any, int] = {}

    def changes(equation, w):
        """(n, n) unitary matrices, one for each member of a batch."""
        seed = place.setdefault(id(equation), len(place))
        size = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
        rounding = 4 * w.shape[-1] * jnp.finfo(w.dtype).eps
        distance = jnp.abs(w[..., :, None] - w[..., None, :]) / jnp.where(size > 0, size, 1)[..., None]
        gaps = jnp.where((distance > rounding), distance, 1.0)
        jax.debug.callback(record, jnp.min(gaps, initial=1.0))
        together = distance <= (rounding if closeness is None else closeness)
        rng = np.random.default_rng(7 * seed + pattern)
        random = jnp.asarray(rng.normal(size=(w.shape[-1],) * 2), w.real.dtype)
        q = jnp.linalg.qr(jnp.where(together, random, 0))[0]
        q = q * jnp.sign(jnp.diagonal(q, axis1=-2, axis2=-1))[..., None, :]
        alone = jnp.sum(together, axis=-1, keepdims=True) == 1
        q = jnp.where(alone, jnp.eye(w.shape[-1], dtype=q.dtype), q)
        flips = ((np.arange(w.shape[-1]) + 3 * seed) % 7 + 1) >> pattern & 1
        return q * jnp.asarray(1.0 - 2 * flips, q.dtype), jnp.asarray(rng.uniform(1, 5, w.shape[-1]), w.real.dtype)

    def turned(vectors, change):
        q, phases = change
        if jnp.iscomplexobj(vectors):
            q = q * jnp.exp(1j * phases).astype(vectors.dtype)
        return vectors @ q.astype(vectors.dtype)

    def eigh(equation, values):
        v, w = bound(equation, values)
        return [turned(v, changes(equation, w)), w]

    def svd(equation, values):
        s, *vectors = bound(equation, values)
        if not vectors:
            return [s]
        u, vh = vectors
        k, change = s.shape[-1], changes(equation, s)
        right = jnp.swapaxes(turned(jnp.conj(jnp.swapaxes(vh[..., :k, :], -1, -2)), change), -1, -2)
        u = u.at[..., :k].set(turned(u[..., :k], change))
        return [s, u, vh.at[..., :k, :].set(jnp.conj(right))]

    def eig(equation, values):
        w, *vectors = bound(equation, values)
        (_, phases), eye = changes(equation, w), jnp.eye(w.shape[-1])
        return [w, *(turned(v, (eye, phases + i)) for i, v in enumerate(vectors))]

    rules = {"eigh": eigh, "svd": svd, "eig": eig}
    return lambda values: evaluate(program, values, rules)
