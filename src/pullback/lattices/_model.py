"""What all lattice Hamiltonians share: H = Σ_a θ_a H_a as a map of states, a matrix, and in a symmetry sector."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import InputError
from pullback.lattices._locals import model_locals, real_if_possible
from pullback.lattices._products import Plan, plan
from pullback.lattices._sector import Sector
from pullback.lattices._sector_model import SectorModel, check_size, sector_model
from pullback.lattices._space import Space
from pullback.lattices._terms import Term, operator_sum
from pullback.operators import OperatorSum


class Model(eqx.Module):
    """A Hamiltonian that is linear in its couplings, which are its leaves; called with a state, it is `apply`.

    `jax.grad` with respect to a model is a model of gradients; those of ⟨ψ|H|ψ⟩ are expectation values.
    """

    @property
    @abc.abstractmethod
    def space(self) -> Space:
        """The Hilbert space."""

    @abc.abstractmethod
    def _listing(self) -> tuple[Callable[..., list[Term]], tuple[Any, ...]]:
        """(f, key), both hashable: f(*key) lists the H_a in the order of `_theta`."""

    @abc.abstractmethod
    def _theta(self) -> Float[Array, " couplings"]:
        """All couplings."""

    @property
    def dimension(self) -> int:
        """Number of basis states."""
        return self.space.size

    @property
    def dtype(self) -> Any:
        """The dtype of the Hamiltonian, real or complex."""
        theta = self._theta()
        terms, key = self._listing()
        real = all(local.is_real for term in model_locals(self.space, key, terms) for local in term)
        return theta.dtype if real else jnp.result_type(theta.dtype, jnp.complex64)

    def in_structure(self) -> jax.ShapeDtypeStruct:
        """What the Hamiltonian acts on, for `krylov`, which takes models as operators."""
        return jax.ShapeDtypeStruct((self.dimension,), self.dtype)

    def apply(self, psi: Inexact[Array, " states"]) -> Inexact[Array, " states"]:
        """H ψ, without a matrix: small matrix products on batches of neighbouring sites.

        Raises:
            InputError: ψ has the wrong length.
        """
        return self.operator()(psi)

    __call__ = apply

    def to_sum(self) -> OperatorSum:
        """The Hamiltonian as a sum of words, for other rooms; of fermions the modes are sites, spin up before down."""
        terms, key = self._listing()
        theta = self._theta()
        entries = [(word, a, value) for a, term in enumerate(terms(*key)) for word, value in term]
        factors = np.array([value for _, _, value in entries], complex)
        factors = real_if_possible(factors)
        owner = np.array([a for _, a, _ in entries], int)
        dtype = np.promote_types(theta.dtype, np.complex64) if np.iscomplexobj(factors) else theta.dtype
        coefficients = theta[owner].astype(dtype) * jnp.asarray(factors, dtype)
        return operator_sum(self.space, [word for word, _, _ in entries], coefficients)

    def operator(self) -> Callable[[Inexact[Array, " states"]], Inexact[Array, " states"]]:
        """`apply` as a function for many products: the diagonal is made once."""
        plan = self._plan()
        theta = self._theta()
        diagonal = plan.diagonal(theta)

        def apply(psi: Array) -> Array:
            if psi.shape != (self.dimension,):
                raise InputError(f"a state of {self.space.sites} sites has shape ({self.dimension},), got {psi.shape}")
            return plan.apply(theta, diagonal, psi)

        return apply

    def matrix(self) -> Inexact[Array, "states states"]:
        """The dense matrix.

        Raises:
            InputError: more than 2^14 states.
        """
        check_size(self.dimension)
        return self.in_sector(Sector()).matrix()

    def in_sector(self, sector: Sector) -> SectorModel:
        """The Hamiltonian in a symmetry sector.

        Raises:
            InputError: the sector is not conserved (`EquinoxRuntimeError` when the couplings are traced), is empty, or
                does not fit the model.
        """
        terms, key = self._listing()
        return sector_model(self.space, key, terms, self._theta(), sector)

    def _plan(self) -> Plan:
        terms, key = self._listing()
        return plan(self.space, key, terms)


def joined(couplings: dict[str, Float[Array, " places"]]) -> Float[Array, " couplings"]:
    """All couplings, in the alphabetical order of their kinds (that of a dictionary's leaves)."""
    return jnp.concatenate([couplings[kind] for kind in sorted(couplings)])


def couplings_on(kind: str, values: ArrayLike, count: int) -> Float[Array, " places"]:
    """The couplings of a kind, one for each of its `count` places.

    Raises:
        InputError: they are not real numbers, or not one or `count` of them.
    """
    values = jnp.asarray(values)
    if not (jnp.issubdtype(values.dtype, jnp.floating) or jnp.issubdtype(values.dtype, jnp.integer)):
        raise InputError(f"term {kind!r}: couplings are real numbers, got {values.dtype}")
    if values.shape not in ((), (count,)):
        raise InputError(
            f"term {kind!r}: needs one coupling or {count} of them, one for each of its places on the lattice, "
            f"got shape {values.shape}"
        )
    dtype = jnp.result_type(float) if jnp.issubdtype(values.dtype, jnp.integer) else values.dtype
    # By name, so that the dtype is not a weak one, which would let complex64 matrices win over it.
    return jnp.broadcast_to(jax.lax.convert_element_type(values, dtype), (count,))
