"""Rows of `linalg`: generalized and general eigenproblems, triangular factors, determinants, matrix equations."""

from functools import cache, partial

import jax.numpy as jnp
import jax.scipy.linalg  # jax.scipy loads its parts on demand
import numpy as np

from pullback import linalg
from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case, rows
from pullback.trust._conformance._matrices import hermitian_direction, rectangle, reflection, rotated
from pullback.trust._conformance._rows_functions import NON_NORMAL
from pullback.trust._conformance._rows_hermitian import projector_and_energy

SKEWED = np.eye(4) + 0.3 * np.triu(np.ones((4, 4)), 1)  # eigenvectors far from orthogonal
GENERAL = SKEWED @ rotated([1.0, 1.7, 2.4, -3.1]) @ np.linalg.inv(SKEWED)
SEMISIMPLE = SKEWED @ np.diag([1.0, 1.0, 2.4, -3.1]) @ np.linalg.inv(SKEWED)
OVERLAP, OVERLAP_COMPLEX = (rotated([0.2, 0.5, 1.0, 1.3, 1.6, 2.0], complex_=c) for c in (False, True))
TALL = reflection(5)[:, :3] @ np.array([[1.0, 0.4, -0.2], [0.0, 1.3, 0.6], [0.0, 0.0, 0.8]])
TALL_COMPLEX = reflection(5, complex_=True)[:, :3] @ np.array([[1.0, 0.4j, -0.2], [0.0, 1.3, 0.6j], [0.0, 0.0, 0.8]])
RIGHT_SIDE = np.array([[0.3, -0.7], [1.1, 0.4], [-0.9, 0.8]])


@cache
def general_rows() -> tuple[Case, ...]:
    """eigh with two matrices, eig, qr, lq, schur, cholesky, det, slogdet, pfaffian, lstsq, solve_…, expm_multiply."""
    return (*_eigenvalue_rows(), *_factor_rows(), *_determinant_rows(), *_equation_rows())


def _eigenvalue_rows():
    factor, factor_complex = np.linalg.cholesky(OVERLAP), np.linalg.cholesky(OVERLAP_COMPLEX)
    triple = rotated([0.0, 0.0, 0.0, 1.0, 1.0, 2.5]), rotated([0.0, 0.0, 0.0, 1.0, 1.0, 2.5], complex_=True)
    pairs = {
        "a x = λ b x, triple level": (factor @ triple[0] @ factor.T, OVERLAP),
        "a x = λ b x, triple level, complex": (factor_complex @ triple[1] @ factor_complex.conj().T, OVERLAP_COMPLEX),
    }
    spaces = {"regular": (GENERAL,), "double eigenvalue": (SEMISIMPLE,), "regular, complex": (GENERAL + 0j,)}
    return (
        *rows("eigh", pairs, _eigh_of_pair, ours=linalg.eigh, theirs=None, loss=projector_and_energy,
              direction=lambda x, i: hermitian_direction(x, i) / (1 + 9 * i)),
        *rows("eig", spaces, _near_one, ours=partial(_by_eig, linalg.eig), theirs=partial(_by_eig, jnp.linalg.eig)),
        *rows("eigvals", {"regular": (GENERAL,)}, _sum_of_squares,
              ours=lambda a: (linalg.eigvals(a) ** 2).sum(), theirs=lambda a: (jnp.linalg.eigvals(a) ** 2).sum()),
    )  # fmt: skip


def _factor_rows():
    tall = {"tall": (TALL,), "tall, complex": (TALL_COMPLEX,), "square": (GENERAL,)}
    return (
        *rows("qr", tall, _gram_schmidt, ours=linalg.qr, theirs=jnp.linalg.qr, loss=flag),
        *rows("lq", {"wide": (TALL.T,), "wide, complex": (TALL_COMPLEX.T,)}, _lq, ours=linalg.lq, theirs=None,
              loss=lambda lq: flag(tuple(x.conj().T for x in lq[::-1]))),
        *rows("schur", {"departure from normality": (GENERAL,), "the same, complex": (GENERAL + 0j,)}, _strictly_upper,
              ours=partial(_norm_above, linalg.schur), theirs=partial(_norm_above, jax.scipy.linalg.schur)),
        *rows("cholesky", {"condition 10⁸, complex": (rotated([1e-8, 0.5, 1.0], complex_=True),)},
              exact.through_matrix("cholesky"), ours=linalg.cholesky, theirs=jnp.linalg.cholesky,
              direction=lambda x, i: 1e-9 * hermitian_direction(x)),
    )  # fmt: skip


