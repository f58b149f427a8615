r"""What is left of a gradient in chaos: Lyapunov exponents, and gradients that do not follow a single trajectory.

Along a trajectory x_{k+1} = F(x_k) a small difference grows like exp(λ k), and so does the gradient of anything that is
computed from x_n; that of a long-time average grows although the average itself is smooth in the parameters.

**Exponents.** Tangent vectors are pushed along and orthogonalised, Q_{k+1} R_{k+1} = DF(x_k) Q_k; λ_i is the mean of
log |R_ii|.

**Smoothing.** The gradient of the smoothed function E f(θ + σ ε), ε normal, averages over nearby parameters,

    ∇ E f(θ + σ ε) = E (f(θ + σ ε) − f(θ − σ ε)) ε / 2σ,

estimated from pairs of values (antithetic sampling), with the error of the mean. It needs no derivative of f.

Sources: G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15, 9 (1980); L. Metz, C. D. Freeman, S. S.
Schoenholz, T. Kachman, arXiv:2111.05803; Y. Nesterov, V. Spokoiny, Found. Comput. Math. 17, 527 (2017).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from pullback.core import RESULTS, Estimate, InputError, Solution, by_throw, hoist, vary_like
from pullback.trust._arguments import flat_reals


@by_throw
def lyapunov_spectrum(
    step: Callable[[PyTree], PyTree],
    x0: PyTree,
    n: int,
    *,
    k: int | None = None,
    every: int = 1,
    transient: int = 0,
    dt: ArrayLike = 1.0,
    throw: bool = True,
) -> Float[Array, " k"] | Solution[Float[Array, " k"]]:
    """The k largest Lyapunov exponents of the map `step`, from n steps, per `dt` for each step.

    For a flow, `step` is one step of an integrator or the flow over a time, and `dt` that time: exponents are then per
    unit of time, and the sum of all is the mean divergence of the field.

    Args:
        step: x -> x, pytrees of real arrays. May close over traced values.
        x0: start.
        n: number of steps that are averaged over, a multiple of `every`.
        k: how many exponents; None: all, as many as x has numbers.
        every: steps between orthogonalisations. A vector must not grow by more than 1e6 or so meanwhile.
        transient: steps made before, to reach the attractor.
        dt: length of a step in time.
        throw: raise if the trajectory leaves the numbers; if False, return a `Solution`.

    Returns:
        Exponents, descending up to the error of the average, which falls like 1/n. Or, if not `throw`, a `Solution` of
        these, with `residual` the largest difference between the averages over both halves.

    Raises:
        ConvergenceError: the trajectory became NaN or infinite (`EquinoxRuntimeError` in compiled programs).
        InputError: n, k or `every` make no sense; x0 is not real; `step` changes the form of x.

    Examples:
        Arnold's cat map, whose exponents are ±log((3 + √5)/2).

        >>> cat = lambda x: jnp.array([[2.0, 1.0], [1.0, 1.0]]) @ x % 1.0
        >>> lyapunov_spectrum(cat, jnp.array([0.1, 0.2]), 1000).round(3).tolist()
        [0.962, -0.962]
    """
    x, unravel = flat_reals("lyapunov_spectrum", x0)
    k = x.size if k is None else k
    if not 1 <= k <= x.size:
        raise InputError(f"lyapunov_spectrum: k={k}; it must be between 1 and the {x.size} numbers of x0.")
    if every < 1 or n < 2 * every or n % every:
        raise InputError(f"lyapunov_spectrum: n={n} must be a multiple of every={every}, at least twice as large.")

    def moved(x):
        new = step(unravel(x))
        if jax.tree.structure(new) != jax.tree.structure(x0):
            raise InputError("lyapunov_spectrum: step must return the structure of x.")
        flat = ravel_pytree(new)[0]
        if flat.shape != x.shape:
            raise InputError(f"lyapunov_spectrum: step makes {flat.size} numbers of {x.size}.")
        return flat.astype(x.dtype)

    def block(x):
        return jax.lax.fori_loop(0, every, lambda _, x: moved(x), x)

    def pushed(carry, _):
        x, q = carry
        new, push = jax.linearize(block, x)
        q, r = jnp.linalg.qr(jax.vmap(push, 1, 1)(q))
        return (new, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    x = vary_like(x, hoist(moved, x)[1])
    x = jax.lax.fori_loop(0, transient, lambda _, x: moved(x), x)
    start = vary_like((x, jnp.eye(x.size, k, dtype=x.dtype)))
    (end, _), growth = jax.lax.scan(pushed, start, None, n // every)
    half = len(growth) // 2
    scale = every * jnp.asarray(dt, x.dtype)
    exponents, first, second = (jnp.mean(part, axis=0) / scale for part in (growth, growth[:half], growth[half:]))
    finite = jnp.isfinite(end).all() & jnp.isfinite(exponents).all()
    result = RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)
    solution = Solution(exponents, result, jnp.max(jnp.abs(first - second)), n)
    return solution.unwrap("lyapunov_spectrum") if throw else solution


def evolution_strategies(
    f: Callable[[PyTree], Float[Array, ""]], theta: PyTree, key: Key[Array, ""], *, sigma: ArrayLike, pairs: int = 64
) -> Estimate:
    """An estimate of the gradient of f at theta, smoothed over a distance sigma, from pairs of values.

    Args:
        f: theta -> a real number. Runs under `vmap`; no derivative of it is taken.
        theta: pytree of real arrays.
        key: random key; if `f` averages over random starts, give it another one.
        sigma: standard deviation of the parameters that are tried. The bias is that of smoothing, of order sigma²; the
            error grows like 1/sigma where f is rough.
        pairs: how many pairs θ ± σε.

    Returns:
        `Estimate`: the gradient, like theta, and its standard error for each number.

    Raises:
        InputError: fewer than two pairs; sigma is not positive; theta is not real.

    Examples:
        >>> found = evolution_strategies(lambda x: jnp.sin(x), 0.3, jax.random.key(0), sigma=0.1, pairs=1000)
        >>> bool(abs(found.value - jnp.cos(0.3)) < 4 * found.error + 0.01)
        True
    """
    x, unravel = flat_reals("evolution_strategies", theta)
    if pairs < 2:
        raise InputError(f"evolution_strategies: pairs={pairs}; an error needs two or more.")
    if not isinstance(sigma, Tracer) and not np.all(np.asarray(sigma) > 0):
        raise InputError(f"evolution_strategies: sigma must be positive, got {sigma}.")
    directions = jax.random.normal(key, (pairs, x.size), x.dtype)

    def difference(direction):
        return f(unravel(x + sigma * direction)) - f(unravel(x - sigma * direction))

    samples = jax.vmap(difference)(directions)[:, None] * directions / (2 * sigma)
    mean, error = jnp.mean(samples, axis=0), jnp.std(samples, axis=0, ddof=1) / math.sqrt(pairs)
    return Estimate(unravel(mean), unravel(error))
