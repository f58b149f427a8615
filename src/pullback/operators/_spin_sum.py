"""Sums of words of spins of any length."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Inexact

from pullback.core import InputError
from pullback.operators._file import read_sum
from pullback.operators._spin_word import SpinWord
from pullback.operators._sum import OperatorSum, Terms, check_state, collected, site_count


class SpinSum(OperatorSum):
    """O = Σ_k c_k w_k on n spins S ≥ 1, with products w_k of the letters X, Y, Z = 2S (`PauliSum` for S = ½).

    Letters on one site do not commute: "X0 Z0" is their product in this order. Sums are kept in a basis of ordered
    products, so that equal operators are equal sums.

    Attributes:
        coefficients: c, a leaf that can be differentiated.
        words: all different.
        n: number of sites.
        spin: S.

    Examples:
        >>> from pullback.operators import commutator
        >>> x, y, z = (SpinSum(1, {f"{letter}0": 0.5}) for letter in "XYZ")
        >>> print((x @ x + y @ y + z @ z).simplify(), "|", commutator(x, y))
        2.0*I | 0.5j*Z0
    """

    coefficients: Inexact[Array, " terms"]
    words: tuple[SpinWord, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)
    spin: float = eqx.field(static=True)

    def __init__(
        self,
        n: int | None,
        terms: Terms | Mapping[Any, ArrayLike] | Iterable[tuple[Any, ArrayLike]],
        *,
        spin: float = 1.0,
    ):
        """Sums coefficients times products of letters such as "X0 Z3 Z3".

        Args:
            n: number of sites; None: the smallest that holds the words.
            terms: words, as text or `SpinWord`s, with their coefficients; or `Terms`.
            spin: 1, 3/2, …

        Raises:
            InputError: a word cannot be read or does not fit on n sites; a coefficient is not a number; n is not a
                positive integer; the spin is not a multiple of ½, or less than 1.
        """
        if spin < 1 or 2 * spin != round(2 * spin):
            raise InputError(f"SpinSum: a spin is 1, 3/2, ..., got {spin}; PauliSum is for spins 1/2")
        self.spin = float(spin)
        words, self.coefficients = collected("SpinSum", terms, lambda text: SpinWord.parse(text, self.levels))
        self.words, self.n = tuple(words), site_count("SpinSum", n, words)

    @classmethod
    def from_string(cls, text: str, n: int | None = None, *, spin: float = 1.0) -> "SpinSum":
        """Reads "1.0*X0 X1 - 0.5 Z0 Z0", and whatever `from_file` reads.

        Raises:
            InputError: the text cannot be read.
        """
        return cls(*read_sum("spins", text, n), spin=spin)

    @classmethod
    def from_file(cls, path: Path | str, n: int | None = None, *, spin: float = 1.0) -> "SpinSum":
        """Reads lines of a coefficient and a word, as "-1.0 Z0 Z1"; see `read_hamiltonian` for all forms.

        Raises:
            InputError: the file cannot be read, has no terms, or a line is none; the message has the line's number.
        """
        return cls(*read_sum("spins", Path(path), n), spin=spin)

    @property
    def levels(self) -> int:
        """2S + 1."""
        return round(2 * self.spin) + 1

    @property
    def identity(self) -> SpinWord:
        """The word without letters."""
        return SpinWord((), (), self.levels)

    def _like(self, terms: Terms, n: int | None = None) -> "SpinSum":
        return SpinSum(self.n if n is None else n, terms, spin=self.spin)

    def _hermitian_part(self) -> "SpinSum":
        return (self + self.adjoint()) / 2

    def __call__(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch N"]:
        """O ψ, without a matrix: each word site by site; for several states along leading axes.

        Raises:
            InputError: the state is not one of n sites.
        """
        check_state(f"SpinSum on {self.n} sites", psi, self.dimension)
        factors = [word.factors()[0] for word in self.words]
        matrices = [matrix for own in factors for matrix in own.values()]
        mixed = any(map(jnp.iscomplexobj, [self.coefficients, *matrices]))
        dtype = np.promote_types(psi.dtype, np.complex64 if mixed else np.float32)
        psi = psi.astype(dtype)
        total = jnp.zeros_like(psi)
        for coefficient, own in zip(self.coefficients.astype(dtype), factors):
            out = psi
            for site, matrix in own.items():
                out = _on_site(site, matrix, out)
            total = total + coefficient * out
        return total

    def expect(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch"]:
        """⟨ψ|O|ψ⟩ for states of norm 1 along leading axes.

        Raises:
            InputError: the state is not one of n sites.
        """
        applied = self(psi)
        return jnp.sum(jnp.conj(psi).astype(applied.dtype) * applied, -1)


def _on_site(site: int, matrix: np.ndarray, psi: Array) -> Array:
    levels = matrix.shape[0]
    parts = psi.reshape(*psi.shape[:-1], levels**site, levels, -1)
    out = jnp.einsum("ab,...lbr->...lar", jnp.asarray(matrix, psi.dtype), parts, precision="highest")
    return out.reshape(psi.shape)
