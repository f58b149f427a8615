"""Sums of words: O = Σ_k c_k w_k, with one algebra for Pauli strings, spins and fermions.

Words are data, known when a program is built; the coefficients are numbers that can be traced and differentiated.
Whatever the algebra does is linear or bilinear in the coefficients, with a table of words and factors that is made from
the words alone: JAX sees neither products of Pauli matrices, nor anticommutators of fermions, nor that words are equal.
"""

import abc
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Inexact

from pullback.core import InputError
from pullback.operators._word import Number, Word

_ZERO = 1e-14  # a factor of the algebra, or a sum of factors, that is rounding
_HERMITIAN = 1e-10  # of the largest coefficient
_LARGEST_MATRIX = 2**14  # rows; 4 GiB of complex numbers

_Self = TypeVar("_Self", bound="OperatorSum")  # not typing.Self: the tests' checks of types know it in classes only


class Terms(NamedTuple):
    """Words and an array with a coefficient for each, as a constructor takes them."""

    words: Sequence[Any]
    coefficients: Inexact[Array, " terms"]


class Piece(NamedTuple):
    """`factor` times the value number `place`, as a part of the coefficient of `word`."""

    word: Word
    place: int
    factor: Number


class OperatorSum(eqx.Module):
    """O = Σ_k c_k w_k on n sites. Immutable; the coefficients are a leaf, real or complex, the words are static.

    Sums are added, subtracted, multiplied with numbers and with each other (`@` or `*`); equal words are added up, and
    a number stands for that multiple of the identity. A sum on more sites may be combined with one on fewer.

    Attributes:
        coefficients: c, one for each word.
        words: all different.
        n: number of sites.
    """

    coefficients: eqx.AbstractVar[Inexact[Array, " terms"]]
    words: eqx.AbstractVar[tuple[Any, ...]]
    n: eqx.AbstractVar[int]

    __array_ufunc__ = None  # a number of NumPy times a sum is for the sum to compute

    @property
    @abc.abstractmethod
    def levels(self) -> int:
        """Number of states of a site."""

    @property
    @abc.abstractmethod
    def identity(self) -> Word:
        """The word without factors."""

    @abc.abstractmethod
    def _like(self: _Self, terms: Terms, n: int | None = None) -> _Self:
        """Another sum of the same kind, on as many sites if n is None."""

    @abc.abstractmethod
    def __call__(self, psi: Inexact[Array, "*batch N"]) -> Inexact[Array, "*batch N"]:
        """O ψ, without a matrix; for several states along leading axes.

        Basis states are numbered with site 0 as the most significant digit: the amplitudes of n spins ½ are
        `psi.reshape((2,) * n)[s0, s1, …]`.

        Raises:
            InputError: the state is not one of n sites.
        """

    @property
    def dimension(self) -> int:
        """Number of basis states, d^n."""
        return self.levels**self.n

    def in_structure(self) -> jax.ShapeDtypeStruct:
        """What the operator acts on, for `krylov`, which takes sums as operators."""
        return jax.ShapeDtypeStruct((self.dimension,), self.coefficients.dtype)

    def matrix(self) -> Inexact[Array, "N N"]:
        """The dense matrix: Kronecker products in the order of the sites, site 0 first.

        Raises:
            InputError: more than 2^14 states.
        """
        if self.dimension > _LARGEST_MATRIX:
            raise InputError(
                f"the matrix of {self.dimension} states has {self.dimension**2:.1e} entries: apply the operator as a "
                "function, which needs no matrix"
            )
        return self(jnp.eye(self.dimension, dtype=self.coefficients.real.dtype)).T

    # The algebra.

    def __add__(self: _Self, other: Any) -> _Self:
        if type(other) is int and other == 0:
            return self  # sum([…]) begins with 0
        if _is_number(other):
            other = self._like(Terms([self.identity], _values([other])))
        if not isinstance(other, OperatorSum):
            return NotImplemented
        self._check_kind(other)
        values = jnp.concatenate(_promoted(self.coefficients, other.coefficients))
        pieces = [Piece(word, k, 1) for k, word in enumerate((*self.words, *other.words))]
        return self._gathered(pieces, values, max(self.n, other.n))

    __radd__ = __add__

    def __sub__(self: _Self, other: Any) -> _Self:
        if not isinstance(other, OperatorSum) and not _is_number(other):
            return NotImplemented
        return self + -1 * other

    def __rsub__(self: _Self, other: Any) -> _Self:
        return -self + other

    def __neg__(self: _Self) -> _Self:
        return -1 * self

    def __mul__(self: _Self, other: Any) -> _Self:
        if isinstance(other, OperatorSum):
            return self @ other
        if not _is_number(other):
            return NotImplemented
        return self._like(Terms(self.words, jnp.multiply(*_promoted(self.coefficients, other))))

    def __rmul__(self: _Self, other: Any) -> _Self:
        if not _is_number(other):
            return NotImplemented
        return self * other

    def __truediv__(self: _Self, other: Any) -> _Self:
        if not _is_number(other):
            return NotImplemented
        return self._like(Terms(self.words, jnp.divide(*_promoted(self.coefficients, other))))

    def __matmul__(self: _Self, other: Any) -> _Self:
        if not isinstance(other, OperatorSum):
            return NotImplemented
        return self._product(other, 0)

    def _product(self: _Self, other: "OperatorSum", exchanged: int) -> _Self:
        """self @ other + exchanged · other @ self, with what cancels between words left out."""
        self._check_kind(other)
        pieces = []
        for i, left in enumerate(self.words):
            for j, right in enumerate(other.words):
                # Of a square, the products c_i c_j and c_j c_i are one number: words that anticommute cancel.
                a, b = sorted((i, j)) if other is self else (i, j)
                k = a * len(other.words) + b
                pieces += [Piece(word, k, factor) for word, factor in left.times(right).items()]
                if exchanged:
                    pieces += [Piece(word, k, exchanged * factor) for word, factor in right.times(left).items()]
        left, right = _promoted(self.coefficients, other.coefficients)
        values = (left[:, None] * right[None, :]).reshape(-1)
        return self._gathered(pieces, values, max(self.n, other.n))

    def adjoint(self: _Self) -> _Self:
        """O†."""
        pieces = [Piece(word, k, v) for k, own in enumerate(self.words) for word, v in own.adjoint().items()]
        return self._gathered(pieces, self.coefficients.conj(), self.n)

    def on(self: _Self, sites: Sequence[int] | np.ndarray, n: int | None = None) -> _Self:
        """The operator with site i moved to sites[i]; fermions take the sign of the exchange.

        Raises:
            InputError: not a different site for each of the n sites.
        """
        sites = [int(i) for i in sites]
        if len(sites) != self.n or len(set(sites)) != self.n or min(sites) < 0:
            raise InputError(f"on: needs {self.n} different sites, one for each, got {sites}")
        moved = [word.moved(sites) for word in self.words]
        pieces = [Piece(word, k, sign) for k, (sign, word) in enumerate(moved)]
        return self._gathered(pieces, self.coefficients, max(sites) + 1 if n is None else n)

    def simplify(self: _Self, tol: float = 1e-12) -> _Self:
        """Without the words whose coefficients are at most `tol` times the largest; not under `jit`.

        Raises:
            InputError: the coefficients are traced.
        """
        size = np.abs(self._numbers("simplify"))
        kept = np.flatnonzero(size > tol * size.max(initial=0))
        return self._like(Terms([self.words[k] for k in kept], self.coefficients[kept]))

    # Hermitian operators.

    @property
    def is_hermitian(self) -> bool:
        """Whether O = O†, up to 1e-10 of the largest coefficient; not under `jit`.

        Raises:
            InputError: the coefficients are traced.
        """
        numbers = self._numbers("is_hermitian")
        tol = max(_HERMITIAN, 8 * float(np.finfo(numbers.dtype).eps))
        difference = np.abs(np.asarray((self - self.adjoint()).coefficients)).max(initial=0)
        return not difference > tol * np.abs(numbers).max(initial=0)  # NaN is not a difference

    def hermitian(self: _Self) -> _Self:
        """(O + O†) / 2, for an operator that is Hermitian up to rounding; Pauli sums then have real coefficients.

        Raises:
            InputError: the operator is not Hermitian (not checked when the coefficients are traced).
        """
        if not isinstance(self.coefficients, Tracer) and not self.is_hermitian:
            raise InputError(
                "hermitian: the operator differs from its Hermitian conjugate; take (h + h.adjoint()) / 2 for its "
                "Hermitian part"
            )
        return self._hermitian_part()

    @abc.abstractmethod
    def _hermitian_part(self: _Self) -> _Self:
        """(O + O†) / 2."""

    # Text.

    def __str__(self) -> str:
        """What `from_string` reads, to the last digit."""
        return " + ".join(f"{number!r}*{word}" for number, word in self._lines()) or f"0.0*{self.identity}"

    def to_file(self, path: Path | str) -> None:
        """Writes one word in each line, which `from_file` and `read_hamiltonian` read, to the last digit."""
        spin = f"# spin: {(self.levels - 1) / 2}\n" if self.levels > 2 else ""
        lines = [f"{number!r} {word}\n" for number, word in self._lines()] or [f"0.0 {self.identity}\n"]
        Path(path).write_text(f"# sites: {self.n}\n{spin}" + "".join(lines))

    def _lines(self) -> Iterable[tuple[Number, Word]]:
        return zip(self._numbers("writing").tolist(), self.words)

    # Helpers.

    def _gathered(self: _Self, pieces: Iterable[Piece], values: Inexact[Array, " values"], n: int) -> _Self:
        return self._like(gathered(pieces, values), n)

    def _check_kind(self, other: "OperatorSum") -> None:
        if type(other) is not type(self) or other.levels != self.levels:
            raise InputError(
                f"a {type(self).__name__} of sites with {self.levels} states and a {type(other).__name__} of sites "
                f"with {other.levels} cannot be combined; fermions become Pauli strings by to_paulis()"
            )

    def _numbers(self, name: str) -> np.ndarray:
        if isinstance(self.coefficients, Tracer):
            raise InputError(f"{name}: needs coefficients that are numbers, not ones that JAX traces")
        return np.asarray(self.coefficients)


