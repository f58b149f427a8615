"""The geometry of the states that a circuit prepares, and derivatives by shifts as a quantum processor takes them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float, Inexact

from pullback.circuits._circuit import Circuit
from pullback.circuits._gates import KINDS
from pullback.circuits._program import Operation, Program
from pullback.circuits._states import expect, observables, state
from pullback.core import RESULTS, InputError, Solution, by_throw
from pullback.external import primitive
from pullback.operators import PauliSum

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

    if not circuit.n_parameters:
        return jnp.zeros((0, 0), complex)
    psi = of_parameters(circuit.parameters)
    tangents = jax.jacfwd(of_parameters)(circuit.parameters)
    along = jnp.conj(psi) @ tangents
    return jnp.conj(tangents).T @ tangents - jnp.outer(jnp.conj(along), along)


@by_throw
def natural_gradient(
    observable: PauliSum,
    circuit: Circuit,
    initial: Inexact[Array, " N"] | None = None,
    *,
    damping: float = 1e-8,
    matrix_free: bool = False,
    max_steps: int | None = None,
    throw: bool = True,
) -> Float[Array, " parameters"] | Solution[Float[Array, " parameters"]]:
    """(Re Q + damping)⁻¹ ∇⟨H⟩: the gradient in the metric of the states; see `quantum_geometric_tensor`.

    Args:
        observable: H, whose mean is differentiated.
        circuit: prepares the state.
        initial: state before the circuit; None: |0…0⟩.
        damping: what is added to the metric, which may be singular.
        matrix_free: by conjugate gradients on products with the metric, each for a tangent and a gradient of the state,
            in the memory of a few states: for many parameters. Else by the metric as a matrix.
        max_steps: bound on the conjugate gradients; None: ten times the number of parameters.
        throw: raise if the equation is not solved; if False, return a `Solution`.

    Returns:
        One number for each parameter; or, if not `throw`, a `Solution` of these, with `residual`
        |(Re Q + damping) x − ∇⟨H⟩| relative to |∇⟨H⟩| and `steps` the number of products with the metric.

    Raises:
        ConvergenceError: the residual is above the square root of rounding: the damping is too small for the precision,
            or conjugate gradients need more steps (`EquinoxRuntimeError` in compiled programs).
        InputError: the damping is not positive; not a `PauliSum` and a `Circuit`.
    """
    observables("natural_gradient", observable, circuit, only_one=True)
    if not damping > 0:
        raise InputError(f"natural_gradient: damping must be positive, got {damping}.")
    theta, n = circuit.parameters, circuit.n_parameters
    gradient = jax.grad(lambda theta: expect(observable, circuit.with_parameters(theta), initial))(theta)
    eps = float(jnp.finfo(theta.dtype).eps)
    failure = RESULTS.stalled
    if not matrix_free or not n:  # conjugate gradients need an unknown
        metric = quantum_geometric_tensor(circuit, initial).real
        metric = metric + damping * jnp.eye(n, dtype=metric.dtype)
        x, steps = jnp.linalg.solve(metric, gradient), n
        image = metric @ x
    else:
        damped = _damped_metric(circuit, initial, damping)
        operator = lx.FunctionLinearOperator(damped, jax.typeof(theta), lx.positive_semidefinite_tag)
        method = lx.CG(rtol=eps**0.75, atol=0.0, max_steps=10 * n if max_steps is None else max_steps)
        found = lx.linear_solve(operator, gradient, method, throw=False)
        x, steps = found.value, found.stats["num_steps"]
        image = damped(x)
        failure = RESULTS.where(found.result == lx.RESULTS.max_steps_reached, RESULTS.max_steps_reached, failure)
    size = jnp.linalg.norm(gradient)
    residual = jnp.linalg.norm(image - gradient) / jnp.where(size == 0, 1, size)
    result = RESULTS.where(residual <= eps**0.5, RESULTS.successful, failure)
    result = RESULTS.where(jnp.isfinite(residual), result, RESULTS.nonfinite)
    solution = Solution(x, result, residual, steps)
    return solution.unwrap("natural_gradient") if throw else solution


def _damped_metric(circuit: Circuit, initial: Inexact[Array, " N"] | None, damping: float) -> Callable[[Array], Array]:
    """v -> (Re Q + damping) v, by a tangent and a gradient of the state."""
    theta = circuit.parameters
    psi, push = jax.linearize(lambda theta: state(circuit.with_parameters(theta), initial), theta)
    pull = jax.linear_transpose(push, theta)

    def product(v):
        tangent = push(v)
        tangent = tangent - jnp.vdot(psi, tangent) * psi
        return pull(jnp.conj(tangent))[0] + damping * v

    return product


def parameter_shift(
    observable: PauliSum, circuit: Circuit, initial: Inexact[Array, " N"] | None = None
) -> Float[Array, " parameters"]:
    """∇⟨H⟩ from values of ⟨H⟩ at shifted angles alone, exact, gate by gate.

    Rotations have two shifts, controlled rotations and the first angle of fSim four; a parameter that occurs in several
    gates collects those of all.

    Source: M. Schuld et al., Phys. Rev. A 99, 032331 (2019), arXiv:1811.11184; four terms: G.-L. Anselmetti et al.,
    New J. Phys. 23, 113010 (2021), arXiv:2104.05695.

    Raises:
        InputError: the circuit has a `TimeEvolution`, whose generator has other gaps; not a `PauliSum` and a `Circuit`.
    """
    observables("parameter_shift", observable, circuit, only_one=True)
    one_by_one, places, shifts, weights = _shifts(circuit)

    def term(x):
        place, shift, weight = x
        there, back = (
            expect(observable, circuit.of_program(one_by_one, parameters=circuit.angles.at[place].add(s)), initial)
            for s in (shift, -shift)
        )
        return weight * (there - back)

    if not len(places):
        return jnp.zeros_like(circuit.parameters)
    dtype = circuit.angles.dtype
    terms = jax.lax.map(term, (places, jnp.asarray(shifts, dtype), jnp.asarray(weights, dtype)))
    factors = jnp.asarray(circuit.program.factors[places], dtype)
    return jnp.zeros_like(circuit.parameters).at[circuit.program.slots[places]].add(factors * terms)


def on_processor(circuit: Circuit, run: Callable[[Circuit], float]) -> Callable[[Float[ArrayLike, " p"]], Array]:
    """theta -> run(circuit with these parameters), where `run` measures on a quantum processor, as a JAX function.

    It is differentiable once, in forward and reverse mode, by the shifts of `parameter_shift`: two or four runs for
    each angle, exact up to the noise of the measurements. It works under `jit` and as a part of larger programs.

    Args:
        circuit: as for `parameter_shift`.
        run: a circuit -> the measured value. Called outside JAX; `circuit.to_qasm()` is what most processors take.

    Raises:
        InputError: as `parameter_shift`. `HostError`, when called, if `run` raises.
    """
    one_by_one, places, shifts, weights = _shifts(circuit)
    program, n = circuit.program, circuit.n_parameters

    def value(theta):
        return np.asarray(run(circuit.with_parameters(theta)), theta.dtype)

    def jacobian(theta):
        angles, out = theta[program.slots] * program.factors, np.zeros(n)
        for place, shift, weight in zip(places, shifts, weights):
            step = shift * (np.arange(len(angles)) == place)
            there, back = (
                float(run(circuit.of_program(one_by_one, parameters=jnp.asarray(angles + s, theta.dtype))))
                for s in (step, -step)
            )
            out[program.slots[place]] += program.factors[place] * weight * (there - back)
        return (out.astype(theta.dtype),)

    return primitive(value, out=lambda theta: jax.ShapeDtypeStruct((), theta.dtype), jacobian=jacobian)


def _shifts(circuit):
    """The program with a parameter for each angle; which angles are shifted, by how much, and the terms' weights."""
    program = circuit.program
    rules = [rule for k in program.word.tolist() for rule in _rules(program.alphabet[k])]
    number = len(rules)
    fixed = program.n, program.alphabet, program.word
    one_by_one = Program(*fixed, np.arange(number), np.ones(number), program.matrices, number)
    places = np.array([k for k, rule in enumerate(rules) for _ in rule], int)
    terms = [term for rule in rules for term in rule]
    return one_by_one, places, np.array([s for s, _ in terms]), np.array([w for _, w in terms])


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
