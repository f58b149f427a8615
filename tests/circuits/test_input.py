"""What circuits accept and refuse, and that they can be copied and stored."""

import copy
import gc
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.core import InputError

SUM = operators.PauliSum(2, {"Z0": 1.0, "X0 X1": 0.5})
BELL = [qc.put(0, qc.H), qc.put((0, 1), qc.CNOT)]
PSI, KEY = qc.zero_state(2), jax.random.key(0)
PAIR = qc.Circuit(2, BELL)


def random_states(*shape):
    re, im = np.random.default_rng(3).normal(size=(2, *shape))
    psi = re + 1j * im
    return jnp.asarray(psi / np.linalg.norm(psi, axis=-1, keepdims=True))


@pytest.mark.usefixtures("no_type_checks")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: qc.put(0, qc.Rx), "put: .* Give it its angle"),
        (lambda: qc.put(0, 3.0), "put: 3.0 is not a block"),
        (lambda: qc.put(0, [qc.H, qc.Rx]), "put: .* Give it its angle"),
        (lambda: qc.put(0.5, qc.H), "needs integers"),
        (lambda: qc.put("a", qc.H), "needs integers"),
        (lambda: qc.control(1, qc.Rx), "control: .* Give it its angle"),
        (lambda: qc.repeat(3, qc.Rx), "repeat: .* Give it its angle"),
        (lambda: qc.daggered(qc.Rx), "daggered: .* Give it its angle"),
        (lambda: qc.layers(qc.Rx, np.zeros((2, 1))), "layers: .* Give it its angle"),
        (lambda: qc.layers(qc.Rx(0.0), [["a"]]), "layers: .* not an array of numbers"),
        (lambda: qc.layers(qc.Rx(0.0), [[1.0], [1.0, 2.0]]), "layers: .* not an array of numbers"),
        (lambda: qc.Circuit(1, qc.layers(qc.Rx(0.0), np.zeros((0, 2)))), "2 columns, but the block has 1"),
        (lambda: qc.matrix_gate([["a", "b"], ["c", "d"]]), "matrix_gate: .* not an array of numbers"),
        (lambda: qc.matrix_gate([[1, 1], [0, 1]]), "differs from 1"),
        (lambda: qc.TimeEvolution(np.eye(2), 0.3), "needs a PauliSum, not ndarray"),
        (lambda: qc.Circuit(2.5, []), "Circuit: n = 2.5; the number of qubits must be an integer"),
        (lambda: qc.Circuit(2.0, []), "must be an integer"),
        (lambda: qc.Circuit("a", []), "must be an integer"),
        (lambda: qc.Circuit(0, []), "at least one qubit"),
        (lambda: qc.Circuit(1, [qc.Rx(2**70)]), "an angle is not a number"),
        (lambda: qc.zero_state(0), "zero_state: .* at least one qubit"),
        (lambda: qc.state(qc.Circuit(127, [qc.put(126, qc.H)])), "more than 40 qubits"),
        (lambda: qc.expect(1j * SUM, PAIR), "expect: the coefficients are complex; hermitian"),
        (lambda: qc.TimeEvolution(1j * SUM, 0.3), "TimeEvolution: the coefficients are complex"),
        (lambda: qc.TimeEvolution(operators.FermionSum(2, {"0^ 0": 1.0}), 0.3), r"not FermionSum. to_paulis\(\)"),
        (lambda: qc.expect(PAIR, SUM), r"expect\(observable, circuit, …\).*not Circuit and PauliSum"),
        (lambda: qc.expect(3.0, PAIR), r"expect\(observable, circuit, …\)"),
        (
            lambda: qc.expect_sampled(PAIR, SUM, KEY, 2),
            r"expect_sampled\(observable, circuit, …\) with one PauliSum and",
        ),
        (lambda: qc.natural_gradient(PAIR, SUM), "needs natural_gradient.*not Circuit and PauliSum"),
        (lambda: qc.parameter_shift([SUM, SUM], PAIR), "parameter_shift.*with one PauliSum and.*not list and Circuit"),
        (lambda: qc.expect("Z0", PAIR), r"PauliSum.from_string\('Z0'\)"),
        (lambda: qc.expect([SUM, "Z0"], PAIR), r"PauliSum.from_string\('Z0'\)"),
        (lambda: qc.expect([], PAIR), "at least one observable"),
        (lambda: qc.depolarizing(0.1, 0), "depolarizing: n = 0"),
        (lambda: qc.depolarizing(0.1, 1.5), "depolarizing: n = 1.5"),
        (lambda: qc.reduced_density_matrix(jnp.ones(6), [0]), "2\\^n amplitudes"),
        (lambda: qc.reduced_density_matrix(PSI, 2), "different ones of 0 to 1"),
        (lambda: qc.reduced_density_matrix(PSI, 0.5), "needs integers"),
        (lambda: qc.sample(KEY, PSI, 10), r"sample\(psi, key, shots\)"),
        (lambda: qc.sample(PSI, 10, KEY), r"sample\(psi, key, shots\)"),
        (lambda: qc.sample(jax.random.PRNGKey(0), PSI, 10), r"sample\(psi, key, shots\)"),
        (lambda: qc.sample(PSI, KEY, -1), r"sample\(psi, key, shots\)"),
        (lambda: qc.sample(PSI, KEY, 1.5), r"sample\(psi, key, shots\)"),
    ],
)
def test_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("block", "same"),
    [
        (qc.put((0, 1), BELL), qc.chain(BELL)),
        (qc.put(iter((0, 1)), tuple(BELL)), qc.chain(BELL)),
        (qc.control(2, (b for b in BELL)), qc.control(2, qc.chain(BELL))),
        (qc.repeat(3, BELL), qc.repeat(3, qc.chain(BELL))),
        (qc.daggered(BELL), qc.daggered(qc.chain(BELL))),
        (qc.layers([qc.H, qc.Rx(0.0)], np.array([[0.3], [0.4]])), qc.chain(qc.H, qc.Rx(0.3), qc.H, qc.Rx(0.4))),
        (qc.matrix_gate(np.array([[0, 1], [1, 0]])), qc.X),
        (qc.Rx(qc.shared("a", 0.6) / 2), qc.Rx(0.3)),
        (qc.layers(qc.Rx(0.0), np.zeros((0, 1))), qc.chain()),
        # the evolution does not touch qubit 2 of its three
        (
            qc.control(2, qc.TimeEvolution(operators.PauliSum(3, {"Z0": 1.0, "X1": 0.2}), 0.3)),
            qc.control(2, qc.TimeEvolution(operators.PauliSum(2, {"Z0": 1.0, "X1": 0.2}), 0.3)),
        ),
    ],
)
def test_accepted(block, same):
    psi = random_states(8)
    given, expected = (qc.state(qc.Circuit(3, [b]), psi) for b in (block, same))
    np.testing.assert_allclose(given, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SUM / 2, SUM * 0.5),
        (sum([SUM, SUM]), SUM + SUM),
        (operators.PauliSum.from_string("0.5 X0 X1 - 2 Z0"), operators.PauliSum(2, {"X0 X1": 0.5, "Z0": -2.0})),
        (operators.PauliSum.from_string("1e-1 X0*X1 + 3*I"), operators.PauliSum(2, {"X0 X1": 0.1, "I": 3.0})),
    ],
)
def test_sums(found, expected):
    np.testing.assert_allclose(found.matrix(), expected.matrix(), atol=1e-15)


