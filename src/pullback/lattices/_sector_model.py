r"""Hamiltonians in a symmetry sector: few matrices, each a list of elements for every row.

The sector's Hamiltonian is Σ_u θ̃_u S_u with θ̃ = mix θ (see `_terms.py`). Its elements come from applying the terms
to representatives: if H̃_u |r> = Σ_s h_s |s> and P|s> = c_s |r~_s>, then S_u |r~> = Σ_s (h_s c_s / √n_r) |r~_s>. They
are kept as one diagonal and, for the rest, a fixed number of (column, element) in each row, so that a product with a
vector gathers and never scatters. S_u is Hermitian: so is the transposed product.
"""

import dataclasses
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact, Int

from pullback.core import InputError, error_if, linear_map
from pullback.lattices._locals import diagonal, locals_of, transitions
from pullback.lattices._sector import Basis, Sector, basis_of, kept_numbers
from pullback.lattices._space import Space
from pullback.lattices._terms import Symmetrised, Term, symmetrised

_LARGEST_MATRIX = 2**14  # 2 GiB in double precision
_TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """A family of Hamiltonians in a sector; arrays of NumPy.

    Attributes:
        diagonals: of each different S_u.
        columns, elements: of the other entries of a row; padded with zeros on the diagonal.
        owner: the u of each of these lists.
    """

    diagonals: Float[np.ndarray, "averages states"]
    columns: Int[np.ndarray, "entries states"]
    elements: Inexact[np.ndarray, "entries states"]
    owner: Int[np.ndarray, " entries"]


class SectorModel(eqx.Module):
    """A Hamiltonian in a symmetry sector, made by `model.in_sector(sector)`.

    Linear in the couplings of its model and differentiable with respect to them; called with a state, it is `apply`. A
    change of the couplings that breaks the symmetry has the derivative of the projected Hamiltonian P H P: exact for
    energies in first order.

    Attributes:
        sector: the quantum numbers.
        weights: θ̃, one for each matrix.
        diagonal: of the Hamiltonian.
    """

    sector: Sector = eqx.field(static=True)
    weights: Float[Array, " averages"]
    diagonal: Float[Array, " states"]
    _basis: Basis = eqx.field(static=True)
    _tables: Tables = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        """Number of states of the sector."""
        return self._basis.dimension

    @property
    def dtype(self) -> Any:
        """The dtype of the Hamiltonian, real or complex."""
        weights = self.weights.dtype
        return jnp.result_type(weights, jnp.complex64) if np.iscomplexobj(self._tables.elements) else weights

    def in_structure(self) -> jax.ShapeDtypeStruct:
        """What the Hamiltonian acts on, for `krylov`, which takes models as operators."""
        return jax.ShapeDtypeStruct((self.dimension,), self.dtype)

    def apply(self, psi: Inexact[Array, " states"]) -> Inexact[Array, " states"]:
        """H ψ for a state of the sector.

        Raises:
            InputError: ψ has the wrong length.
        """
        if psi.shape != (self.dimension,):
            raise InputError(f"a state of this sector has shape ({self.dimension},), got {psi.shape}")
        tables = self._tables

        def product(residuals: tuple, x: Array) -> Array:
            weights, diagonal = residuals
            elements = jnp.asarray(tables.elements, self.dtype)
            gathered = weights[tables.owner][:, None] * elements * x[jnp.asarray(tables.columns)]
            return diagonal * x + gathered.sum(axis=0)

        def transposed(residuals: tuple, y: Array) -> Array:
            return product(residuals, y.conj()).conj()

        psi = psi.astype(jnp.result_type(psi.dtype, self.dtype))
        return linear_map(product, transposed, (self.weights, self.diagonal), psi)

    __call__ = apply

    def matrix(self) -> Inexact[Array, "states states"]:
        """The dense matrix.

        Raises:
            InputError: more than 2^14 states.
        """
        n = self.dimension
        check_size(n)
        rows = np.arange(n)
        elements = self.weights[self._tables.owner][:, None] * jnp.asarray(self._tables.elements, self.dtype)
        zeros = jnp.zeros((n, n), self.dtype).at[rows, rows].set(self.diagonal.astype(self.dtype))
        return zeros.at[rows, self._tables.columns].add(elements)

    def expand(self, psi: Inexact[Array, " states"]) -> Inexact[Array, " all"]:
        """A state of the sector as a state of the whole space.

        Raises:
            InputError: ψ has the wrong length.
        """
        if psi.shape != (self.dimension,):
            raise InputError(f"a state of this sector has shape ({self.dimension},), got {psi.shape}")
        states, index, factor = self._basis.embedding
        dtype = jnp.result_type(psi.dtype, jnp.complex64) if np.iscomplexobj(factor) else psi.dtype
        amplitudes = jnp.asarray(factor, dtype) * psi[index]
        return jnp.zeros(self._basis.space.size, dtype).at[states].set(amplitudes, unique_indices=True)


