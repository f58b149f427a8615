"""Sums of Pauli strings, applied to states without a matrix.

A string P has two masks: x, the bits of qubits that carry X or Y, and z, of those that carry Z or Y. With m the number
of Y,

    (P ψ)_i = (−i)^m (−1)^{parity(i & z)} ψ_{i ^ x}.

Strings with the same x share one pass over the state: their signs add up to one diagonal.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Complex, Inexact

from pullback import operators
from pullback.circuits._input import at_least_single, is_real, qubit_count
from pullback.circuits._order import mask_of
from pullback.core import InputError, is_live

_LARGEST = 64  # qubits of a file
_RUNS = 3  # of ones in x, up to which axes are reversed; tensors of high rank compile badly


class PauliString(NamedTuple):
    """Letters on qubits, in the order of the qubits: `PauliString("XZ", (0, 3))` is X₀ Z₃."""

    letters: str
    qubits: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "PauliString":
        """Reads "X0 Z3"; the empty text and "I" are the identity.

        Raises:
            InputError: anything else, or a qubit that occurs twice.
        """
        factors: dict[int, str] = {}
        for word in text.replace("*", " ").split():
            if word == "I":
                continue
            match = re.fullmatch(r"([IXYZ])_?(\d+)", word)
            if match is None:
                raise InputError(f"Pauli string {text!r}: cannot read {word!r}; write words as 'X0 Y2 Z5'.")
            qubit = int(match[2])
            if qubit in factors:
                raise InputError(f"Pauli string {text!r}: qubit {qubit} occurs twice.")
            factors[qubit] = match[1]
        found = sorted((q, letter) for q, letter in factors.items() if letter != "I")
        return cls("".join(letter for _, letter in found), tuple(q for q, _ in found))

    def masks(self, n: int) -> tuple[int, int]:
        """x and z, as bits of a basis state's index of n qubits."""
        x, z = ([q for letter, q in zip(self.letters, self.qubits) if letter in some] for some in ("XY", "YZ"))
        return mask_of(x, n), mask_of(z, n)

    def on(self, qubits: tuple[int, ...]) -> "PauliString":
        """The string with qubit i moved to qubits[i]."""
        moved = sorted((qubits[q], letter) for letter, q in zip(self.letters, self.qubits))
        return PauliString("".join(letter for _, letter in moved), tuple(q for q, _ in moved))

    def commutes_with(self, other: "PauliString") -> bool:
        n = 1 + max((*self.qubits, *other.qubits), default=0)
        (x, z), (other_x, other_z) = self.masks(n), other.masks(n)
        return ((x & other_z).bit_count() + (z & other_x).bit_count()) % 2 == 0

    def __str__(self) -> str:
        return " ".join(f"{letter}{q}" for letter, q in zip(self.letters, self.qubits)) or "I"


