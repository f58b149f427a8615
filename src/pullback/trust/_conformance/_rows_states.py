"""Rows of `linalg`: density matrices and matrix norms, at degenerate, rank-deficient and pure points."""

from functools import cache, partial

import jax.numpy as jnp
import numpy as np

from pullback import linalg
from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case, rows
from pullback.trust._conformance._matrices import hermitian_direction, rectangle, reflection, rotated

MIXED = [0.1, 0.2, 0.2, 0.5]
EVEN = np.array([0.5, 0.5, 0.5, 0.5])  # a vector of norm 1


@cache
def state_rows() -> tuple[Case, ...]:
    """entropy, relative_entropy, fidelity, bures_distance, nuclear_norm, spectral_norm, schatten_norm."""
    of = partial(rows, direction=hermitian_direction)
    full, other = rotated(MIXED), rotated(MIXED[::-1]) / 2 + np.eye(4) / 8
    return (
        *of("entropy", {
            "double weight": (full,),
            "double weight, complex": (rotated(MIXED, complex_=True),),
        }, _entropy, ours=linalg.entropy, theirs=_plain_entropy, loss=_itself),
        *rows("entropy", {"pure states |v><v|": (EVEN,)}, _entropy_of_vector,
            ours=lambda v: linalg.entropy(jnp.outer(v, v)), theirs=lambda v: _plain_entropy(jnp.outer(v, v)),
            loss=_itself),
        *of("relative_entropy", {"double weights": (full, other)}, _relative_entropy, ours=linalg.relative_entropy,
            theirs=None, loss=_itself),
        *of("fidelity", {"double weights": (full, other)}, _fidelity, ours=linalg.fidelity, theirs=None, loss=_itself),
        *rows("fidelity", {"orthogonal pure states": (EVEN, EVEN * [1, -1, 1, -1])}, _overlap,
            ours=lambda v, w: linalg.fidelity(jnp.outer(v, v), jnp.outer(w, w)), theirs=None, loss=_itself),
        *of("bures_distance", {"double weights": (full, other)}, _bures, ours=linalg.bures_distance, theirs=None,
            loss=_itself),
        *rows("nuclear_norm", {
            "equal values": (reflection(4),),
            "double value, complex": (rectangle(4, 3, [2.0, 2.0, 0.5], complex_=True),),
        }, _norm(1), ours=linalg.nuclear_norm, theirs=partial(jnp.linalg.norm, ord="nuc"), loss=_itself),
        *rows("spectral_norm", {"double value below": (rectangle(4, 3, [2.0, 0.5, 0.5]),)}, _largest,
            ours=linalg.spectral_norm, theirs=partial(jnp.linalg.norm, ord=2), loss=_itself),
        *rows("schatten_norm", {
            "p = 3, double value": (rectangle(4, 3, [2.0, 2.0, 0.5]),),
        }, _norm(3), ours=partial(linalg.schatten_norm, p=3), theirs=None, loss=_itself),
        *rows("schatten_norm", {
            "p = 4, zero values": (rectangle(4, 3, [2.0, 0.0, 0.0]),),
        }, _norm(4), ours=partial(linalg.schatten_norm, p=4), theirs=None, loss=_itself),
    )  # fmt: skip


def _itself(y):
    return y.sum()


def _plain_entropy(rho):
    w = jnp.linalg.eigvalsh(rho)
    return -jnp.sum(jnp.where(w > 0, w * jnp.log(jnp.where(w > 0, w, 1)), 0))


def _entropy(mp):
    return lambda a: -sum(x * mp.log(x) for x in exact.eigh(mp)(a)[0])


def _entropy_of_vector(mp):
    return lambda v: -(v @ v) * mp.log(v @ v)


def _relative_entropy(mp):
    logarithm = exact.hermitian_function(lambda mp: mp.log)(mp)
    return lambda a, b: -_entropy(mp)(a) - (a.T * logarithm(b)).sum()


def _fidelity(mp):
    root = exact.hermitian_function(lambda mp: mp.sqrt)(mp)

    def of(a, b):
        return sum(mp.sqrt(x) for x in exact.eigh(mp)(root(a) @ b @ root(a))[0]) ** 2

    return of


def _overlap(mp):
    return lambda v, w: (v @ w) ** 2


def _bures(mp):
    return lambda a, b: mp.sqrt(np.trace(a) + np.trace(b) - 2 * mp.sqrt(_fidelity(mp)(a, b)))


def _norm(p):
    return lambda mp: lambda a: mp.root(sum(x**p for x in exact.svd(mp)(a)[1]), p)


def _largest(mp):
    return lambda a: exact.svd(mp)(a)[1][0]
