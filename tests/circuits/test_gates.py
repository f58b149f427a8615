"""Every gate against its textbook matrix: as it is, adjoined, and with controls on 0 and on 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback.core import InputError
from tests.circuits import dense

ANGLES = (0.3, -1.1, 2.0)
GATES = {name: (getattr(qc, name), u) for name, u in dense.CONSTANT.items()} | {
    name: (getattr(qc, name)(*ANGLES[:k]), make(*ANGLES[:k])) for name, (_, k, make) in dense.ROTATION.items()
}
GATES |= {
    "I": (qc.I, dense.I),
    "CNOT": (qc.CNOT, dense.embed(dense.X, [1], 2, [0], [1])),
    "CZ": (qc.CZ, np.diag([1, 1, 1, -1])),
    "Toffoli": (qc.Toffoli, dense.embed(dense.X, [2], 3, [0, 1], [1, 1])),
}
N = 5


def uses(name, rng):
    """(block, matrix on N qubits) of a gate on random qubits: plain, adjoined, and controlled on 0 and on 1."""
    gate, u = GATES[name]
    k = len(u).bit_length() - 1
    for adjoined, values in ((False, ()), (True, ()), (False, (1,)), (True, (0,)), (False, (0, 1))):
        where = rng.permutation(N).tolist()
        qubits, controls = where[:k], where[k : k + len(values)]
        block = qc.put(qubits, qc.daggered(gate) if adjoined else gate)
        block = qc.control(controls, block, values=values) if values else block
        yield block, dense.embed(u.conj().T if adjoined else u, qubits, N, controls, values)


def assert_product(pairs):
    """The circuit of the blocks does to random states what the matrices do."""
    blocks, matrices = zip(*pairs)
    rng = np.random.default_rng(1)
    psi = rng.normal(size=(2, 1 << N)) + 1j * rng.normal(size=(2, 1 << N))
    exact = psi
    for u in matrices:
        exact = exact @ u.T
    np.testing.assert_allclose(jax.jit(qc.state)(qc.Circuit(N, blocks), psi), exact, atol=1e-12)


def test_all_gates_as_data():
    """More unlike gates than are compiled one by one: the kernel whose masks and matrices are data."""
    rng = np.random.default_rng(0)
    assert_product([use for name in GATES for use in uses(name, rng)])


@pytest.mark.parametrize(
    "name", [n if n in ("SX", "U3", "iSWAP", "fSim") else pytest.param(n, marks=pytest.mark.slow) for n in GATES]
)
def test_one_gate_compiled(name):
    assert_product(list(uses(name, np.random.default_rng(2))))


def test_adjoints_undo():
    """U†U = 1 for a circuit of all gates, also through the inverse of the engine."""
    rng = np.random.default_rng(3)
    circuit = qc.chain(block for name in GATES for block, _ in uses(name, rng))
    both = qc.Circuit(N, [circuit, qc.daggered(circuit)])
    psi = rng.normal(size=1 << N) / np.sqrt(1 << N)
    np.testing.assert_allclose(jax.jit(qc.state)(both, psi), psi, atol=1e-12)


def test_derivatives_are_those_of_the_matrices():
    """By every angle of gates that are plain, adjoined and controlled: differences of products of dense matrices."""
    rng = np.random.default_rng(4)
    places = []
    for name, (k, angles, _) in dense.ROTATION.items():
        for adjoined, values in ((False, ()), (True, (0,))):
            where = rng.permutation(4).tolist()
            places.append((name, where[:k], where[k : k + len(values)], values, adjoined, angles))
    theta = rng.normal(size=sum(p[-1] for p in places))
    psi, h = jnp.asarray(rng.normal(size=16) / 4), rng.normal(size=(16, 16))

    def matrices(theta):
        at = 0
        for name, qubits, controls, values, adjoined, angles in places:
            u = dense.ROTATION[name][2](*theta[at : at + angles])
            at += angles
            yield dense.embed(u.conj().T if adjoined else u, qubits, 4, controls, values)

    def by_matrices(theta):
        out = np.asarray(psi)
        for u in matrices(theta):
            out = u @ out
        return (out.conj() @ (h + h.T) @ out).real

    blocks, at = [], 0
    for name, qubits, controls, values, adjoined, angles in places:
        gate = qc.put(qubits, getattr(qc, name)(*theta[at : at + angles]))
        at += angles
        gate = qc.daggered(gate) if adjoined else gate
        blocks.append(qc.control(controls, gate, values=values) if controls else gate)
    circuit = qc.Circuit(4, blocks)

    @jax.jit
    @jax.value_and_grad
    def energy(theta):
        out = qc.state(circuit.with_parameters(theta), psi)
        return (jnp.conj(out) @ ((h + h.T) @ out)).real

    value, gradient = energy(circuit.parameters)
    np.testing.assert_array_equal(circuit.parameters, theta)  # a daggered gate keeps the order of its angles
    np.testing.assert_allclose(value, by_matrices(theta), atol=1e-12)
    e = 1e-3  # with two extrapolations: truncation e^6, rounding eps / e

    def difference(d):
        def central(s):
            return (by_matrices(theta + s * d) - by_matrices(theta - s * d)) / (2 * s)

        coarse, middle, fine = (central(e * s) for s in (4, 2, 1))
        return (16 * (4 * fine - middle) / 3 - (4 * middle - coarse) / 3) / 15

    np.testing.assert_allclose(gradient, [difference(d) for d in np.eye(len(theta))], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qc.Rx(), "Rx: takes 1 angles, not 0"),
        (lambda: qc.U3(0.1, 0.2), "U3: takes 3 angles, not 2"),
        (lambda: qc.Circuit(1, [qc.Rx(1j)]), "the angles must be real"),
        (lambda: qc.Circuit(1, [qc.Rx("0.3")]), "an angle is not a number"),
        (lambda: qc.Circuit(1, [qc.Rx(None)]), "an angle is not a number"),
        (lambda: qc.Circuit(1, [qc.Rx(np.zeros(2))]), r"an angle has shape \(2,\)"),
        (lambda: qc.matrix_gate(np.ones((2, 2))), "differs from 1 by 2.0e.*unitary=False"),
        (lambda: qc.matrix_gate(np.full((2, 2), np.nan)), "differs from 1 by nan"),
        (lambda: qc.matrix_gate(np.eye(3)), r"shape \(3, 3\); a square matrix with 2, 4"),
        (lambda: qc.matrix_gate(np.eye(1)), "2, 4, 8"),
        (lambda: qc.matrix_gate(np.ones((2, 4))), "square matrix"),
        (lambda: qc.rotor("X0 Q1", 0.1), "cannot read 'Q1'"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()
