"""Reading sums of words from text: one reader for files and strings, and for every room.

A text is a sum of terms, one in each line or joined by + and −. A term is a coefficient (1 if there is none), maybe a
parameter, and Pauli matrices or fermion operators, in any of these forms:

    -1.0 Z0 Z1        0.5 * X_0 * Y(3)       matrices with their sites, counted from 0
    -1.0 g X0                                with the parameter g
    0.7               0.7 I                  a constant: a number alone in its line, or times I
    (-0.04+0j) [X0 X1 Y2 Y3] +               OpenFermion; [] is the constant
    (-0.09+0j) [1^ 2] +       0.5 1^ 2       fermions: c†_1 c_2; without brackets in a line with ^
    -1.0 ZZI          0.39 * IZ              Qiskit's labels; **the last letter is site 0**
    SparsePauliOp(['ZZ', 'XI'], coeffs=[-1.+0.j, 0.5+0.j])       and the list that `to_list` prints

Letters may be small; # and % begin a comment. Two comments mean something, as `to_file` writes them: "# sites: 5" and
"# spin: 1.0". Equal terms are added up.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pullback.core import InputError, data_file, text_lines
from pullback.operators._pauli_string import PauliString

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<complex>\(\s*[+-]?\s*(?:{_NUMBER}|nan|inf)[jJ]?\s*(?:[+-]\s*(?:{_NUMBER}|nan|inf)\s*[jJ]\s*)?\))
    | (?P<creator>\d+\s*\^)
    | (?P<number>(?:{_NUMBER}[jJ]?|nan|inf(?:inity)?)(?![\w.,]))
    | (?P<factor>[IXYZ](?:_?\d+|\(\d+\)))
    | (?P<label>[IXYZ]+(?!\w))
    | (?P<word>[A-Za-z]\w*)
    | (?P<mark>[-+*@\[\]\u2212])
    )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_QISKIT = re.compile(r"SparsePauliOp\(\[(?P<labels>[^]]*)\],?coeffs=\[(?P<values>[^]]*)\],?\)")
_PAIR = re.compile(r"\('([IXYZ]+)',([^,']+)\),?")
_HEADER = re.compile(r"\s*[#%]\s*(sites|spin)\s*:\s*(\d+(?:\.\d+)?)\s*")
_REAL = 1e-10  # of the largest coefficient: imaginary parts below are rounding


class FileTerm(NamedTuple):
    """One term of a text.

    Attributes:
        line: its number.
        value: the coefficient.
        driven: whether it has the parameter.
        letters: of Pauli matrices, (letter, site), in ascending order of the sites.
        operators: of fermions, (mode, whether it creates), in the order of the text.
    """

    line: int
    value: complex
    driven: bool
    letters: tuple[tuple[str, int], ...]
    operators: tuple[tuple[int, bool], ...]


class Listing(NamedTuple):
    """A text as terms.

    Attributes:
        source: its name, for messages.
        terms: in their order.
        sites: the smallest number that holds them, or that the text names.
        spin: of the sites, if the text names it.
    """

    source: str
    terms: list[FileTerm]
    sites: int
    spin: float | None

    @property
    def fermions(self) -> bool:
        """Whether it has fermion operators."""
        return any(term.operators for term in self.terms)

    def error(self, line: int, text: str) -> InputError:
        """The error to raise about a line."""
        return InputError(f"{self.source}: line {line}: {text}")


def read_listing(source: Path | str, *, parameter: str | None = None, products: bool = False) -> Listing:
    """The terms of a file, if `source` is a path, or of a text.

    Args:
        source: a text file, or a text.
        parameter: a name; terms with it are `driven`.
        products: letters may stand on one site more than once, as they may in a text that names a spin above ½.

    Raises:
        InputError: the file cannot be read or has no terms; a line is none (with its number), or has a coefficient that
            is not finite; Pauli matrices and fermions together.
    """
    if isinstance(source, Path):
        path = data_file(source)
        name, lines = str(path), text_lines(path)
    else:
        name, lines = f"{source[:60]!r}", source.splitlines()
    headers = {match[1]: match[2] for line in lines if (match := _HEADER.fullmatch(line))}
    lines = [re.split("[#%]", line, maxsplit=1)[0] for line in lines]
    spin = float(headers["spin"]) if "spin" in headers else None
    reader = _Reader(name, parameter, products or (spin is not None and spin > 0.5))
    if (first := next((line for line in lines if line.strip()), "").strip()).startswith(("SparsePauliOp", "[(")):
        reader.qiskit(re.sub(r"\s", "", "".join(lines)).replace('"', "'"), sparse=first.startswith("S"))
    else:
        for number, line in enumerate(lines, 1):
            reader.line(number, line)
        if reader.sign < 0:
            raise reader.error(len(lines), "a minus sign with no term behind it")
    listing = reader.finish()
    return listing._replace(sites=max(listing.sites, int(float(headers.get("sites", 0)))), spin=spin)


def read_sum(kind: str, source: Path | str, n: int | None) -> tuple[int, list[tuple[Any, Any]]]:
    """(n, terms) of a text as a constructor takes them: of "paulis", "spins" or "fermions".

    Raises:
        InputError: as `read_listing`; another kind of operators, or more sites than n.
    """
    listing = read_listing(source, products=kind == "spins")
    if kind != "fermions" and listing.fermions:
        raise InputError(f"{listing.source}: holds fermions; FermionSum reads them (and to_paulis() follows)")
    if kind == "fermions" and any(term.letters for term in listing.terms):
        raise InputError(f"{listing.source}: holds Pauli matrices; PauliSum reads them")
    if kind != "spins" and listing.spin is not None:
        raise InputError(f"{listing.source}: holds spins {listing.spin:g}; SpinSum reads them")
    if n is not None and listing.sites > n:
        raise InputError(f"{listing.source}: acts on {listing.sites} sites, which does not fit on {n}")
    values = real_if_close([term.value for term in listing.terms])
    return listing.sites if n is None else n, [(as_word(kind, term), v) for term, v in zip(listing.terms, values)]


def as_word(kind: str, term: FileTerm) -> Any:
    """What a constructor takes: a word, or the text of a product."""
    if kind == "fermions":
        return " ".join(f"{mode}^" if creates else str(mode) for mode, creates in term.operators)
    if kind == "spins":
        return " ".join(f"{letter}{site}" for letter, site in term.letters)
    return PauliString.of({site: letter for letter, site in term.letters})


def real_if_close(values: Sequence[complex] | np.ndarray) -> np.ndarray:
    """The coefficients as real numbers, if their imaginary parts are rounding."""
    values = np.asarray(values, complex)
    rounding = np.abs(np.imag(values)).max(initial=0) <= _REAL * np.abs(values).max(initial=0)
    return np.real(values) if rounding else values


class _Reader:
    def __init__(self, source: str, parameter: str | None, products: bool):
        self.source, self.parameter, self.products = source, parameter, products
        self.terms: list[FileTerm] = []
        self.size, self.length = 0, 0  # of all terms; of the labels
        self.sign = 1

    def error(self, line: int, text: str) -> InputError:
        return InputError(f"{self.source}: line {line}: {text}")

    def line(self, number: int, text: str) -> None:
        """Reads a line; a sign at its end belongs to the next one."""
        alone = not re.search(r"[IXYZ\[^]", text, re.IGNORECASE)
        term = _Partial(fermions="^" in text)
        for kind, token in self.tokens(number, text):
            if kind == "mark" and token in "+-\N{MINUS SIGN}":
                if not term.empty:
                    self.add(number, term, alone=False)
                    term = _Partial(fermions="^" in text)
                self.sign *= 1 if token == "+" else -1
            else:
                self.take(number, term, kind, token)
        if not term.empty:
            self.add(number, term, alone)

    def tokens(self, number: int, text: str):
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise self.error(number, f"cannot read {text[place:].split()[0][:40]!r}; write terms as '-1.0 Z0 Z1'")
            yield match.lastgroup, match[match.lastgroup]
            place = match.end()

    def take(self, number: int, term: "_Partial", kind: str, token: str) -> None:
        if (kind == "word" and token != self.parameter) or term.closed:
            raise self.error(number, f"cannot read {token[:40]!r}; write terms as '-1.0 Z0 Z1'")
        if kind == "creator" or (kind == "number" and term.destroys(token)):
            self.add_fermion(number, term, token)
        elif kind in ("number", "complex"):
            if term.value is not None or not term.bare:
                raise self.error(number, f"{token}: a term has one coefficient, in front of its Pauli matrices")
            term.value = self.value(number, token)
        elif kind == "word":
            if term.driven or not term.bare:
                raise self.error(number, f"the parameter {token} stands once, in front of the Pauli matrices")
            term.driven = True
        elif kind == "label":
            if not term.bare and token.upper() != "I":
                raise self.error(number, f"cannot read {token!r} behind other Pauli matrices; write 'Z0 Z1'")
            term.bare = False
            if token.upper() != "I":
                if self.length not in (0, len(token)):
                    raise self.error(number, f"{token!r} has {len(token)} letters, others have {self.length}")
                self.length = len(token)
                term.letters = [(letter, q) for q, letter in enumerate(token.upper()[::-1]) if letter != "I"]
                term.closed = True
        elif kind == "factor":
            term.bare = False
            letter, site = token[0].upper(), int(re.sub(r"\D", "", token)[:9])
            if not self.products and any(site == other for _, other in term.letters):
                raise self.error(number, f"site {site} occurs twice in a term; a term acts on different sites")
            if letter != "I":
                term.letters.append((letter, site))
        elif token == "[":
            if term.bracket or not term.bare:
                raise self.error(number, "'[' stands once, in front of the Pauli matrices")
            term.bracket, term.bare = True, False
        elif token == "]":
            if not term.bracket:
                raise self.error(number, "']' without '['")
            term.bracket, term.closed = False, True

    def add_fermion(self, number: int, term: "_Partial", token: str) -> None:
        digits = re.sub(r"\D", "", token)
        if token.rstrip(" ^\t") != digits or len(digits) > 9:
            raise self.error(number, f"cannot read {token!r}; fermions are written '[1^ 2]'")
        term.bare = False
        term.operators.append((int(digits), token.endswith("^")))

    def add(self, number: int, term: "_Partial", alone: bool) -> None:
        """Adds a whole term to the sum."""
        if term.bracket:
            raise self.error(number, "'[' without ']'")
        if term.bare and (term.driven or not alone):
            raise self.error(number, "needs Pauli matrices on sites, as in '-1.0 Z0 Z1'; a constant is written '0.7 I'")
        if term.letters and term.operators:
            raise self.error(number, "Pauli matrices and fermions in one term")
        value = self.sign * (1 + 0j if term.value is None else term.value)
        self.store(FileTerm(number, value, term.driven, _sorted(term.letters), tuple(term.operators)))
        self.sign = 1

    def store(self, term: FileTerm) -> None:
        self.terms.append(term)
        sites = [site for _, site in term.letters] + [mode for mode, _ in term.operators]
        self.size = max([self.size, self.length, *(site + 1 for site in sites)])

    def value(self, number: int, text: str) -> complex:
        plain = re.sub(r"[\s()]", "", text).lower().replace("d", "e").replace("\N{MINUS SIGN}", "-")
        try:
            value = complex(plain)
        except ValueError:
            raise self.error(number, f"{text.strip()!r} is not a number") from None
        if not np.isfinite(value):
            raise self.error(number, f"the coefficient {text.strip()} is not finite")
        return value

    def qiskit(self, text: str, *, sparse: bool) -> None:
        """Reads a printed SparsePauliOp, or the pairs of its list, without white space."""
        if sparse:
            match = _QISKIT.fullmatch(text)
            labels = [label.strip("'") for label in match["labels"].split(",") if label] if match else []
            values = [value for value in match["values"].split(",") if value] if match else []
        else:
            pairs = _PAIR.findall(text[1:-1])
            whole = _PAIR.sub("", text) == "[]"
            labels, values = ([label for label, _ in pairs], [value for _, value in pairs]) if whole else ([], [])
        if not labels or len(labels) != len(values) or not all(re.fullmatch("[IXYZ]+", label) for label in labels):
            raise self.error(1, "cannot be read as what Qiskit prints of a whole SparsePauliOp")
        for label, value in zip(labels, values):
            if len(label) != len(labels[0]):
                raise self.error(1, f"{label!r} has {len(label)} letters, others have {len(labels[0])}")
            self.length = len(label)
            letters = tuple((letter, q) for q, letter in enumerate(label[::-1]) if letter != "I")
            self.store(FileTerm(1, self.value(1, value), False, letters, ()))

    def finish(self) -> Listing:
        if not self.terms:
            raise InputError(f"{self.source}: the text holds no terms, as '-1.0 Z0 Z1'")
        with np.errstate(over="ignore"):
            if not np.isfinite(np.abs([term.value for term in self.terms]).sum()):
                raise InputError(f"{self.source}: the sum of the coefficients is not finite")
        fermionic = [term.line for term in self.terms if term.operators]
        if fermionic and (others := [term.line for term in self.terms if term.letters]):
            raise self.error(others[0], f"Pauli matrices, but fermions in line {fermionic[0]}")
        return Listing(self.source, self.terms, max(self.size, 1), None)


class _Partial:
    """A term while it is read."""

    def __init__(self, *, fermions: bool):
        self.fermions = fermions  # in this line
        self.value: complex | None = None
        self.driven = self.bracket = self.closed = False
        self.bare = True  # without operators, and without brackets
        self.letters: list[tuple[str, int]] = []
        self.operators: list[tuple[int, bool]] = []

    def destroys(self, token: str) -> bool:
        """Whether a number is c_j: in brackets, or behind another operator or the coefficient."""
        return self.bracket or bool(self.operators) or (self.fermions and self.value is not None and token.isdigit())

    @property
    def empty(self) -> bool:
        return self.value is None and not self.driven and self.bare


def _sorted(letters: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """By site; letters on one site keep their order."""
    return tuple(sorted(letters, key=lambda pair: pair[1]))
