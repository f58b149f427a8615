"""The classical part of OpenQASM 3, as its specification says, and the names that are written."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback.core import InputError
from tests.circuits import dense
from tests.circuits.test_qasm import HEAD2, HEAD3, same_up_to_phase


def angles(text):
    return np.asarray(qc.Circuit.from_qasm(HEAD3 + text).parameters).tolist()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1/2", 0), ("1/2*pi", 0), ("-7/2", -3), ("7/2.0", 3.5), ("2^3", 1), ("6 & 3", 2), ("6 | 3", 7), ("~1", -2),
        ("2**3**2", 512), ("-2**2", -4), ("-7 % 3", -1), ("7.5 % 2", 1.5), ("1 << 3 + 1", 16), ("17 >> 2", 4),
        ("1 + 2 * 3 - 4", 3), ("8 - 3 - 2", 3), ("3 > 2", 1), ("1 == 1.0 && !false", 1), ("5 & 3 == 3", 1),
        ("1 ^ 3 & 2", 3), ("0x1F + 0b101 + 0o17 + 1_000", 1051), ("int[8](200)", -56), ("uint[2](7)", 3),
        ("int(-2.7)", -2), ("uint[8](-1)", 255), ("float(3)/2", 1.5), ("bool(3)", 1), ("-uint[4](3)", 13),
        ("~uint[4](3)", 12), ("uint[4](9) << 1", 2), ("rotl(uint[4](9), 1)", 3), ("popcount(uint[8](11))", 3),
        ("mod(7, 4)", 3), ("floor(2.5) + ceiling(2.5)", 5), ("tau/4", np.pi / 2), ("sizeof(a)", 3), ("a[-1]", 3),
        ("a[1] / 2", 1), ("b[1, 0]", 4), ("b[1][0]", 4), ("k", 3), ("w", 1), ("u", 1),
    ],
)  # fmt: skip
def test_arithmetic(expression, value):
    names = """const array[int[32], 3] a = {1, 2, 3}; array[float[64], 2, 2] b = {{1, 2}, {4, 8}};
    const int[32] k = 7/2; const int[32] w = 1.9; const uint[2] u = 5; qubit q;"""
    assert angles(names + f"rz({expression}) q;") == pytest.approx([value])


@pytest.mark.parametrize(
    ("expression", "sixteenths"),
    [
        ("a", 7), ("angle[4](pi/3)", 3), ("angle[4](-pi/2)", 12), ("angle[4](9*pi)", 8), ("angle[4](tau)", 0),
        ("angle[3](3*pi/8)", 4), ("angle[3](pi/8)", 0), ("angle[6](a)", 7), ("angle[2](a)", 8), ("angle[2](b*2)", 0),
        ("a + b", 8), ("b - a", 10), ("a / two", 3), ("two * c", 4), ("-d", 14), ("~a", 8), ("e << 2", 4),
        ("e >> 2", 2), ("rotl(e, 1)", 3), ("a & c", 2), ("a ^ d", 5), ("a + pi/8", 8), ("2*a - a", 7), ("a * 4", 12),
        ('angle[4](bit[4]("0110"))', 6),
    ],
)  # fmt: skip
def test_angles_are_multiples_of_a_part_of_the_turn(expression, sixteenths):
    """Most are the examples of the specification."""
    names = """angle[4] a = 7*(pi/8); angle[4] b = pi/8; angle[4] c = 5*(pi/4); angle[4] d = pi/4;
    angle[4] e = 9*(pi/8); uint[4] two = 2; qubit q;"""
    found = angles(names + f"rz({expression}) q;")
    np.testing.assert_allclose(found, [sixteenths * np.pi / 8], rtol=1e-15)


def test_numbers_from_angles():
    names = "angle[4] a = 5*(pi/4); angle[4] b = pi/8; angle t = 0.1; qubit q;"
    numbers = (
        "rz(a / b) q; rz(popcount(a)) q; rz(a[0] + 2*a[1]) q; rz(sin(a)) q; rz(a / 2.0) q; rz(bit[4](a)) q; rz(t) q;"
    )
    np.testing.assert_allclose(
        angles(names + numbers), [10, 2, 2, np.sin(1.25 * np.pi), 0.625 * np.pi, 10, 0.1], rtol=1e-15
    )
    assert angles(names + 'bit[4] c = "1010"; if (a > pi && b == pi/8 && a != b && c == a) rz(1) q;') == [1]
    assert angles(names + "for int i in [1:9] { b += a; } rz(b) q;") == pytest.approx([11 * np.pi / 8])


def test_version_2_has_real_numbers():
    circuit = qc.Circuit.from_qasm(HEAD2 + "qreg q[1]; rz(1/2) q[0]; rz(2^3) q[0];")
    assert circuit.parameters.tolist() == [0.5, 8]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("int i = 0; while (i < 3) { rz(i) q[0]; i += 1; }", [0, 1, 2]),
        ("for int i in [1:9] { if (i == 2) continue; if (i > 3) break; rz(i) q[0]; }", [1, 3]),
        ("for uint i in [0:5/2] rz(i) q[0];", [0, 1, 2]),
        ("for int i in [0:-1] for int j in [0:1] { rz(1) q[0]; x q[1]; } rz(2) q[0];", [2]),
        ("for float t in {0.5, 2} rz(t) q[0];", [0.5, 2]),
        ("switch (1+1) { case 0, 1 { rz(1) q[0]; } case 2 { rz(2) q[0]; } default { rz(3) q[0]; } }", [2]),
        ("if (2 < 1) rz(1) q[0]; else if (1 < 2) { rz(2) q[0]; } else rz(3) q[0];", [2]),
        ("def f(qubit[2] r, float t) { rx(t) r[1]; cx r[0], r[1]; } f(q[1:2], 0.5); f(q[{0, 3}], 1);", [0.5, 1]),
        ("def g(int n) -> int { if (n <= 1) return 1; return n * g(n - 1); } rz(g(4)) q[0];", [24]),
        ("array[int[32], 3] a; a[1] = 5; a[2] = a[1] - 1; for int i in a rz(i) q[0];", [0, 5, 4]),
        ('bit[4] c = "0110"; if (c == 6) rz(c) q[0]; if (c[0]) rz(1) q[0]; if (c[1:2] == 3) rz(2) q[0];', [6, 2]),
        ("box[5us] { rz(1) q[0]; } delay[100ns] q[0]; duration d = 2*100ns; delay[d]; nop q; rz(2) q[1];", [1, 2]),
        ("rz(1) q[0];\nend; $$ € what follows is not read", [1]),
    ],
)
def test_statements(body, found):
    assert angles("qubit[4] q; " + body) == pytest.approx(found)


def test_physical_qubits():
    circuit = qc.Circuit.from_qasm(HEAD3 + "h $0; cx $0, $2; barrier $1; let a = $1; x a;")
    assert circuit.n == 3
    np.testing.assert_allclose(abs(qc.state(circuit)[jnp.array([2, 7])]) ** 2, 0.5)


def test_ranges_count_from_the_end():
    psi = qc.state(qc.Circuit.from_qasm(HEAD3 + "qubit[4] q; x q[0:-1]; x q[-2:-1]; x q[:0];"))
    assert abs(psi[0b0100]) == pytest.approx(1)


def test_sums_of_inputs():
    """Angles that are sums, also of controlled gates and of U: the matrix, and its derivative by an input."""
    text = (
        HEAD3
        + """input float a; input float b; qubit[2] q;
    rx(2*a + b - 0.3) q[0]; ctrl @ ry(a - b/2) q[1], q[0]; ctrl @ U(a + b, 1 - a, b + 0.2) q[0], q[1];"""
    )

    def exact(a, b):
        first = dense.embed(dense.exp_pauli(dense.X, 2 * a + b - 0.3), [0], 2)
        second = dense.embed(dense.exp_pauli(dense.Y, a - b / 2), [0], 2, [1], [1])
        u = np.exp(0.5j * (a + b)) * dense.u3(a + b, 1 - a, b + 0.2)
        return dense.embed(u, [1], 2, [0], [1]) @ second @ first

    same_up_to_phase(qc.Circuit.from_qasm(text, {"a": 0.4, "b": 0.7}).matrix(), exact(0.4, 0.7))

    def overlap(a):
        return abs(qc.state(qc.Circuit.from_qasm(text, {"a": a, "b": 0.7}))[3]) ** 2

    h = 0.02
    weights = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    p = [[abs(exact(0.4 + s * k * h, 0.7)[3, 0]) ** 2 for s in (1, -1)] for k, _ in weights]
    slope = sum(c * (plus - minus) for (_, c), (plus, minus) in zip(weights, p)) / h
    np.testing.assert_allclose(jax.grad(overlap)(0.4), slope, atol=1e-10)
    with pytest.raises(InputError, match="no input c in the program; its inputs are: a, b"):
        qc.Circuit.from_qasm(text, {"c": 0.4})


def root(u, r):
    w, v = np.linalg.eig(u)
    phases = np.where(np.angle(w) < 1e-9 - np.pi, np.pi, np.angle(w))  # −1 is exp(iπ), whatever rounding made of it
    return v @ np.diag(np.exp(1j * r * phases)) @ np.linalg.inv(v)


@pytest.mark.slow
def test_powers():
    """Roots are principal ones, of the matrix with its phase, which a control can see."""
    text = (
        HEAD3
        + """gate g(a) x, y { rx(a) x; cx x, y; ry(0.3) y; }
    qubit[3] q; pow(1/2) @ x q[0]; ctrl @ pow(-0.3) @ y q[0], q[1]; ctrl @ pow(0.5) @ U(2.3, 0.4, 0.5) q[1], q[2];
    ctrl @ pow(0.5) @ g(0.7) q[2], q[0], q[1]; pow(0.25) @ cz q[0], q[2];"""
    )
    g = dense.embed(dense.exp_pauli(dense.Y, 0.3), [1], 2) @ dense.embed(dense.X, [1], 2, [0], [1])
    g = g @ dense.embed(dense.exp_pauli(dense.X, 0.7), [0], 2)
    out = dense.embed(dense.CONSTANT["SX"], [0], 3)
    out = dense.embed(root(dense.Y.astype(complex), -0.3), [1], 3, [0], [1]) @ out
    out = dense.embed(root(np.exp(1.15j) * dense.u3(2.3, 0.4, 0.5), 0.5), [2], 3, [1], [1]) @ out
    out = dense.embed(root(g, 0.5), [0, 1], 3, [2], [1]) @ out
    out = dense.embed(np.diag([1, np.exp(0.25j * np.pi)]), [2], 3, [0], [1]) @ out
    same_up_to_phase(qc.Circuit.from_qasm(text).matrix(), out)


def test_own_includes(tmp_path):
    """Files are looked for beside the file that includes them; a cycle, or a file that is not there, is refused."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.qasm").write_text(HEAD2 + 'include "lib/one.inc";\nqreg q[1];\nflip q[0];\n')
    (tmp_path / "lib" / "one.inc").write_text('include "two.inc";\ngate flip a { turn(pi) a; }\n')
    (tmp_path / "lib" / "two.inc").write_text("gate turn(t) a { rx(t) a; }\n")
    assert qc.Circuit.from_qasm(tmp_path / "main.qasm").parameters.tolist() == [np.pi]
    (tmp_path / "lib" / "two.inc").write_text("\nfrob q;\n")
    with pytest.raises(InputError, match=r"lib/one.inc: two.inc: OpenQASM line 2: unknown gate or statement 'frob'"):
        qc.Circuit.from_qasm(tmp_path / "main.qasm")
    (tmp_path / "lib" / "two.inc").write_text('include "one.inc";\n')
    with pytest.raises(InputError, match=r"'one.inc' includes itself"):
        qc.Circuit.from_qasm(tmp_path / "main.qasm")
    (tmp_path / "lib" / "two.inc").unlink()
    with pytest.raises(InputError, match=r"OpenQASM line 1: include: cannot read '.*two.inc'"):
        qc.Circuit.from_qasm(tmp_path / "main.qasm")
    with pytest.raises(InputError, match=r"line 3: cannot include 'lib/one.inc': a text has no folder"):
        qc.Circuit.from_qasm((tmp_path / "main.qasm").read_text())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("int i = 0;\nwhile (i < 3) { x q; }", "line 5: `while`: a pass assigns nothing, so that the loop never ends"),
        pytest.param(
            "int i = 0;\nwhile (i < 3) { i -= 1; }", "line 5: `while`: more than 10000 passes", marks=pytest.mark.slow
        ),
        ("bit[3] c; angle[4] a = c;", "line 4: 3 bits do not fit to an angle of 4"),
        ("extern f(int) -> int;", "line 4: 'extern': functions of other programs are not supported"),
        ("defcal x $0 { # }", "line 4: 'defcal': pulses are not supported"),
        ("complex[float[64]] z = 2.5im;", "line 4: 'complex': complex numbers are not supported"),
        ("def f(qubit[2] r) { x r; }\nf(q);", "line 5: f: r takes 2 qubits"),
        ("def f(qubit r) { x r; }\nf q;", "line 5: 'f' is a subroutine: its qubits stand between its parentheses"),
        ("gate g a { reset a; }", "line 4: a gate's body has only gates, not 'reset'"),
        ("const int n = 3;\nn = 4;", "line 5: 'n' cannot be assigned to"),
        ("break;", "line 4: 'break' stands outside of what it could leave"),
        ("x $0;", "line 4: .0: a program has either physical qubits or declared ones"),
        ("rx(q) q;", "line 4: this is not a value that can become angle"),
        ("input float t;\nrx(t*t) q;", "line 5: only multiples of an input, and sums of them, can be angles"),
        ("input float t;\npow(1/2) @ rx(t) q;", r"line 5: pow\(0.5\) of a gate with an input"),
        ("array[int[32], 2] a = {1, 2, 3};", "line 4: an array of 2 elements is needed"),
        ("qubit[2] r;\nx r[1:0];", "line 5: r: this range of qubits is empty"),
    ],
)
def test_refused(body, message):
    with pytest.raises(InputError, match=message):
        qc.Circuit.from_qasm(HEAD3 + "qubit q;\n" + body)


