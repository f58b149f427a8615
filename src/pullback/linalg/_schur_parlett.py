r"""f(T) for an upper triangular matrix, also a defective one, from values of f: the Schur–Parlett method in a form
for `jit`.

1. Eigenvalues closer than a distance δ are chained into clusters, and plane rotations bring the members of a cluster
   next to each other on the diagonal of T.
2. Inside the clusters f is applied to the block diagonal part B of T by Cauchy's integral over circles,

       f(B) = 1/M Σ_k r e^{iθ_k} f(σ + r e^{iθ_k}) (σ + r e^{iθ_k} − B)^{-1},

   with centre σ and radius r of each cluster. The trapezoidal rule converges geometrically when f is analytic inside;
   several radii are tried, and each cluster takes the one with the smallest estimated error.
3. Between clusters F = f(T) follows from F T = T F, one superdiagonal after the other (Parlett), with its error.

On which scale f varies is not known: a large δ may reach over a singularity, a small one leaves small differences to
divide by. So δ starts at a fraction of ‖T‖ and shrinks until the error, estimated to first order, is small; the best
attempt is taken, and its error returned.

Sources: P. I. Davies, N. J. Higham, SIAM J. Matrix Anal. Appl. 25, 464 (2003); L. N. Trefethen, J. A. C. Weideman,
SIAM Rev. 56, 385 (2014) (the trapezoidal rule); LAPACK's trexc (the exchange of neighbours).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Inexact

from pullback import elementary
from pullback.core import vary_like
from pullback.linalg._clusters import clusters

NODES = 32
RADII = [0.2 * 2.0**j for j in range(9)]  # beyond the members of the cluster, in units of the distance δ
FIRST, LAST, SHRINK = 0.05, 1e-14, 16  # δ in units of the size of T, and by what it shrinks


def schur_parlett(
    f: Callable[[Complex[Array, ""]], Inexact[Array, ""]], t: Complex[Array, "n n"]
) -> tuple[Inexact[Array, "n n"], Float[Array, ""]]:
    """f(t) for t upper triangular and f analytic around its diagonal, and an estimate of the relative error."""
    enough = jnp.finfo(t.dtype).eps ** (2 / 3)
    size = elementary.norm(t) / len(t) ** 0.5

    def attempt(state):
        distance, best, smallest = state
        gathered, q, cluster = _gathered(t, jnp.eye(len(t), dtype=t.dtype), clusters(jnp.diagonal(t), distance))
        same = cluster[:, None] == cluster[None, :]
        block, error = _inside(f, jnp.where(same, gathered, 0), same, distance)
        value, error = _between(gathered, block, jnp.where(same, error[:, None], 0), same)
        largest = jnp.max(jnp.abs(value))
        relative = jnp.max(error) / jnp.where(largest == 0, 1, largest)
        better = relative < smallest
        return distance / SHRINK, jnp.where(better, q @ value @ q.conj().T, best), jnp.where(better, relative, smallest)

    def is_unsatisfied(state):
        distance, _, smallest = state
        return (distance > LAST * size) & ~(smallest <= enough)

    start = vary_like((FIRST * size, jnp.full_like(t, jnp.nan), jnp.asarray(jnp.inf, size.dtype)))
    return jax.lax.while_loop(is_unsatisfied, attempt, start)[1:]


def _gathered(t, q, cluster):
    """Exchanges neighbours on the diagonal of t until the clusters are contiguous."""

    def disorder(state):
        cluster = state[2]
        return jnp.any(cluster[:-1] > cluster[1:])

    def exchange(state):
        t, q, cluster = state
        i = jnp.argmax(cluster[:-1] > cluster[1:])
        pair = jax.lax.dynamic_slice(t, (i, i), (2, 2))
        x = jnp.array([pair[0, 1], pair[1, 1] - pair[0, 0]])  # the eigenvector of the second eigenvalue
        x = x / elementary.norm(x).astype(x.dtype)
        g = jnp.array([[x[0], -x[1].conj()], [x[1], x[0].conj()]])
        rows = g.conj().T @ jax.lax.dynamic_slice_in_dim(t, i, 2, 0)
        t = jax.lax.dynamic_update_slice_in_dim(t, rows, i, 0)
        t = jax.lax.dynamic_update_slice_in_dim(t, jax.lax.dynamic_slice_in_dim(t, i, 2, 1) @ g, i, 1)
        q = jax.lax.dynamic_update_slice_in_dim(q, jax.lax.dynamic_slice_in_dim(q, i, 2, 1) @ g, i, 1)
        swapped = jax.lax.dynamic_slice_in_dim(cluster, i, 2)[::-1]
        return t.at[i + 1, i].set(0), q, jax.lax.dynamic_update_slice_in_dim(cluster, swapped, i, 0)

    if len(t) == 1:
        return t, q, cluster
    return jax.lax.while_loop(disorder, exchange, vary_like((t, q, cluster)))


def _inside(f, b: Complex[Array, "n n"], same: Bool[Array, "n n"], distance):
    """f(b) for b upper triangular and block diagonal, the blocks given by `same`, and for each row its error."""
    w, count = jnp.diagonal(b), jnp.sum(same, axis=1)
    centre = jnp.sum(jnp.where(same, w[None, :], 0), axis=1) / count.astype(w.dtype)
    spread = jnp.max(jnp.where(same, jnp.abs(w - centre)[None, :], 0), axis=1)
    eye = jnp.eye(len(b), dtype=b.dtype)
    circle = jnp.asarray(np.exp(2j * np.pi * (np.arange(NODES) + 0.5) / NODES), b.dtype)

    def of_radius(beyond):
        radius = 1.5 * spread + beyond * distance

        def node(k):
            z = radius.astype(b.dtype) * circle[k]
            resolvent = jax.scipy.linalg.solve_triangular(jnp.diag(centre + z) - b, eye)
            term = (z * jax.vmap(f)(centre + z))[:, None] * resolvent / NODES
            return term, jnp.abs(term)

        def add(total, k):
            term, rounding = node(k)
            return (total[0] + term, total[1] + jnp.where(k % 2, -term, term), total[2] + rounding), None

        # The alternating sum is the difference to the rule with half the nodes.
        start = jnp.zeros_like(b), jnp.zeros_like(b), jnp.zeros_like(b.real)
        (value, half, rounding), _ = jax.lax.scan(add, start, jnp.arange(NODES))
        value_size = _largest(value, same)
        difference = _largest(half, same)
        # Geometric convergence: the error of the full rule is the square of that of half the nodes.
        truncation = difference * jnp.minimum(1, difference / jnp.where(value_size == 0, 1, value_size))
        return jnp.where(same, value, 0), truncation + jnp.finfo(b.dtype).eps * _largest(rounding, same)

    values, errors = jax.lax.map(of_radius, jnp.array(RADII, spread.dtype))
    errors = jnp.where(jnp.isnan(errors), jnp.inf, errors)
    best = jnp.argmin(errors, axis=0)
    return jnp.take_along_axis(values, best[None, :, None], axis=0)[0], jnp.min(errors, axis=0)


def _largest(x, same):
    """For each row the largest modulus in its cluster."""
    row = jnp.max(jnp.where(same, jnp.abs(x), 0), axis=1)
    return jnp.max(jnp.where(same, row[None, :], 0), axis=1)


def _between(t, block, error, same):
    """Parlett's recurrence from f inside the clusters, and the errors of what it gives."""
    n = len(t)
    w, row, eps = jnp.diagonal(t), jnp.arange(n), jnp.finfo(t.dtype).eps
    size = jnp.abs(t)

    def superdiagonal(state, d):
        f, error = state
        column = row + d
        inside = column < n
        j = jnp.where(inside, column, row)
        known = same[row, j] | ~inside
        gap = jnp.where(known, 1, w - w[j])
        # (F T − T F)_ij without the unknown F_ij itself, which is still zero
        defect = jnp.sum(f * t[:, j].T - t * f[:, j].T, axis=1)
        uncertain = error + eps * jnp.abs(f)
        defect_error = jnp.sum(uncertain * size[:, j].T + size * uncertain[:, j].T, axis=1)
        f = f.at[row, j].set(jnp.where(known, f[row, j], defect / gap))
        return (f, error.at[row, j].set(jnp.where(known, error[row, j], defect_error / jnp.abs(gap)))), None

    return jax.lax.scan(superdiagonal, (block, error), jnp.arange(1, n))[0]
