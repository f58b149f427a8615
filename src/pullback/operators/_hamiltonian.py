"""Hamiltonians from files: Hermitian sums, with a parameter or without."""

from pathlib import Path

import numpy as np

from pullback.operators._fermion_sum import FermionSum
from pullback.operators._file import Listing, as_word, read_listing, real_if_close
from pullback.operators._pauli_sum import PauliSum
from pullback.operators._spin_sum import SpinSum
from pullback.operators._sum import OperatorSum

_HERMITIAN = 1e-10  # of the largest coefficient


def read_hamiltonian(
    path: Path | str, *, parameter: str | None = None, spin: float | None = None
) -> tuple[OperatorSum, OperatorSum | None]:
    """Reads a Hermitian operator, one term in each line: a coefficient, maybe a parameter, and a word.

    Pauli matrices with their sites, as in `-1.0 Z0 Z1`, or `-0.5 g X3`, or `0.25 * X0 * X1`, on any number of sites;
    fermions as `0.5 [1^ 2]` for c†_1 c_2; what OpenFermion and Qiskit print. Sites are counted from 0, a number alone
    is a constant, # begins a comment, equal terms are added up. In words without sites, as the label "ZXI" of Qiskit,
    the last letter is site 0.

    Args:
        path: a text file.
        parameter: a name; terms with it are returned apart.
        spin: the letters are σ = 2S of spins S; None: that in the comment `# spin: 1.0` of the file, or ½.

    Returns:
        The sum of the terms without the parameter, and that of the terms with it, on the same sites, or None if there
        are none: `PauliSum`s, `SpinSum`s or `FermionSum`s.

    Raises:
        InputError: the file is missing or empty; a line is no such term (with its number); the operator is not
            Hermitian.

    Examples:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "h.txt"
        >>> _ = file.write_text("-1.0 Z0 Z1\\n-0.5 g X0\\n-0.5 g X1\\n")
        >>> h0, h1 = read_hamiltonian(file, parameter="g")
        >>> print(h0 + 2.0 * h1)
        -1.0*Z0 Z1 + -1.0*X0 + -1.0*X1
    """
    listing = read_listing(Path(path), parameter=parameter, products=spin not in (None, 0.5))
    spin = spin or listing.spin or 0.5
    driven = any(term.driven for term in listing.terms)
    return _sum(listing, spin, driven=False), _sum(listing, spin, driven=True) if driven else None


def _sum(listing: Listing, spin: float, *, driven: bool) -> OperatorSum:
    terms = [term for term in listing.terms if term.driven == driven]
    kind = "fermions" if listing.fermions else "paulis" if spin == 0.5 else "spins"

    def of(pairs: list) -> OperatorSum:
        if kind == "spins":
            return SpinSum(listing.sites, pairs, spin=spin)
        return (FermionSum if kind == "fermions" else PauliSum)(listing.sites, pairs)

    pairs = [(as_word(kind, term), np.complex128(term.value)) for term in terms]
    total = of(pairs)
    if not total.is_hermitian:
        broken = set((total - total.adjoint()).simplify(_HERMITIAN).words)
        line, value = next((t.line, t.value) for t, pair in zip(terms, pairs) if broken & set(of([pair]).words))
        reason = f"the coefficient {value} is not real" if kind == "paulis" else "the term has no Hermitian conjugate"
        raise listing.error(line, f"{reason}: a Hamiltonian is Hermitian")
    total = total.hermitian()
    return of([*zip(total.words, real_if_close(np.asarray(total.coefficients)))])