class PauliSum(eqx.Module):
    """H = Σ_k c_k P_k on n qubits, Hermitian; the coefficients are a leaf and can be differentiated."""

    coefficients: Inexact[Array, " terms"]
    strings: tuple[PauliString, ...] = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def __init__(self, n: int, terms: Mapping[str, ArrayLike] | Iterable[tuple[str, ArrayLike]]):
        """Sums real coefficients times strings such as "X0 Z3".

        Raises:
            InputError: a string cannot be read or does not fit on n qubits; a coefficient is not a real number; n is
                not a positive integer.
        """
        n = qubit_count("PauliSum", n)
        pairs: Any = [*terms.items()] if isinstance(terms, Mapping) else [*terms]
        self.strings, self.n = tuple(PauliString.parse(text) for text, _ in pairs), n
        for string in self.strings:
            if string.qubits and string.qubits[-1] >= n:
                raise InputError(f"PauliSum: {str(string)!r} does not fit on {n} qubits, which are 0 to {n - 1}.")
        coefficients = [c for _, c in pairs]
        if not all(map(is_real, coefficients)):
            raise InputError("PauliSum: the coefficients must be real numbers.")
        if any(isinstance(c, Tracer) for c in coefficients):
            self.coefficients = jnp.stack([jnp.asarray(c, float) for c in coefficients])
        else:
            self.coefficients = jnp.asarray(np.array([float(c) for c in coefficients]))

    @classmethod
    def of(cls, n: int, strings: tuple[PauliString, ...], coefficients: Inexact[Array, " terms"]) -> "PauliSum":
        """The sum with given strings and an array of coefficients.

        Raises:
            InputError: there is not one real coefficient for each string; a string does not fit on n qubits.
        """
        if jnp.shape(coefficients) != (len(strings),) or jnp.iscomplexobj(coefficients):
            raise InputError(
                f"PauliSum.of: needs {len(strings)} real coefficients, one for each string, not an array of shape "
                f"{jnp.shape(coefficients)} and type {jnp.result_type(coefficients)}."
            )
        blank = cls(n, [(str(s), 0.0) for s in strings])
        return eqx.tree_at(lambda h: h.coefficients, blank, coefficients)

    @classmethod
    def from_string(cls, text: str, n: int | None = None) -> "PauliSum":
        """Reads "1.0*X0 X1 - 0.5 Z0 + Y2"; n is the smallest number of qubits that holds it, if not given.

        Raises:
            InputError: the text cannot be read.
        """
        pieces = re.findall(r"((?:[+-]\s*)*)([^\s+\-](?:[^+\-eE]|[eE][+-]?(?=\d))*)", text.strip())
        if not pieces or re.sub(r"\s", "", "".join(a + b for a, b in pieces)) != re.sub(r"\s", "", text):
            raise InputError(f"Pauli sum {text!r}: cannot be read; write it as '1.0*X0 X1 - 0.5*Z0'.")
        terms = []
        for signs, body in pieces:
            # a number ends at a star or a space
            number, word = re.split(r"[*\s]", body + " ", maxsplit=1) if re.match(r"[\d.]", body) else ("1", body)
            try:
                value = float(number)
            except ValueError:
                raise InputError(f"Pauli sum {text!r}: {number.strip()!r} is not a number.") from None
            terms.append((word, -value if signs.count("-") % 2 else value))
        sites = [q for word, _ in terms for q in PauliString.parse(word).qubits]
        return cls(max(sites, default=0) + 1 if n is None else n, terms)

    @classmethod
    def from_file(cls, path: Path, n: int | None = None) -> "PauliSum":
        """Reads lines of a coefficient and a Pauli string, as "-1.0 Z0 Z1"; # begins a comment.

        Also read are sums in one line, a constant alone in its line, and what OpenFermion and Qiskit print; in Qiskit's
        labels, as "-1.0 ZZI", the last letter is qubit 0. Equal terms are added up. `lattices.read_hamiltonian` reads
        the same files as the same operators.

        n is the smallest number of qubits that holds the sum, if not given, and at least two.

        Raises:
            InputError: the file cannot be read, has no terms, or a line is none; the message has the line's number.
        """
        found = operators.PauliSum.from_file(path, n).hermitian()
        size = max(2, found.n) if n is None else n
        if size > _LARGEST:
            raise InputError(f"{path}: acts on {size} qubits; up to {_LARGEST} are possible")
        return cls.of(size, tuple(PauliString(word.letters, word.sites) for word in found.words), found.coefficients)

    def __call__(self, psi: Inexact[Array, "*batch N"]) -> Complex[Array, "*batch N"]:
        """H ψ, without a matrix.

        Raises:
            InputError: the state is not one of n qubits.
        """
        if psi.shape[-1] != 1 << self.n:
            raise InputError(
                f"PauliSum on {self.n} qubits: the state has {psi.shape[-1]} amplitudes, not {1 << self.n}."
            )
        dtype = at_least_single(psi.real.dtype)
        re, im = psi.real.astype(dtype), psi.imag.astype(dtype)
        out_re, out_im = jnp.zeros_like(re), jnp.zeros_like(im)
        for x, even, odd in self.diagonals(re.dtype, jnp.arange(1 << self.n)):
            re_x, im_x = flipped(re, x), flipped(im, x)
            if even is not None:
                out_re, out_im = out_re + even * re_x, out_im + even * im_x
            if odd is not None:  # times -i
                out_re, out_im = out_re + odd * im_x, out_im - odd * re_x
        return jax.lax.complex(out_re, out_im)

    def trace(self, rho: Inexact[Array, "N N"]) -> Inexact[Array, ""]:
        """Tr(H ρ) for a density matrix, from as many of its entries as H has."""
        i = jnp.arange(1 << self.n)
        total = jnp.zeros((), rho.real.dtype)
        for x, even, odd in self.diagonals(total.dtype, i):
            entries = rho[i ^ x, i]
            for diagonal, part in ((even, entries.real), (odd, entries.imag)):
                total += 0 if diagonal is None else jnp.sum(diagonal * part)
        return total

    def diagonals(self, dtype, i):
        """(x, even, odd) for each x: signs at i of the strings with an even, and an odd, number of Y, summed."""
        groups: dict[int, list[int]] = {}
        for k, string in enumerate(self.strings):
            groups.setdefault(string.masks(self.n)[0], []).append(k)
        for x, members in groups.items():
            yield x, *self._diagonal(members, dtype, i)

    def _diagonal(self, members, dtype, i):
        sums: list[Any] = [None, None]
        for k in members:
            x, z = self.strings[k].masks(self.n)
            m = (x & z).bit_count()
            term = (1, 1, -1, -1)[m % 4] * self.coefficients[k].astype(dtype)
            if z:
                term = jnp.where(jax.lax.population_count(i & z) & 1, -term, term)
            sums[m % 2] = term if sums[m % 2] is None else sums[m % 2] + term
        return sums

    def matrix(self) -> Complex[Array, "N N"]:
        """H as a dense matrix: Kronecker products in the order of the qubits, qubit 0 first."""
        return self(jnp.eye(1 << self.n, dtype=complex)).T

    def __add__(self, other: "PauliSum") -> "PauliSum":
        if not isinstance(other, PauliSum):
            return NotImplemented
        if self.n != other.n:
            raise InputError(f"PauliSum: cannot add sums on {self.n} and {other.n} qubits.")
        coefficients = jnp.concatenate([self.coefficients, other.coefficients])
        return self.of(self.n, (*self.strings, *other.strings), coefficients)

    def __radd__(self, other: int) -> "PauliSum":
        # sum([…]) begins with 0
        return self if type(other) is int and other == 0 else NotImplemented

    def __mul__(self, factor: ArrayLike) -> "PauliSum":
        return self.of(self.n, self.strings, self.coefficients * _real(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: ArrayLike) -> "PauliSum":
        return self.of(self.n, self.strings, self.coefficients / _real(divisor))

    def __neg__(self) -> "PauliSum":
        return self * -1.0

    def __sub__(self, other: "PauliSum") -> "PauliSum":
        return self + -other

    def __str__(self) -> str:
        """What `from_string` reads, to the last digit."""
        terms = zip(np.asarray(self.coefficients).tolist(), self.strings)
        return " + ".join(f"{c!r}*{s}" for c, s in terms) or "0.0*I"


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


def _real(factor):
    if not is_real(factor):
        raise InputError("PauliSum: can only be multiplied or divided by a real number, or else is not Hermitian.")
    return factor


def flipped(a, x: int):
    """a[..., i ^ x]: each run of ones in x reverses an axis."""
    n = a.shape[-1].bit_length() - 1
    runs, q = [], 0
    while x >> q:
        if x >> q & 1:
            end = q
            while x >> end & 1:
                end += 1
            runs.append((q, end))
            q = end
        q += 1
    if len(runs) > _RUNS:
        return a[..., jnp.arange(1 << n) ^ x]
    shape, axes, low = [], [], 0
    for start, end in runs:
        shape += [1 << (start - low), 1 << (end - start)]
        axes.append(len(shape))
        low = end
    shape = [1 << (n - low), *reversed(shape)]
    axes = [a.ndim - 1 + len(shape) - k for k in axes]
    return jnp.flip(a.reshape(*a.shape[:-1], *shape), axes).reshape(a.shape) if runs else a


def heisenberg(n: int, coupling: ArrayLike = 1.0, *, periodic: bool = True) -> PauliSum:
    """H = J Σ_i (X_i X_{i+1} + Y_i Y_{i+1} + Z_i Z_{i+1}), on a ring or an open chain of n qubits."""
    bonds = _bonds("heisenberg", n, periodic)
    return PauliSum(n, [(f"{a}{i} {a}{j}", coupling) for i, j in bonds for a in "XYZ"])


def transverse_ising(n: int, field: ArrayLike = 1.0, coupling: ArrayLike = 1.0, *, periodic: bool = True) -> PauliSum:
    """H = −J Σ_i Z_i Z_{i+1} − h Σ_i X_i, on a ring or an open chain of n qubits."""
    bonds = _bonds("transverse_ising", n, periodic)
    terms = [(f"Z{i} Z{j}", -jnp.asarray(coupling)) for i, j in bonds]
    return PauliSum(n, terms + [(f"X{i}", -jnp.asarray(field)) for i in range(n)])


def _bonds(name, n, periodic):
    if n < 2:
        raise InputError(f"{name}({n}): needs at least two qubits.")
    return [(i, (i + 1) % n) for i in range(n if periodic else n - 1)]
