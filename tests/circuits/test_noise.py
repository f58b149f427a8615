"""Channels: density matrices against products of dense matrices, trajectories against density matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.core import InputError
from pullback.trust import check_derivatives
from tests.circuits import dense

P = np.array([dense.I, dense.X, dense.Y, dense.Z])
LOWER = np.array([[0, 1], [0, 0]])


def kraus_of_all():
    """(block, Kraus operators by definition) of every channel."""
    p, g = 0.2, 0.3
    T = (0.7, 1.5, 0.9)  # time, T1, T2
    decay, flip = 1 - np.exp(-T[0] / T[1]), (1 - np.exp(-T[0] / T[2] + T[0] / T[1] / 2)) / 2
    two = [np.kron(b, a) * np.sqrt(p / 16) for a in P for b in P]
    two[0] = np.eye(4) * np.sqrt(1 - 15 * p / 16)
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(12, 4)) + 1j * rng.normal(size=(12, 4)))
    damped = np.diag([1, np.sqrt(1 - decay)])
    return {
        "depolarizing": (qc.depolarizing(p), [P[0] * np.sqrt(1 - 0.75 * p), *(P[1:] * np.sqrt(p / 4))]),
        "depolarizing 2": (qc.depolarizing(p, 2), two),
        "bit flip": (qc.bit_flip(p), [P[0] * np.sqrt(1 - p), P[1] * np.sqrt(p)]),
        "phase flip": (qc.phase_flip(p), [P[0] * np.sqrt(1 - p), P[3] * np.sqrt(p)]),
        "Pauli": (qc.pauli_channel(0.1, 0.2, 0.3), P * np.sqrt([0.4, 0.1, 0.2, 0.3])[:, None, None]),
        "amplitude": (qc.amplitude_damping(g), [np.diag([1, np.sqrt(1 - g)]), np.sqrt(g) * LOWER]),
        "phase": (qc.phase_damping(g), [np.diag([1, np.sqrt(1 - g)]), np.diag([0, np.sqrt(g)])]),
        "thermal": (
            qc.thermal_relaxation(*T),
            [np.sqrt(1 - flip) * damped, np.sqrt(flip) * dense.Z @ damped, np.sqrt(decay) * LOWER],
        ),
        "any": (qc.channel(q.reshape(3, 4, 4)), q.reshape(3, 4, 4)),
    }


def noisy(n, rng, channels):
    """A random circuit of all gates and the given channels, and its ρ → ρ by definition."""
    blocks, maps = [], []

    def add(block, matrices):
        blocks.append(block)
        maps.append(matrices)

    for name, (k, angles, make) in dense.ROTATION.items():
        where = rng.permutation(n).tolist()
        values = rng.normal(size=angles).tolist()
        gate, controls = getattr(qc, name)(*values), where[k : k + 1]
        add(qc.put(where[:k], gate), [dense.embed(make(*values), where[:k], n)])
        u = dense.embed(make(*values).conj().T, where[:k], n, controls, (0,))
        add(qc.control(controls, qc.put(where[:k], qc.daggered(gate)), values=0), [u])
    for name, u in dense.CONSTANT.items():
        where = rng.permutation(n).tolist()
        k = len(u).bit_length() - 1
        add(qc.put(where[:k], getattr(qc, name)), [dense.embed(u, where[:k], n)])
        add(
            qc.control(where[k], qc.put(where[:k], getattr(qc, name))),
            [dense.embed(u, where[:k], n, where[k : k + 1], (1,))],
        )
    for block, kraus in channels:
        k = len(kraus[0]).bit_length() - 1
        where = rng.permutation(n)[:k].tolist()
        add(qc.put(where, block), [dense.embed(a, where, n) for a in kraus])
    for letters in ("XYZ", "YYI", "IZY"):
        P = dense.pauli(letters)
        add(qc.rotor(" ".join(f"{a}{q}" for q, a in enumerate(letters) if a != "I"), 0.7), [dense.exp_pauli(P, 0.7)])
    H = operators.PauliSum(n, {"Y0 X1": 0.3, "Z0": 0.4, "Y2": 0.8})
    w, v = np.linalg.eigh(np.asarray(H.matrix()))
    add(qc.TimeEvolution(H, 0.6), [v * np.exp(-0.6j * w) @ v.conj().T])
    order = rng.permutation(len(blocks))
    return qc.Circuit(n, [blocks[i] for i in order]), [maps[i] for i in order]


def evolved(maps, rho):
    for kraus in maps:
        rho = sum(a @ rho @ a.conj().T for a in kraus)
    return rho


def test_density_matrix():
    """All gates, plain, adjoined and controlled, and all channels, on a mixed state."""
    rng = np.random.default_rng(1)
    circuit, maps = noisy(3, rng, kraus_of_all().values())
    a = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    rho = a @ a.conj().T / np.trace(a @ a.conj().T)
    exact = evolved(maps, rho)
    np.testing.assert_allclose(qc.density_matrix(circuit, jnp.asarray(rho)), exact, atol=1e-12)
    H = operators.heisenberg(3, 4.0)
    np.testing.assert_allclose(
        qc.expect(H, circuit, jnp.asarray(rho)), np.trace(np.asarray(H.matrix()) @ exact).real, atol=1e-12
    )


def layered(p, angles, n=2):
    layer = qc.chain(
        qc.kron(qc.Rx(0.0), qc.U3(0.0, 0.0, 0.0)),
        qc.CNOT,
        qc.put(0, qc.amplitude_damping(p[0])),
        qc.put((1, 0), qc.depolarizing(p[1], 2)),
    )
    return qc.Circuit(n, [qc.H, qc.layers(layer, angles)])


OBSERVABLE = operators.PauliSum(2, {"X0 Y1": 0.3, "Z0": 1.0, "Y0 Y1": 0.5, "X1": -0.7})


def energy(p, angles):
    return qc.expect(OBSERVABLE, layered(p, angles))


def test_derivatives_without_noise():
    """By probabilities at p = 0, where Kraus operators have infinite slopes, and by angles: differences."""
    angles = np.random.default_rng(2).normal(size=(4, 4))
    p = jnp.zeros(2)
    function = jax.jit(jax.value_and_grad(energy, (0, 1)))
    _, (by_p, by_angles) = function(p, angles)
    h = 1e-3
    for k, unit in enumerate(jnp.eye(2)):  # one-sided, exact for polynomials of degree 4
        forward = np.array([function(j * h * unit, angles)[0] for j in range(5)])
        np.testing.assert_allclose(by_p[k], np.array([-25, 48, -36, 16, -3]) / 12 @ forward / h, atol=1e-8)
    for place in ((0, 0), (2, 3)):
        d = np.zeros((4, 4))
        d[place] = 1e-3
        far, near = ((function(p, angles + s * d)[0] - function(p, angles - s * d)[0]) / (2e-3 * s) for s in (2, 1))
        np.testing.assert_allclose(by_angles[place], (4 * near - far) / 3, atol=1e-9)


@pytest.mark.slow
def test_derivatives():
    """Through layers of noise, in all modes."""
    angles = jnp.asarray(np.random.default_rng(2).normal(size=(4, 4)))
    check_derivatives(energy, jnp.array([0.1, 0.2]), angles, samples=1, throw=True)


def test_trajectories():
    """Mean and gradient agree with those of the density matrix within the statistical error."""
    angles = jnp.asarray(np.random.default_rng(3).normal(size=(5, 4)))
    p, count = jnp.array([0.3, 0.2]), 2000

    def single(p, angles, key):
        return qc.expect_sampled(OBSERVABLE, layered(p, angles), key, 1).value

    exact, gradients = jax.jit(jax.value_and_grad(energy, (0, 1)))(p, angles)
    keys = jax.random.split(jax.random.key(0), count)
    values, drawn = jax.jit(jax.vmap(jax.value_and_grad(single, (0, 1)), (None, None, 0)))(p, angles, keys)
    for expected, found in ((exact, values), *zip(gradients, drawn)):
        assert np.all(np.abs(found.mean(0) - expected) < 4.5 * found.std(0) / np.sqrt(count) + 1e-12)


@pytest.mark.slow
def test_estimate():
    p, angles = jnp.array([0.3, 0.2]), jnp.asarray(np.random.default_rng(3).normal(size=(5, 4)))
    estimate = qc.expect_sampled(OBSERVABLE, layered(p, angles), jax.random.key(1), 4000)
    assert abs(estimate.value - energy(p, angles)) < 4 * estimate.error < 0.1
    psi = qc.trajectories(layered(p, angles), jax.random.key(2), 50)
    np.testing.assert_allclose(jnp.linalg.norm(psi, axis=-1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qc.depolarizing(1.5), "not between 0 and 1.33"),
        (lambda: qc.bit_flip(-0.1), "not between 0 and 1"),
        (lambda: qc.pauli_channel(0.5, 0.4, 0.3), "1 − px − py − pz"),
        (lambda: qc.thermal_relaxation(1.0, 1.0, 2.5), "above 2 t1"),
        (lambda: qc.channel(np.ones((2, 2, 2))), "differs from 1"),
        (lambda: qc.channel(np.eye(2)), r"shape \(2, 2\)"),
        (lambda: qc.state(qc.Circuit(1, [qc.bit_flip(0.1)])), "density_matrix, trajectories"),
        (lambda: qc.Circuit(2, [qc.control(1, qc.bit_flip(0.1))]), "no controlled version"),
        (lambda: qc.Circuit(1, [qc.daggered(qc.bit_flip(0.1))]), "no adjoint"),
        (lambda: qc.density_matrix(qc.Circuit(1, [qc.X]), jnp.eye(4)), r"give \(2,\) or \(2, 2\)"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()
