"""Hamiltonians that users give as files, as sums of Pauli strings."""

from pathlib import Path

from pullback.core import InputError
from pullback.operators import FermionSum, PauliSum, Terms, read_hamiltonian


def read_paulis(path: Path, g: float, n: int | None, most: int) -> PauliSum:
    """H_0 + g H_1 of a file of Pauli matrices or fermions, on n qubits, or the fewest that hold it, at least two.

    Raises:
        InputError: as `read_hamiltonian`; spins above ½; more qubits than n, or than can be computed.
    """
    fixed, driven = read_hamiltonian(path, parameter="g")
    total = fixed if driven is None else fixed + g * driven
    if not isinstance(total, PauliSum | FermionSum):
        raise InputError(f"{path}: qubits are spins 1/2, these are others")
    paulis = total.to_paulis().hermitian().simplify()
    size = max(2, paulis.n) if n is None else n
    if paulis.n > size:
        raise InputError(f"{path}: acts on {paulis.n} qubits, which does not fit on {n}")
    if size > most:
        raise InputError(f"{path}: acts on {size} qubits; up to {most} are possible")
    return PauliSum(size, Terms(paulis.words, paulis.coefficients))
