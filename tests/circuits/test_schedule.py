"""Schedules against the circuits that they were made of: run as they are, by NumPy, and with faults put into them."""

import copy

import jax
import numpy as np
import pytest

from pullback import circuits as qc
from pullback import operators
from pullback.circuits._doubled import doubled
from pullback.circuits._engine import _expansion as expansion
from pullback.circuits._engine import _native as native
from pullback.circuits._engine import _schedule as scheduling
from pullback.circuits._engine import _sharded as sharded
from pullback.circuits._engine._keys import PAIR, matrix_key
from pullback.circuits._engine._layout import Move
from pullback.circuits._engine._native import _operations as operations
from pullback.circuits._engine._walk import deeds_of, same_deeds, stands_for
from pullback.circuits._gates import Matrix
from pullback.core import InputError
from tests.circuits import dense
from tests.memory import give_back

MATRIX = np.linalg.qr(np.random.default_rng(7).normal(size=(4, 4)) + 1j)[0]


# Circuits made of words, and their matrices.


def random_spec(rng, n):
    """(kind, qubits, controls, values) of a gate, often a permutation."""
    kinds = ["X", "X", "SWAP", "Rx", "Rz", "H", "P", "Rzz", "Rxx", "iSWAP", "fSim", "U3", "matrix"]
    of_two = ("SWAP", "matrix", "iSWAP", "fSim", "Rzz", "Rxx")
    kind, places = rng.choice([kind for kind in kinds if n > 1 or kind not in of_two]), rng.permutation(n).tolist()
    k = 2 if kind in of_two else 1
    controls = places[k : k + int(rng.integers(0, 2))] if kind != "X" else places[k : k + int(rng.integers(0, 3))]
    return kind, places[:k], controls, rng.integers(0, 2, len(controls)).tolist()


def made(rng, spec):
    """A gate with random angles, and what `dense.embed` needs for it."""
    kind, qubits, controls, values = spec
    if kind == "matrix":
        u, gate = MATRIX, qc.matrix_gate(MATRIX)
    elif kind in dense.CONSTANT:
        u, gate = dense.CONSTANT[kind], getattr(qc, kind)
    else:
        _, count, make = dense.ROTATION[kind]
        angles = rng.normal(size=count).tolist()
        u, gate = make(*angles), getattr(qc, kind)(*angles)
    block = qc.put(qubits, gate)
    return qc.control(controls, block, values=values) if controls else block, (u, qubits, controls, values)


