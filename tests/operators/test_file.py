"""Files of operators: every form, against Kronecker products; written files; mistakes."""

import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.operators import FermionSum, PauliSum, SpinSum, read_hamiltonian
from tests.operators import dense

TERMS = [(-1.0, "Z0 Z1"), (0.5, "X0"), (0.25, "X1 Y2"), (0.7, "I")]
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
def test_every_form_is_the_same_operator(file, form):
    path = file(FORMS[form])
    exact = dense.words(3, TERMS)
    found, driven = read_hamiltonian(path)
    assert driven is None
    assert not jnp.iscomplexobj(found.coefficients)
    np.testing.assert_allclose(found.matrix(), exact, atol=1e-15)
    np.testing.assert_allclose(PauliSum.from_file(path).matrix(), exact, atol=1e-15)
    np.testing.assert_allclose(PauliSum.from_string(FORMS[form].lstrip("\ufeff")).matrix(), exact, atol=1e-15)


HOPS = [(0.5, "1^ 2"), (0.5, "2^ 1"), (0.25 - 1j, "2^ 0^ 1 0"), (0.25 + 1j, "0^ 1^ 0 2"), (-1.5, "0^ 0"), (0.7, "")]
FERMIONS = {
    "OpenFermion": "0.7 [] +\n-1.5 [0^ 0] +\n(0.25+1j) [0^ 1^ 0 2] +\n0.5 [1^ 2] +\n"
    "(0.25-1j) [2^ 0^ 1 0] +\n0.5 [2^ 1]",
    "OpenFermion, one line": "(0.7+0j) [] + (-1.5+0j) [0^ 0] + (0.25+1j) [0^ 1^ 0 2] + (0.25-1j) [2^ 0^ 1 0]"
    " + (0.5+0j) [1^ 2] + (0.5+0j) [2^ 1]",
    "without brackets": "0.5 1^ 2\n0.5 * 2^ 1\n(0.25-1j) 2^ 0^ 1 0\n(0.25+1j) 0^ 1^ 0 2\n-0^ 0 - 0.5 0^ 0\n0.7\n",
}


@pytest.mark.parametrize("form", FERMIONS)
def test_fermions(file, form):
    path = file(FERMIONS[form])
    exact = dense.fermions(3, HOPS)
    found, _ = read_hamiltonian(path)
    np.testing.assert_allclose(found.matrix(), exact, atol=1e-15)
    np.testing.assert_allclose(found.to_paulis().hermitian().matrix(), exact, atol=1e-15)
    np.testing.assert_allclose(FermionSum.from_file(path).matrix(), exact, atol=1e-15)


def test_terms_with_a_parameter_and_constants(file):
    fixed, driven = read_hamiltonian(file("1 Z0 Z1 Z2\n0.5 g X0\n-g I\n2\n"), parameter="g")
    np.testing.assert_allclose(fixed.matrix(), dense.words(3, [(1, "Z0 Z1 Z2"), (2, "I")]), atol=1e-15)
    np.testing.assert_allclose(driven.matrix(), dense.words(3, [(0.5, "X0"), (-1, "I")]), atol=1e-15)
    fixed, driven = read_hamiltonian(file("0.5 [0^ 1] + 0.5 [1^ 0]\n2 u [0^ 0 1^ 1]"), parameter="u")
    np.testing.assert_allclose(driven.matrix(), np.diag([0, 0, 0, 2]), atol=1e-15)


def test_what_is_written_is_read_exactly(tmp_path):
    rng = np.random.default_rng(1)
    third = [complex(*rng.normal(size=2)) / 3 for _ in range(6)]
    sums = [
        PauliSum(5, {"X0 Y2": third[0], "Z3": third[1], "": 1 / 3}),
        PauliSum(2, {"X0": 0.1, "Z1": -1e-30, "Y0 Y1": 1e300}),
        SpinSum(3, {"X0 Y0": third[2], "Z1": third[3]}, spin=1.5),
        FermionSum(4, {"1^ 2": third[4], "2^ 1^ 0": third[5], "": -2.0}),
    ]
    for h in sums:
        path = tmp_path / "h.txt"
        h.to_file(path)
        more = {"spin": h.spin} if isinstance(h, SpinSum) else {}
        for again in (type(h).from_file(path, **more), type(h).from_string(str(h), h.n, **more)):
            assert (again.words, again.n, again.levels) == (h.words, h.n, h.levels)
            assert again.coefficients.dtype == h.coefficients.dtype
            assert (again.coefficients == h.coefficients).all()
    hermitian = sums[2] + sums[2].adjoint()
    hermitian.to_file(path)
    again, _ = read_hamiltonian(path)
    assert again.spin == 1.5
    np.testing.assert_allclose(again.matrix(), hermitian.matrix(), atol=1e-14)


def test_spins_of_one(file):
    path = file("0.25 X0 X1\n0.25 Y0 Y1\n0.25 Z0 Z1\n0.5 Z0 Z0\n")
    exact = dense.words(2, [(0.25, "X0 X1"), (0.25, "Y0 Y1"), (0.25, "Z0 Z1"), (0.5, "Z0 Z0")], 3)
    np.testing.assert_allclose(read_hamiltonian(path, spin=1.0)[0].matrix(), exact, atol=1e-14)


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
        ("1 X0\n(0.5+0.1j) [Z0]", "line 2: the coefficient .0.5.0.1j. is not real"),
        ("1 [0^ 0]\n0.5 [1^ 2]\n0.5 [2^ 1]\n1j [3^ 2]\n1j [2^ 3]", "line 4: the term has no Hermitian conjugate"),
        ("1 [0^ 0]\n1 Z0", "line 2: Pauli matrices, but fermions in line 1"),
        ("1 Z0 1^", "Pauli matrices and fermions in one term"),
        ("1 [0^ 1.5]", "cannot read '1.5'"),
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
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(file, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_hamiltonian(file(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda path: PauliSum.from_file(path), "holds fermions; FermionSum reads them"),
        (lambda path: FermionSum.from_file(path, 2), "acts on 3 sites, which does not fit on 2"),
        (lambda path: FermionSum.from_string("X0"), "'X0': holds Pauli matrices"),
        (lambda path: PauliSum.from_string("# spin: 1\nX0"), "holds spins 1; SpinSum"),
        (lambda path: PauliSum.from_string("X0 +* Y1 $"), "'X0 .*: line 1: cannot read"),
    ],
)
def test_another_kind_of_operators(file, read, message):
    with pytest.raises(InputError, match=message):
        read(file("1.0 [1^ 2]"))
