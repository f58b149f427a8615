r"""`shadowing`: derivatives of long-time averages of chaotic maps and flows, by least squares.

Along a chaotic trajectory x_{k+1} = F(x_k, s) the tangent v_{k+1} = ∂_x F v_k + ∂_s F grows like exp(λk) from almost
every start. A trajectory of the system with another s that stays near (a shadow) has a tangent that does not grow: add
tangents w of the start alone, w_{k+1} = ∂_x F w_k, and choose the combination that is smallest,

    min Σ_k |v_k + W_k a|²,        d⟨J⟩/ds = ⟨∂_x J · (v + W a) + ∂_s J⟩.

Only tangents that do not decay need to be there. So that the columns of W stay apart, the time is cut into segments,
after each of which W = Q R is orthogonalised and v made orthogonal to it; a is then one vector for each segment, with

    a_{i+1} = R_i a_i + Q_i^T v_i(end)

where they join. With C_i = Σ W^T W and d_i = Σ W^T v the equations for a and the multipliers λ of these conditions,

    C_i a_i + d_i + R_i^T λ_{i+1} − λ_i = 0,

are block tridiagonal in λ, positive definite, and solved by elimination. With all directions in W this is
least-squares shadowing itself; with a few it is its non-intrusive form.

**Flows.** The direction f of the motion neither grows nor decays; a tangent along it is a shift in time. It is taken
out at each step, v → v − ξ f, ξ = f·v / f·f: the shadow is there earlier by ξ, and spends less time there,

    d⟨J⟩/ds = ⟨∂_x J · v + ∂_s J − ξ (J − ⟨J⟩) / h⟩.

Sources: Q. Wang, R. Hu, P. Blonigan, J. Comput. Phys. 267, 210 (2014), arXiv:1204.0159; A. Ni, Q. Wang, J. Comput.
Phys. 347, 56 (2017), arXiv:1611.00880. That shadows need not be typical trajectories: N. Chandramoorthy, Q. Wang,
arXiv:2010.13768.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PyTree

from pullback.core import RESULTS, Estimate, InputError, Solution, by_throw, hoist, vary_like, whole_number
from pullback.trust._arguments import flat_reals

_BLOCKS = 8  # of the average, for its error


class _Walk(NamedTuple):
    """State, tangents (rows) by the parameters and by the start, what was taken out of them in time."""

    x: Float[Array, " d"]
    v: Float[Array, "p d"]
    w: Float[Array, "k d"]
    xi_v: Float[Array, " p"]
    xi_w: Float[Array, " k"]


class _Sums(NamedTuple):
    """Over one segment: W W^T, W v^T, objective, its derivative along v and w, and the same of the shift in time."""

    c: Float[Array, "k k"]
    d: Float[Array, "k p"]
    objective: Float[Array, ""]
    along_v: Float[Array, " p"]
    along_w: Float[Array, " k"]
    shift_v: Float[Array, " p"]
    shift_w: Float[Array, " k"]


@by_throw
def shadowing(
    step: Callable[[PyTree, PyTree], PyTree],
    x0: PyTree,
    params: PyTree,
    objective: Callable[[PyTree, PyTree], Float[Array, ""]],
    n: int,
    *,
    k: int | None = None,
    every: int = 10,
    transient: int = 0,
    field: Callable[[PyTree, PyTree], PyTree] | None = None,
    dt: ArrayLike = 1.0,
    throw: bool = True,
) -> Estimate | Solution[Estimate]:
    """The derivative of the average of `objective` over n steps of a chaotic map or flow, by the parameters.

    It is that of a shadow: of a trajectory at other parameters that stays near this one. Averages over it are those of
    the system if shadows are typical trajectories, as they are where few of many directions are unstable. Compare with
    `evolution_strategies`, which assumes nothing.

    Args:
        step: (x, params) -> x, pytrees of real arrays.
        x0: start.
        params: pytree of real arrays, not too many: one tangent is carried along for each number.
        objective: (x, params) -> a real number.
        n: number of steps, a multiple of 8 · `every`.
        k: how many tangents of the start are carried along, at least one more than there are unstable directions; None:
            all.
        every: steps between orthogonalisations, in which a tangent must not grow by more than 1e6 or so.
        transient: steps made before, to reach the attractor.
        field: for flows, (x, params) -> dx/dt.
        dt: for flows, the length of a step in time.
        throw: raise if the trajectory leaves the numbers, or k is too small; if False, return a `Solution`.

    Returns:
        `Estimate`: the derivative, like params, and its standard error, of the average over the time. Or, if not
        `throw`, a `Solution` of this, with `residual` the largest mismatch where segments join, relative to the
        tangents, and in `stats` the average of the `objective`, the `exponents` of the k tangents per `dt`, and the
        `size` of the shadow's tangents, root mean square.

    Raises:
        ConvergenceError: the trajectory became NaN or infinite; all k tangents grow, so that others may do so as well
            (`EquinoxRuntimeError` in compiled programs).
        InputError: n, k, `every` make no sense; x0 or params are not real.

    Examples:
        The logistic map on [0, s], whose average is s/2.

        >>> step = lambda x, s: 4 * x * (1 - x / s)
        >>> found = shadowing(step, jnp.asarray(0.3), jnp.asarray(1.0), lambda x, s: x, 80_000, every=5)
        >>> bool(abs(found.value - 0.5) < 4 * found.error + 1e-3)
        True
    """
    x, of_x = flat_reals("shadowing", x0)
    p, of_p = flat_reals("shadowing", params)
    most = x.size - (field is not None)
    k = most if k is None else whole_number("shadowing", "k", k)
    if not 1 <= k <= most:
        raise InputError(f"shadowing: k={k}; it must be between 1 and {most}, the numbers of x0, less one for a flow.")
    if every < 1 or n < 1 or n % (_BLOCKS * every):
        raise InputError(f"shadowing: n={n} must be a positive multiple of {_BLOCKS} · every={_BLOCKS * every}.")

    def moved(x, p):
        new = step(of_x(x), of_p(p))
        if jax.tree.structure(new) != jax.tree.structure(x0) or (flat := ravel_pytree(new)[0]).shape != x.shape:
            raise InputError("shadowing: step must return the form of x.")
        return flat.astype(x.dtype)

    def measured(x, p):
        value = objective(of_x(x), of_p(p))
        if jnp.shape(value) != ():
            raise InputError(f"shadowing: objective must return one number, it has the shape {jnp.shape(value)}.")
        return jnp.asarray(value, x.dtype)

    def across(x, v):
        """(v without its part along the motion, that part as a time)."""
        if field is None:
            return v, jnp.zeros_like(v[:, 0])
        f = ravel_pytree(field(of_x(x), of_p(p)))[0].astype(x.dtype)
        xi = v @ f / (f @ f)
        return v - xi[:, None] * f, xi

    def one(carry, _):
        walk, sums = carry
        value, (by_x, by_p) = jax.value_and_grad(measured, (0, 1))(walk.x, p)
        sums = _Sums(
            sums.c + walk.w @ walk.w.T,
            sums.d + walk.w @ walk.v.T,
            sums.objective + value,
            sums.along_v + walk.v @ by_x + by_p - walk.xi_v * value / dt,
            sums.along_w + walk.w @ by_x - walk.xi_w * value / dt,
            sums.shift_v + walk.xi_v / dt,
            sums.shift_w + walk.xi_w / dt,
        )
        new, push = jax.linearize(moved, walk.x, p)
        v, xi_v = across(new, jax.vmap(push)(walk.v, vary_like(jnp.eye(p.size, dtype=p.dtype), p)))
        w, xi_w = across(new, jax.vmap(lambda w: push(w, jnp.zeros_like(p)))(walk.w))
        return (_Walk(new, v, w, xi_v, xi_w), sums), None

    def segment(walk, _):
        (walk, sums), _ = jax.lax.scan(one, (walk, vary_like(_empty(k, p.size, x.dtype), walk)), None, every)
        q, r = jnp.linalg.qr(walk.w.T)
        b = q.T @ walk.v.T
        # What was taken out in time belongs to the step before the cut; it goes over in the new basis.
        xi_w = walk.xi_w if field is None else jax.scipy.linalg.solve_triangular(r, walk.xi_w, trans="T")
        walk = _Walk(walk.x, walk.v - b.T @ q.T, q.T, walk.xi_v - b.T @ xi_w, xi_w)
        return walk, (sums, r, b)

    dt = jnp.asarray(dt, x.dtype)
    x, p = vary_like((x, p), hoist(moved, x, p)[1])
    x = jax.lax.fori_loop(0, transient, lambda _, x: moved(x, p), x)
    start, _ = across(x, vary_like(jnp.eye(x.size, dtype=x.dtype), x))
    start = jnp.linalg.svd(start)[0][:, :k].T  # orthogonal to the motion
    zeros = jnp.zeros((p.size, x.size), x.dtype), start, jnp.zeros(p.size, x.dtype), jnp.zeros(k, x.dtype)
    end, (sums, r, b) = jax.lax.scan(segment, vary_like(_Walk(x, *zeros)), None, n // every)
    a, residual = _joined(sums.c, sums.d, r, b)

    average = jnp.sum(sums.objective) / n
    along = sums.along_v + jnp.einsum("ik,ikp->ip", sums.along_w, a)
    shift = sums.shift_v + jnp.einsum("ik,ikp->ip", sums.shift_w, a)
    blocks = jnp.mean(((along + average * shift) / every).reshape(_BLOCKS, -1, p.size), axis=1)
    error = jnp.std(blocks, axis=0, ddof=1) / _BLOCKS**0.5
    exponents = jnp.mean(jnp.log(jnp.abs(jnp.diagonal(r, axis1=1, axis2=2))), axis=0) / (every * dt)
    size = jnp.sqrt(jnp.mean(jnp.einsum("ikp,ikl,ilp->ip", a, sums.c, a) / every))
    finite = jnp.isfinite(blocks).all() & jnp.isfinite(end.x).all()
    decays = exponents[-1] < 0 if k < most else True
    result = RESULTS.where(decays, RESULTS.successful, RESULTS.too_few_directions)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    estimate = Estimate(of_p(jnp.mean(blocks, axis=0)), of_p(error))
    stats = {"objective": average, "exponents": exponents, "size": size}
    solution = Solution(estimate, result, residual, n, stats)
    return solution.unwrap("shadowing") if throw else solution


def _empty(k: int, p: int, dtype: Any) -> _Sums:
    def of(*shape):
        return jnp.zeros(shape, dtype)

    return _Sums(of(k, k), of(k, p), of(), of(p), of(k), of(p), of(k))


def _joined(c, d, r, b):
    """(a, the largest mismatch relative to a) of min Σ a_i^T c_i a_i / 2 + d_i^T a_i, a_{i+1} = r_i a_i + b_i."""
    inverse = jnp.linalg.inv(c)
    lower, r = r @ inverse, jnp.swapaxes(r, 1, 2)
    diagonal = lower[:-1] @ r[:-1] + inverse[1:]
    beside = -lower[1:-1]  # from λ_i to the equation of λ_{i+1}
    right = b[:-1] - lower[:-1] @ d[:-1] + inverse[1:] @ d[1:]

    def down(carry, item):
        diagonal, right = carry
        side, next_diagonal, next_right = item
        factor = jnp.linalg.solve(diagonal, side.T).T
        new = next_diagonal - factor @ side.T, next_right - factor @ right
        return new, new

    first = diagonal[0], right[0]
    _, rest = jax.lax.scan(down, first, (beside, diagonal[1:], right[1:]))
    diagonal, right = (jnp.concatenate([f[None], g]) for f, g in zip(first, rest))

    def up(after, item):
        side, diagonal, right = item
        found = jnp.linalg.solve(diagonal, right - side.T @ after)
        return found, found

    last = jnp.linalg.solve(diagonal[-1], right[-1])
    _, multipliers = jax.lax.scan(up, last, (beside, diagonal[:-1], right[:-1]), reverse=True)
    multipliers = jnp.concatenate([jnp.zeros_like(last)[None], multipliers, last[None], jnp.zeros_like(last)[None]])
    a = -inverse @ (d + r @ multipliers[1:] - multipliers[:-1])
    mismatch = a[1:] - jnp.swapaxes(r, 1, 2)[:-1] @ a[:-1] - b[:-1]
    largest = jnp.max(jnp.abs(a))
    return a, jnp.max(jnp.abs(mismatch)) / jnp.where(largest > 0, largest, 1)