def test_shared_over_number_keeps_one_parameter():
    a = qc.shared("a", 0.6)
    circuit = qc.Circuit(1, [qc.Rx(a / 2), qc.Ry(a)])
    z = operators.PauliSum(1, {"Z0": 1.0})
    slope = jax.grad(lambda t: qc.expect(z, circuit.with_parameters(t)))(circuit.parameters)
    exact = -0.5 * np.sin(0.3) * np.cos(0.6) - np.cos(0.3) * np.sin(0.6)
    np.testing.assert_allclose(slope, [exact], atol=1e-14)


def test_mixed_precisions():
    """Angles in both half precisions, and a number, are in single precision together."""
    circuit = qc.Circuit(1, [qc.put(0, qc.Rx(jnp.float16(0.5))), qc.put(0, qc.Rz(jnp.bfloat16(0.25))), qc.Rx(1.0)])
    assert circuit.parameters.dtype == jnp.float32
    np.testing.assert_array_equal(circuit.parameters, [0.5, 0.25, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("half", [jnp.float16, jnp.bfloat16])
def test_half_precision(half):
    """States and parameters are promoted; derivatives come back in the precision of what they are by."""
    assert qc.state(qc.Circuit(1, [qc.H]), qc.zero_state(1, half)).dtype == jnp.complex64
    z = operators.PauliSum(1, {"Z0": 1.0})
    angle = half(0.5)
    circuit = qc.Circuit(1, [qc.Rx(angle), qc.Rx(angle)])
    assert circuit.parameters.dtype == half
    assert qc.state(circuit).dtype == qc.trajectories(circuit, KEY, 2, qc.zero_state(1, half)).dtype == jnp.complex64
    assert qc.density_matrix(circuit, qc.zero_state(1, half)).dtype == jnp.complex64
    value, slope = jax.value_and_grad(lambda t: qc.expect(z, circuit.with_parameters(t)))(circuit.parameters)
    np.testing.assert_allclose(value, np.cos(1.0), atol=1e-6)
    assert slope.dtype == half
    np.testing.assert_allclose(slope.astype(float), [-np.sin(1.0)] * 2, rtol=1e-2)
    by_psi = jax.grad(lambda psi: qc.expect(z, circuit, psi))(qc.zero_state(1, half))
    assert by_psi.dtype == half
    np.testing.assert_allclose(by_psi.astype(float)[0], 2 * np.cos(1.0), rtol=1e-2)
    assert z(qc.zero_state(1, half)).dtype == jnp.float32
    assert qc.entanglement_entropy(qc.zero_state(2, half), 0) == 0


BLOCKS = [
    qc.H,
    qc.Rx(0.3),
    qc.matrix_gate(np.array([[0, 1], [1, 0]])),
    qc.rotor("X0 Y1", 0.4),
    qc.TimeEvolution(SUM, 0.2),
    qc.put(1, qc.Ry(0.7)),
    qc.control(1, qc.put(0, qc.Rz(0.2)), values=0),
    qc.chain(BELL),
    qc.layers(qc.Rx(0.0), np.array([[0.1], [0.2]])),
    qc.daggered(qc.put(0, qc.T)),
    qc.chain(qc.Rx(qc.shared("a", 0.3)), qc.Ry(2 * qc.shared("a", 0.3))),
    qc.depolarizing(0.1),
]
COPIES = [lambda a: pickle.loads(pickle.dumps(a)), copy.copy, copy.deepcopy]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "copy", "deepcopy"])
def test_copies(copied):
    for block in BLOCKS:
        other = copied(block)
        assert eqx.tree_equal(qc.Circuit(2, [other]), qc.Circuit(2, [block])), type(block).__name__
        with pytest.raises(AttributeError, match="immutable"):
            other.kind = "X"
    gc.collect()  # classes without slots, of which those with slots were made
    assert {type(b) for b in BLOCKS} == set(qc.Block.__subclasses__())
    circuit = qc.Circuit(2, BLOCKS)
    assert eqx.tree_equal(copied(circuit), circuit)
    assert eqx.tree_equal(copied(SUM), SUM)
    np.testing.assert_array_equal(qc.density_matrix(copied(circuit)), qc.density_matrix(circuit))
    a = copied(3 * qc.shared("a", 0.5))
    assert (a.name, a.value, a.factor) == ("a", 0.5, 3.0)


