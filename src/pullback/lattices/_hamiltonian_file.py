"""Reading spin Hamiltonians as lists of Pauli terms."""

from pathlib import Path

import numpy as np

from pullback.core import InputError, PauliTerm, read_pauli_terms
from pullback.lattices._lattice import Lattice
from pullback.lattices._spin_model import SpinModel

_LARGEST = 30


def read_hamiltonian(path: Path, *, parameter: str | None = None) -> tuple[SpinModel, SpinModel | None]:
    """Reads a spin model, one term in each line: a coefficient, maybe a parameter, and Pauli matrices on sites.

    As in `-1.0 Z0 Z1`, or `-0.5 g X3`, or `0.25 * X0 * X1`; sites are counted from 0, # begins a comment, equal terms
    are added up, a constant is spread over the sites. What OpenFermion and Qiskit print is read, too: all that
    `circuits.PauliSum.from_file` reads, as the same matrix, but for terms on three and more sites. (In Qiskit's labels
    the last letter is site 0.)

    Args:
        path: a text file.
        parameter: a name; terms with it are returned apart.

    Returns:
        The model of the terms without the parameter, and that of the terms with it, on the same lattice, or None if
        there are none.

    Raises:
        InputError: the file is missing or empty; a line is no such term (with its number); more than 30 sites.
    """
    terms, sites = read_pauli_terms(path, parameter=parameter)
    for term in terms:
        if len(term.sites) > 2:
            raise InputError(
                f"{path}: line {term.line}: a term of a SpinModel acts on one or two sites, this one on "
                f"{len(term.sites)}; circuits.PauliSum takes any"
            )
    if sites > _LARGEST:
        raise InputError(f"{path}: {sites} sites are too many for exact diagonalisation, at most {_LARGEST}")
    lattice = Lattice(sites, sorted({term.sites for term in terms if len(term.sites) == 2}))
    driven = [term for term in terms if term.driven]
    return _model(lattice, [term for term in terms if not term.driven]), _model(lattice, driven) if driven else None


def _model(lattice: Lattice, terms: list[PauliTerm]) -> SpinModel:
    values = {(term.letters.lower(), term.sites): term.value for term in terms}
    couplings = {}
    for kind in sorted({kind for kind, _ in values if kind}) or ["z"]:
        everywhere = lattice.bonds if len(kind) == 2 else [(i,) for i in range(lattice.sites)]
        couplings[kind] = np.array([values.get((kind, place), 0.0) for place in everywhere])
    if ("", ()) in values:
        couplings["i"] = np.full(lattice.sites, values["", ()] / lattice.sites)
    return SpinModel(lattice, couplings)