def repeated_words(seed):
    """w^a v w^b …: repeated, nearly repeated, nested and cut words on two to five qubits; and the state."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    words = [[random_spec(rng, n) for _ in range(int(rng.integers(1, 5)))] for _ in range(3)]
    specs = []
    for _ in range(int(rng.integers(1, 6))):
        word = words[rng.integers(3)]
        if rng.random() < 0.3:  # but for one gate
            word = [*word]
            word[rng.integers(len(word))] = random_spec(rng, n)
        part = word * int(rng.integers(1, 7))
        if rng.random() < 0.3:  # (w^a v)^b
            part = (part + words[rng.integers(3)]) * int(rng.integers(1, 4))
        specs += part
    specs = specs[int(rng.integers(0, 3)) : len(specs) - int(rng.integers(0, 3))][:150]
    blocks, uses = zip(*(made(rng, spec) for spec in specs)) if specs else ((), ())
    psi = np.eye(1 << n)[0]
    for u, qubits, controls, values in uses:
        psi = dense.embed(u, qubits, n, controls, values) @ psi
    return qc.Circuit(n, blocks), psi


# A schedule done by NumPy, kernel by kernel, without JAX and without its layouts.


def entries(matrix, angles, given):
    """The matrix of a factor."""
    name = matrix.name
    if matrix.conjugate:
        return entries(matrix._replace(conjugate=False), angles, given).conj()
    if matrix.adjoint:
        return entries(matrix._replace(adjoint=False), angles, given).conj().T
    if name == "given":
        return given
    if name == "Rx(-pi/2)":
        return dense.exp_pauli(dense.X, -np.pi / 2)
    return np.asarray(dense.ROTATION[name][2](*angles) if name in dense.ROTATION else dense.CONSTANT[name], complex)


def matrices_of(circuit, key, recipe):
    """The matrices of all members of a key, from the factors of which the recipe makes them."""
    names: dict = {}
    factors: dict[int, list] = {}
    for element in expansion._elements(key, recipe, names):
        (matrix,) = [key[0] for key, number in names.items() if number == element.name]
        a, count = element.angles, len(element.members)
        order = np.broadcast_to(element.factor, count)
        for row, member in enumerate(element.members):
            theta = circuit.parameters[a.slots[row]] * (1 if a.factors is None else a.factors[row])
            given = np.asarray(circuit.matrices[key.size][element.given[row]]) if matrix.is_given else None
            factors.setdefault(int(member), []).append((order[row], entries(matrix, np.asarray(theta), given)))
    out = []
    for member in range(len(factors)):
        u = np.eye(len(factors[member][0][1]))
        for _, factor in sorted(factors[member], key=lambda f: f[0]):
            u = factor @ u
        out.append(u)
    return np.array(out)


def on_pairs(psi, u, i, j, sign):
    psi = psi.copy()
    psi[i], psi[j] = u[0, 0] * psi[i] + sign * u[0, 1] * psi[j], sign * u[1, 0] * psi[i] + u[1, 1] * psi[j]
    return psi


def run(circuit, schedule):
    """The state after a schedule that acts on |0…0⟩."""
    circuit = circuit.of_program(circuit.program, parameters=np.asarray(circuit.parameters))
    psi, index = np.eye(1 << circuit.n, dtype=complex)[0], np.arange(1 << circuit.n)
    segments, last = schedule
    for segment in segments:
        if segment.fixed:
            psi = run_steps(circuit, segment, psi, index)
            continue
        u = {key: matrices_of(circuit, key, recipe) for key, recipe in segment.recipes.items()}
        u = {key: m.reshape(segment.count, -1, *m.shape[1:]) for key, m in u.items()}
        deeds = [*deeds_of(segment)]
        for k in range(segment.count):
            for sort, key, members, content in deeds:
                if sort == "move":
                    psi = psi[content]
                elif sort == "gates":
                    for member, bit in zip(members, content):
                        i = index[index >> bit & 1 == 0]
                        psi = on_pairs(psi, u[key][k, member], i, i | 1 << bit, 1)
                elif sort == "pair":
                    psi = on_pairs(psi, u[key][k, members[0]], *content)
                elif sort == "diagonal":
                    psi = psi * np.array([1, *np.diag(u[key][k, members[0]])])[content]
                else:
                    psi[content] = u[key][k, members[0]] @ psi[content]
    return psi if last is None else psi[last]


def run_steps(circuit, segment, psi, index):
    u = {key: matrices_of(circuit, key, placed.recipe) for key, placed in segment.recipes.items()}
    codes = [PAIR, *map(matrix_key, segment.kernels[0].sizes)]
    used = dict.fromkeys(codes, 0)
    for k in range(segment.count):
        m, x, s, controls, values = segment.fixed["masks"][k].tolist()
        key = codes[segment.fixed["which"][k] if "which" in segment.fixed else 0]
        matrix = u[key][used[key]]
        used[key] += 1
        active = (index & controls) == values
        if key != PAIR:
            bits = segment.fixed["bits"][k].tolist()[: len(matrix).bit_length() - 1]
            qubits = [circuit.n - 1 - b for b in reversed(bits)]
            psi = np.where(active, dense.applied(psi, matrix, qubits), psi)
            continue
        b, sign = (np.bitwise_count(index & mask).astype(int) % 2 for mask in (m, s))
        other = (1 - 2 * sign) * matrix[b, 1 - b] * psi[index ^ x] if x else 0
        psi = np.where(active, matrix[b, b] * psi + other, psi)
    return psi


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 2500), marks=pytest.mark.slow)], ids=len)
def test_words(seeds):
    """Repetitions are found, and are right: none has to fall back to the plain schedule, which is right as well."""
    repeated = 0
    for seed in seeds:
        give_back()
        circuit, psi = repeated_words(seed)
        found = scheduling._schedule(circuit.program)
        assert stands_for(circuit.program, found), seed
        np.testing.assert_allclose(run(circuit, found), psi, atol=1e-12, err_msg=str(seed))
        for segment in found[0]:
            assert same_deeds(segment, native.decoded(segment, *native._encode(segment))), seed
        repeated += any(segment.count > 1 and not segment.fixed for segment in found[0])
        if seed % 10 == 0:
            plain = scheduling.plain(circuit.program)
            assert stands_for(circuit.program, plain), seed
            np.testing.assert_allclose(run(circuit, plain), psi, atol=1e-12, err_msg=str(seed))
            both = doubled(circuit)
            found = scheduling._schedule(both.program)
            assert stands_for(both.program, found), seed
            if circuit.n < 5:  # rows are the first qubits
                np.testing.assert_allclose(run(both, found), np.kron(psi, psi.conj()), atol=1e-12, err_msg=str(seed))
    assert repeated > len(seeds) / 3


@pytest.mark.optimised
@pytest.mark.parametrize("accelerated", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize(
    ("second", "tail"),
    [
        (("X", [2], [1], [1]), [("H", [1], [], [])]),
        pytest.param(("X", [2], [1], [1]), [], marks=pytest.mark.slow),
        pytest.param(("SWAP", [2, 1], [], []), [("X", [2], [0], [1])], marks=pytest.mark.slow),
        pytest.param(("Rzz", [2, 1], [], []), [("Rz", [0], [], [])], marks=pytest.mark.slow),
    ],
)
def test_repetitions_that_touch(second, tail, accelerated, monkeypatch):
    """A repetition is not completed with the first item of the next one: state and gradient, against matrices."""
    if not accelerated:
        monkeypatch.setattr(native, "is_available", lambda: False)
    rx = "Rx", [2], [], []
    specs = [rx, ("X", [2], [0], [1])] * 3 + [rx, second] * 3 + tail
    blocks, uses = zip(*(made(np.random.default_rng(k), spec) for k, spec in enumerate(specs)))
    circuit = qc.Circuit(3, blocks)

    def product(turned=None):
        """The state; a rotation that is turned by another half turn is twice its derivative."""
        psi = np.eye(8)[0]
        for k, ((kind, *_), (u, *where)) in enumerate(zip(specs, uses)):
            more = dense.ROTATION[kind][2](np.pi) if k == turned else np.eye(len(u))
            psi = dense.embed(more @ u, where[0], 3, *where[1:]) @ psi
        return psi

    psi = product()
    np.testing.assert_allclose(qc.state(circuit), psi, atol=1e-13)
    h = operators.PauliSum(3, {"Z0 X1": 1.0, "Y2": 0.5, "X2": 0.7})
    H = dense.pauli("ZXI") + 0.5 * dense.pauli("IIY") + 0.7 * dense.pauli("IIX")
    exact = [(psi.conj() @ H @ product(k)).real for k, spec in enumerate(specs) if spec[0] in dense.ROTATION]
    gradient = jax.grad(lambda theta: qc.expect(h, circuit.with_parameters(theta)))(circuit.parameters)
    np.testing.assert_allclose(gradient, exact, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_words_in_full(seed, monkeypatch):
    """The same circuits by the evolver, with or without the accelerator; a derivative, by differences of NumPy's."""
    circuit, psi = repeated_words(seed)
    if seed % 2:
        monkeypatch.setattr(native, "is_available", lambda: False)
    np.testing.assert_allclose(qc.state(circuit), psi, atol=1e-12)
    theta, h = np.asarray(circuit.parameters), operators.heisenberg(circuit.n, 4.0)
    d = np.random.default_rng(seed).normal(size=theta.shape)
    d /= max(np.linalg.norm(d), 1)
    H, plain = np.asarray(h.matrix()), scheduling.plain(circuit.program)

    def energy(t):
        psi = run(circuit.with_parameters(t), plain)
        return (psi.conj() @ H @ psi).real

    expected = (energy(theta + 1e-5 * d) - energy(theta - 1e-5 * d)) / 2e-5
    gradient = jax.jit(jax.grad(lambda t: qc.expect(h, circuit.with_parameters(t))))(theta)
    np.testing.assert_allclose(gradient @ d, expected, atol=1e-8)


