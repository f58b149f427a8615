"""OpenQASM against matrices written down from the languages' definitions."""

import itertools
import re

import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.core import InputError
from tests.circuits import dense

HEAD2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
HEAD3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def same_up_to_phase(a, b):
    overlap = np.vdot(np.asarray(a), b) / len(b)
    np.testing.assert_allclose(abs(overlap), 1, atol=1e-12)
    np.testing.assert_allclose(np.asarray(a) * overlap / abs(overlap), b, atol=1e-12)


def test_version_2():
    text = HEAD2 + """
    // two registers, a definition in a definition, broadcasting
    gate turn(a, b) x, y { rx(a/2) x; cu1(-b^2) x, y; u2(0, pi) y; }
    gate twice(a) x, y { turn(a, 2*a + sin(pi/6)) x, y; barrier x; ch y, x; }
    qreg a[2]; qreg b[1];
    creg c[3];
    h a; twice(0.3) a[1], b[0]; cx a, b[0];
    u3(0.1,0.2,-.3e0) a[0]; sdg b; crz(0.7) a[0],b[0]; cswap a[0],a[1],b[0]; rzz(0.4) a[0],b[0];
    measure b -> c;
    """  # fmt: skip
    h, x = dense.CONSTANT["H"], dense.X
    angle = 2 * 0.3 + 0.5
    parts = [(h, [0]), (h, [1]), (dense.exp_pauli(x, 0.15), [1])]
    out = np.eye(8)
    for u, q in parts:
        out = dense.embed(u, q, 3) @ out
    out = dense.embed(np.diag([1, np.exp(-1j * angle**2)]), [2], 3, [1], [1]) @ out
    out = dense.embed(dense.u3(np.pi / 2, 0, np.pi), [2], 3) @ out
    out = dense.embed(h, [1], 3, [2], [1]) @ out
    out = dense.embed(x, [2], 3, [1], [1]) @ dense.embed(x, [2], 3, [0], [1]) @ out
    out = dense.embed(np.diag([1, -1j]), [2], 3) @ dense.embed(dense.u3(0.1, 0.2, -0.3), [0], 3) @ out
    out = dense.embed(dense.exp_pauli(dense.Z, 0.7), [2], 3, [0], [1]) @ out
    out = dense.embed(dense.CONSTANT["SWAP"], [1, 2], 3, [0], [1]) @ out
    out = dense.embed(dense.exp_pauli(dense.pauli("ZZ"), 0.4), [0, 2], 3) @ out
    same_up_to_phase(qc.Circuit.from_qasm(text).matrix(), out)


def test_version_3():
    text = HEAD3 + """
    input float[64] theta;
    const float half = 1.0/2;
    qubit[3] q; bit[3] c;
    for uint i in [0:2] { ry(half * (i + 1)) q[i]; }
    ctrl @ U(0.3, 0.4, 0.5) q[0], q[2];
    negctrl @ ctrl @ x q[0], q[1], q[2];
    inv @ s q[1]; pow(-3) @ t q[1];
    ctrl @ gphase(0.7) q[1];
    rx(theta / 2) q[0]; rz(-theta) q[1];
    cu(0.1, 0.2, 0.3, 0.4) q[2], q[0];
    /* measured at the end */ c = measure q;
    """  # fmt: skip
    circuit = qc.Circuit.from_qasm(text)
    assert circuit.with_parameters(circuit.parameters).n == 3
    out = np.eye(8)
    for q in range(3):
        out = dense.embed(dense.exp_pauli(dense.Y, 0.5 * (q + 1)), [q], 3) @ out
    out = dense.embed(np.exp(0.15j) * dense.u3(0.3, 0.4, 0.5), [2], 3, [0], [1]) @ out  # U of OpenQASM 3 has a phase
    out = dense.embed(dense.X, [2], 3, [0, 1], [0, 1]) @ out
    out = dense.embed(np.diag([1, -1j * np.exp(-0.75j * np.pi)]), [1], 3) @ out
    out = dense.embed(np.diag([1, np.exp(0.7j)]), [1], 3) @ out
    out = dense.embed(np.exp(0.4j) * dense.u3(0.1, 0.2, 0.3), [0], 3, [2], [1]) @ out
    same_up_to_phase(circuit.matrix(), out)


