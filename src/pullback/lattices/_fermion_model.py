"""Fermions on lattices: hopping, interactions and potentials, with Jordan-Wigner signs."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pullback.core import InputError, nearest
from pullback.lattices._lattice import Lattice
from pullback.lattices._model import Model, couplings_on, joined
from pullback.lattices._space import Space
from pullback.lattices._terms import Term
from pullback.operators import FermionWord

_ON_BONDS = ("hop", "current", "nn")
_ON_SITES = ("n", "m", "updown")


class FermionModel(Model):
    r"""H = Σ_kind Σ_p θ_kind,p P_kind,p of fermions with spin ½, or without spin, on a lattice.

    | kind | on | operator |
    |---|---|---|
    | "hop" | bonds (i, j) | Σ_s c†_is c_js + c†_js c_is |
    | "current" | bonds (i, j) | Σ_s i (c†_is c_js − c†_js c_is) |
    | "nn" | bonds (i, j) | n_i n_j, n = n↑ + n↓ |
    | "n" | sites | n_i |
    | "updown" | sites | n_i↑ n_i↓ (with spin) |
    | "m" | sites | n_i↑ − n_i↓ (with spin) |

    A hopping t e^{iφ} c†_i c_j + h.c. is t cos φ "hop" + t sin φ "current". Basis: state s is the integer whose
    bits are the occupations, mode 0 the most significant; the modes of all sites with spin up come first.

    Attributes:
        lattice: the sites and bonds.
        couplings: kind -> one number for each bond or site, in their order.
        spinless: one mode for each site, not two.

    Examples:
        Two sites, half filled: U/2 − √(U²/4 + 4t²).

        >>> import pullback as pb
        >>> dimer = FermionModel(pb.lattices.chain(2), {"hop": -1.0, "updown": 4.0})
        >>> sector = pb.lattices.Sector(particles=(1, 1))
        >>> print(f"{pb.lattices.ground_state(dimer, sector=sector).energy:.10f}")
        -0.8284271247
    """

    lattice: Lattice
    couplings: dict[str, Float[Array, " places"]]
    spinless: bool = eqx.field(static=True)

    def __init__(self, lattice: Lattice, couplings: Mapping[str, ArrayLike], *, spinless: bool = False):
        """The model; a coupling given as one number holds for every bond or site.

        Raises:
            InputError: a kind is unknown, or has the wrong number of couplings, or none are given.
        """
        known = ("hop", "current", "nn", "n") if spinless else _ON_BONDS + _ON_SITES
        if not couplings:
            raise InputError("a model needs at least one kind of term, as in {'hop': -1.0}")
        for kind in couplings:
            if kind not in known:
                raise InputError(f"no term {kind!r} of {'spinless ' * spinless}fermions.{nearest(kind, known)}")
        counts = {kind: len(lattice.bonds) if kind in _ON_BONDS else lattice.sites for kind in couplings}
        self.lattice = lattice
        self.couplings = {kind: couplings_on(kind, values, counts[kind]) for kind, values in couplings.items()}
        self.spinless = spinless

    @property
    def space(self) -> Space:
        """One or two modes for each site."""
        return Space(self.lattice.sites, species=1 if self.spinless else 2, fermions=True)

    def _theta(self) -> Float[Array, " couplings"]:
        return joined(self.couplings)

    def _listing(self) -> tuple[Callable[..., list[Term]], tuple[Any, ...]]:
        return fermion_terms, (self.lattice, tuple(sorted(self.couplings)), self.spinless)


@lru_cache(maxsize=64)
def fermion_terms(lattice: Lattice, kinds: tuple[str, ...], spinless: bool) -> list[Term]:
    """The operators of all couplings of these kinds, in order."""
    out = []
    for kind in kinds:
        for place in lattice.bonds if kind in _ON_BONDS else [(i,) for i in range(lattice.sites)]:
            out.append(_term(kind, place, lattice.sites, spinless))
    return out


def _term(kind: str, place: tuple[int, ...], sites: int, spinless: bool) -> Term:
    offsets = [0] if spinless else [0, sites]
    if kind in ("hop", "current"):
        i, j = place
        there, back = {"hop": (1.0, 1.0), "current": (1j, -1j)}[kind]
        ways = ((i, j, there), (j, i, back))
        return tuple((FermionWord((a + s,), (b + s,)), value) for s in offsets for a, b, value in ways)
    if kind == "nn":
        i, j = place
        return tuple(part for s in offsets for r in offsets for part in _pair(i + s, j + r))
    if kind == "updown":
        return _pair(place[0], place[0] + sites)
    signs = [1.0, -1.0 if kind == "m" else 1.0]
    return tuple((FermionWord((place[0] + s,), (place[0] + s,)), sign) for s, sign in zip(offsets, signs))


def _pair(i: int, j: int) -> Term:
    """n_i n_j of two modes."""
    return tuple(FermionWord.product([(i, True), (i, False), (j, True), (j, False)]).items())


def hubbard(
    lattice: Lattice, t: ArrayLike = 1.0, U: ArrayLike = 0.0, *, phase: ArrayLike | None = None
) -> FermionModel:
    r"""The Hubbard model,

        H = −Σ_{(i,j), s} t (e^{iφ} c†_is c_js + e^{−iφ} c†_js c_is) + U Σ_i n_i↑ n_i↓.

    Args:
        lattice: sites and bonds.
        t: hopping, one number or one for each bond; differentiable.
        U: repulsion, one number or one for each site; differentiable.
        phase: φ, one number or one for each bond in its direction; the flux through a ring is their sum. None: the
            Hamiltonian is real.
    """
    t = jnp.asarray(t)
    if phase is None:
        return FermionModel(lattice, {"hop": -1.0 * t, "updown": U})
    hops = {"hop": -1.0 * t * jnp.cos(phase), "current": -1.0 * t * jnp.sin(phase)}
    return FermionModel(lattice, {**hops, "updown": U})