@pytest.mark.parametrize("seed", [35])
def test_long_bodies_compile(seed, monkeypatch):
    """Twenty operations on pairs in one body, which repeats: XLA would fuse them, in a time and memory of 2^20."""
    monkeypatch.setattr(native, "is_available", lambda: False)
    circuit, psi = repeated_words(seed)
    np.testing.assert_allclose(qc.state(circuit), psi, atol=1e-12)


def random_tree(rng, n, qubits, depth):
    """A block of blocks on these qubits of n, its number of angles, and its matrix as a function of them."""
    kind = rng.choice(["chain", "repeat", "daggered", "control", "layers"]) if depth else "gate"
    if kind == "gate" or len(qubits) < 2:
        name, where, controls, values = random_spec(rng, len(qubits))
        where, controls = ([qubits[q] for q in part] for part in (where, controls))
        block, (u, *_) = made(rng, (name, where, controls, values))
        _, count, make = dense.ROTATION.get(name, (0, 0, lambda: u))
        return block, count, lambda angles: dense.embed(make(*angles), where, n, controls, values)
    if kind == "chain":
        blocks, counts, matrices = zip(*(random_tree(rng, n, qubits, depth - 1) for _ in range(3)))
        ends = np.cumsum(counts)

        def product(angles):
            parts = [m(angles[end - c : end]) for m, c, end in zip(matrices, counts, ends)]
            return parts[2] @ parts[1] @ parts[0]

        return qc.chain(*blocks), sum(counts), product
    if kind == "control":
        c, rest = qubits[0], qubits[1:]
        block, count, matrix = random_tree(rng, n, rest, depth - 1)
        on = dense.embed(np.diag([0, 1]), [c], n)
        return qc.control(c, block), count, lambda angles: on @ matrix(angles) + np.eye(1 << n) - on
    block, count, matrix = random_tree(rng, n, qubits, depth - 1)
    if kind == "daggered":
        return qc.daggered(block), count, lambda angles: matrix(angles).conj().T
    times = int(rng.integers(1, 5))
    if kind == "repeat":
        return qc.repeat(times, block), count, lambda angles: np.linalg.matrix_power(matrix(angles), times)

    def of_rows(angles):
        out = np.eye(1 << n)
        for row in np.reshape(angles, (times, count)):
            out = matrix(row) @ out
        return out

    return qc.layers(block, np.zeros((times, count))), times * count, of_rows


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 500), marks=pytest.mark.slow)], ids=len)
def test_blocks_of_blocks(seeds):
    """Chains, controls, adjoints, repetitions and layers of each other become the program that they mean."""
    for seed in seeds:
        give_back()
        rng = np.random.default_rng(seed)
        block, count, matrix = random_tree(rng, 4, rng.permutation(4).tolist(), 3)
        circuit = qc.Circuit(4, [block])
        assert circuit.n_parameters == count, seed
        angles = rng.normal(size=count)
        circuit = circuit.with_parameters(angles)
        found = scheduling._schedule(circuit.program)
        assert stands_for(circuit.program, found), seed
        np.testing.assert_allclose(run(circuit, found), matrix(angles)[:, 0], atol=1e-12, err_msg=str(seed))


