r"""tr f(H) and log det H of a Hermitian operator, from random vectors (Hutchinson).

For random z with independent entries ±1, E[z† f(H) z] = tr f(H). f(H) z is the Chebyshev series of `funm_multiply`;
its derivatives are those of the estimate, which are unbiased estimates of the derivatives of the trace to every order.

Source: I. Han, D. Malioutov, J. Shin, arXiv:1503.06394.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Key, PyTree

from pullback.core import Estimate, InputError, Solution, by_throw, hoist, vary_like
from pullback.core._compile_cache import compiled_once
from pullback.krylov._funm_multiply import as_bounds, funm_multiply, spectral_bounds
from pullback.krylov._operators import Operator, flat_operator, hoisted, like, shape_of


@by_throw
def trace(
    operator: Operator,
    f: Callable[[Array], Array],
    shape: PyTree = None,
    *,
    key: Key[Array, ""],
    samples: int = 32,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    max_degree: int = 1000,
    throw: bool = True,
) -> Estimate | Solution[Estimate]:
    """tr f(H) for a Hermitian operator H, estimated with random vectors, and the standard error of the estimate.

    Differentiable in what `operator` and `f` close over; the derivatives are unbiased estimates, too.

    Args:
        operator: x -> H x, linear and Hermitian; or a matrix, dense or sparse, or a lineax
            operator.
        f: function of one real number, analytic around the spectrum.
        shape: what the operator acts on: a shape, an array, or a pytree of arrays or `jax.ShapeDtypeStruct`s. A matrix,
            or an operator that says it itself (`in_structure`), needs none.
        key: random key.
        samples: number of random vectors; the error falls with its square root.
        bounds: (a, b) with the whole spectrum inside; None: estimated.
        max_degree: the largest degree of the Chebyshev series.
        throw: raise if the series has not converged; if False, return a `Solution`.

    Returns:
        An `Estimate`, (value, error); or, if not `throw`, a `Solution` of it, with what `funm_multiply` says of the
        series of the worst of the vectors.

    Raises:
        ConvergenceError: the series has not converged at `max_degree` (`EquinoxRuntimeError` in compiled programs).
        InputError: fewer than two samples; the operator changes the form of its argument.

    Examples:
        The partition function of a ring of 1000 sites.

        >>> def hopping(u):
        ...     return -jnp.roll(u, 1) - jnp.roll(u, -1)
        >>> z = trace(hopping, lambda w: jnp.exp(-w), 1000, key=jax.random.key(0))
        >>> exact = jnp.exp(2 * jnp.cos(2 * jnp.pi * jnp.arange(1000) / 1000)).sum()
        >>> bool(abs(z.value - exact) < 3 * z.error)
        True
    """
    if samples < 2:
        raise InputError(f"trace: needs at least 2 samples for an error estimate, got {samples}")
    apply, v, _ = flat_operator("trace", operator, like(shape_of("trace", operator) if shape is None else shape))
    bounds = as_bounds("trace", bounds, v)
    closed, consts = hoisted(apply, v)
    point = vary_like(jnp.zeros((), v.real.dtype), v)
    function, kept, out = hoist(f, point)
    is_real = not jnp.issubdtype(out.dtype, jnp.complexfloating)

    def evaluate(consts, kept, v, key, bounds):
        apply, f = partial(closed, consts), partial(function, kept)
        bounds = spectral_bounds(apply, v) if bounds is None else bounds

        def sample(key):
            z = vary_like(jax.random.rademacher(key, v.shape, v.real.dtype).astype(v.dtype), v)
            solution = funm_multiply(apply, z, f, bounds=bounds, max_degree=max_degree, throw=False)
            value = jnp.vdot(z, solution.value)
            return eqx.tree_at(lambda s: s.value, solution, value.real if is_real else value)

        return jax.lax.map(sample, jax.random.split(key, samples))

    parts = [(closed, (consts, v)), (function, (kept, point))]
    solutions = compiled_once(evaluate, ("trace", samples, max_degree), parts, consts, kept, v, key, bounds)
    worst = jax.tree.map(lambda leaf: leaf[jnp.argmin(solutions.converged)], solutions)
    solution = eqx.tree_at(lambda s: s.value, worst, Estimate.of(solutions.value))
    return solution.unwrap("trace") if throw else solution


@by_throw
def logdet(
    operator: Operator,
    shape: PyTree = None,
    *,
    key: Key[Array, ""],
    samples: int = 32,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    max_degree: int = 1000,
    throw: bool = True,
) -> Estimate | Solution[Estimate]:
    """log det H for a Hermitian positive definite operator, tr log H estimated with random vectors.

    The degree that is needed grows with the square root of the condition number. Arguments, what is
    returned, errors and derivatives as for `trace`.

    Raises:
        ConvergenceError: the series has not converged at `max_degree`, or the spectrum is not positive
            (`EquinoxRuntimeError` in compiled programs).
        InputError: as for `trace`.

    Examples:
        >>> matrix = jnp.diag(jnp.linspace(1.0, 3.0, 200))
        >>> estimate = logdet(matrix, 200, key=jax.random.key(0))
        >>> f"{estimate.value:.6f}", f"{jnp.log(jnp.linspace(1.0, 3.0, 200)).sum():.6f}"
        ('129.484516', '129.484516')
    """
    options = {"key": key, "samples": samples, "bounds": bounds, "max_degree": max_degree}
    solution = trace(operator, jnp.log, shape, **options, throw=False)
    return solution.unwrap("logdet") if throw else solution
