"""Files of Pauli terms: every form, for both readers, against Kronecker products."""

import numpy as np
import pytest

from pullback.circuits import PauliSum
from pullback.core import InputError
from pullback.lattices import read_hamiltonian
from tests.spins import pauli_sum

TERMS = [(-1.0, {0: "Z", 1: "Z"}), (0.5, {0: "X"}), (0.25, {1: "X", 2: "Y"}), (0.7, {})]
FORMS = {
    "words": "-1.0 Z0 Z1\n0.5 X0\n0.25 X1 Y2\n0.7 I\n",
    "as people type": "\ufeff# H\r\n-z_0*z_1\r\n\r\n+ .5 * x0   % field\r\n2.5E-1 Y2 X1\r\n0.7\r\n",
    "one line": "-1.0*Z0 Z1 + 0.5*X0 + 0.25*X1 Y2 + 0.7*I",
    "parts are added up": "-2 Z1 Z0\nZ0 Z1\n0.5X0\n0.25 X1 Y2\n0.3\n0.4 I".replace("5X", "5 X"),
    "OpenFermion": "(0.7+0j) [] +\n(0.5+0j) [X0] +\n(0.25-1e-17j) [X1 Y2] +\n(-1+0j) [Z0 Z1]",
    "OpenFermion, real": "0.7 [] +\n0.5 [X0] +\n0.25 [X1 Y2] -\n1.0 [Z0 Z1]",
    "labels": "-1.0 IZZ\n0.5 IIX\n0.25 YXI\n0.7 III\n",  # the last letter is site 0
    "Qiskit's sums": "-1.0 * IZZ\n+ 0.5 * IIX\n+ (0.25+0j) * YXI\n+ 0.7 * III",
    "Qiskit's operator": (
        "SparsePauliOp(['IZZ', 'IIX', 'YXI', 'III'],\n"
        "              coeffs=[-1.  +0.j,  0.5 +0.j,  0.25+0.j,  0.7 +0.j])"
    ),
    "Qiskit's list": "[('IZZ', (-1+0j)), ('IIX', (0.5+0j)), ('YXI', (0.25+0j)), ('III', (0.7+0j))]",
    "Cirq-like": "-1.000*Z(0)*Z(1) + 0.5*X(0) + 0.25*X(1)*Y(2) + 0.7*I",
}


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "h.txt"
        path.write_bytes(text.encode())
        return path

    return write


@pytest.mark.parametrize("form", FORMS)
def test_both_readers_read_the_same_operator(file, form):
    path = file(FORMS[form])
    expected = pauli_sum(3, TERMS)
    np.testing.assert_allclose(read_hamiltonian(path)[0].matrix(), expected, atol=1e-15)
    np.testing.assert_allclose(PauliSum.from_file(path).matrix(), expected, atol=1e-15)


def test_terms_with_a_parameter_and_constants(file):
    fixed, driven = read_hamiltonian(file("1 Z0 Z1\n0.5 g X0\n-g I\n2\n"), parameter="g")
    np.testing.assert_allclose(fixed.matrix(), pauli_sum(2, [(1, {0: "Z", 1: "Z"}), (2, {})]), atol=1e-15)
    np.testing.assert_allclose(driven.matrix(), pauli_sum(2, [(0.5, {0: "X"}), (-1, {})]), atol=1e-15)


def test_terms_on_three_sites_are_for_circuits(file):
    path = file("1.0 Z0 X1 Z2\n")
    assert PauliSum.from_file(path).strings[0].letters == "ZXZ"
    with pytest.raises(InputError, match="line 1: a term of a SpinModel acts on one or two sites, this one on 3"):
        read_hamiltonian(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 Z0\nnan Z0 Z1", "line 2: the coefficient nan is not finite"),
        ("-inf Z0", "line 1: the coefficient inf is not finite"),
        ("1e999 Z0", "is not finite"),
        ("(nan+0j) [Z0]", "is not finite"),
        ("1e308 Z0\n1e308 Z0", "is not finite"),
        ("1.o Z0", "line 1: cannot read '1.o'"),
        ("1,5 Z0", "cannot read '1,5'"),
        ("1_0 Z0", "cannot read '1_0'"),
        ("(0.5+0.1j) [Z0]", "not real"),
        ("Z0 Z1 1.0", "a term has one coefficient, in front"),
        ("Z0 Z1 -1.0", "a constant is written '0.7 I'"),  # a coefficient behind, or a constant?
        ("ZZ -1.0", "a constant is written '0.7 I'"),
        ("2 3 Z0", "one coefficient"),
        ("1 Q0", "cannot read 'Q0'"),
        ("1 h X0", "cannot read 'h'"),
        ("1 X0 X0", "site 0 occurs twice"),
        ("1 ZZ\n2 XXX", "line 2: 'XXX' has 3 letters, others have 2"),
        ("0.5 [Z0", "'\\[' without '\\]'"),
        ("0.5 Z0]", "'\\]' without '\\['"),
        ("0.5 Z0 -", "no term behind"),
        ("2*(Z0 + X1)", "cannot read"),
        ("SparsePauliOp(['ZZ', 'XX', ...", "whole SparsePauliOp"),
        ("# nothing", "no terms"),
        ("", "is empty"),
        ("\x00\x01", "not a text file"),
        ("1 Z99", "qubits|sites are too many"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(file, text, message):
    for read in (PauliSum.from_file, read_hamiltonian):
        with pytest.raises(InputError, match=message) as error:
            read(file(text))
        assert "\n" not in str(error.value)
