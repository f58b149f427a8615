"""Spin-½ Hamiltonians: couplings on the sites and bonds of a lattice, as a matrix or as a map of state vectors."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import InputError
from pullback.lattices._lattice import Lattice
from pullback.lattices._pauli import Strings, is_real, places, sign_patterns, strings

_LARGEST_MATRIX = 14  # 2 GiB in double precision


class SpinModel(eqx.Module):
    r"""H = Σ_kind Σ_p θ_kind,p P_kind,p of n spins ½, with Pauli matrices σ (not spins S = σ/2), ħ = 1.

    A *kind* names Pauli matrices by their letters: one letter acts on every site ("x": σx_i), two on every bond
    ("zz": σz_i σz_j, "xy": σx_i σy_j for the bond (i, j)), a sum shares one coupling ("xx+yy+zz": σ_i · σ_j).
    H is linear in the couplings θ, which are its leaves: `jax.grad` with respect to a model is a model of gradients.

    Basis: state s is the integer whose bits are the spins, site 0 the most significant bit, bit 0 for σz = +1. So
    the matrix is that of Kronecker products in the order of the sites.

    Attributes:
        lattice: the sites and bonds.
        couplings: kind -> one number for each bond or site, in their order.

    Examples:
        The critical transverse-field Ising ring of 8 sites, and its energy −2 / sin(π / 16).

        >>> import pullback as pb
        >>> model = SpinModel(pb.lattices.ring(8), {"zz": -1.0, "x": -1.0})
        >>> print(f"{pb.linalg.eigvalsh(model.matrix())[0]:.10f}")
        -10.2516617910
    """

    lattice: Lattice
    couplings: dict[str, Float[Array, " places"]]

    def __init__(self, lattice: Lattice, couplings: Mapping[str, ArrayLike]):
        """The model; a coupling given as one number holds for every bond or site.

        Raises:
            InputError: a kind is not a sum of Pauli words, or has the wrong number of couplings, or none are given.
        """
        if not couplings:
            raise InputError("a model needs at least one kind of term, as in {'zz': -1.0, 'x': -0.5}")
        self.lattice = lattice
        self.couplings = {kind: _couplings(kind, values, lattice) for kind, values in couplings.items()}

    @property
    def dimension(self) -> int:
        """Number of basis states, 2^n."""
        return 2**self.lattice.sites

    def matrix(self) -> Inexact[Array, "states states"]:
        """The dense matrix, real unless a kind has an odd number of y.

        Its derivative is as cheap as itself: reverse mode gathers the few bands of the cotangent.

        Raises:
            InputError: more than 14 sites.
        """
        n = self.lattice.sites
        if n > _LARGEST_MATRIX:
            raise InputError(f"the matrix of {n} spins has {4**n:.1e} entries: use apply(), which needs no matrix")
        flips, bands = self._bands()
        states = np.arange(self.dimension)
        zeros = jnp.zeros((self.dimension, self.dimension), bands.dtype)
        return zeros.at[states ^ flips[:, None], states].set(bands, unique_indices=True)

    def apply(self, psi: Inexact[Array, " states"]) -> Inexact[Array, " states"]:
        """H ψ, without a matrix: every term is a flip and a sign along the axes of its sites.

        Raises:
            InputError: ψ has the wrong length.
        """
        if psi.shape != (self.dimension,):
            raise InputError(f"a state of {self.lattice.sites} spins has shape ({self.dimension},), got {psi.shape}")
        out = jnp.zeros_like(psi)
        for kind, values in self.couplings.items():
            for value, place in zip(values, places(kind, self.lattice)):
                for word in kind.split("+"):
                    out = out + value * _act(word, place, psi)
        return out

    def _bands(self) -> tuple[np.ndarray, Inexact[Array, "bands states"]]:
        """The matrix as its non-zero bands: H[s ^ flips[b], s] = bands[b, s]."""
        parts = [(kind, strings(kind, self.lattice), values) for kind, values in self.couplings.items()]
        weights = jnp.concatenate(
            [_phases(kind, words, values.dtype) * values[words.owner] for kind, words, values in parts]
        )
        patterns = sign_patterns(np.concatenate([words.signs for _, words, _ in parts]), self.lattice.sites)
        flips, band = np.unique(np.concatenate([words.flips for _, words, _ in parts]), return_inverse=True)
        belongs = band == np.arange(flips.size)[:, None]
        return flips, jnp.where(belongs, weights, 0) @ patterns.astype(weights.real.dtype)


def _couplings(kind: str, values: ArrayLike, lattice: Lattice) -> Float[Array, " places"]:
    count = len(places(kind, lattice))
    values = jnp.asarray(values)
    if not (jnp.issubdtype(values.dtype, jnp.floating) or jnp.issubdtype(values.dtype, jnp.integer)):
        raise InputError(f"term {kind!r}: couplings are real numbers, got {values.dtype}")
    if values.shape not in ((), (count,)):
        raise InputError(
            f"term {kind!r}: needs one coupling or {count} of them, one for each of its places on the lattice, "
            f"got shape {values.shape}"
        )
    if jnp.issubdtype(values.dtype, jnp.integer):
        values = values.astype(jnp.result_type(float))
    return jnp.broadcast_to(values, (count,))


def _phases(kind: str, words: Strings, dtype: jnp.dtype) -> Inexact[Array, " strings"]:
    """The powers of i that come with the words, in the precision of `dtype`; real where they all are."""
    if is_real(kind):
        return jnp.asarray(np.real(words.phase), dtype)
    return jnp.asarray(words.phase, jnp.result_type(dtype, jnp.complex64))


def _act(word: str, place: tuple[int, ...], psi: Inexact[Array, " states"]) -> Inexact[Array, " states"]:
    """The Pauli matrices of `word` on the sites of `place`; each acts along one axis of length 2."""
    for letter, site in zip(word, place):
        up, down = jnp.moveaxis(psi.reshape(2**site, 2, -1), 1, 0)
        if letter == "x":
            up, down = down, up
        elif letter == "y":
            up, down = -1j * down, 1j * up
        else:
            down = -down
        psi = jnp.stack([up, down], axis=1).reshape(-1)
    return psi
