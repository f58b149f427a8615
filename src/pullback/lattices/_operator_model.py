"""Sums of words from `operators` as lattice Hamiltonians."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pullback.core import InputError
from pullback.lattices._model import Model
from pullback.lattices._sector import Sector
from pullback.lattices._space import Space
from pullback.lattices._terms import Term
from pullback.operators import FermionSum, OperatorSum


class OperatorModel(Model):
    r"""A Hermitian sum of Pauli strings, spin words or fermions, on any number of sites for each word.

    H = Σ_k c_k w_k = Σ_k Re c_k (w_k + w_k†)/2 + Im c_k i(w_k − w_k†)/2, linear in real couplings.

    Attributes:
        terms: H; its coefficients are the leaves.
        species: 2 for fermions with spin, all modes with spin up first; or 1.
    """

    terms: OperatorSum
    species: int = eqx.field(static=True)

    def __init__(self, terms: OperatorSum, *, species: int = 1):
        """The model.

        Raises:
            InputError: the sum is not Hermitian (not checked when its coefficients are traced); an odd number of modes
                for two species.
        """
        if not isinstance(terms.coefficients, Tracer) and not terms.is_hermitian:
            raise InputError("the operator is not Hermitian: it differs from its adjoint()")
        if terms.n % species:
            raise InputError(f"{terms.n} modes are not those of fermions with spin up and down on as many sites")
        self.terms, self.species = terms, species

    @property
    def space(self) -> Space:
        """Sites with as many levels as those of the operator."""
        fermions = isinstance(self.terms, FermionSum)
        return Space(self.terms.n // self.species, self.species, self.terms.levels, fermions)

    def _theta(self) -> Float[Array, " couplings"]:
        c = self.terms.coefficients
        return jnp.concatenate([c.real, c.imag]) if jnp.iscomplexobj(c) else c

    def _listing(self) -> tuple[Callable[..., list[Term]], tuple[Any, ...]]:
        return hermitian_terms, (self.terms.words, jnp.iscomplexobj(self.terms.coefficients))


def as_model(given: Model | OperatorSum, sector: Sector | None = None) -> Model:
    """A model, or a sum of words as one; fermions have a spin if the sector tells up and down apart.

    Raises:
        InputError: as `OperatorModel`.
    """
    if isinstance(given, Model):
        return given
    spins = sector is not None and (isinstance(sector.particles, tuple) or sector.spin_inversion is not None)
    return OperatorModel(given, species=2 if spins and isinstance(given, FermionSum) else 1)


@lru_cache(maxsize=64)
def hermitian_terms(words: tuple[Any, ...], with_imaginary: bool) -> list[Term]:
    """(w + w†)/2 of each word, and i(w − w†)/2 of each."""
    out = []
    for factor in (1, 1j) if with_imaginary else (1,):
        for word in words:
            parts = {word: factor / 2}
            for other, value in word.adjoint().items():
                parts[other] = parts.get(other, 0) + np.conj(factor) * value / 2
            out.append(tuple((other, value) for other, value in parts.items() if abs(value) > 1e-14))
    return out
