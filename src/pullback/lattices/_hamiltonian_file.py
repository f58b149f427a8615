"""Reading spin Hamiltonians as lists of Pauli terms."""

from pathlib import Path

import numpy as np

from pullback import operators
from pullback.core import InputError
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
    fixed, driven = operators.read_hamiltonian(path, parameter=parameter)
    words = [word for part in (fixed, driven) if part is not None for word in part.words]
    if any(not isinstance(word, operators.PauliString) or len(word.sites) > 2 for word in words):
        raise InputError(f"{path}: a term of a SpinModel acts on one or two sites")
    if fixed.n > _LARGEST:
        raise InputError(f"{path}: {fixed.n} sites are too many for exact diagonalisation, at most {_LARGEST}")
    lattice = Lattice(fixed.n, sorted({word.sites for word in words if len(word.sites) == 2}))
    return _model(lattice, fixed), None if driven is None else _model(lattice, driven)


def _model(lattice: Lattice, part: operators.OperatorSum) -> SpinModel:
    values = {(w.letters.lower(), w.sites): float(c) for w, c in zip(part.words, part.coefficients)}
    couplings = {}
    for kind in sorted({kind for kind, _ in values if kind}) or ["z"]:
        everywhere = lattice.bonds if len(kind) == 2 else [(i,) for i in range(lattice.sites)]
        couplings[kind] = np.array([values.get((kind, place), 0.0) for place in everywhere])
    if ("", ()) in values:
        couplings["i"] = np.full(lattice.sites, values["", ()] / lattice.sites)
    return SpinModel(lattice, couplings)