def sector_model(space: Space, terms: tuple[Any, ...], make_terms, theta: Float[Array, " couplings"], sector: Sector):
    """The Hamiltonian Σ_a θ_a H_a in a sector; `make_terms(*terms)` lists the H_a, and `terms` tells them apart.

    Raises:
        InputError: the sector is not conserved (`EquinoxRuntimeError` when θ is traced), or does not fit the space.
    """
    family, tables = _family(space, terms, make_terms, sector)
    theta = _conserved(sector, family, theta)
    weights = jnp.asarray(family.mix, theta.dtype) @ theta
    diagonals = jnp.asarray(tables.diagonals, theta.dtype)
    return SectorModel(sector, weights, weights @ diagonals, basis_of(space, sector), tables)


def check_size(n: int) -> None:
    """Whether a matrix of n rows can be made.

    Raises:
        InputError: it cannot.
    """
    if n > _LARGEST_MATRIX:
        raise InputError(f"the matrix of {n} states has {n**2:.1e} entries: use apply(), which needs no matrix")


@lru_cache(maxsize=32)
def _family(space: Space, key: tuple[Any, ...], make_terms, sector: Sector) -> tuple[Symmetrised, Tables]:
    basis = basis_of(space, sector)
    family = symmetrised(space, make_terms(*key), basis.moves, kept_numbers(space, sector))
    tables, same = _tables(basis, family.terms)
    mix = np.zeros((len(tables.diagonals), family.mix.shape[1]))
    np.add.at(mix, same, family.mix)
    return family._replace(mix=mix), tables


def _tables(basis: Basis, terms: list[Term]) -> tuple[Tables, Int[np.ndarray, " averages"]]:
    """The matrices, and which of them belongs to each term: XX and YY, for one, are the same at fixed magnetisation."""
    n = basis.dimension
    diagonals, columns, elements, owner, same = [], [], [], [], []
    found: dict[tuple, int] = {}
    for term in terms:
        parts = locals_of(basis.space, term)
        own = diagonal(basis.space, parts, basis.states)
        source, target, value = transitions(basis.space, parts, basis.states)
        distinct, where = np.unique(target, return_inverse=True)
        index, factor = (part[where] for part in basis.find(distinct))
        value = value * factor / np.sqrt(basis.norms[source])
        # Row r of S holds the conjugates of its column r. Elements that fall together are added up.
        entry, where = np.unique(source * n + index, return_inverse=True)
        value = np.bincount(where, value.real) + 1j * np.bincount(where, value.imag)
        kept = np.abs(value) > 1e-14
        row, column, value = entry[kept] // n, entry[kept] % n, value[kept].conj()
        on = row == column
        own[row[on]] += value[on].real
        row, column, value = row[~on], column[~on], value[~on]
        slot = np.arange(row.size) - np.searchsorted(row, row)
        width = int(slot.max(initial=-1)) + 1
        places, values = np.tile(np.arange(n, dtype=np.int32), (width, 1)), np.zeros((width, n), complex)
        places[slot, row], values[slot, row] = column, value
        table = (own.round(12).tobytes(), places.tobytes(), values.round(12).tobytes())
        same.append(found.setdefault(table, len(found)))
        if same[-1] == len(diagonals):
            owner += width * [len(diagonals)]
            diagonals.append(own)
            columns.append(places)
            elements.append(values)
    stacked = np.concatenate([np.zeros((0, n)), *elements])
    if not np.abs(stacked.imag).max(initial=0) > 1e-13:
        stacked = stacked.real.copy()
    columns = np.concatenate([np.zeros((0, n), np.int32), *columns])
    tables = Tables(np.array(diagonals).reshape(-1, n), columns, stacked, np.array(owner, int))
    return tables, np.array(same, int)


def _conserved(sector: Sector, family: Symmetrised, theta: Float[Array, " couplings"]) -> Float[Array, " couplings"]:
    """θ, once it is known to be in the space of Hamiltonians that conserve the sector."""
    if not family.conditions.size:
        return theta
    # Outside `jit` this is NumPy's: a small sector takes less time than JAX needs to compile a product.
    fixed = jax.lax.stop_gradient(theta) if isinstance(theta, Tracer) else np.asarray(theta)
    broken = abs(family.conditions.astype(theta.dtype) @ fixed).max()
    limit = max(_TOLERANCE, 8 * float(jnp.finfo(theta.dtype).eps)) * abs(fixed).max()
    message = (
        f"the Hamiltonian does not conserve the sector {sector}: couplings differ between places that its symmetries "
        "exchange, or a term changes a number that it fixes. Leave out the symmetry that is broken."
    )
    if isinstance(broken, Tracer):
        return error_if(theta, broken > limit, message)
    if broken > limit:
        raise InputError(message)
    return theta
