"""Hermitian linear equations A x = b with A known by its products, on arrays of any shape.

Sources: M. R. Hestenes, E. Stiefel, J. Res. NBS 49, 409 (1952); C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12,
617 (1975).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Inexact

from pullback.core import vary_like

Apply = Callable[[Array], Array]


def conjugate_gradients(
    apply: Apply, b: Inexact[Array, "*n"], precondition: Apply, *, tol: float, max_steps: int
) -> tuple[Inexact[Array, "*n"], Bool[Array, ""]]:
    """(x, whether |A x − b| ≤ tol |b|) for a positive definite A."""
    goal = tol * _norm(b)

    def unfinished(state):
        _, r, _, rho, step = state
        return (_norm(r) > goal) & (step < max_steps) & (rho > 0)

    def improve(state):
        x, r, p, rho, step = state
        image = apply(p)
        alpha = rho / _dot(p, image)
        x, r = x + alpha.astype(p.dtype) * p, r - alpha.astype(p.dtype) * image
        z = precondition(r)
        new = _dot(r, z)
        return x, r, z + (new / rho).astype(p.dtype) * p, new, step + 1

    z = precondition(b)
    x, *_ = jax.lax.while_loop(unfinished, improve, vary_like((jnp.zeros_like(b), b, z, _dot(b, z), 0)))
    return x, _solved(apply, x, b, goal)


def minres(
    apply: Apply, b: Inexact[Array, "*n"], precondition: Apply, *, tol: float, max_steps: int
) -> tuple[Inexact[Array, "*n"], Bool[Array, ""]]:
    """(x, whether |A x − b| ≤ tol |b|) for a Hermitian A that need not be definite; `precondition` must be."""
    goal = tol * _norm(b)
    z = precondition(b)
    beta = jnp.sqrt(jnp.maximum(_dot(b, z), 0))
    zero = jnp.zeros_like(b)
    one = jnp.ones_like(beta)

    # Lanczos vectors r (with z = M⁻¹ r); two columns of the QR factors; two search directions.
    def unfinished(state):
        return (state["phi"] > 0.1 * goal_phi) & (state["step"] < max_steps) & (state["beta"] > 0)

    goal_phi = beta * tol

    def improve(s):
        v = s["z"] / s["beta"]
        image = apply(v)
        alpha = _dot(v, image)
        r = image - (alpha / s["beta"]) * s["r"] - (s["beta"] / _nonzero(s["beta_old"])) * s["r_old"]
        z = precondition(r)
        beta = jnp.sqrt(jnp.maximum(_dot(r, z), 0))
        epsilon = s["sine_old"] * s["beta_k"]
        delta_bar = s["cosine_old"] * s["beta_k"]
        delta = s["cosine"] * delta_bar + s["sine"] * alpha
        gamma_bar = s["sine"] * delta_bar - s["cosine"] * alpha
        gamma = _nonzero(jnp.hypot(gamma_bar, beta))
        cosine, sine = gamma_bar / gamma, beta / gamma
        w = (v - epsilon * s["w_old"] - delta * s["w"]) / gamma
        return {
            "x": s["x"] + (cosine * s["phi_signed"]) * w,
            "r_old": s["r"],
            "r": r,
            "z": z,
            "beta_old": s["beta"],
            "beta": beta,
            "beta_k": beta,
            "cosine_old": s["cosine"],
            "sine_old": s["sine"],
            "cosine": cosine,
            "sine": sine,
            "w_old": s["w"],
            "w": w,
            "phi_signed": s["phi_signed"] * sine,
            "phi": jnp.abs(s["phi_signed"] * sine),
            "step": s["step"] + 1,
        }

    start = {
        "x": zero,
        "r_old": zero,
        "r": b,
        "z": z,
        "beta_old": 0 * one,
        "beta": beta,
        "beta_k": 0 * one,
        "cosine_old": -one,
        "sine_old": 0 * one,
        "cosine": -one,
        "sine": 0 * one,
        "w_old": zero,
        "w": zero,
        "phi_signed": beta,
        "phi": beta,
        "step": 0,
    }
    x = jax.lax.while_loop(unfinished, improve, vary_like(start))["x"]
    return x, _solved(apply, x, b, goal)


def _solved(apply: Apply, x: Array, b: Array, goal: Array) -> Bool[Array, ""]:
    """With room for the rounding errors of a product with A."""
    image = apply(x)
    return _norm(image - b) <= 10 * goal + 1e3 * jnp.finfo(b.dtype).eps * _norm(b)


def _dot(x: Array, y: Array) -> Array:
    return jnp.vdot(x, y).real


def _norm(x: Array) -> Array:
    return jnp.linalg.norm(x.reshape(-1))


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, 1, x)
