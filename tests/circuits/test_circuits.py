"""Gates, blocks and the engine against matrices, published values and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from pullback import circuits as qc
from pullback import operators
from pullback.circuits._engine import _native as native
from pullback.circuits._engine._schedule import schedule
from pullback.core import Checkpoint, Direct, InputError, TwoLevel, Uncompute
from pullback.trust import check_derivatives
from tests.circuits import dense

# Energies and gradient norms of heisenberg(n, 4) at default_rng(0).uniform(0, 2 pi): Yao's circuit, several simulators.
PUBLISHED = {
    (10, 1): (0.211683840238, 2.960351802184),
    (10, 10): (-0.225544425448, 2.156371522444),
    (10, 10_000): (-0.158583655179, 67.905940347),
}


def random_gates(rng, n, count):
    """Blocks and their matrices, of every kind."""
    blocks, matrices = [], []
    for _ in range(count):
        kind = rng.choice([*dense.CONSTANT, *dense.ROTATION, "rotor", "matrix"])
        places = rng.permutation(n).tolist()
        if kind == "rotor":
            letters, angle = rng.choice(list("IXYZ"), n), rng.normal()
            blocks.append(qc.rotor(" ".join(f"{a}{q}" for q, a in enumerate(letters)), angle))
            matrices.append(dense.exp_pauli(dense.pauli(letters), angle))
            continue
        if kind == "matrix":
            k = int(rng.integers(1, 3))
            u = scipy.stats.unitary_group.rvs(1 << k, random_state=rng)
            gate = qc.matrix_gate(u)
        elif kind in dense.CONSTANT:
            u, gate = dense.CONSTANT[kind], getattr(qc, kind)
        else:
            _, angles, make = dense.ROTATION[kind]
            values = rng.normal(size=angles)
            u, gate = make(*values), getattr(qc, kind)(*values)
        k = len(u).bit_length() - 1
        qubits, spare = places[:k], places[k:]
        block = qc.put(qubits, gate)
        if rng.random() < 0.3:
            block, u = qc.daggered(block), u.conj().T
        controls = spare[: int(rng.integers(0, min(2, len(spare)) + 1))]
        values = rng.integers(0, 2, len(controls)).tolist()
        if controls:
            block = qc.control(controls, block, values=values)
        blocks.append(block)
        matrices.append(dense.embed(u, qubits, n, controls, values))
    return blocks, matrices


def product(matrices, psi):
    for u in matrices:
        psi = u @ psi
    return psi


@pytest.mark.parametrize(
    ("seed", "prefix", "body", "count", "suffix"),
    [
        (0, 2, 6, 5, 3),  # repeated layers between others: scans
        (1, 0, 40, 1, 0),  # no repetition: one step after the other
        *(pytest.param(seed, 3, 5, 7, 4, marks=pytest.mark.slow) for seed in range(2, 12)),
        *(pytest.param(seed, 0, 60, 1, 0, marks=pytest.mark.slow) for seed in range(12, 16)),
    ],
)
def test_random_circuits(seed, prefix, body, count, suffix):
    rng, n = np.random.default_rng(seed), 4
    (before, m0), (layer, m1), (after, m2) = (random_gates(rng, n, k) for k in (prefix, body, suffix))
    circuit = qc.Circuit(n, [*before, qc.repeat(count, qc.chain(layer)), *after])
    psi = rng.normal(size=1 << n) + 1j * rng.normal(size=1 << n)
    exact = product([*m0, *(m1 * count), *m2], psi)
    np.testing.assert_allclose(jax.jit(qc.state)(circuit, psi), exact, atol=1e-12)


@pytest.mark.optimised
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 30))])
def test_layers_that_differ_in_one_gate(seed):
    """What nearly repeats is no repetition."""
    rng, n = np.random.default_rng(seed), 4
    layer, gates = [*zip(*random_gates(rng, n, 4))], []
    for _ in range(5):
        row = list(layer)
        if rng.random() < 0.6:
            ((block,), (matrix,)) = random_gates(rng, n, 1)
            row[rng.integers(len(row))] = block, matrix
        gates += row
    blocks, matrices = zip(*gates)
    exact = product(matrices, np.eye(1 << n)[0])
    np.testing.assert_allclose(qc.state(qc.Circuit(n, blocks)), exact, atol=1e-12)


@pytest.mark.optimised
def test_definitions():
    """Every gate by its matrix, in one circuit each of which is compiled once."""
    for name, u in dense.CONSTANT.items():
        np.testing.assert_allclose(
            qc.Circuit(2, [getattr(qc, name)]).matrix(), dense.embed(u, range(len(u) // 2), 2), atol=1e-15
        )
    np.testing.assert_allclose(
        qc.Circuit(3, [qc.Toffoli]).matrix(), dense.embed(dense.X, [2], 3, (0, 1), (1, 1)), atol=1e-15
    )
    for name, (k, angles, make) in dense.ROTATION.items():
        values = [0.3, -0.7, 1.1][:angles]
        np.testing.assert_allclose(qc.Circuit(k, [getattr(qc, name)(*values)]).matrix(), make(*values), atol=1e-15)


def every_block(theta, matrix, strength):
    """A circuit of four qubits with every kind of block."""
    field = operators.PauliSum(2, [("X0 X1", strength[0]), ("Z0", strength[1])])
    ladder = operators.PauliSum(3, [("Z0 Z1", strength[0]), ("Z1 Z2", strength[1])])
    common = qc.shared("common", theta[0])
    q, _ = jnp.linalg.qr(matrix[0] + 1j * matrix[1])
    return qc.Circuit(
        4,
        [
            qc.kron(qc.Ry(theta[1]), qc.fSim(theta[2], theta[3])),
            qc.put(0, qc.Rx(common)),
            qc.layers(
                qc.chain(qc.put((0, 1), qc.Rzz(0.0)), qc.put(2, qc.U3(0.0, 0.0, 0.0)), qc.put((2, 3), qc.CNOT)),
                theta[:12].reshape(3, 4),
            ),
            qc.repeat(2, qc.chain(qc.rotor("X0 Y2 Z3", theta[4]), qc.put(3, qc.Ry(2 * common)))),
            qc.control(1, qc.put(3, qc.Rx(theta[5])), values=0),
            qc.put((1, 3), qc.TimeEvolution(field, theta[6])),
            qc.put((3, 0, 1), qc.TimeEvolution(ladder, theta[7])),
            qc.daggered(
                qc.chain(qc.put((0, 2), qc.Rxx(theta[8])), qc.put((1, 2), qc.Ryy(theta[9])), qc.put(1, qc.P(theta[10])))
            ),
            qc.put((2, 1), qc.matrix_gate(q)),
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    "modes", [pytest.param(m, marks=pytest.mark.slow) for m in (("vjp",), ("jvp", "fwd-rev", "rev-rev", "fwd-fwd"))]
)
def test_derivatives(modes):
    """By angles, matrices, couplings of evolutions and of the observable, and the initial state, in all modes."""
    rng = np.random.default_rng(0)
    theta, matrix, strength, psi = (rng.normal(size=s) for s in ((12,), (2, 4, 4), (2,), (2, 16)))

    def energy(theta, matrix, strength, psi):
        return qc.expect(
            operators.heisenberg(4, 4 * strength[0]), every_block(theta, matrix, strength), (psi[0] + 1j * psi[1]) / 4
        )

    check_derivatives(energy, theta, matrix, strength, psi, modes=modes, samples=1, throw=True)


def test_all_modes():
    """Scanned layers and single steps, to second order."""
    layer = qc.chain(
        [qc.put(0, qc.Rx(0.0)), qc.put((0, 1), qc.Rxx(0.0)), qc.put(1, qc.Ry(0.0)), qc.put((1, 0), qc.CNOT)]
    )
    circuit = qc.Circuit(2, [qc.layers(layer, np.random.default_rng(0).normal(size=(5, 3)))])

    def energy(theta):
        return qc.expect(operators.transverse_ising(2, 0.7), circuit.with_parameters(theta))

    check_derivatives(energy, circuit.parameters, samples=1, throw=True)


def test_derivatives_of_means():
    """By the couplings and the state, in all modes and, for two states at once, against matrices."""
    rng = np.random.default_rng(4)
    c, psi = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=(2, 2, 4)))
    strings = operators.PauliSum(2, {"X0 Y1": 1.0, "Z1": 1.0, "Y0": 1.0}).words
    dense_strings = [dense.pauli(word) for word in ("XY", "IZ", "YI")]

    def means(c, psi):
        return qc.expect(operators.PauliSum(2, operators.Terms(strings, c)), qc.Circuit(2, []), psi[0] + 1j * psi[1])

    z = psi[0] + 1j * psi[1]
    each = np.einsum("sa,kab,sb->sk", z.conj(), dense_strings, z).real
    np.testing.assert_allclose(jax.jacobian(means)(c, psi), each, atol=1e-14)
    image = np.einsum("k,kab,sb->sa", c, dense_strings, z)
    gradient = jax.grad(lambda psi: means(c, psi)[1])(psi)
    np.testing.assert_allclose(gradient[:, 1], 2 * np.stack([image[1].real, image[1].imag]), atol=1e-14)
    check_derivatives(means, c, psi, samples=1, throw=True)


@pytest.mark.slow
def test_large_evolution():
    """Strings that do not commute on more qubits than become a matrix: a Chebyshev series."""
    h = operators.transverse_ising(7, 0.7)
    circuit = qc.Circuit(7, [qc.kron(*[qc.Ry(0.3 + q) for q in range(7)]), qc.TimeEvolution(h, 0.4)])
    start = qc.state(qc.Circuit(7, [qc.kron(*[qc.Ry(0.3 + q) for q in range(7)])]))
    exact = scipy.linalg.expm(-0.4j * np.asarray(h.matrix())) @ start
    np.testing.assert_allclose(qc.state(circuit), exact, atol=1e-12)

    def z(t):
        return qc.expect(operators.PauliSum(7, {"Z0": 1.0}), circuit.with_parameters(circuit.parameters.at[7].set(t)))

    # dZ/dt = <i[H, Z0]>, by matrices
    zm, hm = (np.asarray(o.matrix()) for o in (operators.PauliSum(7, {"Z0": 1.0}), h))
    rate = (exact.conj() @ (1j * (hm @ zm - zm @ hm)) @ exact).real
    np.testing.assert_allclose(jax.grad(z)(0.4), rate, atol=1e-10)


@pytest.mark.parametrize(("n", "depth"), [(10, 1), (10, 10), pytest.param(10, 10_000, marks=pytest.mark.slow)])
def test_published_values(n, depth):
    circuit = qc.variational_circuit(n, depth)
    theta = np.random.default_rng(0).uniform(0, 2 * np.pi, circuit.n_parameters)

    @jax.jit
    @jax.value_and_grad
    def energy(theta):
        return qc.expect(operators.heisenberg(n, 4.0), circuit.with_parameters(theta), initial=qc.zero_state(n))

    value, gradient = energy(theta)
    e, norm = PUBLISHED[n, depth]
    np.testing.assert_allclose(value, e, atol=1e-9)
    np.testing.assert_allclose(jnp.linalg.norm(gradient), norm, rtol=1e-9)
    if depth == 10:
        np.testing.assert_allclose([gradient[0], gradient[-1]], [-0.092812284, -0.024547394], atol=1e-9)


def test_headline_layout():
    circuit = qc.variational_circuit(10, 10_000)
    assert qc.gate_count(circuit) == {"Rz": 200_000, "Rx": 100_010, "CNOT": 100_000}
    assert circuit.n_parameters == 300_010
    first = [(o.name, o.qubits) for o, _ in zip(circuit.operations, range(4))]
    assert first == [("Rx", (0,)), ("Rz", (0,)), ("Rx", (1,)), ("Rz", (1,))]


def test_interrupted_repetitions(monkeypatch):
    """Of many repetitions the longest are compiled by themselves, and the state is right."""
    monkeypatch.setattr("pullback.circuits._engine._schedule._MOST", 2)
    rng, blocks, psi = np.random.default_rng(0), [], np.eye(8)[0]
    for _ in range(10):
        where, angle, count = rng.permutation(3)[:2].tolist(), rng.normal(), int(rng.integers(5, 9))
        blocks += [qc.put(where, qc.Rxx(angle)), qc.put(where[0], qc.Ry(0.1))] * count
        both = dense.embed(dense.exp_pauli(dense.Y, 0.1), where[:1], 3)
        both = both @ dense.embed(dense.exp_pauli(dense.pauli("XX"), angle), where, 3)
        psi = np.linalg.matrix_power(both, count) @ psi
    circuit = qc.Circuit(3, blocks)
    assert 1 <= sum(segment.count > 1 and not segment.fixed for segment in schedule(circuit.program)[0]) <= 2
    np.testing.assert_allclose(qc.state(circuit), psi, atol=1e-12)


@pytest.mark.slow
def test_programs_do_not_grow():
    """A loop of appended gates is found to repeat; a qubit that is left alone collects all its gates in one."""

    def unrolled(depth, pairs):
        layer = [qc.put(q, g(0.0)) for q in range(3) for g in (qc.Rz, qc.Rx)] + [qc.put(p, qc.CNOT) for p in pairs]
        return qc.Circuit(3, layer * depth)

    def lines(circuit):
        def energy(theta):
            return qc.expect(operators.heisenberg(3, 4.0), circuit.with_parameters(theta))

        return len(jax.jit(energy).lower(circuit.parameters).as_text().splitlines())

    ring = [(0, 1), (1, 2)]
    assert lines(unrolled(400, ring)) == lines(unrolled(20, ring))
    (segment,) = [s for s in schedule(unrolled(400, ring).program)[0] if s.count > 1]
    assert segment.count == 400
    assert lines(unrolled(400, ring[:1])) < lines(unrolled(20, ring[:1])) + 400
    alone = qc.Circuit(1, [qc.Rx(0.1), qc.Rz(0.2)] * 40)
    turn = dense.exp_pauli(dense.Z, 0.2) @ dense.exp_pauli(dense.X, 0.1)
    np.testing.assert_allclose(alone.matrix(), np.linalg.matrix_power(turn, 40), atol=1e-13)


@pytest.mark.parametrize("pairs", ["ring of growing range", "bricks of SWAP"])
def test_targets_that_change_from_layer_to_layer(pairs):
    """Layers that are equal but for the targets of their permutations are no repetition."""
    n, blocks, exact = 4, [], np.eye(16)[0]
    for k in range(4):
        for q in range(n):
            blocks.append(qc.put(q, qc.Ry(0.3 + q)))
            exact = dense.embed(dense.exp_pauli(dense.Y, 0.3 + q), [q], n) @ exact
        bricks = [(0, 1), (2, 3)] if k % 2 else [(0, 2), (1, 3)]
        for a, b in bricks if "SWAP" in pairs else [(q, (q + 1 + k % (n - 1)) % n) for q in range(n)]:
            blocks.append(qc.put((a, b), qc.SWAP if "SWAP" in pairs else qc.CNOT))
            matrix = (dense.CONSTANT["SWAP"], [a, b]) if "SWAP" in pairs else (dense.X, [b])
            exact = dense.embed(*matrix, n, *([[a], [1]] if "ring" in pairs else [])) @ exact
    np.testing.assert_allclose(qc.state(qc.Circuit(n, blocks)), exact, atol=1e-14)


@pytest.mark.parametrize(
    "adjoint",
    [
        Uncompute(checkpoint_every=3),
        pytest.param(Checkpoint(2), marks=pytest.mark.slow),
        pytest.param(TwoLevel(), marks=pytest.mark.slow),
    ],
)
def test_adjoints_agree(adjoint):
    """All ways to remember states give the same gradient."""
    rows = np.random.default_rng(1).normal(size=(7, 4))
    body = qc.chain(
        [qc.put(0, qc.Rx(0.0)), qc.put((0, 1), qc.Rzz(0.0)), qc.put(1, qc.Ry(0.0))],
        [qc.put(2, qc.Rx(0.0)), qc.put((1, 2), qc.CNOT)],
    )
    circuit = qc.Circuit(3, [qc.layers(body, rows)])

    def gradient(adjoint):
        def energy(theta):
            return qc.expect(operators.heisenberg(3, 4.0), circuit.with_parameters(theta), adjoint=adjoint)

        return jax.jit(jax.grad(energy))(circuit.parameters)

    np.testing.assert_allclose(gradient(adjoint), gradient(Direct()), atol=1e-13)


def test_not_unitary():
    """A damping matrix in the middle: states are stored."""
    damping = qc.matrix_gate(np.diag([1.0, 0.2]), unitary=False)
    circuit = qc.Circuit(2, [qc.Ry(0.4), qc.CNOT, qc.put(1, damping), qc.put(1, qc.Rx(0.7)), qc.CNOT])

    def energy(theta, **options):
        return qc.expect(operators.heisenberg(2, 4.0), circuit.with_parameters(theta), **options)

    check_derivatives(energy, circuit.parameters, modes=("vjp",), samples=1, throw=True)
    with pytest.raises(InputError, match="not unitary"):
        energy(circuit.parameters, adjoint=Uncompute())


@pytest.mark.parametrize(
    ("k", "accelerated"),
    [(1, False), *(pytest.param(k, a, marks=pytest.mark.slow) for k, a in ((1, True), (2, False)))],
)
def test_matrices_that_leave_the_unitary_ones(k, accelerated, monkeypatch):
    """Second and third derivatives along U + x D: ⟨H⟩ is then a polynomial in x, fitted to dense matrices."""
    if not accelerated:
        monkeypatch.setattr(native, "is_available", lambda: False)
    rng = np.random.default_rng(k)
    d = 1 << k
    U, _ = np.linalg.qr(rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d)))
    D = (rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d))) / 4
    h = operators.PauliSum(3, {"Z0": 0.7, "X0 Y1": 0.3, "Z1": -0.2, "Y2": 0.4})

    def energy(x):
        gate = qc.put(range(k), qc.matrix_gate(U + x * jnp.asarray(D)))
        turn = qc.put(1, qc.Rx(0.7))
        layer = qc.chain(qc.put(2, qc.Ry(0.4)), qc.put((0, 2), qc.CNOT), gate, turn, qc.daggered(qc.control(2, gate)))
        return qc.expect(h, qc.Circuit(3, qc.repeat(2, layer)))

    def exact(x):
        gate = U + x * D
        steps = [
            dense.embed(dense.exp_pauli(dense.Y, 0.4), (2,), 3),
            dense.embed(dense.X, (2,), 3, (0,), (1,)),
            dense.embed(gate, range(k), 3),
            dense.embed(dense.exp_pauli(dense.X, 0.7), (1,), 3),
            dense.embed(gate.conj().T, range(k), 3, (2,), (1,)),
        ]
        psi = np.eye(8)[0]
        for u in steps * 2:
            psi = u @ psi
        return (psi.conj() @ np.asarray(h.matrix()) @ psi).real

    f = jax.jit(energy)
    fit = np.polynomial.Chebyshev.interpolate(np.vectorize(exact), 8, [-1, 1]).convert(kind=np.polynomial.Polynomial)

    def along(g):
        return lambda x: jax.jvp(g, (x,), (1.0,))[1]

    np.testing.assert_allclose(jax.jit(along(jax.grad(f)))(0.0), 2 * fit.coef[2], atol=1e-11)
    if k == 1 and not accelerated:
        return
    for second in (jax.grad(along(f)), jax.grad(jax.grad(f)), along(along(f))):
        np.testing.assert_allclose(second(0.0), 2 * fit.coef[2], atol=1e-11)
    np.testing.assert_allclose(along(jax.grad(jax.grad(f)))(0.0), 6 * fit.coef[3], atol=1e-11)


def test_batches_and_precision():
    circuit = qc.variational_circuit(4, 3)
    thetas = np.random.default_rng(0).normal(size=(2, circuit.n_parameters))
    states = jax.vmap(lambda theta: qc.state(circuit.with_parameters(theta)))(thetas)
    for theta, psi in zip(thetas, states):
        np.testing.assert_allclose(qc.state(circuit.with_parameters(jnp.asarray(theta))), psi, atol=1e-14)
    basis = qc.state(circuit, jnp.eye(16)[:2])
    np.testing.assert_allclose(basis, circuit.matrix().T[:2], atol=1e-14)
    single = circuit.with_parameters(jnp.asarray(thetas[0], jnp.float32))
    psi = qc.state(single)
    assert psi.dtype == jnp.complex64
    np.testing.assert_allclose(psi, states[0], atol=1e-5)


def test_certificate():
    circuit = qc.variational_circuit(4, 300)
    theta = np.random.default_rng(0).normal(size=circuit.n_parameters)
    error = qc.round_trip_error(circuit.with_parameters(theta))
    assert 0 < error < 1e-12


@pytest.mark.slow
@pytest.mark.usefixtures("no_type_checks")  # they take longer than the test
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_million_random_gates(dtype):
    """The certificate tells the true drift, from the state in extended precision, within a factor of ten."""
    rng, n, count = np.random.default_rng(0), 6, 1_000_000
    kinds, qubits = rng.integers(0, 4, count), rng.integers(0, n, count)
    others, angles = (qubits + rng.integers(1, n, count)) % n, rng.uniform(0, 2 * np.pi, count).astype(dtype)
    make = [
        lambda q, r, a: qc.put(q, qc.Rx(a)),
        lambda q, r, a: qc.put(q, qc.Rz(a)),
        lambda q, r, a: qc.put((q, r), qc.CNOT),
        lambda q, r, a: qc.put((q, r), qc.Rzz(a)),
    ]
    gates = list(zip(kinds.tolist(), qubits.tolist(), others.tolist(), angles.tolist()))
    circuit = qc.Circuit(n, [make[k](q, r, a) for k, q, r, a in gates])
    circuit = circuit.with_parameters(jnp.asarray(angles[kinds != 2]))
    certificate = jax.jit(qc.round_trip_error)(circuit)
    psi = jax.jit(qc.state)(circuit)
    drift = float(np.linalg.norm(np.asarray(psi) - in_extended_precision(n, kinds, qubits, others, angles)))
    assert psi.real.dtype == dtype
    assert drift / 10 < certificate < 10 * drift < 1e4 * np.finfo(dtype).eps


def in_extended_precision(n, kinds, qubits, others, angles):
    half = angles.astype(np.longdouble) / 2
    cos, sin = np.cos(half), 1j * np.sin(half)
    i = np.arange(1 << n)
    bits = n - 1 - np.arange(n)
    signs = 1 - 2 * (i[None] >> bits[:, None] & 1)
    psi = np.zeros(1 << n, np.clongdouble)
    psi[0] = 1
    for kind, q, r, c, s in zip(kinds, qubits, others, cos, sin):
        match kind:
            case 0:
                psi = c * psi - s * psi[i ^ (1 << bits[q])]
            case 1:
                psi = (c - s * signs[q]) * psi
            case 2:
                psi = psi[i ^ ((i >> bits[q] & 1) << bits[r])]
            case _:
                psi = (c - s * signs[q] * signs[r]) * psi
    return psi


def test_pauli_sums():
    rng = np.random.default_rng(0)
    letters, c = rng.choice(list("IXYZ"), (8, 5)), rng.normal(size=8)
    h = operators.PauliSum(5, [(" ".join(f"{a}{q}" for q, a in enumerate(word)), x) for word, x in zip(letters, c)])
    exact = sum(x * dense.pauli(word) for word, x in zip(letters, c))
    np.testing.assert_allclose(h.matrix(), exact, atol=1e-14)
    again = operators.PauliSum.from_string(str(h), 5)
    np.testing.assert_allclose(again.matrix(), exact, atol=1e-14)
    read = operators.PauliSum.from_string("1.0*X0 X1 - 0.5*Z0 + Y2")
    np.testing.assert_allclose(
        read.matrix(), dense.pauli("XXI") - 0.5 * dense.pauli("ZII") + dense.pauli("IIY"), atol=1e-15
    )
    for n, e in ((4, -8.0), (8, -14.604373635749)):
        np.testing.assert_allclose(np.linalg.eigvalsh(operators.heisenberg(n, 4.0).matrix())[0], e, atol=1e-11)


def test_order_of_qubits():
    """Qubit 0 is the most significant bit: of states, matrices, samples, and matrices of some qubits in their order."""
    rng = np.random.default_rng(2)
    u, w = (scipy.stats.unitary_group.rvs(d, random_state=rng) for d in (2, 4))
    both = qc.Circuit(3, qc.kron(qc.matrix_gate(u), qc.matrix_gate(w)))
    np.testing.assert_allclose(both.matrix(), np.kron(u, w), atol=1e-14)
    flipped = qc.state(qc.Circuit(3, [qc.put(0, qc.X), qc.put(1, qc.X)]))
    assert abs(flipped.reshape(2, 2, 2)[1, 1, 0]) == 1
    assert qc.sample(flipped, jax.random.key(0), 3).tolist() == [0b110] * 3
    psi = rng.normal(size=(8, 2)) @ [1, 1j]
    t = psi.reshape(2, 2, 2)
    of_two = np.einsum("abc,dbe->caed", t, t.conj()).reshape(4, 4)
    np.testing.assert_allclose(qc.reduced_density_matrix(jnp.asarray(psi), (2, 0)), of_two, atol=1e-14)


def test_measurements():
    ghz = qc.state(qc.Circuit(3, [qc.H, qc.put((0, 1), qc.CNOT), qc.put((1, 2), qc.CNOT)]))
    np.testing.assert_allclose(qc.probabilities(ghz), [0.5, 0, 0, 0, 0, 0, 0, 0.5], atol=1e-15)
    np.testing.assert_allclose(qc.reduced_density_matrix(ghz, [2]), np.eye(2) / 2, atol=1e-15)
    np.testing.assert_allclose(qc.entanglement_entropy(ghz, [0, 1]), np.log(2), atol=1e-12)
    np.testing.assert_allclose(qc.fidelity(ghz, qc.zero_state(3)), 0.5, atol=1e-15)
    shots = np.asarray(qc.sample(ghz, jax.random.key(0), 4000))
    assert set(shots.tolist()) == {0, 7}
    assert abs((shots == 7).mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    angle = 0.4  # cos|00> + sin|11>: S = -Σ p ln p

    def entropy(t):
        return qc.entanglement_entropy(qc.state(qc.Circuit(2, [qc.Ry(2 * t), qc.CNOT])), [1])

    p = np.cos(angle) ** 2
    np.testing.assert_allclose(jax.grad(entropy)(angle), np.sin(2 * angle) * np.log(p / (1 - p)), rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qc.Circuit(2, [qc.put(2, qc.X)]), "0 to 1"),
        (lambda: qc.put((0, 0), qc.SWAP), "different"),
        (lambda: qc.control(0, qc.X), "must not act on them"),
        (lambda: qc.matrix_gate(np.ones((2, 2))), "unitary=False"),
        (lambda: qc.matrix_gate(np.ones((3, 3))), "square matrix"),
        (lambda: qc.variational_circuit(3, 1).with_parameters(np.zeros(5)), "12"),
        (lambda: qc.layers(qc.Rx(0.0), np.zeros(3)), "row"),
        (lambda: qc.Circuit(1, [qc.layers(qc.Rx(0.0), np.zeros((3, 2)))]), "columns"),
        (lambda: qc.Circuit(1, [qc.Rx(1j)]), "real"),
        (lambda: qc.Rx(), "1 angles"),
        (lambda: qc.state(qc.variational_circuit(3, 1), jnp.ones(4)), "8 amplitudes"),
        (lambda: qc.expect(operators.heisenberg(4, 4.0), qc.variational_circuit(3, 1)), "on 4 sites: the state has 8"),
        (lambda: qc.reduced_density_matrix(qc.zero_state(2), [2]), "0 to 1"),
        (lambda: qc.variational_circuit(1, 1), "at least two"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()