STDGATES = {
    "p", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "rx", "ry", "rz", "cx", "cy", "cz", "cp", "crx", "cry",
    "crz", "ch", "swap", "ccx", "cswap", "cu", "CX", "phase", "cphase", "id", "u1", "u2", "u3", "U",
}  # fmt: skip


def all_gates():
    """Every kind of gate, adjoined or not, with no to three controls: (circuit, matrix)."""
    rng = np.random.default_rng(0)
    for kind in (*dense.CONSTANT, *dense.ROTATION):
        for k in range(4):
            for adjoint in (False, True):
                theta = rng.normal(size=dense.ROTATION[kind][1]).tolist() if kind in dense.ROTATION else []
                gate = getattr(qc, kind)(*theta) if theta else getattr(qc, kind)
                u = dense.ROTATION[kind][2](*theta) if theta else dense.CONSTANT[kind]
                gate, u = (qc.daggered(gate), u.conj().T) if adjoint else (gate, u)
                m = len(u).bit_length() - 1
                where, values = rng.permutation(m + k).tolist(), rng.integers(0, 2, k).tolist()
                block = qc.put(where[:m], gate)
                block = qc.control(where[m:], block, values=values) if k else block
                yield qc.Circuit(m + k, [block]), dense.embed(u, where[:m], m + k, where[m:], values)


def test_names_of_version_3():
    """Only gates of stdgates.inc are written."""
    for circuit, _ in all_gates():
        for line in circuit.to_qasm(3).splitlines()[3:]:
            name = re.fullmatch(r"(?:(?:ctrl|inv) @ )*(\w+)(?:\(.*\))? q\[.*;", line)[1]
            assert name in STDGATES, line


@pytest.mark.peers
@pytest.mark.parametrize("version", [2, 3])
def test_qiskit_reads_every_gate(version):
    pytest.importorskip("qiskit_qasm3_import" if version == 3 else "qiskit")
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import Operator

    for circuit, exact in all_gates():
        text = circuit.to_qasm(version)
        legacy = qasm2.LEGACY_CUSTOM_INSTRUCTIONS
        read = qasm3.loads(text) if version == 3 else qasm2.loads(text, custom_instructions=legacy)
        same_up_to_phase(dense.turned(Operator(read).data), exact)
