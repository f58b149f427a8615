"""Spin Hamiltonians: couplings on the sites and bonds of a lattice."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from pullback.core import InputError
from pullback.lattices._lattice import Lattice
from pullback.lattices._model import Model, couplings_on, joined
from pullback.lattices._space import Space
from pullback.lattices._terms import Term
from pullback.operators import spin_word


class SpinModel(Model):
    r"""H = Σ_kind Σ_p θ_kind,p P_kind,p of n spins, with Pauli matrices σ (not spins S = σ/2), ħ = 1.

    A *kind* names Pauli matrices by their letters: one letter acts on every site ("x": σx_i), two on every bond
    ("zz": σz_i σz_j, "xy": σx_i σy_j for the bond (i, j)), a sum shares one coupling ("xx+yy+zz": σ_i · σ_j).
    H is linear in the couplings θ, which are its leaves: `jax.grad` with respect to a model is a model of gradients.
    For spins larger than ½ the letters are σ = 2S as well: Heisenberg models look the same for every spin.

    Basis: state s is the integer whose bits are the spins, site 0 the most significant bit, bit 0 for σz = +1. So
    the matrix is that of Kronecker products in the order of the sites. Spins S have digits 0 … 2S for S^z = S … −S.

    Attributes:
        lattice: the sites and bonds.
        couplings: kind -> one number for each bond or site, in their order.
        spin: ½, 1, 3/2, …

    Examples:
        The critical transverse-field Ising ring of 8 sites, and its energy −2 / sin(π / 16).

        >>> import pullback as pb
        >>> model = SpinModel(pb.lattices.ring(8), {"zz": -1.0, "x": -1.0})
        >>> print(f"{pb.linalg.eigvalsh(model.matrix())[0]:.10f}")
        -10.2516617910
    """

    lattice: Lattice
    couplings: dict[str, Float[Array, " places"]]
    spin: float = eqx.field(static=True)

    def __init__(self, lattice: Lattice, couplings: Mapping[str, ArrayLike], *, spin: float = 0.5):
        """The model; a coupling given as one number holds for every bond or site.

        Raises:
            InputError: a kind is not a sum of Pauli words, or has the wrong number of couplings, or none are given;
                the spin is not a positive multiple of ½.
        """
        if not couplings:
            raise InputError("a model needs at least one kind of term, as in {'zz': -1.0, 'x': -0.5}")
        if spin < 0.5 or 2 * spin != round(2 * spin):
            raise InputError(f"a spin is 1/2, 1, 3/2, ..., got {spin}")
        self.lattice = lattice
        self.couplings = {
            kind: couplings_on(kind, values, len(places(kind, lattice))) for kind, values in couplings.items()
        }
        self.spin = float(spin)

    @property
    def space(self) -> Space:
        """n spins with 2S + 1 levels each."""
        return Space(self.lattice.sites, levels=round(2 * self.spin) + 1)

    def _theta(self) -> Float[Array, " couplings"]:
        return joined(self.couplings)

    def _listing(self) -> tuple[Callable[..., list[Term]], tuple[Any, ...]]:
        return spin_terms, (self.lattice, tuple(sorted(self.couplings)), self.space.levels)


def places(kind: str, lattice: Lattice) -> tuple[tuple[int, ...], ...]:
    """What the couplings of a kind belong to: the sites for "x", the bonds for "zz" or "xx+yy".

    Raises:
        InputError: `kind` is not a sum of Pauli words of one length, one or two.
    """
    if not re.fullmatch(r"[ixyz](\+[ixyz])*|[ixyz]{2}(\+[ixyz]{2})*", kind):
        raise InputError(
            f"term {kind!r}: needs Pauli words of one length, as 'x' (on every site), 'zz' or 'xx+yy' (on every bond)"
        )
    if len(kind.split("+")[0]) == 1:
        return tuple((i,) for i in range(lattice.sites))
    return lattice.bonds


@lru_cache(maxsize=64)
def spin_terms(lattice: Lattice, kinds: tuple[str, ...], levels: int) -> list[Term]:
    """The operators of all couplings of these kinds, in order."""
    return [
        tuple((spin_word(word.upper(), place, levels), 1.0) for word in kind.split("+"))
        for kind in kinds
        for place in places(kind, lattice)
    ]