def commutator(a: OperatorSum, b: OperatorSum) -> OperatorSum:
    """[a, b] = a b − b a; words that cancel for all coefficients do not appear.

    Raises:
        InputError: operators of different kinds.
    """
    return a._product(b, -1)


def anticommutator(a: OperatorSum, b: OperatorSum) -> OperatorSum:
    """{a, b} = a b + b a; words that cancel for all coefficients do not appear.

    Raises:
        InputError: operators of different kinds.
    """
    return a._product(b, 1)


def gathered(pieces: Iterable[Piece], values: Inexact[Array, " values"]) -> Terms:
    """The sum of the pieces, equal words added up; words whose factors cancel are left out."""
    sums: dict[Word, dict[int, Number]] = {}
    for word, place, factor in pieces:
        own = sums.setdefault(word, {})
        own[place] = own.get(place, 0) + factor
    entries = [(word, [(k, f) for k, f in own.items() if abs(f) > _ZERO]) for word, own in sums.items()]
    entries = [(word, own) for word, own in entries if own]
    words = [word for word, _ in entries]
    row = np.array([i for i, (_, own) in enumerate(entries) for _ in own], int)
    index = np.array([k for _, own in entries for k, _ in own], int)
    factor = np.array([f for _, own in entries for _, f in own], complex)
    if not np.imag(factor).any():
        factor = np.real(factor)
    if index.size == len(words) == values.shape[0] and (index == row).all() and (factor == 1).all():
        return Terms(words, values)
    dtype = np.promote_types(values.dtype, np.complex64) if np.iscomplexobj(factor) else values.dtype
    parts = values[index].astype(dtype) * jnp.asarray(factor, dtype)
    return Terms(words, jnp.zeros(len(words), dtype).at[row].add(parts))


