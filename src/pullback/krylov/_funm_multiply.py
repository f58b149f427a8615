r"""f(H) x for a Hermitian operator H, by a Chebyshev series in memory for a few vectors.

With the spectrum inside [a, b] and H' = (2H − a − b)/(b − a),

    f(H) x = Σ_k c_k T_k(H') x,      T_{k+1} x = 2 H' T_k x − T_{k−1} x,

where c_k are the coefficients of f on [a, b], from its values at Chebyshev points. They fall off geometrically where
f is analytic, and what is below the tolerance is not computed. The recurrence is its own inverse, and stable in both
directions because |T_k| ≤ 1: it runs as a `reversible_scan`, so that every order of every mode of derivatives (in H,
in x, and in what f closes over) needs memory for a few vectors, whatever the degree. The derivative of the truncated
series converges as the series does, with k² more for every order.

[a, b] comes from a short Lanczos recurrence; the sum of the series does not depend on it, so it is not differentiated.

Sources: H. Tal-Ezer, R. Kosloff, J. Chem. Phys. 81, 3967 (1984); A. Weiße et al., arXiv:cond-mat/0504627.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Inexact, PyTree

from pullback.core import RESULTS, InputError, Solution, by_throw, complex_dtype, hoist, result_type, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.krylov._operators import Operator, flat_operator, hoisted, scaled
from pullback.krylov._recurrence import recurrence
from pullback.loops import reversible_scan

_LANCZOS_STEPS = 40
_MARGIN = 0.01  # of the width of the spectrum, added on both sides
# A spectrum that is one point gets an interval as wide as this part of it: derivatives need one that f is resolved on.
_POINT = 1e-3


@by_throw
def funm_multiply(
    operator: Operator,
    x: PyTree,
    f: Callable[[Array], Array],
    *,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    max_degree: int = 1000,
    tol: float | None = None,
    throw: bool = True,
) -> PyTree | Solution[PyTree]:
    """f(H) x for a Hermitian operator H, to the tolerance relative to the largest |f| on the spectrum.

    Differentiable in what `operator` and `f` close over and in x, in every mode and order, in memory for a few
    vectors.

    Args:
        operator: x -> H x, linear and Hermitian, on pytrees like x; or a matrix, dense or sparse, or a lineax
            operator.
        x: pytree of real or complex arrays.
        f: function of one real number, real or complex, analytic around the spectrum (the degree that is needed
            grows with the distance of its singularities, and with its oscillations). May close over traced values.
        bounds: (a, b) with the whole spectrum inside; None: estimated by 40 products with H, with a margin. Where |f|
            grows steeply at one end, as exp(−βw) does, tight bounds save digits.
        max_degree: the largest degree of the series. Time is that of the degree that was needed.
        tol: size of the neglected coefficients relative to the largest; None: that of rounding.
        throw: raise if `max_degree` is not enough; if False, return a `Solution`.

    Returns:
        f(H) x, of the structure and shapes of x; or, if not `throw`, a `Solution` whose `residual` is the size of the
        last coefficients relative to the largest, `steps` the degree.

    Raises:
        ConvergenceError: the series has not converged at `max_degree`; the spectrum is not inside the bounds; half of
            the digits are lost because f(H) x is that much smaller than |f| between the bounds
            (`EquinoxRuntimeError` in compiled programs).
        InputError: `operator` changes the form of x, or x is empty or not inexact; bad options.

    Examples:
        The heat kernel of a ring of 100 sites, where everything has spread out after a long time.

        >>> def laplacian(u):
        ...     return 2 * u - jnp.roll(u, 1) - jnp.roll(u, -1)
        >>> point = jnp.zeros(100).at[0].set(1.0)
        >>> u = funm_multiply(laplacian, point, lambda w: jnp.exp(-5000.0 * w), bounds=(0.0, 4.0))
        >>> f"{u[0]:.6f} {u[50]:.6f}"
        '0.010000 0.010000'
    """
    if max_degree < 1:
        raise InputError(f"funm_multiply: max_degree must be at least 1, got {max_degree}")
    apply, v, unflatten = flat_operator("funm_multiply", operator, x)
    bounds = as_bounds("funm_multiply", bounds, v)
    closed, consts = hoisted(apply, v)
    point = vary_like(jnp.zeros((), v.real.dtype), v)
    function, kept, _ = hoist(f, point)

    def evaluate(consts, kept, v, bounds):
        return _evaluated(partial(closed, consts), v, partial(function, kept), bounds, max_degree, tol)

    parts = [(closed, (consts, v)), (function, (kept, point))]
    total, *how = compiled_once(evaluate, ("funm_multiply", max_degree, tol), parts, consts, kept, v, bounds)
    solution = Solution(unflatten(total), *how)
    return solution.unwrap("funm_multiply") if throw else solution


def _evaluated(
    apply: Callable[[Array], Array],
    v: Inexact[Array, " n"],
    f: Callable[[Array], Array],
    bounds: tuple[Array, Array] | None,
    max_degree: int,
    tol: float | None,
) -> tuple[Inexact[Array, " n"], RESULTS, Array, Array]:
    """(f(H) v, the outcome, the size of the last coefficients, the degree)."""
    a, b = vary_like(spectral_bounds(apply, v) if bounds is None else bounds, v)
    middle, half = jax.lax.stop_gradient(((a + b) / 2, (b - a) / 2))
    coefficients = _coefficients(lambda z: f(middle + half * z), max_degree, v.real.dtype)
    size = jnp.abs(jax.lax.stop_gradient(coefficients))
    eps = float(jnp.finfo(v.dtype).eps)
    kept = size > (4 * eps if tol is None else tol) * size.max()
    degree = jnp.max(jnp.where(kept, jnp.arange(max_degree + 1), 0))

    def scaled(u):
        return (apply(u) - middle.astype(u.dtype) * u) / half.astype(u.dtype)

    total, last = _series(scaled, coefficients, degree, v)
    # Rounding leaves all coefficients of a function that is not resolved far above the tolerance, up to the last one.
    largest = jnp.where(size.max() == 0, 1, size.max())
    tail = size[-max(1, max_degree // 20) :].max() / largest
    converged = tail <= (1e3 * eps if tol is None else 10 * tol)
    finite = jnp.isfinite(jax.lax.stop_gradient(total)).all() & jnp.isfinite(size).all()
    inside = jnp.linalg.norm(jax.lax.stop_gradient(last)) <= 1.01 * jnp.linalg.norm(jax.lax.stop_gradient(v))
    # What rounding leaves, relative to the result, which may vanish where H x does.
    length = jnp.linalg.norm(jax.lax.stop_gradient(total))
    lost = eps * size.max() * jnp.linalg.norm(v) / jnp.where(length == 0, jnp.finfo(length.dtype).tiny, length)
    lost = jax.lax.stop_gradient(jnp.where(apply(v).any(), lost, 0))
    result = RESULTS.where(lost < eps**0.5, RESULTS.successful, RESULTS.stalled)
    result = RESULTS.where(converged, result, RESULTS.max_steps_reached)
    result = RESULTS.where(inside, result, RESULTS.outside_bounds)
    return total, RESULTS.where(finite, result, RESULTS.nonfinite), tail, degree


def as_bounds(
    name: str, bounds: tuple[ArrayLike, ArrayLike] | None, v: Inexact[Array, " n"]
) -> tuple[Array, Array] | None:
    """What a user gave as bounds of the spectrum, as arrays.

    Raises:
        InputError: they are not two numbers, the lower one first.
    """
    if bounds is None:
        return None
    low, high = _widened(*(jnp.asarray(e, v.real.dtype) for e in bounds))
    if not isinstance(low, Tracer) and not isinstance(high, Tracer) and not low < high:
        raise InputError(f"{name}: bounds={bounds}; they are two numbers, the lower one first")
    return vary_like((low, high), v)


def spectral_bounds(apply: Callable[[Array], Array], v: Inexact[Array, " n"]) -> tuple[Array, Array]:
    """(a, b) with the spectrum of a Hermitian operator inside, from a short Lanczos recurrence; without derivatives.

    The extreme Ritz values, moved outwards by their residuals and a margin.
    """
    apply, unit = scaled(apply, v)
    closed, consts, _ = hoist(apply, v)
    consts = jax.lax.stop_gradient(consts)
    steps = min(_LANCZOS_STEPS, v.size)
    start = jax.random.normal(jax.random.key(0), v.shape, v.dtype)

    def step(carry, _):
        q, previous, beta = carry
        new, _, alpha, norm = recurrence(partial(closed, consts), q, q, previous, beta)
        return (new, q, norm), (alpha, norm)

    first = start / jnp.linalg.norm(start).astype(start.dtype), jnp.zeros_like(start), jnp.zeros((), v.real.dtype)
    _, (alpha, beta) = jax.lax.scan(step, vary_like(first, v), length=steps)
    # Where the recurrence ends, in a space that is invariant, what follows is noise.
    ended = jnp.cumsum(beta <= 50 * jnp.finfo(v.dtype).eps * (jnp.abs(alpha) + beta).max())
    inside = jnp.concatenate([jnp.ones(1, bool), ended[:-1] == 0])
    alpha, beta = jnp.where(inside, alpha, alpha[0]), jnp.where(ended == 0, beta, 0)
    ritz, vectors = jnp.linalg.eigh(jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1))
    # A recurrence over the whole space ends with rounding errors; a shorter one leaves its last off-diagonal element.
    residual = beta[-1] * jnp.abs(vectors[-1]) if steps < v.size else jnp.zeros_like(ritz)
    margin = _MARGIN * (ritz[-1] - ritz[0])
    low, high = _widened(ritz[0] - 2 * residual[0] - margin, ritz[-1] + 2 * residual[-1] + margin)
    return low * unit, high * unit


def _widened(low: Array, high: Array) -> tuple[Array, Array]:
    """The bounds, moved apart where they are one number as far as can be seen."""
    size = jnp.maximum(jnp.abs(low), jnp.abs(high))
    point = jnp.abs(high - low) <= 1e3 * jnp.finfo(low.dtype).eps * size
    half = jnp.where(point, jnp.where(size == 0, 1, _POINT * size) / 2, 0)
    return low - half, high + half


def _coefficients(f: Callable[[Array], Array], degree: int, dtype: Any) -> Inexact[Array, " terms"]:
    """c_0 … c_degree with f(z) ≈ Σ c_k T_k(z) on [−1, 1]: the cosine transform of f at the Chebyshev points."""
    n = degree + 1
    k = jnp.arange(n, dtype=dtype)
    angles = jnp.pi * (k + 0.5) / n
    values = jnp.asarray(jax.vmap(f)(jnp.cos(angles).astype(dtype)))
    values = values.astype(result_type(values.dtype, dtype))
    mirrored = jnp.concatenate([values, values[::-1]])
    phase = jnp.exp(-0.5j * jnp.pi / n * k.astype(complex_dtype(dtype)))
    c = jnp.fft.fft(mirrored)[:n] * phase / n
    c = c.at[0].divide(2)
    return (c if jnp.iscomplexobj(values) else c.real).astype(values.dtype)


def _series(
    scaled: Callable[[Array], Array], coefficients: Inexact[Array, " terms"], degree: ArrayLike, x: Inexact[Array, " n"]
) -> tuple[Inexact[Array, " n"], Inexact[Array, " n"]]:
    """Σ_k c_k T_k(H') x up to the degree, and the last T_k(H') x, which is shorter than x if |H'| ≤ 1."""

    def step(state, term, _):
        c, k = term

        def advance(state):
            older, old, total = state
            new = 2 * scaled(old) - older
            return old, new, total + c * new.astype(c.dtype)

        return jax.lax.cond(k <= degree, advance, lambda state: state, state), None

    def inverse(state, term, _):
        c, k = term

        def go_back(state):
            old, new, total = state
            return 2 * scaled(old) - new, old, total - c * new.astype(c.dtype)

        return jax.lax.cond(k <= degree, go_back, lambda state: state, state)

    coefficients = coefficients.astype(result_type(coefficients, x))
    first = scaled(x)
    total = coefficients[0] * x.astype(coefficients.dtype) + coefficients[1] * first.astype(coefficients.dtype)
    terms = coefficients[2:], jnp.arange(2, coefficients.size)
    if not terms[1].size:
        return total, first
    (_, last, total), _ = reversible_scan(step, inverse, (x, first, total), terms, unroll=1)
    return total, last
