"""Rows of `linalg`: singular values and their spaces."""

from functools import cache, partial

import jax.numpy as jnp

from pullback import linalg
from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case, rows, weights
from pullback.trust._conformance._matrices import rectangle


@cache
def singular_rows() -> tuple[Case, ...]:
    """svd, svdvals, svd_truncated, low_rank."""
    thin = partial(jnp.linalg.svd, full_matrices=False)
    return (
        *rows("svd", {
            "regular": (rectangle(5, 4, [3.0, 2.0, 1.0, 0.5]),),
            "double value": (rectangle(5, 4, [3.0, 3.0, 1.0, 0.5]),),
            "values split by 1e-10": (rectangle(5, 4, [3.0 + 1e-10, 3.0, 1.0, 0.5]),),
            "double, zero values": (rectangle(5, 4, [3.0, 3.0, 0.0, 0.0]),),
            "double, zero values, complex": (rectangle(5, 4, [3.0, 3.0, 0.0, 0.0], complex_=True),),
            "wide, double, complex": (rectangle(3, 5, [3.0, 3.0, 1.0], complex_=True),),
        }, exact.svd, ours=linalg.svd, theirs=thin, loss=leading_pair),
        *rows("svd", {
            "null space, double value": (rectangle(5, 3, [2.0, 2.0, 1.0]),),
            "null space, double value, complex": (rectangle(5, 3, [2.0, 2.0, 1.0], complex_=True),),
        }, partial(exact.svd, full_matrices=True),
            ours=partial(linalg.svd, full_matrices=True), theirs=jnp.linalg.svd, loss=null_space),
        *rows("svdvals", {
            "double value, complex": (rectangle(5, 4, [3.0, 3.0, 1.0, 0.5], complex_=True),),
        }, _values, ours=linalg.svdvals, theirs=partial(jnp.linalg.svd, compute_uv=False), loss=two_largest),
        *rows("svd_truncated", {
            "kept and discarded doubles": (rectangle(5, 4, [3.0, 3.0, 1.0, 1.0]),),
            "kept double, discarded zeros": (rectangle(5, 4, [3.0, 3.0, 0.0, 0.0]),),
        }, exact.svd, ours=partial(linalg.svd_truncated, rank=2), theirs=_truncated, loss=leading_pair),
        *rows("low_rank", {
            "kept and discarded doubles": (rectangle(5, 4, [3.0, 3.0, 1.0, 1.0]),),
            "kept double, discarded zeros": (rectangle(5, 4, [3.0, 3.0, 0.0, 0.0]),),
            "kept double, discarded zeros, complex": (rectangle(5, 4, [3.0, 3.0, 0.0, 0.0], complex_=True),),
        }, _low_rank, ours=partial(linalg.low_rank, rank=2), theirs=_product_of_truncated),
    )  # fmt: skip


def leading_pair(usv):
    """What two equal singular values and their spaces determine: Σ O (u v†), projectors on both sides, s₁ + s₂."""
    u, s, vh = usv
    u, vh = u[:, :2], vh[:2]
    polar, left, right = u @ vh, u @ u.conj().T, vh.conj().T @ vh
    return sum((weights(b) * b).sum() for b in (polar, left, right)) + s[:2].sum() ** 2


def null_space(usv):
    """The projector on what is orthogonal to the range."""
    u, s, _ = usv
    beyond = u[:, len(s) :]
    projector = beyond @ beyond.conj().T
    return (weights(projector) * projector).sum()


def two_largest(s):
    return s[:2].sum() ** 2


def _values(mp):
    return lambda a: exact.svd(mp)(a)[1]


def _low_rank(mp):
    def of(a):
        u, s, vh = exact.svd(mp)(a)
        return (u[:, :2] * s[:2]) @ vh[:2]

    return of


def _truncated(a):
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    return u[:, :2], s[:2], vh[:2]


def _product_of_truncated(a):
    u, s, vh = _truncated(a)
    return (u * s) @ vh