# Faults.


def samples():
    """Circuits whose schedules have, together, every kernel and recipe: repeated, completed, single and as data."""
    rng = np.random.default_rng(3)
    specs = [
        *[("Rx", [q], [], []) for q in range(3)],
        ("Rz", [1], [], []),
        ("X", [1], [0], [1]),
        ("Rzz", [1, 2], [], []),
        ("P", [2], [0], [0]),
        ("Rxx", [0, 2], [], []),
        ("matrix", [2, 0], [1], [1]),
        ("SWAP", [0, 1], [], []),
    ]  # fmt: skip
    layer = [made(rng, spec)[0] for spec in specs]
    short = [made(rng, spec)[0] for spec in (("Rx", [0], [], []), ("X", [1], [0], [1]))]
    mixed = [made(rng, random_spec(rng, 3))[0] for _ in range(22)]
    noisy = [qc.put(0, qc.Ry(0.3)), qc.put(1, qc.depolarizing(0.1)), qc.put((0, 1), qc.CNOT)]
    return {
        "layers": qc.Circuit(3, layer * 4),
        "completed": qc.Circuit(3, [*short * 4, short[0], qc.put((0, 2), qc.Rxx(0.4))]),
        "data": qc.Circuit(3, mixed),
        "noise": qc.Circuit(2, noisy * 3),
    }