def _determinant_rows():
    ranks = {f"rank n − {k}": (rectangle(4, 4, [2.0] * (4 - k)),) for k in (1, 2, 3)}
    skew = np.triu(np.cos(np.arange(36.0).reshape(6, 6)), 1)
    half = np.zeros((6, 6))
    half[0, 1] = half[2, 3] = 1.0
    turn = reflection(6)
    return (
        *rows("det", ranks | {"regular, complex": (GENERAL * (1 + 0.5j),)}, exact.through_matrix("det"),
              ours=linalg.det, theirs=jnp.linalg.det),
        *rows("slogdet", {"regular, complex": (GENERAL * (1 + 0.5j),)}, _log_abs_det,
              ours=lambda a: linalg.slogdet(a)[1], theirs=lambda a: jnp.linalg.slogdet(a)[1]),
        *rows("pfaffian", {"regular": (skew - skew.T,), "rank n − 2": (turn @ (half - half.T) @ turn.T,),
              "regular, complex": ((skew - skew.T) * (1 + 0.5j),)}, _pfaffian,
              ours=linalg.pfaffian, theirs=None, direction=_skew_direction),
        *rows("slogpfaffian", {"regular": (skew - skew.T,)}, _log_abs_pfaffian,
              ours=lambda a: linalg.slogpfaffian(a)[1], theirs=None, direction=_skew_direction),
    )  # fmt: skip


def _equation_rows():
    a, b, c = NON_NORMAL, rotated([0.4, 1.3]), RIGHT_SIDE
    diagonals = np.array([0.3, -0.4]), np.array([1.0, 2.0, 1.5]), np.array([0.7, 0.2])
    return (
        *rows("lstsq", {"regular": (TALL, np.arange(5.0)), "complex": (TALL_COMPLEX, np.arange(5.0) + 0j)}, _lstsq,
              ours=lambda a, b: linalg.lstsq(a, b)[0], theirs=lambda a, b: jnp.linalg.lstsq(a, b)[0]),
        *rows("solve_sylvester", {"regular": (a, b, c), "complex": (a + 0j, b * 1j + b, c + 0j)}, _sylvester,
              ours=linalg.solve_sylvester, theirs=jax.scipy.linalg.solve_sylvester),
        *rows("solve_continuous_lyapunov", {"double level": (rotated([1.0, 1.0, 2.5]), np.eye(3))},
              lambda mp: lambda a, q: _sylvester(mp)(a, a.conj().T, q), ours=linalg.solve_continuous_lyapunov,
              theirs=None),
        *rows("solve_discrete_lyapunov", {"not normal": (0.3 * a, np.eye(3))}, _stein,
              ours=linalg.solve_discrete_lyapunov, theirs=None),
        *rows("solve_triangular", {"regular": (np.triu(a), c)},
              lambda mp: lambda a, b: _solve(mp)(np.triu(np.ones((3, 3))) * a, b),
              ours=linalg.solve_triangular, theirs=jax.scipy.linalg.solve_triangular),
        *rows("solve_banded", {"tridiagonal": (*diagonals, c)}, _tridiagonal,
              ours=_banded, theirs=None),
        *rows("expm_multiply", {"not normal": (a, c), "zero": (0 * a, c)},
              lambda mp: lambda a, b: exact.through_matrix("expm")(mp)(a) @ b,
              ours=linalg.expm_multiply, theirs=lambda a, b: jax.scipy.linalg.expm(a) @ b),
    )  # fmt: skip


def flag(qr):
    """What does not depend on the phases of the columns of q: the projector on the first two, moduli of r."""
    q, r = qr
    projector = q[:, :2] @ q[:, :2].conj().T
    observable = np.cos(np.arange(projector.size).reshape(projector.shape))
    return (observable * projector).sum() + (r * r.conj() * np.arange(1.0, r.shape[1] + 1)).sum()


def _by_eig(eig, a):
    """The projector on the eigenvalues around 1, along the others."""
    w, v = eig(a)
    return (v * (abs(w - 1) < 0.5)) @ jnp.linalg.inv(v)