@pytest.mark.slow
def test_round_trip():
    """All gates, through both versions."""
    rng = np.random.default_rng(3)
    blocks = [qc.put(0, getattr(qc, g)) for g in ("X", "Y", "Z", "H", "S", "T", "SX")]
    blocks += [qc.put(1, qc.daggered(getattr(qc, g))) for g in ("S", "T", "SX")]
    blocks += [qc.put((1, 2), getattr(qc, g)) for g in ("SWAP", "iSWAP", "CNOT", "CZ")]
    for name, (k, angles, _) in dense.ROTATION.items():
        blocks.append(qc.put(rng.permutation(3)[:k].tolist(), getattr(qc, name)(*rng.normal(size=angles))))
    blocks += [
        qc.Toffoli,
        qc.control(1, qc.put(0, qc.Ry(0.4)), values=0),
        qc.control(2, qc.put(0, qc.U3(0.1, 0.2, 0.3))),
        qc.rotor("X0 Y1 Z2", 0.7),
        qc.TimeEvolution(operators.PauliSum(3, {"Z0 Z1": 0.3, "Z2": -0.4}), 0.9),
        qc.put(2, qc.matrix_gate(dense.u3(0.4, 0.5, 0.6) * np.exp(0.3j))),
        qc.control(0, qc.put(2, qc.matrix_gate(dense.u3(2.8, 0.5, 0.6) * np.exp(0.3j)))),
        qc.put((2, 0), qc.daggered(qc.iSWAP)),
    ]
    circuit = qc.Circuit(3, blocks)
    exact = np.asarray(circuit.matrix())
    for version in (2, 3):
        same_up_to_phase(qc.Circuit.from_qasm(circuit.to_qasm(version)).matrix(), exact)
    many = qc.Circuit(3, [qc.control((0, 1), qc.put(2, qc.S))])
    same_up_to_phase(qc.Circuit.from_qasm(many.to_qasm(3)).matrix(), np.asarray(many.matrix()))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("qreg q[2];\nfrob q[0];", "line 4: unknown gate or statement 'frob'"),
        ("qreg q[2];\nrx q[0];", "line 4: rx takes 1 angle, not 0"),
        ("qreg q[2];\nx q[2];", r"line 4: q\[2\]"),
        ("qreg q[2];\ncx q[0],q[0];", "occurs twice"),
        ("qreg q[1]; creg c[1];\nmeasure q->c;\nif (c==1) x p[0];", "line 5: unknown qubits 'p'"),
        ("qreg q[1];\nrx(1/0) q[0];", "division by zero"),
        ("qreg q[1];\nrx(a) q[0];", "unknown name 'a'"),
        ('include "mine.inc";', "cannot include"),
        ("qreg q[1];\nx q[0]", "expected ';'"),
        ("qreg q[1];\nx $;", "line 4: cannot read"),
        ("", "no qubits"),
        ("qreg q[1];\nrx(ln(-1)) q[0];", r"line 4: ln\(-1\): there is no real value"),
        ("qreg q[1];\nrx(exp(1000)) q[0];", r"line 4: exp\(1000\): the value is too large"),
        ("qreg q[1];\nrx((-1)^0.5) q[0];", r"line 4: '\^': there is no real value"),
        ("qreg q[1];\nrx(1e999) q[0];", "line 4: the number is too large"),
        ("qreg q[2];\nx q[-1];", "line 4"),
        ("qreg q[1];\nmeasure q -> d;", "unknown bits 'd'"),
        ("qreg q[1];\nbarrier z;", "unknown qubits 'z'"),
        ("qreg q[1];\ngate foo a { foo a; }", "line 4: the gate 'foo' cannot call itself"),
        ("qreg q[1];\ngate f a { g a; } gate g a { f a; }", "line 4: unknown gate or statement 'g'"),
        ("qreg q[1];\ngate f a { x b; }", "line 4: unknown qubit 'b'"),
        ("qreg q[1];\nrx(" + 3000 * "(" + "1" + 3000 * ")" + ") q[0];", "line 4: this is nested too deeply"),
        ("qreg q[10^400];", "line 3: '.': the value is too large"),
        ("qreg q[" + 400 * "9" + "];", "line 3: the number is too large"),
        ("qreg q[9999999999];", "line 3: 'q': more than 100000 qubits are not supported"),
        ("qreg q[2.5];", "line 3: a size or number must be an integer, not 2.5"),
        ("qreg q[2];\nx q[0.5];", "line 4: an index of q must be an integer, not 0.5"),
        ("qreg q[1];\nrx(10^10^10) q[0];", "line 4: '.': the value is too large"),
        ("qreg q[1];\nrx(1e200*1e200) q[0];", "line 4: '.': the value is too large"),
        ("qreg q[1];\nrx(²) q[0];", "line 4: expected a number or a name, found '²'"),
        ("OPENQASM two;", "line 3: version 2 or 3 is needed, not 'two'"),
        ("qreg q[1];\nopaque f(x) a;\nf(0.1) q[0];", "line 5: the gate 'f' is opaque"),
        ("qubit q;\nextern f(int) -> int;", "line 4: .extern.: functions of other programs are not supported"),
    ],
)
def test_bad_programs(body, message):
    with pytest.raises(InputError, match=message):
        qc.Circuit.from_qasm(HEAD2 + body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("input float t; qubit q;\nrx(sin(t)) q;", "line 4: only multiples of an input"),
        ("input float t; qubit q;\npow(t) @ x q;", "line 4: the argument of pow must be an integer, not an input"),
        ("input float t; qubit[2] q;\nx q[t];", "line 4: an index of q must be an integer, not an input"),
        ("qubit q;\nfor int i in [0:0:3] { x q; }", "line 4: the step of a range must not be zero"),
        ("qubit[2] q;\nlet a = q[0] ++ q;", "line 4: a: a qubit occurs twice"),
        ("qubit[2] q;\nlet q = q[0];", "line 4: 'q' is declared twice"),
        ("qubit[2] q;\nlet a = r ++ q;", "line 4: unknown qubits 'r'"),
        ("qubit[2] q;\nlet a = q[0];\nx a[1];", "line 5: a.1.: the register has the qubits 0 to 0"),
        ("qubit[2] q;\nfor int i in [0:1] { let a = q[i]; x a; }\nx a;", "line 5: unknown qubits 'a'"),
        ("qubit[2] q;\nx @y q;", "line 4: expected"),
        ("qubit q;\nfor int i in [0:1:2:3] { x q; }", "line 4: a range has a start, a step and a stop"),
        ("qubit[2] q;\nx q[0:0:1];", "line 4: the step of a range must not be zero"),
        ("qubit[2] q;\nx q[0:0.5];", "line 4: a bound of a range must be an integer, not 0.5"),
        ("qubit[2] q;\nx q[0:10^18];", "line 4: q.2.: the register has the qubits 0 to 1"),
        ("qubit[2] q;\nctrl(2) @ x q[0], q[1];", r"line 4: ctrl\(2\) @ x takes 3 qubits, not 2"),
        ("qubit[2] q;\nctrl(0) @ x q[0];", "line 4: ctrl.0.: at least one control is needed"),
        ("qubit q;\npow(10**9) @ x q;", "line 4: pow.1000000000.: more than 10000000 gates"),
        ("input float t; qubit q;\nrx(t*1e200*1e200) q;", "line 4: '.': the value is too large"),
        ("input float t; qubit q;\nrx(t/0) q;", "line 4: '/': division by zero"),
        ("qubit[2] q;\nx q[0:5];", "line 4: q.2.: the register has the qubits 0 to 1"),
    ],
)
def test_bad_programs_of_version_3(body, message):
    with pytest.raises(InputError, match=message):
        qc.Circuit.from_qasm(HEAD3 + body)


