"""The metric of the Bloch sphere, and shifts against reverse mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.core import RESULTS, ConvergenceError, InputError, MissingDerivativeError
from pullback.operators import PauliSum
from tests.circuits import dense


def test_bloch_sphere():
    """cos θ/2 |0> + e^{iφ} sin θ/2 |1>: metric diag(1, sin²θ)/4, Berry curvature of half a solid angle."""
    theta, phi = 0.7, 0.4
    q = qc.quantum_geometric_tensor(qc.Circuit(1, [qc.Ry(theta), qc.P(phi)]))
    np.testing.assert_allclose(q.real, np.diag([1, np.sin(theta) ** 2]) / 4, atol=1e-15)
    np.testing.assert_allclose(q.imag, np.sin(theta) / 4 * np.array([[0, 1], [-1, 0]]), atol=1e-15)


def test_natural_gradient():
    """E = cos θ has the natural gradient -4 sin θ."""
    z = operators.PauliSum(1, {"Z0": 1.0})
    (found,) = qc.natural_gradient(z, qc.Circuit(1, [qc.Ry(0.7)]), damping=1e-12)
    np.testing.assert_allclose(found, -4 * np.sin(0.7), rtol=1e-10)
    with pytest.raises(InputError, match="damping"):
        qc.natural_gradient(z, qc.Circuit(1, [qc.Ry(0.7)]), damping=0.0)


def test_natural_gradient_says_when_its_equation_is_not_solved():
    """Two equal rotations: the metric is singular, and what damps it is below the rounding of single precision."""
    h = PauliSum(1, {"Z0": 1.0, "X0": 0.3})
    circuit = qc.Circuit(1, [qc.Ry(0.7), qc.Ry(0.4), qc.Rz(0.2)])
    few = qc.natural_gradient(h, circuit, damping=1e-3, matrix_free=True, max_steps=1, throw=False)
    assert few.result == RESULTS.max_steps_reached and few.residual > 1e-3
    enough = qc.natural_gradient(h, circuit, damping=1e-3, matrix_free=True, throw=False)
    assert enough.converged and enough.steps <= 8
    with pytest.raises(ConvergenceError, match="natural_gradient"):
        few.unwrap("natural_gradient")
    single = circuit.with_parameters(circuit.parameters.astype(jnp.float32))
    assert not qc.natural_gradient(h, single, damping=1e-30, throw=False).converged


def test_shifts():
    """All gates with angles, shared ones, controls, adjoints; second derivatives by shifting twice are left to AD."""
    a = qc.shared("a", 0.3)
    blocks = [
        qc.kron(qc.Ry(0.4), qc.Ry(0.9), qc.Ry(1.3)),
        qc.put(0, qc.Rx(a)),
        qc.put((0, 1), qc.Rzz(-2 * a)),
        qc.put((1, 2), qc.fSim(0.5, 0.8)),
        qc.daggered(qc.put(1, qc.U3(0.1, 0.2, 0.3))),
        qc.control(0, qc.put(2, qc.Rx(0.6))),
        qc.control(1, qc.put(0, qc.P(0.7)), values=0),
        qc.rotor("X0 Y1 Z2", 0.45),
        qc.put((2, 0), qc.Rxx(0.2)),
    ]
    circuit, h = qc.Circuit(3, blocks), operators.heisenberg(3, 4.0)
    exact = jax.grad(lambda theta: qc.expect(h, circuit.with_parameters(theta)))(circuit.parameters)
    np.testing.assert_allclose(qc.parameter_shift(h, circuit), exact, atol=1e-13)
    with pytest.raises(InputError, match="no shift rule"):
        qc.parameter_shift(
            operators.heisenberg(2, 4.0), qc.Circuit(2, [qc.TimeEvolution(operators.heisenberg(2, 4.0), 0.1)])
        )


@pytest.mark.slow
def test_natural_gradient_without_a_matrix():
    """The same as with it, for a metric that is far from diagonal."""
    circuit, h = qc.variational_circuit(4, 2), operators.transverse_ising(4)
    circuit = circuit.with_parameters(np.random.default_rng(0).uniform(0, 6, circuit.n_parameters))
    expected = qc.natural_gradient(h, circuit, damping=1e-3)
    found = jax.jit(lambda c: qc.natural_gradient(h, c, damping=1e-3, matrix_free=True))(circuit)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.slow
def test_on_a_processor():
    """Values from NumPy matrices stand for the processor; shared angles, four-term rules, other JAX code around."""
    a = qc.shared("a", 0.3)
    blocks = [
        qc.kron(qc.Ry(0.4), qc.Ry(0.9)),
        qc.put(0, qc.Rx(a)),
        qc.put((0, 1), qc.Rzz(-2 * a)),
        qc.put((1, 0), qc.fSim(0.5, 0.8)),
        qc.control(0, qc.put(1, qc.Rx(0.6))),
    ]
    circuit, h = qc.Circuit(2, blocks), operators.heisenberg(2, 4.0)
    hamiltonian = np.asarray(h.matrix())
    energy = qc.on_processor(circuit, lambda c: measured(c, hamiltonian))
    np.testing.assert_allclose(energy(circuit.parameters), qc.expect(h, circuit), atol=1e-13)

    def loss(theta):
        return energy(jnp.sin(theta)) ** 2

    exact = jax.grad(lambda theta: qc.expect(h, circuit.with_parameters(jnp.sin(theta))) ** 2)(circuit.parameters)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(circuit.parameters), exact, atol=1e-12)
    np.testing.assert_allclose(jax.jvp(loss, (circuit.parameters,), (exact,))[1], exact @ exact, atol=1e-12)
    with pytest.raises(MissingDerivativeError):
        jax.hessian(energy)(circuit.parameters)


def measured(circuit, hamiltonian):
    psi, angles = np.eye(1 << circuit.n)[0], iter(np.asarray(circuit.angles))
    for o in circuit.operations:
        matrix = dense.ROTATION[o.kind][2](*(next(angles) for _ in range(o.angles)))
        psi = dense.embed(matrix, o.qubits, circuit.n, o.controls, o.values) @ psi
    return float((psi.conj() @ hamiltonian @ psi).real)
