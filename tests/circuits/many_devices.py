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
    blocks.append(qc.control(0, qc.put((8, 2, 7), qc.matrix_gate(q))))
    uses.append((q, (8, 2, 7), (0,), (1,)))
    blocks.append(qc.rotor("X0 Y4 Y8 Z7", 0.3))
    uses.append((dense.exp_pauli(dense.pauli("XYYZ"), 0.3), (0, 4, 8, 7), (), ()))
    return qc.Circuit(N, blocks), uses


def applied(psi, u, where, controls, values):
    """The gate on a state, by the definition of its matrix, column by column."""
    out = np.zeros_like(psi)
    index = np.arange(len(psi))
    active = np.ones(len(psi), bool)
    for q, v in zip(controls, values):
        active &= (index >> q & 1) == v
    out[~active] += psi[~active]
    row = sum((index >> q & 1) << j for j, q in enumerate(where))
    rest = index & ~sum(1 << q for q in where)
    for column in range(len(u)):
        source = rest | sum((column >> j & 1) << q for j, q in enumerate(where))
        out[active] += (u[row, column] * psi[source])[active]
    return out


def check_one_process():
    circuit, uses = all_gates()
    start = RNG.normal(size=1 << N) + 1j * RNG.normal(size=1 << N)
    exact = start
    for use in uses:
        exact = applied(exact, *use)
    spread = jax.jit(lambda c, x: qc.state(c, x, mesh=MESH))(circuit, start)
    assert len(spread.addressable_shards) == 8
    assert spread.addressable_shards[0].data.shape == (1 << (N - 3),)
    np.testing.assert_allclose(spread, exact, atol=1e-11)

    h = qc.heisenberg(N) + qc.PauliSum(N, {"X0 Y8": 0.3, "Y7": 0.5, "X6 X7 X8": 0.2})
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
    inner = qc.Circuit(N, [qc.put(q, qc.Rx(0.3)) for q in range(N - 3)] + [qc.control(8, qc.put(7, qc.Rz(0.2)))])
    text = jax.jit(lambda c: qc.state(c, mesh=MESH)).lower(inner).compile().as_text()
    assert not any(word in text for word in ("all-to-all(", "all-gather(", "collective-permute(", "all-reduce("))

    for wrong in (qc.Circuit(8, [qc.X]), qc.Circuit(N, [qc.TimeEvolution(qc.heisenberg(N), 0.1)])):
        try:
            qc.state(wrong, mesh=MESH)
        except InputError:
            continue
        raise AssertionError(wrong)


def check_two_processes():
    circuit = qc.variational_circuit(N, 4)
    theta = jnp.asarray(np.random.default_rng(1).uniform(0, 6, circuit.n_parameters))
    h = qc.heisenberg(N)

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
