r"""Matrix exponential and its action, with exact derivatives of every order.

The Fréchet derivative L(A, E) = ∫_0^1 e^{sA} E e^{(1−s)A} ds is the corner of the exponential of a block matrix,

    exp ⎛ A  E ⎞ = ⎛ e^A  L(A, E) ⎞
        ⎝ 0  A ⎠   ⎝  0     e^A   ⎠,

and its transpose in E (without conjugation) is L(Aᵀ, ·). Both rules below are `linear_map`s of that pair.

Sources: A. H. Al-Mohy, N. J. Higham, SIAM J. Matrix Anal. Appl. 30, 1639 (2009), and SIAM J. Sci. Comput. 33, 488
(2011) (scaling and the truncated Taylor series of the action).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from pullback.core import InputError, linear_map
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch

_SQUARINGS = 64  # at most: norms up to 1e20
_PADE = [1.0]  # coefficients of the [13/13] Padé approximant; good to rounding up to the norm _PADE_REACH
for _k in range(13):
    _PADE.append(_PADE[-1] * (13 - _k) / ((26 - _k) * (_k + 1)))
_PADE_REACH = 5.371920351148152
# Per bytes of a real number: terms of the series, and the norm up to which they suffice and cancel few digits.
_TERMS = {8: (36, 5.0), 4: (17, 2.0)}


def expm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The matrix exponential, by scaling and squaring.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, or so large that the result overflows.
    """
    a = _checks.square("expm", a)
    out = over_batch(_expm, a, "(n,n)->(n,n)")
    _checks.finite(
        out,
        lambda: f"expm: the exponential overflows, or the norm is above 1e20; max|a| = {float(jnp.abs(a).max()):.2e}.",
    )
    return out


def expm_multiply(a: Inexact[Array, "n n"], b: Inexact[Array, "n *k"]) -> Inexact[Array, "n *k"]:
    """e^a b for a dense matrix, without forming e^a; b is a vector or a matrix of columns.

    Raises:
        InputError: shapes that do not fit; (outside `jit`) not finite.
    """
    a, b = _checks.square("expm_multiply", a), _checks.inexact("expm_multiply", b)
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != len(a):
        raise InputError(f"expm_multiply needs shapes (n, n) and (n,) or (n, k), got {a.shape} and {b.shape}.")
    dtype = jnp.result_type(a, b)
    return _action(a.astype(dtype), b.astype(dtype))


@jax.custom_jvp
def _expm(a):
    return _scaled_and_squared(a)


@_expm.defjvp
def _expm_jvp(primals, tangents):
    (a,), (da,) = primals, tangents
    return _expm(a), linear_map(_frechet, lambda a, ct: _frechet(a.T, ct), a, da)


def _frechet(a, e):
    """L(a, e), by differentiating the algorithm of the exponential: a third of the work of the block matrix."""
    return jax.jvp(_scaled_and_squared, (a,), (e,))[1]


def _scaled_and_squared(a):
    """(r(a/2^s))^(2^s) with one Padé approximant r: JAX's chooses between five, which makes five times the program."""
    norm = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(a), axis=0)))
    squarings = jnp.maximum(0, jnp.ceil(jnp.log2(norm / _PADE_REACH)))
    x = a / jnp.exp2(squarings).astype(a.dtype)
    c, x2 = _PADE, x @ x
    x4, eye = x2 @ x2, jnp.eye(len(a), dtype=a.dtype)
    x6 = x4 @ x2
    odd = x @ (x6 @ (c[13] * x6 + c[11] * x4 + c[9] * x2) + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * eye)
    even = x6 @ (c[12] * x6 + c[10] * x4 + c[8] * x2) + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * eye
    r = jnp.linalg.solve(even - odd, even + odd)

    def square(r, k):  # a loop of fixed length, for it is also transposed
        return jax.lax.cond(k < squarings, lambda r: r @ r, lambda r: r, r), None

    return jax.lax.scan(square, r, jnp.arange(_SQUARINGS, dtype=squarings.dtype))[0]


@jax.custom_jvp
def _action(a, b):
    """e^a b: the Taylor series of exp((a − m)/s) times e^(m/s), s times, with the mean m of the eigenvalues."""
    terms, reach = _TERMS[a.real.dtype.itemsize]
    mean = jnp.trace(a) / len(a)
    a = a - mean * jnp.eye(len(a), dtype=a.dtype)
    steps = jnp.maximum(1, jnp.ceil(jnp.max(jnp.sum(jnp.abs(a), axis=0)) / reach))
    steps = jnp.where(jnp.isfinite(steps), steps, 1)  # NaN as a number of steps would be none

    count, steps = steps.astype(int), steps.astype(a.dtype)

    def series(k, state):
        term, total = state
        term = a @ term / (steps * k)
        return term, total + term

    def step(_, b):
        return jnp.exp(mean / steps) * jax.lax.fori_loop(1, terms + 1, series, (b, b))[1]

    return jax.lax.fori_loop(0, count, step, b)


@_action.defjvp
def _action_jvp(primals, tangents):
    (a, b), (da, db) = primals, tangents
    by_b = linear_map(_action, lambda a, ct: _action(a.T, ct), a, db)
    by_a = linear_map(_action_of_direction, _direction_of_action, (a, b), da)
    return _action(a, b), by_a + by_b


def _action_of_direction(ab, e):
    """L(a, e) b, from the action of the block matrix."""
    a, b = ab
    n = len(a)
    block = jnp.block([[a, e], [jnp.zeros_like(a), a]])
    return _action(block, jnp.concatenate([jnp.zeros_like(b), b]))[:n]


def _direction_of_action(ab, ct):
    """The e-like m with sum(m * e) = sum(ct * L(a, e) b): the Fréchet derivative in the direction ct bᵀ."""
    a, b = ab
    return jax.jvp(_expm, (a.T,), (ct.reshape(len(a), -1) @ b.reshape(len(a), -1).T,))[1]