def _near_one(mp):
    def projector(a):
        w, right = mp.eig(mp.matrix(a.tolist()))
        total = mp.zeros(len(a))
        v_inverse = mp.inverse(right)
        for i, level in enumerate(w):
            if abs(level - 1) < 0.5:
                total += right[:, i] * v_inverse[i, :]
        return np.array(total.tolist(), dtype=object)

    return projector


def _sum_of_squares(mp):
    del mp
    return lambda a: np.trace(a @ a)


def _norm_above(schur, a):
    t, _ = schur(a, output="complex")
    return (np.triu(np.ones(t.shape), 1) * t * t.conj()).sum()


def _strictly_upper(mp):
    def of(a):
        w = mp.eig(mp.matrix(a.tolist()), left=False, right=False)
        return (a * a.conj()).sum() - sum(mp.fabs(level) ** 2 for level in w)

    return of


def _eigh_of_pair(mp):
    def solve(a, b):
        a, b = (x + x.conj().T for x in (a, b))  # Hermitian to all digits
        inverse = np.array(mp.inverse(mp.cholesky(mp.matrix((b / 2).tolist()))).tolist(), dtype=object)
        c = inverse @ a @ inverse.conj().T / 2
        w, y = exact.eigh(mp)((c + c.conj().T) / 2)
        return w, inverse.conj().T @ y

    return solve


def _gram_schmidt(mp):
    def decompose(a):
        q = np.zeros((len(a), min(a.shape)), dtype=object)
        for j in range(q.shape[1]):
            x = a[:, j] - q[:, :j] @ (q[:, :j].conj().T @ a[:, j])
            q[:, j] = x / mp.sqrt(mp.re((x * x.conj()).sum()))
        return q, np.array([[q[:, i].conj() @ a[:, j] if i <= j else mp.mpf(0) for j in range(a.shape[1])]
                            for i in range(q.shape[1])], dtype=object)  # fmt: skip

    return decompose


def _lq(mp):
    def decompose(a):
        q, r = _gram_schmidt(mp)(a.conj().T)
        return r.conj().T, q.conj().T

    return decompose


def _log_abs_det(mp):
    return lambda a: mp.log(mp.fabs(mp.det(mp.matrix(a.tolist()))))


def _pfaffian(mp):
    """Expansion along the first row."""

    def pf(a):
        if len(a) == 0:
            return mp.mpf(1)
        total = mp.mpf(0)
        for j in range(1, len(a)):
            rest = [k for k in range(1, len(a)) if k != j]
            total += (-1) ** (j - 1) * a[0, j] * pf(a[np.ix_(rest, rest)])
        return total

    return lambda a: np.array(pf(a), dtype=object)


def _log_abs_pfaffian(mp):
    return lambda a: mp.log(mp.fabs(_pfaffian(mp)(a).item()))


def _skew_direction(x, position):
    s = np.cos(np.arange(1.0, x.size + 1).reshape(x.shape) + position)
    return (s - s.T) * (1 + 0.3j) if np.iscomplexobj(x) else s - s.T


def _solve(mp):
    def of(a, b):
        columns = [mp.lu_solve(mp.matrix(a.tolist()), mp.matrix(column.tolist())) for column in b.reshape(len(b), -1).T]
        return np.array([list(x) for x in columns], dtype=object).T.reshape(b.shape)

    return of


def _lstsq(mp):
    return lambda a, b: _solve(mp)(a.conj().T @ a, a.conj().T @ b)


def _sylvester(mp):
    """a x + x b = q, as a linear system for the entries of x."""

    def of(a, b, q):
        system = np.kron(a, np.eye(len(b))) + np.kron(np.eye(len(a)), b.T)
        return _solve(mp)(system, q.reshape(-1)).reshape(q.shape)

    return of


def _stein(mp):
    """a x a† − x + q = 0."""

    def of(a, q):
        return _solve(mp)(np.eye(q.size) - np.kron(a, a.conj()), q.reshape(-1)).reshape(q.shape)

    return of


def _banded(lower, d, upper, b):
    return linalg.solve_banded((1, 1), jnp.stack([jnp.pad(upper, (1, 0)), d, jnp.pad(lower, (0, 1))]), b)


def _tridiagonal(mp):
    return lambda lower, d, upper, b: _solve(mp)(np.diag(lower, -1) + np.diag(d) + np.diag(upper, 1), b)
