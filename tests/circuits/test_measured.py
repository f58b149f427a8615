"""Measurements, resets and conditions, against branches of dense matrices and against Qiskit."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.core import InputError
from tests.circuits import dense
from tests.circuits.test_qasm import HEAD2, HEAD3

PROGRAMS = json.loads((Path(__file__).parent / "data" / "measured.json").read_text())
SOME = ("teleport_reuse", "if_reset", "overwrite")  # the others are slow: a compilation each


@pytest.mark.parametrize("name", [p if p in SOME else pytest.param(p, marks=pytest.mark.slow) for p in PROGRAMS])
def test_probabilities_of_qiskit(name):
    """Teleportation, iterative phase estimation, codes, repeat until success, …: see data/make_measured.py."""
    program = qc.MeasuredCircuit.from_qasm(PROGRAMS[name]["text"])
    exact = np.zeros(1 << sum(program.registers.values()))
    for value, p in PROGRAMS[name]["probabilities"].items():
        exact[int(value)] = p
    np.testing.assert_allclose(program.probabilities(), exact, atol=1e-13)


TEXT = (
    HEAD3
    + """
input float a; input float b;
qubit[3] q; bit[2] c;
rx(2*a + b) q[0]; cx q[0], q[1]; ry(b - a/3 + 0.2) q[1]; U(a, a + b, 0.3) q[2]; cx q[1], q[2];
c[0] = measure q[0]; c[1] = measure q[1];
if (c == 1) { rx(a) q[0]; ry(b) q[2]; }
if (c[1]) { ctrl @ p(a - b) q[2], q[0]; h q[2]; } else { rz(a * int(c)) q[0]; h q[0]; }
reset q[1]; ry(0.5*a) q[1]; cx q[2], q[1];
"""
)
OBSERVABLE = operators.PauliSum(3, {"Z0 Z1": 0.3, "X2": 0.7, "Y0": 0.2, "Z2": -0.4})
POINT = jnp.array([0.4, 0.9])


def of_branches(a, b):
    """The mean of the observable after TEXT: every branch by itself, with dense matrices."""
    rx, ry = (lambda t, p=p: dense.exp_pauli(p, t) for p in (dense.X, dense.Y))

    def on(u, qubits, controls=()):
        return dense.embed(u, qubits, 3, controls, (1,) * len(controls))

    psi = np.eye(8)[0]
    for u in (
        on(rx(2 * a + b), [0]), on(dense.X, [1], [0]), on(ry(b - a / 3 + 0.2), [1]), on(dense.u3(a, a + b, 0.3), [2]),
        on(dense.X, [2], [1]),
    ):  # fmt: skip
        psi = u @ psi
    h, total = dense.CONSTANT["H"], 0.0
    matrix = 0.3 * dense.pauli("ZZI") + 0.7 * dense.pauli("IIX") + 0.2 * dense.pauli("YII") - 0.4 * dense.pauli("IIZ")
    q0, q1, _ = np.indices((2, 2, 2)).reshape(3, 8)  # of each basis state
    for c in range(4):
        branch = np.where(q0 + 2 * q1 == c, psi, 0)
        if c == 1:
            branch = on(ry(b), [2]) @ on(rx(a), [0]) @ branch
        if c & 2:
            branch = on(h, [2]) @ on(np.diag([1, np.exp(1j * (a - b))]), [0], [2]) @ branch
        else:
            branch = on(h, [0]) @ on(dense.exp_pauli(dense.Z, a * c), [0]) @ branch
        for value in range(2):  # the reset
            kept = np.where(q1 == value, branch, 0)
            kept = on(dense.X, [1], [2]) @ on(ry(0.5 * a), [1]) @ on(dense.X if value else dense.I, [1]) @ kept
            total += np.vdot(kept, matrix @ kept).real
    return total


def mean(x):
    return qc.MeasuredCircuit.from_qasm(TEXT, {"a": x[0], "b": x[1]}).expect(OBSERVABLE)


def slope(f, h=0.02):
    """f′(0), of sixth order."""
    return sum(c * (f(k * h) - f(-k * h)) for k, c in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))) / h


def test_derivatives_by_inputs():
    """Sums of inputs as angles, under conditions on outcomes: value and gradient."""
    value, gradient = jax.jit(jax.value_and_grad(mean))(POINT)
    a, b = POINT.tolist()
    np.testing.assert_allclose(value, of_branches(a, b), atol=1e-13)
    exact = [slope(lambda t: of_branches(a + t, b)), slope(lambda t: of_branches(a, b + t))]
    np.testing.assert_allclose(gradient, exact, atol=1e-9)


@pytest.mark.slow
def test_drawn_outcomes():
    """Means over drawn outcomes agree within their errors with the exact ones, and so do their derivatives."""

    def sampled(x, key):
        found = qc.MeasuredCircuit.from_qasm(TEXT, {"a": x[0], "b": x[1]}).expect_sampled(OBSERVABLE, key, 4000)
        return found.value, found.error

    a, b = POINT.tolist()
    (value, error), gradient = jax.value_and_grad(sampled, has_aux=True)(POINT, jax.random.key(0))
    assert abs(value - of_branches(a, b)) < 4 * error < 0.1
    exact = [slope(lambda t: of_branches(a + t, b)), slope(lambda t: of_branches(a, b + t))]
    np.testing.assert_allclose(gradient, exact, atol=0.05)


def test_many_outcomes_are_drawn():
    """Forty measurements of one qubit: too many branches to list. Bit i is 1 with probability (1 − 0.8^i)/2."""
    text = HEAD3 + "qubit q; bit[40] c; for int i in [0:39] { c[i] = measure q; ry(arccos(0.8)) q; }"
    program = qc.MeasuredCircuit.from_qasm(text)
    bits = np.asarray(program.sample(jax.random.key(1), 2000)["c"])
    assert bits.shape == (2000, 40)
    np.testing.assert_allclose(bits.mean(0), (1 - 0.8 ** np.arange(40)) / 2, atol=4 * 0.5 / 2000**0.5)
    with pytest.raises(InputError, match="40 outcomes of qubits that are used again; at most 20 are enumerated"):
        qc.Circuit.from_qasm(text)


def test_counts():
    """Registers are written as Qiskit does; few branches are drawn from the exact distribution."""
    text = HEAD2 + "qreg q[3];creg a[2];creg b[1];x q[0];h q[2];measure q[0]->a[0];measure q[2]->b[0];if(b==1)x q[1];"
    program = qc.MeasuredCircuit.from_qasm(text)
    assert program.registers == {"a": 2, "b": 1}
    counts = program.counts(jax.random.key(0), 1000)
    assert set(counts) == {"0 01", "1 01"}
    assert abs(counts["0 01"] - 500) < 70
    np.testing.assert_allclose(program.probabilities("a"), [0, 1, 0, 0], atol=1e-15)
    with pytest.raises(InputError, match=r"no classical register 'd'; there are \['a', 'b'\]"):
        program.probabilities("d")


def test_deferred_where_nothing_is_used_again():
    """Measured qubits become controls: the circuit keeps its qubits, and is unitary."""
    circuit = qc.Circuit.from_qasm(PROGRAMS["teleport2"]["text"])
    assert circuit.n == 3 and circuit.is_unitary
    assert qc.gate_count(circuit) == {"U3": 1, "H": 3, "CNOT": 3, "CZ": 1}
    assert qc.Circuit.from_qasm(HEAD2 + "qreg q[2];creg c[2];reset q;h q[0];measure q->c;").n == 2


def test_measured_at_the_end_has_no_phases():
    program = qc.MeasuredCircuit.from_qasm(HEAD2 + "qreg q[2];creg c[1];h q;measure q[0]->c[0];")
    observable = operators.PauliSum(2, {"X0": 1.0, "X1": 0.25})
    np.testing.assert_allclose(program.expect(observable), 0.25, atol=1e-15)
    np.testing.assert_allclose(qc.expect(observable, program.circuit), 1.25, atol=1e-15)


CONDITIONS = [
    ("c[0] && !c[1]", lambda c: c & 1 and not c & 2),
    ("c[0] ^ c[1]", lambda c: (c & 1) ^ (c >> 1 & 1)),
    ("c > 1 || c == 0", lambda c: c > 1 or c == 0),
    ("(c & 2) == 2", lambda c: c & 2),
    ("int[4](c) % 2 + 1 != 2", lambda c: c % 2 != 1),
    ("c == \"10\"", lambda c: c == 2),
    ("c << 1 == 2", lambda c: c << 1 & 3 == 2),
    ("~c == 1", lambda c: ~c & 3 == 1),
    ("popcount(c) == 1", lambda c: c.bit_count() == 1),
    ("c[0] == c[1]", lambda c: c in (0, 3)),
]  # fmt: skip


def test_conditions():
    """Each condition on two bits of known probabilities, as the probability of a flip, and by `switch`."""
    p = np.outer([np.cos(0.4) ** 2, np.sin(0.4) ** 2], [np.cos(0.15) ** 2, np.sin(0.15) ** 2]).ravel()
    k = len(CONDITIONS)
    tests = "".join(f"if ({text}) {{ x q[{i + 2}]; }}\n" for i, (text, _) in enumerate(CONDITIONS))
    text = HEAD3 + f"qubit[{k + 3}] q; bit[2] c; ry(0.3) q[0]; ry(0.8) q[1]; c = measure q[0:1];\n{tests}"
    text += f"switch (c) {{ case 0 {{ }} case 1, 2 {{ x q[{k + 2}]; }} default {{ ry(0.6) q[{k + 2}]; }} }}"
    program = qc.MeasuredCircuit.from_qasm(text)
    psi = np.abs(np.asarray(qc.state(program.circuit)).reshape((2,) * (k + 3))) ** 2
    for i, (condition, holds) in enumerate(CONDITIONS):
        exact = sum(p[c] for c in range(4) if holds(c))
        found = psi.take(1, i + 2).sum()
        np.testing.assert_allclose(found, exact, atol=1e-13, err_msg=condition)
    np.testing.assert_allclose(psi.take(1, k + 2).sum(), p[1] + p[2] + p[3] * np.sin(0.3) ** 2, atol=1e-13)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("while (c[0]) { x q[0]; }", "line 4: `while` over outcomes of measurements is not supported"),
        ("x q[c];", "line 4: an index of q must be an integer that is known, not one that depends on a measurement"),
        ("for int i in [0:1] { if (c[0]) break; }", "line 4: 'break' where an outcome decides is not supported"),
        ("if (c[0]) end;", "line 4: 'end' where an outcome decides is not supported"),
        ("bit[3] d = measure q;", "line 4: 2 bits do not fit to 3"),
        ("c[2] = measure q[0];", r"line 4: c\[2\]: the register has the bits 0 to 1"),
    ],
)
def test_refused(body, message):
    with pytest.raises(InputError, match=message):
        qc.Circuit.from_qasm(HEAD3 + "qubit[2] q; bit[2] c; c = measure q;\n" + body)
