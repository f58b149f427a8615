"""Matrices at regular and hard points, without random numbers: entries that nobody has chosen.

Products are taken in extended precision and rounded once: in double precision the last digit depends on the processor,
and ill-conditioned rows show it.
"""

import numpy as np

REGULAR = [-1.0, -0.3, 0.4, 1.0, 1.7, 2.5]
TRIPLE = [0.0, 0.0, 0.0, 1.0, 1.0, 2.5]
NEARLY = [0.0, 1e-10, 2e-10, 1.0, 1.0 + 1e-10, 2.5]


def rotated(levels: list[float], *, complex_: bool = False) -> np.ndarray:
    """Q diag(levels) Q† with a fixed Householder reflection Q, so that no entry of the matrix is special."""
    q = _reflection(len(levels), complex_)
    a = q @ np.diag(np.array(levels, np.longdouble)) @ q.conj().T
    a = (a + a.conj().T) / 2
    return _rounded(a) if complex_ else _rounded(a.real)


def rectangle(m: int, n: int, singular_values: list[float], *, complex_: bool = False) -> np.ndarray:
    """An m×n matrix with these singular values (the others are zero), in fixed rotated bases."""
    k = len(singular_values)
    p, q = _reflection(m, complex_), _reflection(n, complex_)
    return _rounded(p[:, :k] @ np.diag(np.array(singular_values, np.longdouble)) @ q[::-1, :k].conj().T)


def reflection(n: int, *, complex_: bool = False) -> np.ndarray:
    """1 − 2uu†/u†u with u_j = √(j+1) [e^{ij}]."""
    return _rounded(_reflection(n, complex_))


def _reflection(n: int, complex_: bool) -> np.ndarray:
    j = np.arange(n, dtype=np.longdouble)
    u = np.sqrt(j + 1)
    if complex_:
        u = u * np.exp(1j * j)
    return np.eye(n, dtype=np.longdouble) - 2 * np.outer(u, u.conj()) / (n * (n + 1) / 2)  # u†u = 1 + 2 + … + n


def _rounded(a: np.ndarray) -> np.ndarray:
    return a.astype(complex if np.iscomplexobj(a) else float)


def hermitian_direction(a: np.ndarray, position: int = 0) -> np.ndarray:
    """A fixed Hermitian direction without symmetry: S_ij = cos((i+1)(j+1) + position) + [i (i − j) / n]."""
    n = len(a)
    i = np.arange(n)
    s = np.cos(np.outer(i + 1, i + 1) + position)
    return s + 1j * (i[:, None] - i[None, :]) / n if np.iscomplexobj(a) else s


def observable(n: int) -> np.ndarray:
    """A fixed symmetric matrix to take expectation values with."""
    i = np.arange(n)
    return np.sin(np.add.outer(i, i) + 1.0) + np.diag(i)


def ring(n: int) -> np.ndarray:
    """The tight-binding ring −Σ |i><i+1| + h.c.: pairs of degenerate levels."""
    shift = np.roll(np.eye(n), 1, axis=0)
    return -(shift + shift.T)
