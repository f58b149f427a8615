"""The accelerator in C++ against the programs in JAX, which the other tests compare with dense matrices."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.circuits._engine import _native as native
from pullback.core import Uncompute

pytestmark = pytest.mark.skipif(not native.is_available(), reason="the library is not compiled here")
N = 7
LARGE = 15  # states in parts that threads share


def layer(rng, N=N):
    """All kernels: runs on one qubit, permutations, pairs with signs and controls, phases, matrices."""
    q, _ = np.linalg.qr(rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8)))
    return qc.chain(
        qc.kron(*(qc.U3(0.1, 0.2, 0.3) for _ in range(N))),
        *(qc.put((k, (k + 1) % N), qc.CNOT) for k in range(N)),
        qc.rotor("X0 Y2 Y5", 0.4),
        qc.control((6, 1), qc.put(3, qc.Ry(0.5)), values=(0, 1)),
        *(qc.put((k, k + 2), qc.Rzz(0.6)) for k in range(3)),
        qc.put((4, 2), qc.fSim(0.7, 0.8)),
        qc.put((5, 0, 3), qc.matrix_gate(q)),
        qc.put((1, 4), qc.SWAP),
    )


def repeated(N, layers):
    rng = np.random.default_rng(0)
    block = layer(rng, N)
    once = qc.Circuit(N, block)
    return qc.Circuit(N, qc.layers(block, rng.normal(size=(layers, once.n_parameters))))


def irregular(N, gates):
    """Without repetition: the kernel of data."""
    rng = np.random.default_rng(0)
    kinds = [qc.Rx, qc.Ry, qc.Rz, qc.Rxx, qc.Ryy, qc.Rzz, qc.fSim]
    blocks = [qc.put(5, qc.H)]
    for _ in range(gates):
        gate = kinds[rng.integers(len(kinds))]
        angles = rng.normal(size=2 if gate is qc.fSim else 1).tolist()
        a, b, c = rng.permutation(N)[:3].tolist()
        placed = qc.put((a, b)[: gate(*angles).n], gate(*angles))
        blocks += [
            qc.control(c, placed, values=0),
            qc.put((a, c), qc.matrix_gate(np.kron([[0, 1], [1, 0]], np.eye(2)))),
        ]
    return qc.Circuit(N, blocks)


def results(circuit, dtype):
    rng, N = np.random.default_rng(1), circuit.n
    psi = rng.normal(size=(3, 1 << N)) / 2 ** (N / 2)
    h = operators.heisenberg(N, 4.0)

    def energy(theta, psi):
        return jnp.sum(jnp.array([1.0, -0.5, 2.0]) * qc.expect(h, circuit.with_parameters(theta), psi))

    gradient = jax.grad(energy, (0, 1))
    x = circuit.parameters.astype(dtype), jnp.asarray(psi, dtype)
    d = tuple(jnp.asarray(rng.normal(size=a.shape), dtype) for a in x)
    return jax.jit(lambda x, d: (energy(*x), jax.jvp(gradient, x, d), jax.jvp(energy, x, d)))(x, d)


@pytest.mark.parametrize("dtype", [float, pytest.param(np.float32, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "circuit",
    [
        pytest.param(lambda: repeated(N, 5), marks=pytest.mark.slow),
        lambda: irregular(N, 60),
        pytest.param(lambda: repeated(LARGE, 2), marks=pytest.mark.slow),
        pytest.param(lambda: irregular(LARGE, 20), marks=pytest.mark.slow),
    ],
    ids=["repeated", "irregular", "large", "large irregular"],
)
def test_same_as_without(circuit, dtype, monkeypatch):
    """Values, tangents, gradients and Hessian-vector products, of three states at once."""
    circuit = circuit()
    fast = results(circuit, dtype)
    monkeypatch.setattr(native, "is_available", lambda: False)
    slow = results(circuit, dtype)
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(slow)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=(1e-12 if dtype is float else 2e-4) * (1 + np.abs(b).max()))


@pytest.mark.slow
def test_reverse_over_reverse(monkeypatch):
    circuit = repeated(N, 5)
    h = operators.heisenberg(N, 4.0)

    def value(theta):
        gradient = jax.grad(lambda t: qc.expect(h, circuit.with_parameters(t)))(theta)
        return jnp.sum(jnp.sin(jnp.arange(len(theta))) * gradient)

    fast = jax.jit(jax.grad(value))(circuit.parameters)
    monkeypatch.setattr(native, "is_available", lambda: False)
    np.testing.assert_allclose(fast, jax.jit(jax.grad(value))(circuit.parameters), atol=1e-11)


@pytest.mark.slow
def test_states_in_between(monkeypatch):
    """A state stored every two layers of five, and the last layer by itself."""
    circuit = repeated(N, 5)

    def energy(theta):
        return qc.expect(
            operators.heisenberg(N, 4.0), circuit.with_parameters(theta), adjoint=Uncompute(checkpoint_every=2)
        )

    fast = jax.jit(jax.grad(energy))(circuit.parameters)
    monkeypatch.setattr(native, "is_available", lambda: False)
    slow = jax.jit(lambda theta: jax.grad(energy)(theta))(circuit.parameters)
    np.testing.assert_allclose(fast, slow, atol=1e-11)


def test_batches():
    """`vmap` over parameters gives what one call after the other gives."""
    circuit = repeated(N, 5)
    h = operators.heisenberg(N, 4.0)
    gradient = jax.grad(lambda t: qc.expect(h, circuit.with_parameters(t)))
    theta = circuit.parameters + jnp.arange(3.0)[:, None]
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(theta)[2], jax.jit(gradient)(theta[2]), atol=1e-13)


def test_matrices_too_large():
    """Matrices on seven qubits, in what does not repeat and in what does, are left to JAX."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128)))
    blocks = []
    for _ in range(9):
        blocks += [qc.put(rng.permutation(7).tolist(), qc.matrix_gate(q)), qc.put(rng.permutation(7)[:2], qc.Rxx(0.1))]
    for circuit in (qc.Circuit(7, blocks), qc.Circuit(7, blocks[:2])):
        np.testing.assert_allclose(qc.round_trip_error(circuit), 0, atol=1e-12)
        np.testing.assert_allclose(jnp.linalg.norm(qc.state(circuit)), 1, rtol=1e-12)