def faults_of(segments, last):
    """(name, schedule) for every fault that can be put into one place of a schedule."""
    for k, segment in enumerate(segments):
        for name, change in faults_of_segment(segment):
            new = copy.deepcopy(segments)
            change(new[k])
            yield f"segment {k}: {name}", (new, last)
    yield "last table", (segments, np.roll(np.arange(8) if last is None else last, 1))
    yield "first segment dropped", (segments[1:], last)


def faults_of_segment(segment):
    """(name, what makes the fault in a copy of the segment)."""
    if segment.recipes:
        yield "one more", lambda s: setattr(s, "count", s.count + 1)
        yield "one less", lambda s: setattr(s, "count", s.count - 1)
    if segment.missing:
        yield "nothing missing", lambda s: setattr(s, "missing", 0)
    for j in range(len(segment.acts)):
        yield f"act {j} dropped", lambda s, j=j: setattr(s, "acts", s.acts[:j] + s.acts[j + 1 :])
    for name, array in segment.fixed.items():
        for at in np.ndindex(array.shape):
            if name != "bits" or at[1] < (0, *segment.kernels[0].sizes)[segment.fixed["which"][at[0]]]:
                yield f"{name} {at}", lambda s, name=name, at=at: np.bitwise_xor.at(s.fixed[name], at, 1)
    for j, kernel in enumerate(segment.kernels if not segment.fixed else ()):
        yield f"kernel {j} dropped", lambda s, j=j: (s.kernels.pop(j), s.sources.pop(j))
        for name, change in faults_of_kernel(kernel):
            yield f"kernel {j}: {name}", lambda s, j=j, change=change: change(s.kernels[j])
    for key, recipe in segment.recipes.items():
        for g, group in enumerate(getattr(getattr(recipe, "recipe", recipe), "groups", ())):
            for e, element in enumerate(group.elements):
                a, new = element.angles, [("matrix", {"matrix": Matrix("Y")})]
                if a.slots.size:
                    new.append(("slots", {"angles": a._replace(slots=a.slots + 1)}))
                    new.append(("factors", {"angles": a._replace(factors=np.full(a.slots.shape, 2.0))}))
                for name, fields in new:
                    place = key, g, e, fields
                    yield f"{name} of factor {e} of group {g}", lambda s, place=place: replace_element(s, *place)


def faults_of_kernel(kernel):
    if isinstance(kernel, Move):
        yield "moved elsewhere", lambda k: setattr(k, "there", np.roll(k.there, 1))
    for p, (*_, gates) in enumerate(getattr(kernel, "phases", ())):
        for g, (member, bit) in enumerate(gates):
            new = member, (bit + 1) % 3
            yield f"bit of gate {g}", lambda k, p=p, g=g, new=new: k.phases[p][2].__setitem__(g, new)
    if hasattr(kernel, "groups"):
        yield "targets in another order", lambda k: setattr(k, "groups", k.groups._replace(table=k.groups.table[::-1]))
    if hasattr(kernel, "active"):
        yield "controls", lambda k: setattr(k, "active", [~a for a in k.active])
    if hasattr(kernel, "tables"):
        b, active, sign, partner = kernel.tables
        for name, value in {"b": ~b, "active": ~active, "sign": -sign, "partner": np.roll(partner, 1)}.items():
            new = kernel.tables._replace(**{name: value})
            yield name, lambda k, new=new: setattr(k, "tables", new)


