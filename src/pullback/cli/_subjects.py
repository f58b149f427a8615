"""The functions of the physics rooms at one small point each, for the table of transformations (see `trust`)."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from pullback import circuits, lattices, operators, particles, schrodinger
from pullback.trust import Subject, primitive_subjects


@cache
def subjects() -> tuple[Subject, ...]:
    """Those of the primitives and those of physics; at the end small ones, so that no process waits for another."""
    return (*primitive_subjects(), *_circuits(), *_lattices(), *_particles(), *_schrodinger())


def _schrodinger():
    grid = schrodinger.Grid.between(-4.0, 4.0, 12)
    x = np.asarray(grid.x)
    fine, dense = schrodinger.kinetic(grid), schrodinger.kinetic(grid, "sinc")
    well, target = x**2 / 2 + 0.1 * x, np.exp(-(x**2) / 2)

    def levels(kinetic):
        def of_potential(v):
            energies, psi = schrodinger.eigenstates(v, kinetic, 2)
            return energies, schrodinger.density(psi)

        return of_potential

    def excess(v, t):
        return schrodinger.excess_energy(v, t / jnp.linalg.norm(t), fine)

    only_double = {"float32": "grids are in double precision"}
    return (
        Subject("schrodinger.eigenstates", levels(fine), (well,), cannot=only_double),
        Subject("schrodinger.eigenstates, sinc", levels(dense), (well,), cannot=only_double),
        Subject("schrodinger.excess_energy", excess, (well, target), cannot=only_double),
        Subject("schrodinger.invert_density", lambda rho: schrodinger.invert_density(rho**2, fine), (target,),
                cannot=only_double),
    )  # fmt: skip


def _lattices():
    even = lattices.Sector(momentum=0, parity=1, spin_inversion=1)

    def ising(g, sites=4):
        return operators.transverse_ising(sites, g)

    def averages(g):
        ground = lattices.ground_state(ising(g))
        psi = ground.state
        return ground.energy, lattices.correlations(psi, "zz"), lattices.expectations(ising(g), psi)

    def warm(g, beta):
        bath = lattices.thermal(ising(g), beta)
        return bath.log_partition, bath.energy, bath.specific_heat

    g = np.array(0.7)
    only_double = {"float32": "energies of models are in double precision, whatever their couplings are"}
    return (
        Subject("lattices.ground_state", averages, (g,), cannot=only_double),
        Subject("lattices.ground_state, sector",
                lambda g: lattices.ground_state(ising(g, 8), sector=even).energy, (g,), cannot=only_double),
        Subject("lattices.fidelity_susceptibility",
                lambda g: lattices.fidelity_susceptibility(ising, g, even), (g,), cannot=only_double),
        Subject("lattices.thermal", warm, (g, np.array(0.8)), cannot=only_double),
    )  # fmt: skip


def _circuits():
    n = 3
    angles = np.linspace(0.1, 1.7, 12)
    model = operators.heisenberg(n, 4.0)

    def circuit(theta):
        return circuits.variational_circuit(n, 1).with_parameters(theta)

    def measures(theta):
        psi = circuits.state(circuit(theta))
        rho = circuits.reduced_density_matrix(psi, 1)
        return circuits.probabilities(psi), circuits.entanglement_entropy(psi, 1), rho

    def noisy(theta):
        blocks = [circuits.put(0, circuits.Ry(theta[0])), circuits.put(0, circuits.amplitude_damping(theta[1] ** 2))]
        return circuits.density_matrix(circuits.Circuit(1, blocks))

    def geometry(theta):
        turns = [circuits.put(0, circuits.Ry(theta[0])), circuits.put(1, circuits.Rz(theta[2]))]
        controlled = circuits.control(0, circuits.put(1, circuits.Rx(theta[1])))
        return circuits.quantum_geometric_tensor(circuits.Circuit(2, [turns[0], controlled, turns[1]]))

    def quench(x):
        return circuits.state(circuits.trotter(operators.transverse_ising(n, x[0]), x[1], 2))

    return (
        Subject("circuits.state", measures, (angles,)),
        Subject("circuits.expect", lambda t: circuits.expect(model, circuit(t)), (angles,)),
        Subject("circuits.density_matrix", noisy, (np.array([0.4, 0.3]),)),
        Subject("circuits.trotter", quench, (np.array([0.7, 0.4]),)),
        Subject("circuits.qaoa", lambda t: circuits.state(circuits.qaoa(model, t.reshape(2, 2))), (angles[:4],)),
        Subject("circuits.quantum_geometric_tensor", geometry, (np.array([0.4, 0.3, 0.8]),)),
    )  # fmt: skip


def _particles():
    ring = np.array([[0.2, 0.2], [1.1, 0.25], [0.6, 1.0]])

    def energy(diameters, x):
        return particles.SoftDiscs(diameters, jnp.array([3.0, 3.0], x.dtype)).energy(x)

    return (Subject("particles.SoftDiscs", energy, (np.array([1.0, 1.1, 1.2]), ring)),)
