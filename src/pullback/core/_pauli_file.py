"""Reading sums of Pauli strings from text files: one reader for every room.

A file is a sum of terms, one in each line or joined by + and −. A term is a coefficient (1 if there is none), maybe a
parameter, and Pauli matrices, in any of these forms:

    -1.0 Z0 Z1        0.5 * X_0 * Y(3)       matrices with their sites, counted from 0
    -1.0 g X0                                with the parameter g
    0.7               0.7 I                  a constant: a number alone in its line, or times I
    (-0.04+0j) [X0 X1 Y2 Y3] +               OpenFermion; [] is the constant
    -1.0 ZZI          0.39 * IZ              Qiskit's labels; **the last letter is site 0**
    SparsePauliOp(['ZZ', 'XI'], coeffs=[-1.+0.j, 0.5+0.j])       and the list that `to_list` prints

Letters may be small; # and % begin a comment. Equal terms are added up.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pullback.core._errors import InputError
from pullback.core._tables import data_file, text_lines

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<complex>\(\s*[+-]?\s*(?:{_NUMBER}|nan|inf)[jJ]?\s*(?:[+-]\s*(?:{_NUMBER}|nan|inf)\s*[jJ]\s*)?\))
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
_REAL = 1e-10  # of the largest coefficient: imaginary parts below are rounding


class PauliTerm(NamedTuple):
    """One term: `value` times σ^letters[0] on sites[0], …; with the parameter or without."""

    line: int
    value: float
    driven: bool
    letters: str
    sites: tuple[int, ...]


def read_pauli_terms(path: Path, *, parameter: str | None = None) -> tuple[list[PauliTerm], int]:
    """The terms of a file, and the smallest number of sites that holds them.

    Letters are XYZ, in the order of the sites; a constant has none.

    Args:
        path: a text file.
        parameter: a name; terms with it are `driven`.

    Raises:
        InputError: the file cannot be read or has no terms; a line is none (with its number), or has a coefficient that
            is not finite or not real.
    """
    path = data_file(path)
    lines = [re.split("[#%]", line, maxsplit=1)[0] for line in text_lines(path)]
    reader = _Reader(path, parameter)
    if (first := next((line for line in lines if line.strip()), "").strip()).startswith(("SparsePauliOp", "[(")):
        reader.qiskit(re.sub(r"\s", "", "".join(lines)).replace('"', "'"), sparse=first.startswith("S"))
    else:
        for number, line in enumerate(lines, 1):
            reader.line(number, line)
        if reader.sign < 0:
            raise reader.error(len(lines), "a minus sign with no term behind it")
    return reader.finish()


class _Reader:
    def __init__(self, path: Path, parameter: str | None):
        self.path, self.parameter = path, parameter
        self.sums: dict[tuple[bool, str, tuple[int, ...]], tuple[int, complex]] = {}
        self.size, self.length = 0, 0  # of all terms; of the labels
        self.sign = 1

    def error(self, line: int, text: str) -> InputError:
        return InputError(f"{self.path}: line {line}: {text}")

    def line(self, number: int, text: str) -> None:
        """Reads a line; a sign at its end belongs to the next one."""
        alone = not re.search(r"[IXYZ\[]", text, re.IGNORECASE)
        term = _Partial()
        for kind, token in self.tokens(number, text):
            if kind == "mark" and token in "+-\N{MINUS SIGN}":
                if not term.empty:
                    self.add(number, term, alone=False)
                    term = _Partial()
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
        if kind in ("number", "complex"):
            if term.value is not None or term.factors is not None:
                raise self.error(number, f"{token}: a term has one coefficient, in front of its Pauli matrices")
            term.value = self.value(number, token)
        elif kind == "word":
            if term.driven or term.factors is not None:
                raise self.error(number, f"the parameter {token} stands once, in front of the Pauli matrices")
            term.driven = True
        elif kind == "label":
            if term.factors is not None and token.upper() != "I":
                raise self.error(number, f"cannot read {token!r} behind other Pauli matrices; write 'Z0 Z1'")
            term.factors = term.factors or {}
            if token.upper() != "I":
                if self.length not in (0, len(token)):
                    raise self.error(number, f"{token!r} has {len(token)} letters, others have {self.length}")
                self.length = len(token)
                term.factors = {q: letter for q, letter in enumerate(token.upper()[::-1]) if letter != "I"}
                term.closed = True
        elif kind == "factor":
            term.factors = term.factors or {}
            site = int(re.sub(r"\D", "", token)[:9])
            if site in term.factors:
                raise self.error(number, f"site {site} occurs twice in a term; a term acts on different sites")
            if token[0].upper() != "I":
                term.factors[site] = token[0].upper()
        elif token == "[":
            if term.bracket or term.factors is not None:
                raise self.error(number, "'[' stands once, in front of the Pauli matrices")
            term.bracket, term.factors = True, {}
        elif token == "]":
            if not term.bracket:
                raise self.error(number, "']' without '['")
            term.bracket, term.closed = False, True

    def add(self, number: int, term: "_Partial", alone: bool) -> None:
        """Adds a whole term to the sum."""
        if term.bracket:
            raise self.error(number, "'[' without ']'")
        if term.factors is None and (term.driven or not alone):
            raise self.error(number, "needs Pauli matrices on sites, as in '-1.0 Z0 Z1'; a constant is written '0.7 I'")
        factors = sorted((term.factors or {}).items())
        self.store(number, self.sign * (1 + 0j if term.value is None else term.value), term.driven, factors)
        self.sign = 1

    def store(self, number: int, value: complex, driven: bool, factors: list[tuple[int, str]]) -> None:
        key = driven, "".join(letter for _, letter in factors), tuple(site for site, _ in factors)
        line, total = self.sums.get(key, (number, 0j))
        self.sums[key] = line, total + value
        self.size = max([self.size, self.length, *(site + 1 for site, _ in factors)])

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
            factors = [(q, letter) for q, letter in enumerate(label[::-1]) if letter != "I"]
            self.store(1, self.value(1, value), False, factors)

    def finish(self) -> tuple[list[PauliTerm], int]:
        if not self.sums:
            raise InputError(f"{self.path}: the file holds no terms, as '-1.0 Z0 Z1'")
        largest = max(abs(value) for _, value in self.sums.values())
        if not np.isfinite(largest):
            raise InputError(f"{self.path}: the sum of the coefficients of equal terms is not finite")
        for line, value in self.sums.values():
            if abs(value.imag) > _REAL * largest:
                raise self.error(line, f"the coefficient {value} is not real: a Hamiltonian is Hermitian")
        terms = [PauliTerm(line, float(np.real(value)), *key) for key, (line, value) in self.sums.items()]
        return terms, max(self.size, 1)


class _Partial:
    """A term while it is read."""

    def __init__(self):
        self.value: complex | None = None
        self.driven = self.bracket = self.closed = False
        self.factors: dict[int, str] | None = None

    @property
    def empty(self) -> bool:
        return self.value is None and not self.driven and self.factors is None