def replace_element(segment, key, group, element, fields):
    recipe = getattr(segment.recipes[key], "recipe", segment.recipes[key])
    elements = [*recipe.groups[group].elements]
    elements[element] = elements[element]._replace(**fields)
    recipe.groups[group] = recipe.groups[group]._replace(elements=tuple(elements))


@pytest.mark.parametrize("name", ["layers", "completed", "data", "noise"])
def test_faults(name, monkeypatch):
    """Whatever is wrong in a schedule is seen; the circuit is then done without it, and right."""
    circuit = samples()[name]
    found = scheduling._schedule(circuit.program)
    assert stands_for(circuit.program, found)
    count = 0
    for fault, schedule in faults_of(*found):
        assert not stands_for(circuit.program, schedule), fault
        count += 1
    assert count > 10
    for broken in (lambda program: schedule, lambda program: [].pop()):
        monkeypatch.setattr(scheduling, "_schedule", broken)
        plain = scheduling.schedule.__wrapped__(circuit.program)
        assert stands_for(circuit.program, plain)
        if name != "noise":
            np.testing.assert_allclose(run(circuit, plain), run(circuit, found), atol=1e-13)


def test_faults_of_the_accelerator(monkeypatch):
    """Each number that the accelerator is given is read back; with a wrong one, the segment is left to JAX."""
    segments, _ = scheduling._schedule(samples()["layers"].program)
    segment = max(segments, key=lambda s: s.count)
    ops, tables = native._encode(segment)
    assert same_deeds(segment, native.decoded(segment, ops, tables))

    def unseen(array):
        out = []
        for k in range(len(array)):
            array[k] += 1
            out += [k] * same_deeds(segment, native.decoded(segment, ops, tables))
            array[k] -= 1
        return out

    assert not unseen(ops)
    # The table of a phase may name any amplitude in the same class; the last number is there so that none is empty.
    start = next(op for op in operations.decoded(ops) if isinstance(op, operations.Diagonal)).layout
    assert {*unseen(tables)} <= {*range(start, start + 8), len(tables) - 1}
    ops[-1] += 1
    monkeypatch.setattr(native, "_encode", lambda segment: (ops, tables))
    assert len(native._encoded.__wrapped__(segment)[0]) == 0


def test_faults_on_many_devices(monkeypatch):
    rng = np.random.default_rng(5)
    specs = [
        ("Rx", [0], [], []),
        ("Rz", [5], [1], [1]),
        ("X", [0], [5], [1]),
        ("SWAP", [4, 1], [], []),
        ("matrix", [0, 3], [2], [0]),
        ("Rxx", [1, 5], [], []),
        ("Rx", [2], [], []),
    ]
    program = qc.Circuit(6, [made(rng, spec)[0] for spec in specs] * 4).program
    found = sharded._schedule(program, 2)
    assert sharded.stands_for(program, found, 2)
    for k, segment in enumerate(found):
        changes = [lambda s: setattr(s, "count", s.count + 1)]
        for j, kernel in enumerate(segment.kernels):
            changes.append(lambda s, j=j: (s.kernels.pop(j), s.sources.pop(j)))
            for name in ("tables", "groups", "there"):
                if hasattr(given := getattr(kernel, name, None), "masks"):
                    new = given._replace(masks=given.masks._replace(controls=given.masks.controls ^ 1))
                    fields = {name: new} | ({"back": new} if name == "there" else {})
                    changes.append(lambda s, j=j, fields=fields: vars(s.kernels[j]).update(fields))
        for change in changes:
            broken = copy.deepcopy(found)
            change(broken[k])
            assert not sharded.stands_for(program, broken, 2)
    monkeypatch.setattr(sharded, "_schedule", lambda program, g: broken)
    plain = sharded.sharded_schedule.__wrapped__(program, 2)
    assert sharded.stands_for(program, plain, 2)
    assert all(segment.count == 1 for segment in plain)


def test_input_errors_are_no_faults():
    h = operators.transverse_ising(7, 0.7)
    with pytest.raises(InputError, match="strings that do not commute"):
        qc.state(qc.Circuit(8, [qc.control(7, qc.TimeEvolution(h, 0.1))]))