def collected(name: str, terms: Terms | Mapping[Any, ArrayLike] | Iterable[tuple[Any, ArrayLike]], parse: Any) -> Terms:
    """What a constructor is given, as different words with coefficients; `parse` reads a text as a sum of words.

    Raises:
        InputError: a text cannot be read; a coefficient is not a number; not one coefficient for each word.
    """
    if isinstance(terms, Terms):
        if jnp.shape(terms.coefficients) != (len(terms.words),):
            raise InputError(
                f"{name}: needs {len(terms.words)} coefficients, one for each word, not an array of shape "
                f"{jnp.shape(terms.coefficients)}"
            )
        if len(set(terms.words)) == len(terms.words):
            return terms
        return gathered([Piece(word, k, 1) for k, word in enumerate(terms.words)], terms.coefficients)
    pairs: Any = [*terms.items()] if isinstance(terms, Mapping) else [*terms]
    values = [value for _, value in pairs]
    if not all(map(_is_number, values)):
        raise InputError(f"{name}: the coefficients must be numbers.")
    sums = [parse(word) if isinstance(word, str) else {word: 1} for word, _ in pairs]
    return gathered([Piece(w, k, factor) for k, own in enumerate(sums) for w, factor in own.items()], _values(values))


def site_count(name: str, n: int | None, words: Iterable[Word]) -> int:
    """n, or the smallest number of sites that holds the words.

    Raises:
        InputError: n is not a positive integer, or too small.
    """
    needed = max((word.extent for word in words), default=0)
    if n is None:
        return max(needed, 1)
    try:
        count = operator.index(n)
    except TypeError:
        raise InputError(f"{name}: n = {n!r}; the number of sites must be an integer.") from None
    if count < 1:
        raise InputError(f"{name}: n = {n!r}; needs at least one site.")
    if needed > count:
        wrong = next(word for word in words if word.extent > count)
        raise InputError(f"{name}: {str(wrong)!r} does not fit on {count} sites, which are 0 to {count - 1}.")
    return count


