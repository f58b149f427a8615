"""The geometry of the states that a circuit prepares, and derivatives by shifts as a quantum processor takes them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from pullback.circuits._circuit import Circuit
from pullback.circuits._gates import KINDS
from pullback.circuits._pauli import PauliSum
from pullback.circuits._program import Operation, Program
from pullback.circuits._states import expect, state
from pullback.core import InputError

_ROOT = float(np.sqrt(2.0))
# Shifts and weights: f' = Σ w (f(x + s) − f(x − s)), for generators with the gap 1, and with the gaps 1/2 and 1.
_TWO_TERMS = ((np.pi / 2, 0.5),)
_FOUR_TERMS = ((np.pi / 2, (_ROOT + 1) / (4 * _ROOT)), (3 * np.pi / 2, -(_ROOT - 1) / (4 * _ROOT)))


def quantum_geometric_tensor(
    circuit: Circuit, initial: Inexact[Array, " N"] | None = None
) -> Complex[Array, "parameters parameters"]:
    """Q_ij = ⟨∂_i ψ|(1 − |ψ⟩⟨ψ|)|∂_j ψ⟩ of the state after the circuit, by its parameters.

    Its real part is the metric of Fubini and Study, a quarter of the quantum Fisher information; −2 Im Q is the Berry
    curvature. It takes the memory of a state for each parameter.

    Source: J. Stokes, J. Izaac, N. Killoran, G. Carleo, Quantum 4, 269 (2020), arXiv:1909.02108.
    """

    def of_parameters(theta):
        return state(circuit.with_parameters(theta), initial)

    psi = of_parameters(circuit.parameters)
    tangents = jax.jacfwd(of_parameters)(circuit.parameters)
    along = jnp.conj(psi) @ tangents
    return jnp.conj(tangents).T @ tangents - jnp.outer(jnp.conj(along), along)


def natural_gradient(
    observable: PauliSum, circuit: Circuit, initial: Inexact[Array, " N"] | None = None, *, damping: float = 1e-8
) -> Float[Array, " parameters"]:
    """(Re Q + damping)⁻¹ ∇⟨H⟩: the gradient in the metric of the states; see `quantum_geometric_tensor`.

    Raises:
        InputError: the damping is not positive (the metric may be singular).
    """
    if not damping > 0:
        raise InputError(f"natural_gradient: damping must be positive, got {damping}.")
    metric = quantum_geometric_tensor(circuit, initial).real
    gradient = jax.grad(lambda theta: expect(observable, circuit.with_parameters(theta), initial))(circuit.parameters)
    return jnp.linalg.solve(metric + damping * jnp.eye(len(metric), dtype=metric.dtype), gradient)


def parameter_shift(
    observable: PauliSum, circuit: Circuit, initial: Inexact[Array, " N"] | None = None
) -> Float[Array, " parameters"]:
    """∇⟨H⟩ from values of ⟨H⟩ at shifted angles alone, exact, gate by gate.

    Rotations have two shifts, controlled rotations and the first angle of fSim four; a parameter that occurs in several
    gates collects those of all.

    Source: M. Schuld et al., Phys. Rev. A 99, 032331 (2019), arXiv:1811.11184; four terms: G.-L. Anselmetti et al.,
    New J. Phys. 23, 113010 (2021), arXiv:2104.05695.

    Raises:
        InputError: the circuit has a `TimeEvolution`, whose generator has other gaps.
    """
    program = circuit.program
    rules = [rule for k in program.word.tolist() for rule in _rules(program.alphabet[k])]
    if not rules:
        return jnp.zeros_like(circuit.parameters)
    one_by_one = Program(
        program.n,
        program.alphabet,
        program.word,
        np.arange(len(rules)),
        np.ones(len(rules)),
        program.matrices,
        len(rules),
    )
    angles = circuit.angles

    def energy(angles):
        return expect(observable, circuit.of_program(one_by_one, parameters=angles), initial)

    places = np.array([k for k, rule in enumerate(rules) for _ in rule])
    shifts = np.array([shift for rule in rules for shift, _ in rule])
    weights = np.array([weight for rule in rules for _, weight in rule])

    def term(x):
        place, shift, weight = x
        return weight * (energy(angles.at[place].add(shift)) - energy(angles.at[place].add(-shift)))

    terms = jax.lax.map(term, (places, jnp.asarray(shifts, angles.dtype), jnp.asarray(weights, angles.dtype)))
    by_angle = jnp.zeros_like(angles).at[places].add(terms)
    factors = jnp.asarray(program.factors, angles.dtype)
    return jnp.zeros_like(circuit.parameters).at[program.slots].add(factors * by_angle)


def _rules(operation: Operation) -> list[tuple[tuple[float, float], ...]]:
    """The shifts and weights of each angle of an operation."""
    if operation.kind == "evolution":
        raise InputError("parameter_shift: a TimeEvolution has no shift rule; write it as rotors.")
    controlled = bool(operation.controls)
    match operation.kind:
        case "fSim" if not controlled:
            return [tuple((shift / 2, 2 * weight) for shift, weight in _FOUR_TERMS), _TWO_TERMS]
        case "P":
            return [_TWO_TERMS]
        case "fSim" | "U3" if controlled:
            raise InputError(f"parameter_shift: a controlled {operation.kind} has no rule here; write it as rotations.")
        case kind:
            number = KINDS[kind].angles if kind in KINDS else operation.angles
            return [_FOUR_TERMS if controlled else _TWO_TERMS] * number
