"""Noise: channels ρ → Σ_m w_m A_m ρ A_m†, with weights that are probabilities where the A_m are unitary."""

from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from pullback.circuits._blocks import Block, Channel
from pullback.circuits._input import qubit_count
from pullback.core import InputError

_TOLERANCE = 1e-6
_PAULI = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def channel(operators: ArrayLike, weights: ArrayLike | None = None) -> Block:
    """ρ → Σ_m w_m A_m ρ A_m†.

    Args:
        operators: the Kraus operators, (m, d, d), or A_m if there are weights; qubit 0 of the block is the most
            significant bit of the index.
        weights: (m,) numbers ≥ 0; None: all 1. Derivatives by a Kraus operator √w A are infinite at w = 0, those by w
            are not.

    Raises:
        InputError: shapes that do not fit; a negative weight; Σ w A†A differs from 1.
    """
    A = operators if isinstance(operators, jax.Array) else np.asarray(operators)
    if A.ndim != 3 or A.shape[1] != A.shape[2] or A.shape[1] < 2 or A.shape[1] & (A.shape[1] - 1) or not len(A):
        raise InputError(f"channel: operators of shape {A.shape}; (m, d, d) with d = 2, 4, 8, … is needed.")
    w = jnp.ones(len(A)) if weights is None else jnp.asarray(weights, float)
    if w.shape != (len(A),):
        raise InputError(f"channel: {len(A)} operators, but weights of shape {w.shape}.")
    if not isinstance(A, Tracer) and not isinstance(w, Tracer):
        values, numbers = np.asarray(A), np.asarray(w)
        error = np.abs(np.einsum("m,mba,mbc->ac", numbers, values.conj(), values) - np.eye(A.shape[1])).max()
        if not error < _TOLERANCE or not np.all(numbers >= 0):
            raise InputError(
                f"channel: Σ w A†A differs from 1 by {error:.1e}; the smallest weight is {numbers.min():.3g}."
            )
    return Channel(w, jnp.asarray(A, complex))


def depolarizing(p: ArrayLike, n: int = 1) -> Block:
    """ρ → (1 − p) ρ + p 1/2^n on n qubits, with 0 ≤ p ≤ 4^n/(4^n − 1).

    Raises:
        InputError: p is out of this range, or n not a positive integer.
    """
    n = qubit_count("depolarizing", n)
    d2 = 4**n
    p = _number("depolarizing", "p", p, d2 / (d2 - 1))
    operators = [reduce(np.kron, letters) for letters in product(_PAULI, repeat=n)]
    return Channel(jnp.append(1 - p * (1 - 1 / d2), jnp.full(d2 - 1, p / d2)), jnp.asarray(np.array(operators)))


def bit_flip(p: ArrayLike) -> Block:
    """X with probability p."""
    p = _number("bit_flip", "p", p)
    return _mixed([1 - p, p], [0, 1])


def phase_flip(p: ArrayLike) -> Block:
    """Z with probability p."""
    p = _number("phase_flip", "p", p)
    return _mixed([1 - p, p], [0, 3])


def pauli_channel(px: ArrayLike, py: ArrayLike, pz: ArrayLike) -> Block:
    """X, Y, Z with their probabilities.

    Raises:
        InputError: one is negative, or their sum above 1.
    """
    p = [_number("pauli_channel", name, value) for name, value in (("px", px), ("py", py), ("pz", pz))]
    rest = _number("pauli_channel", "1 − px − py − pz", 1 - sum(p))
    return _mixed([rest, *p], [0, 1, 2, 3])


def amplitude_damping(gamma: ArrayLike) -> Block:
    """|1⟩ decays to |0⟩ with probability γ."""
    gamma = _number("amplitude_damping", "gamma", gamma)
    return Channel(jnp.stack([jnp.ones_like(gamma), gamma]), jnp.stack([_damped(jnp.sqrt(1 - gamma)), _lower()]))


def phase_damping(rate: ArrayLike) -> Block:
    """Coherences shrink by √(1 − λ), as if |1⟩ scattered with probability λ."""
    rate = _number("phase_damping", "rate", rate)
    return Channel(
        jnp.stack([jnp.ones_like(rate), rate]), jnp.stack([_damped(jnp.sqrt(1 - rate)), jnp.diag(jnp.array([0, 1j]))])
    )


def thermal_relaxation(time: ArrayLike, t1: ArrayLike, t2: ArrayLike) -> Block:
    """Relaxation to |0⟩: |1⟩ decays as exp(−t/T₁), coherences as exp(−t/T₂), with T₂ ≤ 2T₁.

    Raises:
        InputError: a time that is negative, or T₂ > 2T₁.
    """
    time, t1, t2 = (_number("thermal_relaxation", k, v, np.inf) for k, v in (("time", time), ("t1", t1), ("t2", t2)))
    if not any(isinstance(a, Tracer) for a in (t1, t2)) and not t2 <= 2 * t1:
        raise InputError(f"thermal_relaxation: t2 = {t2} is above 2 t1 = {2 * t1}.")
    gamma = -jnp.expm1(-time / t1)
    flip = -jnp.expm1(time * (0.5 / t1 - 1 / t2)) / 2
    kept = _damped(jnp.exp(-0.5 * time / t1))
    weights = jnp.stack([1 - flip, flip, gamma])
    return Channel(weights, jnp.stack([kept, jnp.asarray(_PAULI[3]) @ kept, _lower()]))


def _number(name, argument, value, largest=1.0):
    value = jnp.asarray(value, float)
    if value.shape != ():
        raise InputError(f"{name}: {argument} has shape {value.shape}; a number is needed.")
    if not isinstance(value, Tracer) and not -1e-12 <= value <= largest + 1e-12:
        raise InputError(f"{name}: {argument} = {value} is not between 0 and {largest:.6g}.")
    return value


def _mixed(weights, paulis) -> Block:
    return Channel(jnp.stack(weights), jnp.asarray(_PAULI[paulis]))


def _damped(factor) -> Array:
    return jnp.diag(jnp.stack([jnp.ones_like(factor), factor])).astype(complex)


def _lower() -> Array:
    return jnp.array([[0, 1], [0, 0]], complex)
