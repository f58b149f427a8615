"""Beside Qiskit, where it is installed: its operators are read, and have the same matrix in the other order."""

import numpy as np
import pytest

from pullback.operators import PauliSum, commutator, read_hamiltonian, reverse_sites


@pytest.mark.peers
def test_operators_of_qiskit(tmp_path):
    info = pytest.importorskip("qiskit.quantum_info")
    theirs = info.SparsePauliOp(["XIZY", "ZZII", "IYXI"], [0.5, -1.25, 1 / 3])
    other = info.SparsePauliOp(["IXZZ", "YIII"], [1.0, 2.0])
    path = tmp_path / "h.txt"
    for text in (str(theirs.to_list()), "\n".join(f"{c} * {label}" for label, c in theirs.to_list())):
        path.write_text(text)
        ours, _ = read_hamiltonian(path)
        matrix = reverse_sites(ours.matrix(), axes=(-2, -1))
        np.testing.assert_allclose(matrix, theirs.to_matrix(), atol=1e-15)
        second = PauliSum.from_string(str(other.to_list()))
        exact = (theirs @ other - other @ theirs).to_matrix()
        np.testing.assert_allclose(reverse_sites(commutator(ours, second).matrix(), axes=(-2, -1)), exact, atol=1e-14)