@pytest.mark.parametrize(
    ("body", "same"),
    [
        ("qubit[4] q;\nx q[1:3];", [1, 2, 3]),
        ("qubit[4] q;\nx q[0:2:3];", [0, 2]),
        ("qubit[4] q;\nx q[{0, 3}];", [0, 3]),
        ("qubit[4] q;\nx q[-1];", [3]),
        ("qubit[4] q;\nfor int i in {0, 2} { x q[i]; }", [0, 2]),
        ("qubit[4] q;\nfor int i in [1:2] x q[i];\nx q[3];", [1, 2, 3]),
        ("qubit[4] q;\nfor int i in [1:0] x q[i];\nx q[3];", [3]),
        ("#pragma any thing\nqubit[4] q;\nx q[2];", [2]),
        ("qubit[4] q;\nlet a = q[1:3];\nx a[1];\nx a[-1];", [2, 3]),
        ("qubit[3] q; qubit r;\nlet a = q[{0, 2}] ++ r; let b = a[0:1] ++ q[1];\nx b;\nx a[2];", [0, 1, 2, 3]),
        ("qubit[4] q;\nfor int i in {0, 2} { let a = q[i] ++ q[i+1]; x a[1]; }", [1, 3]),
        ("qubit[4] q;\nx q[1];\nend;\nx q[2]; frob;", [1]),
        ("qubit[4] q;\nfor int i in [0:3] { x q[i]; for int j in [1:2] { end; } }", [0]),
        ("@first\nqubit[4] q;\n  @any.thing 5 § {\n@more\nx q[1];\nctrl\n@x q[1], q[2];", [1, 2]),
        ("gate f a {\n@inside\nx a; }\n@between f\nqubit[4] q;\nf q[3];", [3]),
        ("const float w = pi; gate flip a { rx(w) a; }\nqubit[4] q;\nflip q[1];", [1]),
    ],
)
def test_which_qubits(body, same):
    psi = qc.state(qc.Circuit.from_qasm("\ufeff" + HEAD3 + body))
    assert abs(psi[sum(8 >> q for q in same)]) == pytest.approx(1, abs=1e-15)


