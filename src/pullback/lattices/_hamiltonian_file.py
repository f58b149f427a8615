"""Reading spin Hamiltonians as lists of Pauli terms."""

import re
from pathlib import Path

import numpy as np

from pullback.core import InputError, data_file, is_number, text_lines
from pullback.lattices._lattice import Lattice
from pullback.lattices._spin_model import SpinModel

_FACTOR = re.compile(r"([XYZxyz])_?(\d+)")
_LARGEST = 30


def read_hamiltonian(path: Path, *, parameter: str | None = None) -> tuple[SpinModel, SpinModel | None]:
    """Reads a spin model, one term in each line: a coefficient, maybe a parameter, and Pauli matrices on sites.

    As in `-1.0 Z0 Z1`, or `-0.5 g X3`, or `0.25 * X0 * X1`; sites are counted from 0, lines that start with # are
    comments, equal terms are added up.

    Args:
        path: a text file (.txt).
        parameter: a name; terms with it are returned apart.

    Returns:
        The model of the terms without the parameter, and that of the terms with it, on the same lattice, or None if
        there are none.

    Raises:
        InputError: the file is missing or empty; a line is no such term (with its number); more than 30 sites.
    """
    path = data_file(path, (".txt", ".dat", ".ham"))
    terms: dict[bool, dict[tuple[str, tuple[int, ...]], float]] = {False: {}, True: {}}
    for number, line in enumerate(text_lines(path), 1):
        words = line.split("#")[0].replace("*", " ").split()
        if not words:
            continue
        driven, (kind, places, value) = _term(f"{path}: line {number}", words, parameter)
        own = terms[driven]
        own[kind, places] = own.get((kind, places), 0.0) + value
    every = [*terms[False], *terms[True]]
    if not every:
        raise InputError(f"{path}: the file holds no terms")
    sites = 1 + max(max(places) for _, places in every)
    if sites > _LARGEST:
        raise InputError(f"{path}: {sites} sites are too many for exact diagonalisation, at most {_LARGEST}")
    bonds = sorted({(min(places), max(places)) for kind, places in every if len(kind) == 2})
    lattice = Lattice(sites, bonds)
    return _model(lattice, terms[False]), _model(lattice, terms[True]) if terms[True] else None


def _term(where: str, words: list[str], parameter: str | None) -> tuple[bool, tuple[str, tuple[int, ...], float]]:
    value = 1.0
    if is_number(words[0]):
        value, words = float(words[0]), words[1:]
    driven = parameter is not None and bool(words) and words[0] == parameter
    words = words[1:] if driven else words
    factors = [_FACTOR.fullmatch(word) for word in words]
    if not factors or not all(factors):
        wrong = next((word for word, factor in zip(words, factors) if not factor), "nothing")
        raise InputError(f"{where}: needs Pauli matrices on sites, as in '-1.0 Z0 Z1', got {wrong!r}")
    pairs = sorted((int(factor[2]), factor[1].lower()) for factor in factors if factor)
    places = tuple(site for site, _ in pairs)
    if len(places) > 2 or len(set(places)) < len(places):
        raise InputError(f"{where}: a term acts on one or two different sites, got {' '.join(words)}")
    return driven, ("".join(letter for _, letter in pairs), places, value)


def _model(lattice: Lattice, terms: dict[tuple[str, tuple[int, ...]], float]) -> SpinModel:
    couplings = {}
    for kind in sorted({kind for kind, _ in terms}) or ["z"]:
        everywhere = lattice.bonds if len(kind) == 2 else [(i,) for i in range(lattice.sites)]
        couplings[kind] = np.array([terms.get((kind, tuple(place)), 0.0) for place in everywhere])
    return SpinModel(lattice, couplings)
