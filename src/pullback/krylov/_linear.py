"""Linear equations A x = b with A known by its products, on arrays of any shape.

Sources: M. R. Hestenes, E. Stiefel, J. Res. NBS 49, 409 (1952); C. C. Paige, M. A. Saunders, SIAM J. Numer. Anal. 12,
617 (1975).
"""

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Bool, Inexact

from pullback.core import InputError, is_varying, vary_like
from pullback.krylov._recurrence import Apply, nonzero, recurrence

_RESTART = 30  # vectors that GMRES keeps


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
    size = jnp.sqrt(jnp.maximum(_dot(b, z), 0))
    first = nonzero(size).astype(b.dtype)
    zero, nothing = jnp.zeros_like(b), jnp.zeros_like(size)

    # Lanczos vectors q (with dual = M⁻¹ q); two columns of the QR factors; two search directions.
    def unfinished(s):
        return (jnp.abs(s["phi"]) > 0.1 * tol * size) & (s["step"] < max_steps)

    def improve(s):
        q, dual, alpha, beta = recurrence(apply, s["q"], s["dual"], s["previous"], s["beta"], precondition)
        epsilon = s["sine_old"] * s["beta"]
        delta_bar = s["cosine_old"] * s["beta"]
        delta = s["cosine"] * delta_bar + s["sine"] * alpha
        gamma_bar = s["sine"] * delta_bar - s["cosine"] * alpha
        gamma = nonzero(jnp.hypot(gamma_bar, beta))
        cosine, sine = gamma_bar / gamma, beta / gamma
        w = (s["dual"] - epsilon * s["w_old"] - delta * s["w"]) / gamma
        return {
            "x": s["x"] + (cosine * s["phi"]) * w,
            "previous": s["q"],
            "q": q,
            "dual": dual,
            "beta": beta,
            "cosine_old": s["cosine"],
            "sine_old": s["sine"],
            "cosine": cosine,
            "sine": sine,
            "w_old": s["w"],
            "w": w,
            "phi": s["phi"] * sine,
            "step": s["step"] + 1,
        }

    start = {
        "x": zero,
        "previous": zero,
        "q": b / first,
        "dual": z / first,
        "beta": nothing,
        "cosine_old": nothing - 1,
        "sine_old": nothing,
        "cosine": nothing - 1,
        "sine": nothing,
        "w_old": zero,
        "w": zero,
        "phi": size,
        "step": 0,
    }
    x = jax.lax.while_loop(unfinished, improve, vary_like(start))["x"]
    return x, _solved(apply, x, b, goal)


def gmres(
    apply: Apply, b: Inexact[Array, "*n"], precondition: Apply, *, tol: float, max_steps: int
) -> tuple[Inexact[Array, "*n"], Bool[Array, ""]]:
    """(x, whether |A x − b| ≤ tol |b|) for any A, by lineax; it takes no preconditioner.

    Raises:
        InputError: b varies along an axis of a mesh.
    """
    del precondition
    if is_varying(b):
        raise InputError(
            "krylov.eigs: the derivative's linear solver, one of lineax, does not pass JAX's checks inside "
            "jax.shard_map. Use jax.shard_map(..., check_vma=False)."
        )
    size = nonzero(_norm(b)).astype(b.dtype)  # lineax compares entry by entry with rtol |b_i| + atol
    operator = lx.FunctionLinearOperator(apply, jax.eval_shape(lambda: b))
    solver = lx.GMRES(tol, tol, restart=_RESTART, max_steps=max_steps)
    x = size * lx.linear_solve(operator, b / size, solver, throw=False).value
    return x, _solved(apply, x, b, tol * _norm(b))


def _solved(apply: Apply, x: Array, b: Array, goal: Array) -> Bool[Array, ""]:
    """With room for the rounding errors of a product with A."""
    image = apply(x)
    return _norm(image - b) <= 10 * goal + 1e3 * jnp.finfo(b.dtype).eps * _norm(b)


def _dot(x: Array, y: Array) -> Array:
    return jnp.vdot(x, y).real


def _norm(x: Array) -> Array:
    return jnp.linalg.norm(x.reshape(-1))
