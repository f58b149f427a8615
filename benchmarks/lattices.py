"""Ground state and gradient of the Ising ring of 20 sites, in a sector and in the whole space; scipy: value only."""

import time

import jax
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import pullback as pb
from benchmarks._timing import peak_memory

EVEN = pb.lattices.Sector(momentum=0, parity=1, spin_inversion=1)


def csr(sites: int, g: float) -> scipy.sparse.csr_matrix:
    """The Hamiltonian with all its elements stored."""
    states = np.arange(2**sites)
    turned = (states << 1 | states >> (sites - 1)) & (2**sites - 1)
    diagonal = -(sites - 2.0 * np.bitwise_count(states ^ turned))
    columns = np.concatenate([states[None], states ^ (1 << np.arange(sites))[:, None]])
    values = np.concatenate([diagonal[None], np.full((sites, 2**sites), -g)])
    rows = np.broadcast_to(states, columns.shape)
    return scipy.sparse.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())))


def seconds(f, *args, repeats: int = 3) -> float:
    """The best of several runs, after one to compile."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main(sites: int = 20, g: float = 1.0) -> None:
    def energy(g, sector=None):
        return pb.lattices.ground_state(pb.operators.transverse_ising(sites, g), sector=sector).energy

    start = time.perf_counter()
    part = pb.lattices.OperatorModel(pb.operators.transverse_ising(sites, g)).in_sector(EVEN)
    print(f"sector of {part.dimension} states, built in {time.perf_counter() - start:.2f} s")
    psi = np.random.default_rng(0).normal(size=part.dimension)
    print(f"H psi in the sector       {1e3 * seconds(jax.jit(lambda x: part.apply(x)), psi, repeats=20):9.2f} ms")
    print(f"E and dE/dg in the sector {seconds(jax.jit(jax.value_and_grad(lambda g: energy(g, EVEN))), g):9.3f} s")

    model = pb.lattices.OperatorModel(pb.operators.transverse_ising(sites, g))
    psi = np.random.default_rng(0).normal(size=2**sites)
    print(f"H psi                     {1e3 * seconds(jax.jit(lambda x: model.apply(x)), psi, repeats=10):9.2f} ms")
    print(f"E and dE/dg               {seconds(jax.jit(jax.value_and_grad(energy)), g, repeats=1):9.3f} s")
    print(f"peak memory of the process so far {peak_memory():.0f} MB")

    start = time.perf_counter()
    matrix = csr(sites, g)
    built = time.perf_counter() - start
    print(f"scipy CSR: H psi          {1e3 * seconds(matrix.dot, psi, repeats=10):9.2f} ms")
    value = scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", return_eigenvectors=False)[0]
    print(f"scipy CSR: build, eigsh   {built:9.2f} s, {time.perf_counter() - start:.2f} s in all (value only)")
    np.testing.assert_allclose(value, -2 / np.sin(np.pi / (2 * sites)), rtol=1e-10)


if __name__ == "__main__":
    main()