def test_gates_mean_what_they_did_where_they_are_called():
    """A gate's name is looked up where its caller is defined, and so are the constants of its body."""
    body = "gate bar a { h a; } gate h a { bar a; rx(half) a; } const float half = 0;\nqubit q;\nbar q;\nh q;\n"
    circuit = qc.Circuit.from_qasm(HEAD3 + "const float half = pi/2;" + body)
    assert qc.gate_count(circuit) == {"H": 2, "Rx": 1}
    np.testing.assert_allclose(circuit.parameters, [np.pi / 2])


def test_controlled_roots_of_x():
    """As Qiskit writes them: with a definition that calls others, or as the gates of the library."""
    qubits = "qreg q[3];\ncsx q[0],q[1]; csxdg q[2],q[1];"
    definition = "gate phase_of(a) q0,q1 { cp(3*pi/2) q0,q1; } gate csxdg q0,q1 { h q1; phase_of(3*pi/2) q0,q1; h q1; }"
    u = dense.CONSTANT["SX"]
    exact = dense.embed(u.conj().T, [1], 3, [2], [1]) @ dense.embed(u, [1], 3, [0], [1])
    for text in (HEAD2 + qubits, HEAD2 + definition + qubits):
        same_up_to_phase(qc.Circuit.from_qasm(text).matrix(), exact)


def test_waiting():
    circuit = qc.Circuit.from_qasm(HEAD2 + "qreg q[1];\nopaque never(x) a,b;\nu0(3) q[0];\nx q[0];")
    assert qc.gate_count(circuit) == {"X": 1}


def run_version_2(text, psi):
    """What the program does to a state: gate by gate, by matrices."""
    kinds = {name.lower(): name for name in (*dense.CONSTANT, *dense.ROTATION)} | {"u1": "P"}
    for line in text.splitlines()[3:]:
        name, angles, places = re.fullmatch(r"(\w+)(?:\((.*)\))? (.*);", line).groups()
        kind, qubits = name.lstrip("c"), [int(q[2:-1]) for q in places.split(",")]
        k = len(name) - len(kind)
        kind = kinds[kind.removesuffix("dg")]
        u = dense.ROTATION[kind][2](*map(float, angles.split(","))) if angles else dense.CONSTANT[kind]
        psi = dense.applied(psi, u.conj().T if name.endswith("dg") else u, qubits[k:], qubits[:k], (1,) * k)
    return psi


@pytest.mark.parametrize("kind", [*dense.CONSTANT, *dense.ROTATION])
def test_many_controls(kind):
    """Version 2 has two controls at most: the others are written with Toffoli gates, which may borrow idle qubits."""
    rng = np.random.default_rng(0)
    m, angles, matrix = dense.ROTATION.get(kind, (len(dense.CONSTANT.get(kind, "")).bit_length() - 1, 0, None))
    for k, spare in [*itertools.product(range(6), (0, 1)), (6, 0), (6, 2)]:
        theta, n = rng.normal(size=angles), m + k + spare
        gate, u = (getattr(qc, kind)(*theta), matrix(*theta)) if matrix else (getattr(qc, kind), dense.CONSTANT[kind])
        where, values = rng.permutation(n).tolist(), rng.integers(0, 2, k).tolist()
        psi = rng.normal(size=1 << n) / 2 ** (n / 2)
        for block, v in ((gate, u), (qc.daggered(gate), u.conj().T)):
            block = qc.put(where[:m], block)
            block = qc.control(where[m : m + k], block, values=values) if k else block
            exact = dense.embed(v, where[:m], n, where[m : m + k], values) @ psi
            found = run_version_2(qc.Circuit(n, [block]).to_qasm(2), psi)
            phase = np.vdot(exact, found) / abs(np.vdot(exact, found))
            np.testing.assert_allclose(found, phase * exact, atol=1e-12, err_msg=f"{k} controls of {n} qubits")


@pytest.mark.parametrize(
    ("block", "spare", "lines"),
    [
        (qc.X, 0, 400),
        (qc.X, 1, 60),
        (qc.H, 1, 70),
        (qc.Rx(0.3), 0, 110),
        (qc.Rzz(0.3), 0, 110),
        (qc.iSWAP, 0, 130),
        (qc.U3(0.1, 0.2, 0.3), 0, 400),
    ],
)
def test_ten_controls_take_few_lines(block, spare, lines):
    n = block.n + 10 + spare
    ten = qc.control(range(10), qc.put(range(10, 10 + block.n), block))
    assert len(qc.Circuit(n, [ten]).to_qasm(2).splitlines()) < lines


def test_what_cannot_be_written():
    with pytest.raises(InputError, match="matrix on several qubits"):
        qc.Circuit(2, [qc.matrix_gate(np.eye(4))]).to_qasm()
    with pytest.raises(InputError, match="do not commute"):
        qc.Circuit(2, [qc.TimeEvolution(operators.transverse_ising(2), 0.1)]).to_qasm()
    with pytest.raises(InputError, match="no channels"):
        qc.Circuit(1, [qc.bit_flip(0.1)]).to_qasm()
