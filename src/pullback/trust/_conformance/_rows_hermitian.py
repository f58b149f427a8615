"""Rows of `linalg`: Hermitian matrices, their levels, projectors and functions."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from pullback import linalg
from pullback.trust._conformance import _exact as exact
from pullback.trust._conformance._case import Case, rows
from pullback.trust._conformance._matrices import (
    NEARLY,
    REGULAR,
    TRIPLE,
    hermitian_direction,
    observable,
    ring,
    rotated,
)

TWO_CHAINS = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]), np.array([0.5, 0.7, 0.0, 0.5, 0.7])


@cache
def hermitian_rows() -> tuple[Case, ...]:
    """eigh, eigvalsh, funmh, spectral_projector, density_matrix, eigh_tridiagonal."""
    of = partial(rows, direction=hermitian_direction)
    return (
        *of("eigh", {
            "regular": (rotated(REGULAR),),
            "triple level": (rotated(TRIPLE),),
            "levels split by 1e-10": (rotated(NEARLY),),
            "ring of 6 sites, 3 filled": (ring(6),),
            "triple level, complex": (rotated(TRIPLE, complex_=True),),
        }, exact.eigh, ours=linalg.eigh, theirs=jnp.linalg.eigh, loss=projector_and_energy),
        *of("eigvalsh", {
            "triple level": (rotated(TRIPLE),),
            "regular, complex": (rotated(REGULAR, complex_=True),),
        }, _levels, ours=linalg.eigvalsh, theirs=jnp.linalg.eigvalsh, loss=energy),
        *of("funmh", {
            "exp, regular": (rotated(REGULAR),),
            "exp, triple level": (rotated(TRIPLE),),
            "exp, ring of 6 sites": (ring(6),),
            "exp, triple level, complex": (rotated(TRIPLE, complex_=True),),
        }, exact.hermitian_function(lambda mp: mp.exp),
            ours=partial(linalg.funmh, f=jnp.exp), theirs=partial(_through_eigh, f=jnp.exp), loss=expectation),
        *of("funmh", {
            "Fermi, levels split by 1e-10": (rotated(NEARLY),),
        }, exact.hermitian_function(lambda mp: lambda x: 1 / (1 + mp.exp(20 * (x - mp.mpf(0.5))))),
            ours=partial(linalg.funmh, f=_fermi), theirs=partial(_through_eigh, f=_fermi), loss=expectation),
        *of("spectral_projector", {
            "3 lowest, triple level": (rotated(TRIPLE),),
            "3 lowest, split by 1e-10": (rotated(NEARLY),),
            "3 lowest, triple level, complex": (rotated(TRIPLE, complex_=True),),
        }, _lowest_three, ours=partial(linalg.spectral_projector, k=3), theirs=_projector, loss=expectation),
        *of("density_matrix", {
            "3 electrons, triple level": (rotated(TRIPLE),),
            "3 electrons, ring of 6 sites": (ring(6),),
        }, _fermi_density, ours=partial(linalg.density_matrix, n_electrons=3.0, temperature=0.5), theirs=None,
            loss=expectation),
        *rows("eigh_tridiagonal", {
            "regular": (np.arange(1.0, 7.0), np.full(5, 0.5)),
            "two equal, decoupled chains": TWO_CHAINS,
        }, _chain, ours=partial(linalg.eigh_tridiagonal, k=2), theirs=partial(_dense, k=2), loss=projector_and_energy),
    )  # fmt: skip


def projector_and_energy(wv):
    """Tr(P O) + E² with P on the lowest levels (half of them, if all are given) and E their sum."""
    w, v = wv
    k = min(3, v.shape[1])
    occupied = v[:, :k]
    return (occupied.conj() * (observable(len(v)) @ occupied)).sum() + w[:k].sum() ** 2


def energy(w):
    """E + E² with E the sum of the three lowest levels."""
    e = w[:3].sum()
    return e + e**2


def expectation(b):
    """Σ O_ij b_ij."""
    return (observable(len(b)) * b).sum()


def _levels(mp):
    return lambda a: exact.eigh(mp)(a)[0]


def _lowest_three(mp):
    def projector(a):
        occupied = exact.eigh(mp)(a)[1][:, :3]
        return occupied @ occupied.conj().T

    return projector


def _projector(a):
    occupied = jnp.linalg.eigh(a)[1][:, :3]
    return occupied @ occupied.conj().T


def _fermi_density(mp):
    """Occupations of 3 electrons at temperature 1/2; μ from Newton's method on a monotonous function."""

    def occupation(x):
        return 1 / (1 + mp.exp(2 * x))

    def density(a):
        w, v = exact.eigh(mp)(a)
        mu = mp.findroot(lambda m: sum(occupation(x - m) for x in w) - 3, (w[2] + w[3]) / 2)
        return (v * np.array([occupation(x - mu) for x in w], dtype=object)) @ v.conj().T

    return density


def _chain(mp):
    def solve(d, e):
        w, v = exact.eigh(mp)(np.diag(d) + np.diag(e, 1) + np.diag(e, -1))
        return w[:2], v[:, :2]

    return solve


def _through_eigh(a, f):
    w, v = jnp.linalg.eigh(a)
    return (v * f(w)) @ v.conj().T


def _dense(d, e, k):
    w, v = jnp.linalg.eigh(jnp.diag(d) + jnp.diag(e, 1) + jnp.diag(e, -1))
    return w[:k], v[:, :k]


def _fermi(x):
    return jax.nn.sigmoid(-20 * (x - 0.5))
