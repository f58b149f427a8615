r"""exp(tA) x without a matrix: Chebyshev series for Hermitian A, Taylor steps for any other.

Hermitian A (evolution in real and imaginary time, exp(−iHt) and exp(−βH), t a complex number): the Chebyshev series
of `funm_multiply`, with about |t|·width/2 products with A and memory for a few vectors in every mode.

Any A: with the mean eigenvalue μ taken off and ρ an estimate of |A − μ|, exp(tA) x is taken in |t|ρ/θ equal steps of
a Taylor polynomial that is exact to rounding for θ. Reverse mode stores 2√(number of steps) vectors and recomputes the
others. Whether the polynomial was long enough is seen in its last term.

Sources: H. Tal-Ezer, R. Kosloff, J. Chem. Phys. 81, 3967 (1984); A. H. Al-Mohy, N. J. Higham, SIAM J. Sci. Comput. 33,
488 (2011).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Inexact, PyTree

from pullback.core import RESULTS, InputError, Solution, by_throw, complex_dtype, hoist, result_type, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.krylov._funm_multiply import funm_multiply
from pullback.krylov._operators import Operator, flat_operator, hoisted, scaled
from pullback.loops import while_loop

_REACH, _TERMS = 3.5, {8: 32, 4: 18}  # bytes of a real number -> terms of exp(z), |z| ≤ reach, to rounding
_POWER_STEPS = 12
_SAFETY = 1.3  # a few power iterations find at least 1/1.3 of the norm, but for operators made for it


@by_throw
def expm_multiply(
    operator: Operator,
    x: PyTree,
    t: ArrayLike = 1.0,
    *,
    hermitian: bool = False,
    max_steps: int = 1000,
    throw: bool = True,
) -> PyTree | Solution[PyTree]:
    """exp(t A) x, without a matrix; differentiable in t, in x, and in what the operator closes over.

    Every mode and order of derivatives works, in memory for a few vectors (Hermitian A) or for 2·sqrt(max_steps)
    vectors. The result is accurate to rounding relative to exp(|t| |A − μ|), with the mean eigenvalue μ; for a
    Hermitian A relative to the largest |exp(t λ)|.

    Args:
        operator: x -> A x, linear, on pytrees like x; or a matrix, dense or sparse, or a lineax
            operator.
        x: pytree of real or complex arrays.
        t: real or complex number, so that `expm_multiply(H, psi, -1j * t, hermitian=True)` is the evolution by H.
        hermitian: whether A = A†. Then a Chebyshev series is used, several times faster.
        max_steps: the largest degree of the series, or number of Taylor steps.
        throw: raise if `max_steps` is not enough; if False, return a `Solution`.

    Returns:
        exp(t A) x, of the structure and shapes of x, complex if t, A or x is; or, if not `throw`, a `Solution`:
        `residual` is the relative size of what was neglected, `steps` the degree or the number of steps.

    Raises:
        ConvergenceError: `max_steps` is not enough (`EquinoxRuntimeError` in compiled programs).
        InputError: `operator` changes the form of x; x is empty or not inexact; t is not a number; bad options.

    Examples:
        A rotation by a quarter turn, and its derivative in time.

        >>> turn = lambda t: expm_multiply(jnp.array([[0.0, -1.0], [1.0, 0.0]]), jnp.array([1.0, 0.0]), t)
        >>> jnp.round(jnp.stack(jax.jvp(turn, (jnp.pi / 2,), (1.0,))), 12) + 0.0
        Array([[ 0.,  1.],
               [-1.,  0.]], dtype=float64)
    """
    if jnp.ndim(t) != 0 or not jnp.issubdtype(jnp.result_type(t), jnp.number):
        raise InputError(f"expm_multiply: t must be one real or complex number, got {t!r}")
    if max_steps < 1:
        raise InputError(f"expm_multiply: max_steps must be at least 1, got {max_steps}")
    t = jnp.asarray(t)
    if hermitian:

        def exponential(w):
            dtype = result_type(t, w)
            return jnp.exp(jnp.asarray(t, dtype) * w.astype(dtype))

        solution = funm_multiply(operator, x, exponential, max_degree=max_steps, throw=False)
    else:
        solution = _by_taylor(operator, x, t, max_steps)
    return solution.unwrap("expm_multiply") if throw else solution


def _by_taylor(operator: Operator, x: PyTree, t: Array, max_steps: int) -> Solution[PyTree]:
    apply, v, unflatten = flat_operator("expm_multiply", operator, x)
    v = vary_like(v, t)
    closed, consts = hoisted(apply, v)

    def evaluate(consts, v, t):
        return _evaluated(partial(closed, consts), v, t, max_steps)

    parts = [(closed, (consts, v))]
    out, *how = compiled_once(evaluate, ("expm_multiply", max_steps), parts, consts, v, t)
    return Solution(unflatten(out), *how)


def _evaluated(
    apply: Callable[[Array], Array], v: Inexact[Array, " n"], t: Array, max_steps: int
) -> tuple[Inexact[Array, " n"], RESULTS, Array, Array]:
    """(exp(tA) v, the outcome, the relative size of what was neglected, the number of steps)."""
    inner, unit = scaled(apply, v)
    mean, radius = (number * unit.astype(number.dtype) for number in _mean_and_radius(inner, v))
    t = jnp.asarray(t, complex_dtype(v.dtype) if jnp.iscomplexobj(t) else v.real.dtype)
    dtype = result_type(v, t)
    needed = jnp.ceil(jnp.abs(jax.lax.stop_gradient(t)) * radius / _REACH)
    steps = jnp.clip(needed, 1, max_steps)
    tau = t / steps.astype(t.dtype)
    factor = jnp.exp(tau.astype(dtype) * mean.astype(dtype))
    terms = _TERMS[jnp.finfo(dtype).bits // 8]

    def step(state):
        k, u, worst = state
        (last, total), _ = jax.lax.scan(add, (u, u), jnp.arange(1, terms + 1, dtype=v.real.dtype))
        neglected = _norm(last) / _nonzero(_norm(total))
        return k + 1, factor * total, jnp.maximum(worst, jax.lax.stop_gradient(neglected))

    def add(carry, k):
        term, total = carry
        term = (tau / k.astype(tau.dtype)).astype(dtype) * (apply(term) - mean.astype(dtype) * term)
        return (term, total + term), None

    start = jnp.zeros(()), v.astype(dtype), jnp.zeros((), v.real.dtype)
    _, out, neglected = while_loop(lambda state: state[0] < steps, step, start, max_steps=max_steps)
    result = RESULTS.where(needed <= max_steps, RESULTS.successful, RESULTS.max_steps_reached)
    result = RESULTS.where(neglected < 1e4 * jnp.finfo(dtype).eps, result, RESULTS.max_steps_reached)
    finite = jnp.isfinite(jax.lax.stop_gradient(out)).all() & jnp.isfinite(needed)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    return out, result, neglected, steps.astype(int)


def _mean_and_radius(apply: Callable[[Array], Array], v: Inexact[Array, " n"]) -> tuple[Array, Array]:
    """(μ, ρ) with μ about the mean eigenvalue of A and ρ about |A − μ|, a little too large; without derivatives."""
    closed, consts, _ = hoist(apply, v)
    consts = jax.lax.stop_gradient(consts)
    probe = vary_like(jax.random.normal(jax.random.key(0), v.shape, v.dtype), v)
    mean = jnp.vdot(probe, closed(consts, probe)) / jnp.vdot(probe, probe)

    def shifted(u):
        return closed(consts, u) - mean * u

    transpose = jax.linear_transpose(shifted, v)

    def adjoint(u):
        return transpose(u.conj())[0].conj()

    def iterate(u, _):
        u = shifted(u / _nonzero(_norm(u)).astype(u.dtype))
        return adjoint(u), _norm(u)

    _, norms = jax.lax.scan(iterate, probe, length=_POWER_STEPS)
    return mean, _SAFETY * norms.max()


def _norm(v: Inexact[Array, " n"]) -> Array:
    return jnp.linalg.norm(v)


def _nonzero(norm: Array) -> Array:
    return jnp.where(norm == 0, 1, norm)
