"""The conformance table: one row for each primitive at each kind of point, with its exact derivatives.

Read by the tests (every row must pass in every mode), by `pullback check` (ours and plain JAX side by side) and by the
docs. A row is a scalar function of one real number t, built on the primitive and independent of any choice of basis or
phase, with its derivatives at t = 0 from 40-digit arithmetic (recomputed by the tests) or in closed form.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback import linalg
from pullback.core import InputError, nearest
from pullback.trust._derivatives import MODES, directional_derivative

TOLERANCE = {1: 1e-8, 2: 1e-6}


@dataclasses.dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        primitive: the public name, as in `pullback.linalg`.
        point: where and what is differentiated.
        loss: (implementation, t) -> scalar.
        ours, theirs: the implementations; `theirs` is what a user of plain JAX would write, None if there is nothing.
        derivatives: exact first and second derivative at t = 0.
    """

    primitive: str
    point: str
    loss: Callable[[Callable, jax.Array], jax.Array]
    ours: Callable
    theirs: Callable | None
    derivatives: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one implementation gave in one mode: "ok", "wrong", "NaN" or "missing"."""

    case: Case
    mode: str
    ours: str
    theirs: str


def rotated(levels: list[float], *, complex_: bool = False) -> np.ndarray:
    """Q diag(levels) Q† with a fixed Householder reflection Q, so that no entry of the matrix is special."""
    n = len(levels)
    u = np.sqrt(np.arange(1.0, n + 1)) * np.exp(1j * complex_ * np.arange(n))
    q = np.eye(n) - 2 * np.outer(u, u.conj()) / np.vdot(u, u)
    a = q @ np.diag(levels) @ q.conj().T
    a = (a + a.conj().T) / 2
    return a if complex_ else a.real


def perturbation(n: int, *, complex_: bool = False) -> np.ndarray:
    """A fixed Hermitian direction without symmetry: S_ij = cos((i+1)(j+1)) + [i (i − j) / n]."""
    i = np.arange(n)
    s = np.cos(np.outer(i + 1, i + 1))
    return s + 1j * (i[:, None] - i[None, :]) / n if complex_ else s


def observable(n: int) -> np.ndarray:
    """A fixed symmetric matrix to take expectation values with."""
    i = np.arange(n)
    return np.sin(np.add.outer(i, i) + 1.0) + np.diag(i)


def ring(n: int) -> np.ndarray:
    """The tight-binding ring −Σ |i><i+1| + h.c."""
    shift = np.roll(np.eye(n), 1, axis=0)
    return -(shift + shift.T)


def _on_line(a: np.ndarray, value: Callable) -> Callable:
    s = perturbation(len(a), complex_=np.iscomplexobj(a))
    return lambda primitive, t: value(primitive, jnp.asarray(a) + t * jnp.asarray(s))


def projector_loss(k: int) -> Callable:
    """Tr(P O) + (Σ_{i<k} w_i)² with P on the k lowest levels."""

    def value(eigh, a):
        w, v = eigh(a)
        occupied = v[:, :k]
        return jnp.sum(occupied.conj() * (observable(a.shape[-1]) @ occupied)).real + jnp.sum(w[:k]) ** 2

    return value


def _function_loss(f: Callable) -> Callable:
    def value(funm, a):
        return jnp.sum(observable(a.shape[-1]) * funm(a, f)).real

    return value


def _energy_loss(k: int) -> Callable:
    """E + E² with E the sum of the k lowest levels."""

    def value(eigvalsh, a):
        energy = jnp.sum(eigvalsh(a)[:k])
        return energy + energy**2

    return value


def _through_eigh(a, f):
    w, v = jnp.linalg.eigh(a)
    return (v * f(w)) @ v.conj().T


def _dense(d, e, k):
    w, v = jnp.linalg.eigh(jnp.diag(d) + jnp.diag(e, 1) + jnp.diag(e, -1))
    return w[:k], v[:, :k]


def _chain_loss(d, e, k):
    n = len(d)
    dd, de = np.cos(np.arange(1.0, n + 1)), np.sin(np.arange(1.0, n))

    def loss(solver, t):
        w, v = solver(d + t * dd, e + t * de, k)
        return jnp.sum(v * (observable(n) @ v)) + jnp.sum(w) ** 2

    return loss


REGULAR = [-1.0, -0.3, 0.4, 1.0, 1.7, 2.5]
TRIPLE = [0.0, 0.0, 0.0, 1.0, 1.0, 2.5]
NEARLY = [0.0, 1e-10, 2e-10, 1.0, 1.0 + 1e-10, 2.5]
TWO_CHAINS = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]), np.array([0.5, 0.7, 0.0, 0.5, 0.7])

# Exact first and second derivatives (40-digit arithmetic; tests/trust/test_conformance.py computes them again).
D = {
    "eigh regular": (0.4480029642685805, 29.824918147847065),
    "eigh triple": (-0.02233164282159289, 16.07087206090022),
    "eigh complex": (-0.04271435842927349, 12.305044433667726),
    "eigh nearly": (-0.022331642999354185, 16.070872060092427),
    "eigh ring": (-12.50364749745459, 40.57538284242018),
    "eigvalsh regular": (0.7699068614876382, 7.440743182457733),
    "eigvalsh triple": (-0.37786150287826636, -5.689048631662711),
    "exp regular": (-4.92369086694917, 128.66779649047567),
    "exp triple": (-15.268272454823473, 107.5334973573558),
    "exp complex": (60.124337692866, 234.4147603599765),
    "fermi nearly": (-0.02166140481266499, 15.853259939267808),
    "tanh ring": (-1.0238779062604506, -7.076783620925532),
    "chain regular": (-0.8041021601818672, 0.9971939029825063),
    "chain double": (-0.8427014806073243, -3.9182430902308925),
}


@functools.cache
def cases() -> tuple[Case, ...]:
    """All rows of the table."""
    eigh = functools.partial(Case, "eigh", ours=linalg.eigh, theirs=jnp.linalg.eigh)
    eigvalsh = functools.partial(Case, "eigvalsh", ours=linalg.eigvalsh, theirs=jnp.linalg.eigvalsh)
    funmh = functools.partial(Case, "funmh", ours=linalg.funmh, theirs=_through_eigh)
    chain = functools.partial(Case, "eigh_tridiagonal", ours=linalg.eigh_tridiagonal, theirs=_dense)
    three = projector_loss(3)

    def fermi(x):
        return jax.nn.sigmoid(-20 * (x - 0.5))

    return (
        eigh("projector, regular", _on_line(rotated(REGULAR), three), derivatives=D["eigh regular"]),
        eigh("projector, triple level", _on_line(rotated(TRIPLE), three), derivatives=D["eigh triple"]),
        eigh("the same, complex", _on_line(rotated(TRIPLE, complex_=True), three), derivatives=D["eigh complex"]),
        eigh("levels split by 1e-10", _on_line(rotated(NEARLY), three), derivatives=D["eigh nearly"]),
        eigh("ring of 6 sites, 3 filled", _on_line(ring(6), three), derivatives=D["eigh ring"]),
        eigvalsh("energy, regular, complex", _on_line(rotated(REGULAR, complex_=True), _energy_loss(3)),
                 derivatives=D["eigvalsh regular"]),
        eigvalsh("energy, triple level", _on_line(rotated(TRIPLE), _energy_loss(3)),
                 derivatives=D["eigvalsh triple"]),
        funmh("exp, regular", _on_line(rotated(REGULAR), _function_loss(jnp.exp)), derivatives=D["exp regular"]),
        funmh("exp, triple level", _on_line(rotated(TRIPLE), _function_loss(jnp.exp)), derivatives=D["exp triple"]),
        funmh("the same, complex", _on_line(rotated(TRIPLE, complex_=True), _function_loss(jnp.exp)),
              derivatives=D["exp complex"]),
        funmh("Fermi, levels split by 1e-10", _on_line(rotated(NEARLY), _function_loss(fermi)),
              derivatives=D["fermi nearly"]),
        funmh("tanh, ring of 6 sites", _on_line(ring(6), _function_loss(jnp.tanh)), derivatives=D["tanh ring"]),
        chain("ground state, regular", _chain_loss(np.arange(1.0, 7.0), np.full(5, 0.5), 1),
              derivatives=D["chain regular"]),
        chain("two equal, decoupled chains", _chain_loss(*TWO_CHAINS, 2), derivatives=D["chain double"]),
    )  # fmt: skip


def check_conformance(primitive: str | None = None) -> Iterator[Outcome]:
    """Runs the table, or the rows of one primitive; yields an `Outcome` for every row and mode.

    Raises:
        InputError: no row has this primitive.
    """
    known = sorted({case.primitive for case in cases()})
    if primitive is not None and primitive not in known:
        raise InputError(f"no primitive {primitive!r} in the conformance table.{nearest(primitive, known)}")
    for case in cases():
        if primitive in (None, case.primitive):
            for mode in MODES:
                theirs = "missing" if case.theirs is None else verdict(case, case.theirs, mode)
                yield Outcome(case, mode, verdict(case, case.ours, mode), theirs)


def verdict(case: Case, implementation: Callable[..., Any], mode: str) -> str:
    """ "ok", "wrong", "NaN" or "missing" for one implementation in one mode."""
    order = 1 + mode.count("-")
    program = jax.jit(lambda t: directional_derivative(lambda t: case.loss(implementation, t), t, [1.0] * order, mode))
    try:
        value = float(program(0.0))
    except (NotImplementedError, TypeError, ValueError):
        return "missing"
    if not math.isfinite(value):
        return "NaN"
    exact = case.derivatives[order - 1]
    return "ok" if abs(value - exact) <= TOLERANCE[order] * max(abs(exact), 1e-3) else "wrong"
