"""A program for several devices or processes; run by test_sharded.py.

python many_devices.py                        8 devices of one process
python many_devices.py ADDRESS NUMBER         one of two processes with two devices each
"""

import os
import sys

processes = len(sys.argv) > 1
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={2 if processes else 8}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

if processes:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))

from pullback import circuits as qc  # noqa: E402
from pullback import operators  # noqa: E402
from pullback.core import InputError  # noqa: E402
from tests.circuits import dense  # noqa: E402

N = 9
MESH = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))
RNG = np.random.default_rng(0)


def all_gates():
    """(circuit, its matrices): every gate, adjoined and controlled, on random qubits; a matrix and a rotor."""
    blocks, uses = [], []
    for name in (*dense.CONSTANT, *dense.ROTATION):
        angles = RNG.normal(size=dense.ROTATION[name][1]).tolist() if name in dense.ROTATION else []
        u = dense.ROTATION[name][2](*angles) if angles else dense.CONSTANT[name]
        k = len(u).bit_length() - 1
        where = RNG.permutation(N).tolist()
        gate = getattr(qc, name)(*angles) if angles else getattr(qc, name)
        block = qc.put(where[:k], qc.daggered(gate))
        blocks.append(qc.control(where[k : k + 2], block, values=(0, 1)))
        uses.append((u.conj().T, where[:k], where[k : k + 2], (0, 1)))
        blocks.append(qc.put(where[2 : 2 + k], gate))
        uses.append((u, where[2 : 2 + k], (), ()))
    q, _ = np.linalg.qr(RNG.normal(size=(8, 8)) + 1j * RNG.normal(size=(8, 8)))
    blocks.append(qc.control(8, qc.put((0, 6, 1), qc.matrix_gate(q))))
    uses.append((q, (0, 6, 1), (8,), (1,)))
    blocks.append(qc.rotor("X8 Y4 Y0 Z1", 0.3))
    uses.append((dense.exp_pauli(dense.pauli("XYYZ"), 0.3), (8, 4, 0, 1), (), ()))
    return qc.Circuit(N, blocks), uses


def check_one_process():
    circuit, uses = all_gates()
    start = RNG.normal(size=1 << N) + 1j * RNG.normal(size=1 << N)
    exact = start
    for use in uses:
        exact = dense.applied(exact, *use)
    spread = jax.jit(lambda c, x: qc.state(c, x, mesh=MESH))(circuit, start)
    assert len(spread.addressable_shards) == 8
    assert spread.addressable_shards[0].data.shape == (1 << (N - 3),)
    np.testing.assert_allclose(spread, exact, atol=1e-11)

    h = operators.heisenberg(N, 4.0) + operators.PauliSum(N, {"X8 Y0": 0.3, "Y1": 0.5, "X0 X1 X2": 0.2})
    for layered in (circuit, qc.variational_circuit(N, 5)):
        theta = jnp.asarray(RNG.uniform(0, 6, layered.n_parameters))
        d = jnp.asarray(RNG.normal(size=theta.shape))

        def energy(theta, mesh, circuit=layered):
            return qc.expect(h, circuit.with_parameters(theta), mesh=mesh)

        def everything(theta, mesh, energy=energy, d=d):
            def gradient(t):
                return jax.value_and_grad(lambda t: energy(t, mesh))(t)

            return jax.jvp(gradient, (theta,), (d,))

        one, many = (jax.jit(lambda t, m=m: everything(t, m))(theta) for m in (None, MESH))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many)):
            np.testing.assert_allclose(b, a, atol=1e-11)

    layer = qc.Circuit(N, [qc.put(q, qc.Rx(0.3)) for q in range(N)])
    text = jax.jit(lambda c: qc.state(c, mesh=MESH)).lower(layer).compile().as_text()
    assert text.count(" all-to-all(") == 2  # there, and back to the order of the amplitudes
    # the first three qubits are bits of the device's number
    inner = qc.Circuit(N, [qc.put(q, qc.Rx(0.3)) for q in range(3, N)] + [qc.control(0, qc.put(1, qc.Rz(0.2)))])
    text = jax.jit(lambda c: qc.state(c, mesh=MESH)).lower(inner).compile().as_text()
    assert not any(word in text for word in ("all-to-all(", "all-gather(", "collective-permute(", "all-reduce("))

    for wrong in (qc.Circuit(8, [qc.X]), qc.Circuit(N, [qc.TimeEvolution(operators.heisenberg(N, 4.0), 0.1)])):
        try:
            qc.state(wrong, mesh=MESH)
        except InputError:
            continue
        raise AssertionError(wrong)


def check_two_processes():
    circuit = qc.variational_circuit(N, 4)
    theta = jnp.asarray(np.random.default_rng(1).uniform(0, 6, circuit.n_parameters))
    h = operators.heisenberg(N, 4.0)

    def energy(theta, mesh):
        return qc.expect(h, circuit.with_parameters(theta), mesh=mesh)

    assert len(jax.devices()) == 4
    assert len(jax.local_devices()) == 2
    many = jax.jit(jax.value_and_grad(lambda t: energy(t, MESH)))(np.asarray(theta))
    one = jax.jit(jax.value_and_grad(lambda t: energy(t, None)))(theta)
    for a, b in zip(one, many):
        np.testing.assert_allclose(b.addressable_data(0), a, atol=1e-12)


check_two_processes() if processes else check_one_process()
print("all agree")
