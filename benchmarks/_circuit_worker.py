"""One simulator, one task, in a process of its own: the headline circuit with angles of seed 0.

`_circuit_worker.py SIMULATOR TASK QUBITS DEPTH [DTYPE]` prepares and prints a line of JSON; then every line on its
standard input makes it run once and print the seconds: of the CPU on one core, of the clock with BENCHMARK_CORES=all.
The simulators other than pullback need their own environment, and this file imports nothing from here.
"""

import json
import os
import resource
import sys
import time

cores = sorted(os.sched_getaffinity(0))
all_cores = os.environ.get("BENCHMARK_CORES") == "all"
os.sched_setaffinity(0, cores if all_cores else cores[-1:])
os.environ |= {"OMP_NUM_THREADS": str(len(cores) if all_cores else 1), "OPENBLAS_NUM_THREADS": "1"}

import numpy as np  # noqa: E402 (it reads the settings above)


def angles(n, depth):
    return np.random.default_rng(0).uniform(0, 2 * np.pi, (3 * depth + 1) * n)


def with_gaps(n, depth):
    """The angles as (depth + 1, n, 3), and where this circuit has them: Rz first and Rz last are missing."""
    there = np.ones((depth + 1, n, 3), bool)
    there[0, :, 0] = there[-1, :, 2] = False
    table = np.zeros(there.shape)
    table[there] = angles(n, depth)
    return table, there


def of_pullback(task, n, depth, dtype):
    import jax
    import jax.numpy as jnp

    from pullback.circuits import expect, variational_circuit
    from pullback.operators import heisenberg

    circuit, hamiltonian = variational_circuit(n, depth), heisenberg(n, 4.0)
    theta = jnp.asarray(angles(n, depth), dtype)

    def energy(theta):
        return expect(hamiltonian, circuit.with_parameters(theta))

    gradient = jax.value_and_grad(energy)

    def hvp(theta, v):
        return jax.jvp(jax.grad(energy), (theta,), (v,))[1]

    match task:
        case "forward":
            f, args = energy, (theta,)
        case "gradient":
            f, args = gradient, (theta,)
        case "hvp":
            f, args = hvp, (theta, jnp.ones_like(theta))
        case "batch":  # 32 circuits, one after the other; together they leave the caches of a CPU
            f, args = lambda thetas: jax.lax.map(gradient, thetas), (theta + jnp.arange(32)[:, None],)
        case _:
            raise SystemExit(f"no task {task}")
    start = time.process_time()
    compiled = jax.jit(f).lower(*args).compile()
    compile_seconds = time.process_time() - start
    memory = compiled.memory_analysis().temp_size_in_bytes / 1e6

    def run():
        return jax.block_until_ready(compiled(*args))

    out = run()
    norm = float(jnp.linalg.norm(out[1])) if task == "gradient" else None
    return run, {"compile_s": compile_seconds, "temporaries_MB": memory, "norm": norm}


def of_qulacs(n, depth):
    import qulacs

    table, there = with_gaps(n, depth)
    circuit = qulacs.ParametricQuantumCircuit(n)
    rotations = circuit.add_parametric_RZ_gate, circuit.add_parametric_RX_gate, circuit.add_parametric_RZ_gate
    start = time.process_time()
    for layer in range(depth + 1):
        for q in range(n if layer else 0):
            circuit.add_CNOT_gate(q, (q + 1) % n)
        for q in range(n):
            for k, add in enumerate(rotations):
                if there[layer, q, k]:
                    add(q, -table[layer, q, k])  # its sign convention
    observable = qulacs.Observable(n)
    for q in range(n):
        for letter in "XYZ":
            observable.add_operator(1.0, f"{letter} {q} {letter} {(q + 1) % n}")
    build = time.process_time() - start
    norm = float(np.linalg.norm(circuit.backprop(observable)))
    return lambda: circuit.backprop(observable), {"compile_s": build, "norm": norm}


def of_catalyst(n, depth):
    import catalyst
    import jax
    import jax.numpy as jnp
    import pennylane as qml

    table, there = with_gaps(n, depth)
    pairs = [(q, (q + 1) % n) for q in range(n)]
    hamiltonian = qml.sum(*[qml.prod(P(i), P(j)) for i, j in pairs for P in (qml.X, qml.Y, qml.Z)])

    @qml.qnode(qml.device("lightning.qubit", wires=n), diff_method="adjoint")
    def energy(table):
        def rotate(layer):
            for q in range(n):
                qml.RZ(table[layer, q, 0], wires=q)
                qml.RX(table[layer, q, 1], wires=q)
                qml.RZ(table[layer, q, 2], wires=q)

        @catalyst.for_loop(0, depth, 1)
        def layers(layer):
            rotate(layer)
            for i, j in pairs:
                qml.CNOT(wires=[i, j])

        layers()
        rotate(depth)
        return qml.expval(hamiltonian)

    gradient = qml.qjit(lambda table: catalyst.grad(energy)(table))
    table = jnp.asarray(table)
    start = time.process_time()
    first = np.asarray(gradient(table))
    compile_seconds = time.process_time() - start
    return lambda: jax.block_until_ready(gradient(table)), {
        "compile_s": compile_seconds,
        "norm": float(np.linalg.norm(first[there])),
    }


def main():
    simulator, task, n, depth = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if simulator == "pullback":
        run, facts = of_pullback(task, n, depth, sys.argv[5] if len(sys.argv) > 5 else "float64")
    else:
        run, facts = {"qulacs": of_qulacs, "catalyst": of_catalyst}[simulator](n, depth)
    print(json.dumps(facts), flush=True)
    clock = time.perf_counter if all_cores else time.process_time
    for _ in sys.stdin:
        start = clock()
        run()
        seconds = clock() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_MB": peak}), flush=True)


if __name__ == "__main__":
    main()
