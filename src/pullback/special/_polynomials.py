"""Orthogonal polynomials, SciPy's `eval_*` (DLMF chapter 18).

The derivative of a classical polynomial is one of lower degree, with raised parameters (DLMF 18.9(iii)); that of
degree 0 is 0. There are no rules for degree and parameters.
"""

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, ArrayLike, Float

from pullback.special._evaluate import evaluate


def _degrees(function):
    """`function` with whole degrees as integers: SciPy then uses the recurrence, not the hypergeometric function."""
    return lambda n, *args: function(n.astype(np.int64) if np.all(n == np.floor(n)) else n, *args)


def _lower(n, derivative):
    """`derivative` of the degree n − 1, and 0 for n = 0."""
    return jnp.where(n == 0, 0, derivative(jnp.where(n == 0, 0, n - 1)))


def eval_hermite(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Hermite polynomial H_n(x), weight exp(−x²), whole n."""
    return evaluate(
        "eval_hermite",
        _degrees(scipy.special.eval_hermite),
        {"n": n, "x": x},
        {"x": lambda n, x: 2 * n * _lower(n, lambda m: eval_hermite(m, x))},
    )


def eval_hermitenorm(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Hermite polynomial He_n(x), weight exp(−x²/2), whole n."""
    return evaluate(
        "eval_hermitenorm",
        _degrees(scipy.special.eval_hermitenorm),
        {"n": n, "x": x},
        {"x": lambda n, x: n * _lower(n, lambda m: eval_hermitenorm(m, x))},
    )


def eval_laguerre(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Laguerre polynomial L_n(x)."""
    return evaluate(
        "eval_laguerre",
        _degrees(scipy.special.eval_laguerre),
        {"n": n, "x": x},
        {"x": lambda n, x: -_lower(n, lambda m: eval_genlaguerre(m, 1, x))},
    )


def eval_genlaguerre(n: ArrayLike, alpha: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Generalised Laguerre polynomial L_n^(alpha)(x), alpha > −1."""
    return evaluate(
        "eval_genlaguerre",
        _degrees(scipy.special.eval_genlaguerre),
        {"n": n, "alpha": alpha, "x": x},
        {"x": lambda n, alpha, x: -_lower(n, lambda m: eval_genlaguerre(m, alpha + 1, x))},
    )


def eval_legendre(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Legendre polynomial P_n(x); regular at x = ±1."""
    return evaluate(
        "eval_legendre",
        _degrees(scipy.special.eval_legendre),
        {"n": n, "x": x},
        {"x": lambda n, x: (n + 1) / 2 * _lower(n, lambda m: eval_jacobi(m, 1, 1, x))},
    )


def eval_chebyt(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Chebyshev polynomial of the first kind T_n(x); regular at x = ±1."""
    return evaluate(
        "eval_chebyt",
        _degrees(scipy.special.eval_chebyt),
        {"n": n, "x": x},
        {"x": lambda n, x: n * _lower(n, lambda m: eval_chebyu(m, x))},
    )


def eval_chebyu(n: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Chebyshev polynomial of the second kind U_n(x); regular at x = ±1."""
    return evaluate(
        "eval_chebyu",
        _degrees(scipy.special.eval_chebyu),
        {"n": n, "x": x},
        {"x": lambda n, x: 2 * _lower(n, lambda m: eval_gegenbauer(m, 2, x))},
    )


def eval_jacobi(n: ArrayLike, alpha: ArrayLike, beta: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Jacobi polynomial P_n^(alpha, beta)(x), alpha, beta > −1."""
    return evaluate(
        "eval_jacobi",
        _degrees(scipy.special.eval_jacobi),
        {"n": n, "alpha": alpha, "beta": beta, "x": x},
        {
            "x": lambda n, alpha, beta, x: (
                (n + alpha + beta + 1) / 2 * _lower(n, lambda m: eval_jacobi(m, alpha + 1, beta + 1, x))
            )
        },
    )


def eval_gegenbauer(n: ArrayLike, alpha: ArrayLike, x: ArrayLike) -> Float[Array, "..."]:
    """Gegenbauer polynomial C_n^(alpha)(x), alpha > −1/2."""
    return evaluate(
        "eval_gegenbauer",
        _degrees(scipy.special.eval_gegenbauer),
        {"n": n, "alpha": alpha, "x": x},
        {"x": lambda n, alpha, x: 2 * alpha * _lower(n, lambda m: eval_gegenbauer(m, alpha + 1, x))},
    )