def check_state(name: str, psi: Array, dimension: int) -> None:
    """Whether a state has the dimension of an operator.

    Raises:
        InputError: it has another one.
    """
    if psi.ndim == 0 or psi.shape[-1] != dimension:
        raise InputError(f"{name}: the state has {psi.shape[-1] if psi.ndim else 'no'} amplitudes, not {dimension}.")


def _values(numbers: Sequence[ArrayLike]) -> Inexact[Array, " values"]:
    """One array of all numbers, in double precision, or that of JAX's numbers among them."""
    if not any(isinstance(number, jax.Array) for number in numbers):
        return jnp.asarray(np.array([*numbers], np.result_type(float, *map(np.asarray, numbers))))
    dtype = jnp.result_type(*numbers)
    dtype = np.promote_types(dtype, np.float32) if jnp.issubdtype(dtype, jnp.inexact) else jnp.result_type(float)
    return jnp.stack([jnp.asarray(number, dtype) for number in numbers])


def _promoted(coefficients: Array, other: ArrayLike) -> tuple[Array, Array]:
    """Both in the dtype of the two, also where JAX is told not to promote by itself; Python's numbers adapt."""
    if isinstance(other, int | float | complex) and not isinstance(other, np.generic):
        dtype = coefficients.dtype
        dtype = np.promote_types(dtype, np.complex64) if isinstance(other, complex) else dtype
    else:
        dtype = np.promote_types(coefficients.dtype, jnp.result_type(other))
    return coefficients.astype(dtype), jnp.asarray(other, dtype)


def _is_number(value: Any) -> bool:
    """Whether the value is one number, or stands for one."""
    if isinstance(value, OperatorSum | str):
        return False
    try:
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    except (TypeError, ValueError):
        return False
    return np.shape(value) == () and (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_))
