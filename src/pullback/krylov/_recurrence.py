"""Lanczos' recurrence, the one that eigenvalues, spectral bounds and MINRES take their steps by."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

Apply = Callable[[Array], Array]


def recurrence(
    apply: Apply,
    q: Inexact[Array, "*n"],
    dual: Inexact[Array, "*n"],
    previous: Inexact[Array, "*n"],
    beta: Float[Array, ""],
    precondition: Apply | None = None,
) -> tuple[Inexact[Array, "*n"], Inexact[Array, "*n"], Float[Array, ""], Float[Array, ""]]:
    """(q', p', α, β') of β' q' = A p − α q − β q_previous with p' = M⁻¹ q'.

    A is Hermitian; the vectors obey <q_i, p_j> = δ_ij, and A is tridiagonal in them, with the α and β. Where β' = 0
    the space is invariant, and q' = 0.

    Args:
        apply: A.
        q: q, of length one.
        dual: p; q itself without a preconditioner.
        previous: the q of the step before; for the first step anything finite.
        beta: the β' of the step before; for the first step zero.
        precondition: M⁻¹, Hermitian and positive definite; None: the identity.
    """
    w = apply(dual) - beta.astype(q.dtype) * previous
    alpha = jnp.vdot(dual, w).real
    w = w - alpha.astype(q.dtype) * q
    if precondition is None:
        norm = jnp.linalg.norm(w)
        new = w / nonzero(norm).astype(w.dtype)
        return new, new, alpha, norm
    z = precondition(w)
    norm = jnp.sqrt(jnp.maximum(jnp.vdot(w, z).real, 0))
    scale = nonzero(norm).astype(w.dtype)
    return w / scale, z / scale, alpha, norm


def nonzero(x: Array) -> Array:
    """x, or one where it is zero."""
    return jnp.where(x == 0, 1, x)