def test_matrix_free_without_parameters():
    assert qc.natural_gradient(SUM, PAIR, matrix_free=True).shape == qc.natural_gradient(SUM, PAIR).shape == (0,)


@pytest.mark.slow
def test_measured_with_leading_axes():
    psi = random_states(2, 3, 8)
    shape = 2, 3
    rho, entropy = qc.reduced_density_matrix(psi, (2, 0)), qc.entanglement_entropy(psi, 1)
    shots = qc.sample(psi, KEY, 1000)
    assert shots.shape == (*shape, 1000)
    assert qc.sample(psi, KEY, 0).shape == (*shape, 0)
    for k in np.ndindex(shape):
        np.testing.assert_allclose(rho[k], qc.reduced_density_matrix(psi[k], [2, 0]), atol=1e-15)
        np.testing.assert_allclose(entropy[k], qc.entanglement_entropy(psi[k], [1]), atol=1e-14)
        frequencies = np.bincount(shots[k], minlength=8) / 1000
        np.testing.assert_allclose(frequencies, qc.probabilities(psi[k]), atol=0.06)
    assert not np.array_equal(*qc.sample(psi[0, :1].repeat(2, 0), KEY, 1000))  # equal states are drawn independently

    def total(psi):
        return jnp.sum(qc.entanglement_entropy(psi, 1))

    np.testing.assert_allclose(jax.grad(total)(psi)[1, 2], jax.grad(total)(psi[1, 2]), atol=1e-12)
