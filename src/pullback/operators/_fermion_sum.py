"""Sums of products of fermion operators, and the Pauli strings that they are by Jordan and Wigner."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
from jaxtyping import Array, ArrayLike, Inexact

from pullback.operators._fermion_word import FermionWord
from pullback.operators._file import read_sum
from pullback.operators._pauli_sum import PauliSum
from pullback.operators._sum import OperatorSum, Piece, Terms, collected, gathered, site_count


class FermionSum(OperatorSum):
    """O = Σ_k c_k w_k on n modes, with products w_k of c†_i ("1^") and c_j ("2") in normal order.

    Attributes:
        coefficients: c, a leaf that can be differentiated.
        words: all different, creators to the left, each kind with descending modes.
        n: number of modes.

    Examples:
        >>> c, d = FermionSum(2, {"0": 1.0}), FermionSum(2, {"0^": 1.0})
        >>> print(c @ d, "|", (c @ d + d @ c).simplify())
        1.0*[] + -1.0*[0^ 0] | 1.0*[]
        >>> print(FermionSum(2, {"0^ 1": 1.0, "1^ 0": 1.0}).to_paulis().simplify())
        (0.5+0j)*Y0 Y1 + (0.5+0j)*X0 X1
    """

    coefficients: Inexact[Array, " terms"]
    words: tuple[FermionWord, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def __init__(self, n: int | None, terms: Terms | Mapping[Any, ArrayLike] | Iterable[tuple[Any, ArrayLike]]):
        """Sums coefficients times products such as "1^ 2", in any order; they are put into normal order.

        Args:
            n: number of modes; None: the smallest that holds the products.
            terms: products, as text or `FermionWord`s, with their coefficients; or `Terms`.

        Raises:
            InputError: a product cannot be read or does not fit on n modes; a coefficient is not a number; n is not a
                positive integer.
        """
        words, self.coefficients = collected("FermionSum", terms, FermionWord.parse)
        self.words, self.n = tuple(words), site_count("FermionSum", n, words)

    @classmethod
    def from_string(cls, text: str, n: int | None = None) -> "FermionSum":
        """Reads "1.0*[1^ 2] + 1.0*[2^ 1]", and whatever `from_file` reads.

        Raises:
            InputError: the text cannot be read.
        """
        return cls(*read_sum("fermions", text, n))

    @classmethod
    def from_file(cls, path: Path | str, n: int | None = None) -> "FermionSum":
        """Reads lines of a coefficient and a product, as "(0.5+0j) [1^ 2] +"; see `read_hamiltonian` for all forms.

        Raises:
            InputError: the file cannot be read, has no terms, or a line is none; the message has the line's number.
        """
        return cls(*read_sum("fermions", Path(path), n))

    @property
    def levels(self) -> int:
        """2."""
        return 2

    @property
    def identity(self) -> FermionWord:
        """The word without operators."""
        return FermionWord((), ())

    def _like(self, terms: Terms, n: int | None = None) -> "FermionSum":
        return FermionSum(self.n if n is None else n, terms)

    def _hermitian_part(self) -> "FermionSum":
        return (self + self.adjoint()) / 2

    def to_paulis(self) -> PauliSum:
        """The same matrix as a sum of Pauli strings, by Jordan and Wigner: c_j = Z_0 … Z_{j−1} (X_j + iY_j) / 2.

        Its coefficients are complex; `hermitian()` makes real ones of those of a Hermitian operator.
        """
        pieces = [Piece(string, k, value) for k, w in enumerate(self.words) for string, value in w.paulis().items()]
        return PauliSum(self.n, gathered(pieces, self.coefficients))

    def __call__(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch N"]:
        """O ψ, without a matrix; for several states along leading axes.

        Basis states are c†_a c†_b … |0⟩ with a < b < … the occupied modes, numbered by their occupations, mode 0 as the
        most significant bit.

        Raises:
            InputError: the state is not one of n modes.
        """
        return self.to_paulis()(psi)

    def expect(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch"]:
        """⟨ψ|O|ψ⟩ for states of norm 1 along leading axes.

        Raises:
            InputError: the state is not one of n modes.
        """
        return self.to_paulis().expect(psi)
