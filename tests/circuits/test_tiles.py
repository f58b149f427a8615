"""Gates in groups on large states, without the accelerator, against NumPy; derivatives by exact parameter shifts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.circuits._engine import _native as native
from pullback.circuits._engine import _tiles as tiles
from pullback.core import Checkpoint
from tests.circuits import dense

N = 14
BUSY = (0, 1, 2, 3, 5, 8, 9, 10, 12, 13)  # groups with holes, in both layouts
PER_LAYER = 3 * len(BUSY) + 2


@pytest.fixture(autouse=True)
def in_jax(monkeypatch):
    monkeypatch.setattr(native, "is_available", lambda: False)


def simulated(theta, layers=2):
    """⟨X8 Y4 Z13 + Z1⟩ by NumPy."""
    psi = np.eye(1, 1 << N)[0]
    for row in np.reshape(theta, (layers, -1)):
        angles = iter(row)
        for q in BUSY:
            for letter in "ZXZ":
                psi = dense.applied(psi, dense.exp_pauli(dense.pauli(letter), next(angles)), [q])
        for q in range(N):
            psi = dense.applied(psi, dense.X, [(q + 1) % N], [q], [1])
        for q in (11, 4):
            psi = dense.applied(psi, dense.exp_pauli(dense.Y, next(angles)), [q])
    phi = dense.applied(psi, dense.pauli("XYZ"), [8, 4, 13]) + dense.applied(psi, dense.Z, [1])
    return np.vdot(psi, phi).real


def circuit():
    block = qc.chain(
        *(qc.put(q, qc.chain(qc.Rz(0.0), qc.Rx(0.0), qc.Rz(0.0))) for q in BUSY),
        *(qc.put((q, (q + 1) % N), qc.CNOT) for q in range(N)),
        *(qc.put(q, qc.Ry(0.0)) for q in (11, 4)),
    )
    return qc.Circuit(N, qc.layers(block, jnp.zeros((2, PER_LAYER))))


H = operators.PauliSum(N, {"X8 Y4 Z13": 1.0, "Z1": 1.0})


def shifted(theta, *components):
    """The derivative by these components, by shifts of ±π/2 in each."""
    if not components:
        return simulated(theta)
    step = np.pi / 2 * (np.arange(len(theta)) == components[0])
    rest = components[1:]
    return (shifted(theta + step, *rest) - shifted(theta - step, *rest)) / 2


@pytest.mark.parametrize("adjoint", [None, pytest.param(Checkpoint(1), marks=pytest.mark.slow)])
def test_derivatives(adjoint):
    c = circuit()
    rng = np.random.default_rng(1)
    theta = rng.normal(size=c.n_parameters)

    def energy(t):
        options = {"adjoint": adjoint} if adjoint else {}
        return qc.expect(H, c.with_parameters(t), **options)

    gradient = jax.grad(energy)
    some = [0, 7, 17, 30, 31, PER_LAYER, PER_LAYER + 13, 2 * PER_LAYER - 1]
    one = jnp.zeros_like(theta).at[some[2]].set(1.0)
    value, tangent = jax.jit(lambda t, d: jax.jvp(energy, (t,), (d,)))(theta, one)
    first, second = jax.jit(lambda t, d: jax.jvp(gradient, (t,), (d,)))(theta, one)
    np.testing.assert_allclose(value, simulated(theta), atol=1e-13)
    np.testing.assert_allclose(first[jnp.array(some)], [shifted(theta, k) for k in some], atol=1e-13)
    np.testing.assert_allclose(tangent, shifted(theta, some[2]), atol=1e-13)
    np.testing.assert_allclose(
        second[jnp.array(some[:5:2])], [shifted(theta, k, some[2]) for k in some[:5:2]], atol=1e-13
    )


@pytest.mark.slow
def test_reverse_over_reverse_and_batches():
    c = circuit()
    theta = np.random.default_rng(2).normal(size=c.n_parameters)
    gradient = jax.grad(lambda t: qc.expect(H, c.with_parameters(t)))
    second = jax.jit(jax.grad(lambda t: gradient(t)[7]))(theta)
    np.testing.assert_allclose(second[jnp.array([3, 40])], [shifted(theta, k, 7) for k in (3, 40)], atol=1e-13)
    batch = jax.jit(jax.vmap(gradient))(jnp.stack([theta, theta[::-1], theta]))
    np.testing.assert_allclose(batch[1][30], shifted(theta[::-1], 30), atol=1e-13)


def test_groups_of_one_pass():
    """Fifteen neighbours are four groups, five are not four and one; holes stay in their group."""
    widths = [g.width for g in tiles.grouped([(k, 5 + k) for k in range(15)], 4)]
    assert widths == [4, 4, 4, 3]
    assert [g.width for g in tiles.grouped([(k, k) for k in range(5)], 4)] == [3, 2]
    (group,) = tiles.grouped([(0, 9), (1, 6)], 4)
    assert (group.first, group.width, group.gates) == (6, 4, ((1, 6), (0, 9)))


@pytest.mark.parametrize("most", [3, 4, 5])
def test_groups_hold_every_gate_once(most):
    """All sets of positions among nine, in any order of the members."""
    for chosen in range(1, 1 << 9):
        gates = [(9 - p, p) for p in range(9) if chosen >> p & 1]
        groups = tiles.grouped(gates, most)
        assert sorted(gate for group in groups for gate in group.gates) == sorted(gates)
        assert all(group.width <= most for group in groups)
        assert all(0 <= p - group.first < group.width for group in groups for _, p in group.gates)


@pytest.mark.parametrize("first", [0, 2, 10])
def test_one_group(first):
    """States, tangents and the sums W V† of a group with a hole, for two states of 2^14 amplitudes."""
    rng = np.random.default_rng(3)
    V, W, dV = rng.normal(size=(3, 2, 2, 1 << N))
    u, du = rng.normal(size=(2, 3, 2, 2, 2))
    group = tiles.grouped([(2, first), (0, first + 1), (1, first + 3)], 4)[0]
    full = np.eye(1)
    d_full = np.zeros((1, 1))
    for k in (2, 0, None, 1):
        a = np.eye(2) if k is None else u[k, 0] + 1j * u[k, 1]
        da = np.zeros((2, 2)) if k is None else du[k, 0] + 1j * du[k, 1]
        full, d_full = np.kron(a, full), np.kron(da, full) + np.kron(a, d_full)
    z, w, dz = (x[0] + 1j * x[1] for x in (V, W, dV))

    def on_state(matrix, x):
        return np.einsum("ab,slbr->slar", matrix, x.reshape(2, -1, 16, 1 << first)).reshape(x.shape)

    def parts(x):
        return np.stack([x.real, x.imag])

    exact = parts(on_state(full, z)), parts(on_state(full, dz) + on_state(d_full, z))
    np.testing.assert_allclose(tiles.apply(V, u, [group]), exact[0], atol=1e-11)
    for found, expected in zip(tiles.tangent(V, dV, u, du, [group]), exact):
        np.testing.assert_allclose(found, expected, atol=1e-11)
    found = tiles.pull(V, W, u, group)
    np.testing.assert_allclose(found[1], parts(on_state(full, w)), atol=1e-11)
    q = found[2]
    after = [on_state(full, x).reshape(2, -1, 16, 1 << first) for x in (w, z)]
    outer = np.einsum("slar,slbr->ab", after[0], after[1].conj())
    np.testing.assert_allclose(q[0, :, 0] + q[1, :, 1], outer.real, atol=1e-8)
    np.testing.assert_allclose(q[1, :, 0] - q[0, :, 1], outer.imag, atol=1e-8)
