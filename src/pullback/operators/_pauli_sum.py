"""Sums of Pauli strings, applied to states without a matrix.

Strings with the same mask x (see `_pauli_string.py`) share one pass over the state: their signs add up to one diagonal.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import is_live
from pullback.operators._file import read_sum
from pullback.operators._flipped import flipped
from pullback.operators._pauli_string import PauliString
from pullback.operators._sum import OperatorSum, Terms, check_state, collected, site_count


class PauliSum(OperatorSum):
    """O = Σ_k c_k P_k on n spins ½, with Pauli strings P_k; Hermitian if the coefficients are real.

    Attributes:
        coefficients: c, a leaf that can be differentiated.
        words: the strings, all different.
        n: number of sites.

    Examples:
        >>> h = PauliSum(2, {"Z0 Z1": -1.0, "X0": -0.5})
        >>> print(h @ h)
        1.25*I
        >>> h.matrix().diagonal().tolist()
        [-1.0, 1.0, 1.0, -1.0]
    """

    coefficients: Inexact[Array, " terms"]
    words: tuple[PauliString, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def __init__(self, n: int | None, terms: Terms | Mapping[Any, ArrayLike] | Iterable[tuple[Any, ArrayLike]]):
        """Sums coefficients times strings such as "X0 Z3"; equal strings are added up.

        Args:
            n: number of sites; None: the smallest that holds the strings.
            terms: strings, as text or `PauliString`s, with their coefficients; or `Terms`.

        Raises:
            InputError: a string cannot be read or does not fit on n sites; a coefficient is not a number; n is not a
                positive integer.
        """
        words, self.coefficients = collected("PauliSum", terms, lambda text: {PauliString.parse(text): 1})
        self.words, self.n = tuple(words), site_count("PauliSum", n, words)

    @classmethod
    def from_string(cls, text: str, n: int | None = None) -> "PauliSum":
        """Reads "1.0*X0 X1 - 0.5 Z0 + Y2", and whatever `from_file` reads.

        Raises:
            InputError: the text cannot be read.
        """
        return cls(*read_sum("paulis", text, n))

    @classmethod
    def from_file(cls, path: Path | str, n: int | None = None) -> "PauliSum":
        """Reads lines of a coefficient and a Pauli string, as "-1.0 Z0 Z1"; see `read_hamiltonian` for all forms.

        Raises:
            InputError: the file cannot be read, has no terms, or a line is none; the message has the line's number.
        """
        return cls(*read_sum("paulis", Path(path), n))

    @property
    def levels(self) -> int:
        """2."""
        return 2

    @property
    def identity(self) -> PauliString:
        """The string without letters."""
        return PauliString("", ())

    def _like(self, terms: Terms, n: int | None = None) -> "PauliSum":
        return PauliSum(self.n if n is None else n, terms)

    def _hermitian_part(self) -> "PauliSum":
        return self._like(Terms(self.words, self.coefficients.real))

    def to_paulis(self) -> "PauliSum":
        """The sum itself, as for fermions."""
        return self

    def __call__(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch N"]:
        """O ψ, without a matrix; for several states along leading axes. Real if nothing is complex.

        Raises:
            InputError: the state is not one of n sites.
        """
        check_state(f"PauliSum on {self.n} sites", psi, self.dimension)
        if jnp.iscomplexobj(self.coefficients):
            real, imaginary = (self._like(Terms(self.words, part)) for part in self._parts())
            return _complex(real(psi), imaginary(psi))
        dtype = np.promote_types(psi.real.dtype, np.float32)
        re, im = psi.real.astype(dtype), psi.imag.astype(dtype) if jnp.iscomplexobj(psi) else None
        out_re, out_im = None, None
        for x, even, odd in self.diagonals(dtype, jnp.arange(1 << self.n)):
            re_x, im_x = flipped(re, x), None if im is None else flipped(im, x)
            if even is not None:
                out_re, out_im = _plus(out_re, even, re_x), _plus(out_im, even, im_x)
            if odd is not None:  # times -i
                out_re, out_im = _plus(out_re, odd, im_x), _plus(out_im, -odd, re_x)
        out_re = jnp.zeros_like(re) if out_re is None else out_re
        if out_im is None:
            return out_re if im is None else jax.lax.complex(out_re, jnp.zeros_like(out_re))
        return jax.lax.complex(out_re, out_im)

    def expect(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch"]:
        """⟨ψ|O|ψ⟩ for states of norm 1 along leading axes; real if the coefficients are.

        Its derivatives cost one product with O each.

        Raises:
            InputError: the state is not one of n sites.
        """
        if jnp.iscomplexobj(self.coefficients):
            real, imaginary = (mean(self._like(Terms(self.words, part)), psi) for part in self._parts())
            return jax.lax.complex(real, imaginary)
        return mean(self, psi)

    def trace(self, rho: Inexact[Array, "N N"]) -> Inexact[Array, ""]:
        """Tr(O ρ) for a density matrix and real coefficients, from as many of its entries as O has."""
        i = jnp.arange(1 << self.n)
        total = jnp.zeros((), rho.real.dtype)
        for x, even, odd in self.diagonals(total.dtype, i):
            entries = rho[i ^ x, i]
            for diagonal, part in ((even, entries.real), (odd, entries.imag)):
                total += 0 if diagonal is None else jnp.sum(diagonal * part)
        return total

    def diagonals(self, dtype: Any, i: Array):
        """(x, even, odd) for each x: signs at i of the strings with an even, and an odd, number of Y, summed."""
        groups: dict[int, list[tuple[int, int]]] = {}
        for k, string in enumerate(self.words):
            x, z = string.masks(self.n)
            groups.setdefault(x, []).append((k, z))
        for x, members in groups.items():
            yield x, *self._diagonal(x, members, dtype, i)

    def _diagonal(self, x, members, dtype, i):
        sums: list[Any] = [None, None]
        for k, z in members:
            m = (x & z).bit_count()
            term = (1, 1, -1, -1)[m % 4] * self.coefficients[k].astype(dtype)
            if z:
                term = jnp.where(jax.lax.population_count(i & z) & 1, -term, term)
            sums[m % 2] = term if sums[m % 2] is None else sums[m % 2] + term
        return sums

    def _parts(self):
        return self.coefficients.real, self.coefficients.imag


def _plus(total, diagonal, part):
    if part is None:
        return total
    product = jnp.broadcast_to(diagonal, part.shape) * part
    return product if total is None else total + product


def _complex(a, b):
    """a + ib."""
    if not jnp.iscomplexobj(a) and not jnp.iscomplexobj(b):
        return jax.lax.complex(a, b)
    dtype = np.promote_types(a.dtype, np.complex64)
    return a.astype(dtype) + 1j * b.astype(dtype)


@jax.custom_jvp
def mean(observable: PauliSum, psi: Inexact[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """⟨ψ|H|ψ⟩ for real coefficients."""
    applied = observable(psi)
    return jnp.sum(jnp.conj(psi).astype(applied.dtype) * applied, -1).real


def mean_jvp(mean, image, product, primals, tangents):
    """The rule of mean(H, ψ) = product(ψ, image(H, ψ)): 2 Re ⟨dψ|Hψ⟩ + ⟨ψ|dH|ψ⟩.

    It is one product with H, where JAX would undo each of its terms. Tangents may be symbolic zeros.
    """
    (observable, psi), (d_observable, dpsi) = primals, tangents
    applied = image(observable, psi)
    value = product(psi, applied)
    tangent = jnp.zeros_like(value)
    if is_live(dpsi):
        tangent += 2 * product(dpsi, applied)
    if is_live(d_observable.coefficients):
        tangent += mean(d_observable, psi)
    return value, tangent


def _product(a, b):
    """Re ⟨a|b⟩, as the trace of a product of matrices: into a sum XLA would fuse b, and compute it twice."""
    if not jnp.iscomplexobj(a) or not jnp.iscomplexobj(b):
        return jnp.einsum("...n,...n->...", a.real, b.real, precision="highest")
    a, b = (jnp.stack([z.real, z.imag], -2) for z in (a, b))
    products = jnp.einsum("...cn,...dn->...cd", a, b, precision="highest")
    return jnp.trace(products, axis1=-2, axis2=-1)


mean.defjvp(partial(mean_jvp, mean, PauliSum.__call__, _product), symbolic_zeros=True)
