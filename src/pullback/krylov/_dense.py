"""A few levels from all of them: the matrix is made and diagonalised."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from pullback.krylov._pencil import Eigensolver, Found, Pencil, verdict


class Dense(Eigensolver):
    """The matrix, n products at once, and LAPACK. For up to some thousand states, and for any levels."""

    def check(self, name: str, n: int, k: int, which: str | float, metric: bool) -> None:
        del name, n, k, which, metric

    def search(
        self, pencil: Pencil, v: Inexact[Array, " n"]
    ) -> tuple[Inexact[Array, "k k"], Inexact[Array, "k n"], Found]:
        """As of `Eigensolver`; what comes out is judged as on every other path."""
        k = pencil.k
        basis = jnp.eye(v.size, dtype=v.dtype)
        matrix = jax.vmap(pencil.apply, out_axes=1)(basis)
        matrix = (matrix + matrix.conj().T) / 2
        metric = None
        if pencil.metric is None:
            w, u = jnp.linalg.eigh(matrix)
        else:
            metric = jax.vmap(pencil.metric, out_axes=1)(basis)
            metric = (metric + metric.conj().T) / 2
            factor = jnp.linalg.inv(jnp.linalg.cholesky(metric))
            w, u = jnp.linalg.eigh(factor @ matrix @ factor.conj().T)
            u = factor.conj().T @ u
        if pencil.shift is not None:
            order = jnp.argsort(jnp.abs(w - pencil.shift))
            w, u = w[order], u[:, order]
        residuals = matrix @ u[:, :k] - (u if metric is None else metric @ u)[:, :k] * w[None, :k].astype(u.dtype)
        residual = jnp.linalg.norm(residuals, axis=0).max()
        gap = jnp.abs(w[:k, None] - w[None, k:]).min(initial=jnp.inf)
        eps = float(jnp.finfo(v.dtype).eps)
        # LAPACK is as good as rounding allows, which is not for the tolerance to say.
        tol = max(pencil.tol, 10 * v.size * eps) if metric is None else pencil.tol**0.5
        result = verdict(residual, gap, jnp.abs(w).max(), tol=tol)
        return jnp.diag(w[:k]).astype(u.dtype), u[:, :k].T, Found(result, residual, gap, jnp.asarray(v.size))
