"""The models of the textbooks, as `SpinModel`s."""

from jaxtyping import ArrayLike

from pullback.lattices._lattice import chain, ring
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


def heisenberg(L: int, J: ArrayLike = 1.0, *, periodic: bool = True) -> SpinModel:
    r"""The Heisenberg antiferromagnet (J > 0) on a ring (or an open chain) of L spins, S = σ / 2,

        H = Σ_i J S_i · S_{i+1} = Σ_i (J / 4) (σx_i σx_{i+1} + σy_i σy_{i+1} + σz_i σz_{i+1}).

    Args:
        L: number of spins.
        J: exchange, one number or one for each bond; differentiable.
        periodic: ring or open chain.
    """
    return SpinModel(ring(L) if periodic else chain(L), {"xx+yy+zz": 0.25 * J})