def test_loops_around_circuits():
    """Hessian-vector products through `lax.map`; the sum over a is cos(a t)."""
    circuit, h = qc.Circuit(1, [qc.put(0, qc.Rx(0.3))]), operators.PauliSum(1, {"Z0": 1.0})

    def total(t):
        return jnp.sum(jax.lax.map(lambda a: qc.expect(h, circuit.with_parameters(a * t)), jnp.arange(3.0)))

    exact = -(np.cos(0.3) + 4 * np.cos(0.6))
    t, one = circuit.parameters, jnp.ones(1)
    np.testing.assert_allclose(jax.jvp(jax.grad(total), (t,), (one,))[1], [exact], rtol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda t: jax.jvp(total, (t,), (one,))[1])(t), [exact], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_threads():
    """Results do not depend on the number of threads, to the last bit."""
    code = """
        import os, sys
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
        import hashlib, jax
        from tests.circuits.test_native import LARGE, repeated, results
        jax.config.update("jax_enable_x64", True)
        leaves = jax.tree.leaves(results(repeated(LARGE, 2), float))
        print(hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
    """
    hashes = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(count)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in (1, 2, 2)
    }
    assert len(hashes) == 1


@pytest.mark.slow
def test_it_is_kept_in_the_users_cache_and_missed_once(tmp_path):
    program = """
import sys
from pullback import circuits
from pullback.circuits._engine import _native

for _ in range(2):
    circuits.state(circuits.variational_circuit(2, 1))
print(_native.is_available())
"""
    environment = {**os.environ, "PULLBACK_CACHE_DIR": str(tmp_path / "cache"), "PULLBACK_NATIVE": ""}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # XLA has its own remarks on programs from there

    def run(**more):
        return subprocess.run(
            [sys.executable, "-c", program], env={**environment, **more}, capture_output=True, text=True, check=True
        )

    without = run()
    assert without.stdout == "False\n" and without.stderr.count("pullback doctor --build") == 1
    assert run(PULLBACK_NATIVE="0").stderr == ""
    other = tmp_path / "cache" / "circuits-of-another-machine.so"
    other.parent.mkdir()
    other.touch()
    build = [sys.executable, "-m", "pullback.circuits._engine._native"]
    subprocess.run(build, env=environment, check=True)
    assert run().stdout == "True\n" and other.exists()
