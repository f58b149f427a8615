r"""Does a function depend on the basis of eigenvectors that the library happened to return?

Eigenvectors have a free phase (a sign, if real), and those of equal levels a free rotation. A function that depends on
that choice has no derivative: another library, or a neighbouring point, may choose differently. So the choice is
changed inside the program, V → V G with G unitary inside groups of equal levels, and the value compared.

Signs are changed in a pattern: with three of them every column is flipped at least once, and any two columns among
seven differently at least once.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core._compat import ClosedJaxpr, Jaxpr, Literal, bound
from pullback.trust._diagnose._program import equations, evaluate, programs_of

PATTERNS = 3
NEAR = 1e-7  # gaps below, relative to the largest level, cannot be told from zero by steps of any use
_DECOMPOSITIONS = ("eigh", "svd", "eig")


def has_vectors(program: ClosedJaxpr) -> bool:
    """Whether its results depend on eigenvectors or singular vectors."""
    flat = jax.make_jaxpr(lambda *x: evaluate(program, list(x), {}))(*program.in_avals).jaxpr
    live = {v for v in flat.outvars if not isinstance(v, Literal)}
    for equation in reversed(flat.eqns):
        of_vectors = [v for v in equation.outvars if len(v.aval.shape) >= 2]
        if equation.primitive.name in _DECOMPOSITIONS:
            if live & set(of_vectors):
                return True
        elif live & set(equation.outvars) and any(_vectors_within(p) for p in programs_of(equation)):
            return True
        if live & set(equation.outvars):
            live |= {v for v in equation.invars if not isinstance(v, Literal)}
    return False


def _vectors_within(program: Jaxpr) -> bool:
    return any(e.primitive.name in _DECOMPOSITIONS and len(e.outvars) > 1 for e in equations(program))


def patterns(program: ClosedJaxpr) -> int:
    """How many changes of signs are needed."""
    found = (e for e in equations(program.jaxpr) if e.primitive.name in _DECOMPOSITIONS)
    sizes = [max(v.aval.shape[-1] for v in e.outvars) for e in found]
    return min(PATTERNS, int(np.ceil(np.log2(max(sizes) + 1))))


def regauged(program: ClosedJaxpr, record: Callable[[Any], None]) -> Callable[[list, Any, Any], list]:
    """(values, pattern, closeness) -> the results of the program with other eigenvectors.

    Pattern is the number of a pattern of signs. Levels closer than `closeness`, relative to the largest one, are taken
    as equal, and those that are up to rounding. `record` is told the smallest gap of each decomposition that is not
    rounding, relative to the largest level.
    """

    def run(values, pattern, closeness):
        numbers = itertools.count()

        def changes(w):
            """(unitary matrices, one for each member of a batch; angles for phases)."""
            n, number = w.shape[-1], next(numbers)
            size = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
            distance = jnp.abs(w[..., :, None] - w[..., None, :]) / jnp.where(size > 0, size, 1)[..., None]
            rounding = 4 * n * jnp.finfo(w.dtype).eps
            jax.debug.callback(record, jnp.min(jnp.where(distance > rounding, distance, 1.0), initial=1.0))
            together = distance <= jnp.maximum(rounding, closeness)
            rng = np.random.default_rng(number)
            real = w.real.dtype
            first, second = jnp.asarray(rng.normal(size=(2, n, n)), real)
            q = jnp.linalg.qr(jnp.where(together, first + pattern.astype(real) * second, 0))[0]
            alone = jnp.sum(together, axis=-1, keepdims=True) == 1
            q = jnp.where(alone, jnp.eye(n, dtype=real), q)
            flips = ((np.arange(n) + 3 * number) % 7 + 1) >> pattern & 1
            angles = jnp.asarray(rng.uniform(1, 5, n), real) + pattern.astype(real)
            return q * (1 - 2 * flips).astype(real), angles

        def eigh(equation, values):
            v, w = bound(equation, values)
            return [_turned(v, *changes(w)), w]

        def svd(equation, values):
            s, *vectors = bound(equation, values)
            if not vectors:
                return [s]
            (u, vh), k, change = vectors, s.shape[-1], changes(s)
            right = _turned(_adjoint(vh[..., :k, :]), *change)
            return [s, u.at[..., :k].set(_turned(u[..., :k], *change)), vh.at[..., :k, :].set(_adjoint(right))]

        def eig(equation, values):
            w, *vectors = bound(equation, values)
            (_, angles), eye = changes(w), jnp.eye(w.shape[-1])
            return [w, *(_turned(v, eye, angles + i) for i, v in enumerate(vectors))]

        return evaluate(program, values, {"eigh": eigh, "svd": svd, "eig": eig})

    return run


def _turned(vectors, q, angles):
    if jnp.iscomplexobj(vectors):
        q = q * jnp.exp(1j * angles)
    return vectors @ q.astype(vectors.dtype)


def _adjoint(a):
    return jnp.conj(jnp.swapaxes(a, -1, -2))
