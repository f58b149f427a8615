"""Circuits with channels on pure states drawn at random: 2^n amplitudes for each trajectory instead of 4^n."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Inexact

from pullback.circuits._circuit import Circuit
from pullback.circuits._engine import evolve
from pullback.circuits._states import mean, observables, split, zero_state
from pullback.core import Adjoint, Checkpoint, Estimate, InputError
from pullback.operators import PauliSum


def trajectories(
    circuit: Circuit,
    key: Array,
    count: int,
    initial: Inexact[Array, " N"] | None = None,
    *,
    adjoint: Adjoint | None = None,
) -> Complex[Array, "count N"]:
    """Pure states after a circuit with channels, whose mean |ψ⟩⟨ψ| is its density matrix.

    In each channel each state takes one branch, drawn with its probability; the same key draws the same. The states are
    normalised, but their derivatives contain those of the probabilities: means of ⟨ψ|H|ψ⟩, *not divided by a norm*,
    have unbiased derivatives of every order. Branches of probability zero are never drawn; the derivative by a weight
    that is zero is missed (`density_matrix` has it).

    Args:
        circuit: acts on `initial`.
        key: random key.
        count: how many trajectories.
        initial: state before the circuit; None: |0…0⟩.
        adjoint: as of `state`; `Checkpoint(1)` by default.

    Raises:
        InputError: another number of amplitudes; no trajectory.
    """
    if count < 1:
        raise InputError(f"trajectories: count is {count}; at least one is needed.")
    psi = zero_state(circuit.n) if initial is None else jnp.asarray(initial)
    V, shape = split(circuit, jnp.broadcast_to(psi, (count, *psi.shape)))
    if len(shape) != 2:
        raise InputError(f"trajectories: initial has shape {psi.shape}; one state ({1 << circuit.n},) is needed.")
    uniforms = jax.random.uniform(key, (len(circuit.program.matrices), count), V.dtype)
    V = evolve(circuit, V, Checkpoint(1) if adjoint is None else adjoint, uniforms)
    return jax.lax.complex(V[0], V[1])


def expect_sampled(
    observable: PauliSum,
    circuit: Circuit,
    key: Array,
    count: int,
    initial: Inexact[Array, " N"] | None = None,
    *,
    adjoint: Adjoint | None = None,
) -> Estimate:
    """Tr(Hρ) after a circuit with channels, estimated from `count` trajectories.

    Differentiable at fixed key, and without bias: see `trajectories`.

    Raises:
        InputError: as `trajectories`; not a `PauliSum` and a `Circuit`.
    """
    observables("expect_sampled", observable, circuit, only_one=True)
    values = mean(observable, trajectories(circuit, key, count, initial, adjoint=adjoint))
    return Estimate.of(values)
