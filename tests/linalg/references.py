"""Derivatives along a line A + s S in 40-digit arithmetic, and matrices at hard points."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np


def levels_matrix(levels, *, dtype: type = float, seed=0):
    """A random rotation of diag(levels), and a random Hermitian direction S and test matrix O."""
    n, rng = len(levels), np.random.default_rng(seed)

    def draw():
        z = rng.normal(size=(n, n))
        return z + 1j * rng.normal(size=(n, n)) if dtype is complex else z

    q, _ = np.linalg.qr(draw())
    a = q @ np.diag(levels) @ q.conj().T
    s, o = draw(), draw()
    return tuple((m + m.conj().T) / 2 for m in (a, s, o))


def ring(n, t=1.0):
    """The tight-binding ring: H = -t Σ |i><i+1| + h.c.; pairs of degenerate levels −2t cos(2πk/n)."""
    shift = np.roll(np.eye(n), 1, axis=0)
    return -t * (shift + shift.T)


def line_derivatives(value, a, s, orders, digits=40):
    """d^m/ds^m value(A + s S) at 0 in multi-precision; `value` gets eigenvalues and eigenvectors (mpmath)."""
    with mp.workdps(digits):
        solve = mp.eighe if np.iscomplexobj(a) or np.iscomplexobj(s) else mp.eigsy
        a_mp, s_mp = mp.matrix(np.asarray(a).tolist()), mp.matrix(np.asarray(s).tolist())

        def along(t):
            w, v = solve(a_mp + t * s_mp)
            order = sorted(range(len(w)), key=lambda i: w[i])
            return mp.re(value([w[i] for i in order], [[v[r, i] for i in order] for r in range(len(w))]))

        return [float(mp.diff(along, 0, m, h=mp.mpf(10) ** (-8))) for m in orders]


def projector_value(o, k):
    """Tr(P O) + (Σ_{i<k} w_i)² with P on the k lowest levels."""

    def value(w, v):
        n = len(w)
        trace = mp.mpf(0)
        for r in range(n):
            for c in range(n):
                p = sum(v[r][i] * mp.conj(v[c][i]) for i in range(k))
                trace += p * mp.mpmathify(complex(o[c, r]))
        return trace + sum(w[:k]) ** 2

    return value


def projector_loss(eigh, a, s, o, k):
    def loss(t):
        w, v = eigh(jnp.asarray(a) + t * jnp.asarray(s))
        p = v[:, :k] @ v[:, :k].conj().T
        return jnp.trace(p @ o).real + jnp.sum(w[:k]) ** 2

    return loss
