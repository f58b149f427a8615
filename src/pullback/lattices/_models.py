"""The models of the textbooks."""

import jax.numpy as jnp
from jaxtyping import ArrayLike

from pullback.core import InputError
from pullback.lattices._fermion_model import FermionModel
from pullback.lattices._lattice import Lattice, chain, ring
from pullback.lattices._spin_model import SpinModel


def transverse_ising(L: int, g: ArrayLike, *, periodic: bool = True) -> SpinModel:
    r"""The transverse-field Ising model on a ring (or an open chain) of L spins,

        H = −Σ_i σz_i σz_{i+1} − g Σ_i σx_i.

    Critical at g = 1, where the ring has the ground energy −2 / sin(π / 2L) (L > 2).

    Args:
        L: number of spins.
        g: field, one number or one for each site; differentiable.
        periodic: ring or open chain.
    """
    return SpinModel(ring(L) if periodic else chain(L), {"zz": -1.0, "x": -1.0 * g})


def heisenberg(L: int, J: ArrayLike = 1.0, *, spin: float = 0.5, periodic: bool = True) -> SpinModel:
    r"""The Heisenberg antiferromagnet (J > 0) on a ring (or an open chain) of L spins, S = σ / 2,

        H = Σ_i J S_i · S_{i+1} = Σ_i (J / 4) (σx_i σx_{i+1} + σy_i σy_{i+1} + σz_i σz_{i+1}).

    Args:
        L: number of spins.
        J: exchange, one number or one for each bond; differentiable.
        spin: ½, 1, …
        periodic: ring or open chain.
    """
    return SpinModel(ring(L) if periodic else chain(L), {"xx+yy+zz": 0.25 * J}, spin=spin)


def j1_j2(L: int, J1: ArrayLike = 1.0, J2: ArrayLike = 0.5, *, spin: float = 0.5, periodic: bool = True) -> SpinModel:
    r"""The Heisenberg ring (or open chain) with exchange to first and second neighbours,

        H = Σ_i J1 S_i · S_{i+1} + J2 S_i · S_{i+2}.

    At J2 = J1 / 2 (Majumdar and Ghosh) two products of dimers are the ground states of an even ring of spins ½, with
    the energy −3 J1 L / 8. The first bonds of the model are those of `ring(L)`, then come the second neighbours.

    Args:
        L: number of spins, at least 5 on a ring.
        J1: exchange of neighbours, one number or one for each bond; differentiable.
        J2: that of second neighbours.
        spin: ½, 1, …
        periodic: ring or open chain.

    Raises:
        InputError: a ring of fewer than five sites, where second neighbours coincide.
    """
    if periodic and L < 5:
        raise InputError(f"a ring of {L} sites has no distinct second neighbours: take L >= 5 or periodic=False")
    first = ring(L) if periodic else chain(L)
    second = [(i, (i + 2) % L) for i in range(L if periodic else max(0, L - 2))]
    strengths = [jnp.broadcast_to(jnp.asarray(J), (n,)) for J, n in ((J1, len(first.bonds)), (J2, len(second)))]
    lattice = Lattice(L, [*first.bonds, *second])
    return SpinModel(lattice, {"xx+yy+zz": 0.25 * jnp.concatenate(strengths)}, spin=spin)


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
