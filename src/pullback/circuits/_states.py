"""States, and what is measured in them."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Complex, Float, Inexact, Int

from pullback.circuits._circuit import Circuit
from pullback.circuits._doubled import doubled
from pullback.circuits._engine import AXIS, evolve, mean_on_devices, on_devices, uncompute
from pullback.circuits._input import at_least_single, hermitian_sum, integers, qubit_count, sum_hint
from pullback.circuits._order import bits_of
from pullback.core import Adjoint, Checkpoint, InputError, Uncompute, complex_dtype, result_type
from pullback.linalg import funmh
from pullback.operators import PauliSum, mean

_MOST = 40  # qubits of a state


def zero_state(n: int, dtype: type | np.dtype = complex) -> Inexact[Array, " N"]:
    """|0…0⟩ of n qubits.

    Raises:
        InputError: n is no number of qubits, or so large that no memory holds 2^n amplitudes.
    """
    if qubit_count("zero_state", n) > _MOST:
        raise InputError(f"zero_state: n = {n}; a state of more than {_MOST} qubits fits into no memory.")
    return jnp.zeros(1 << n, dtype).at[0].set(1)


def state(
    circuit: Circuit,
    initial: Inexact[Array, "*batch N"] | None = None,
    *,
    adjoint: Adjoint | None = None,
    mesh: Mesh | None = None,
) -> Complex[Array, "*batch N"]:
    """The state after the circuit; differentiable in every mode and order.

    Args:
        circuit: acts on `initial`.
        initial: state before it, of 2^n amplitudes, with any leading axes; None: |0…0⟩. Qubit 0 is the
            most significant bit of an amplitude's index: psi.reshape((2,) * n)[s0, s1, …].
        adjoint: `Uncompute()`, the default for unitary circuits, runs them backwards in reverse mode and stores no
            state; `Uncompute(checkpoint_every=m)` stores one every m layers. `Checkpoint(m)`, the default otherwise
            with m = 1, stores every m-th and recomputes the others. `Direct()` stores everything.
        mesh: of one axis with 2^g devices, over which the amplitudes are spread in order: 2^(n−g) on each.

    Raises:
        InputError: a state with another number of amplitudes; an adjoint that is none for this circuit; on many
            devices, what is not possible there.
    """
    if adjoint is None:
        adjoint = Uncompute() if circuit.is_unitary else Checkpoint(1)
    if circuit.has_channels:
        raise InputError(
            "state: a circuit with channels has no pure state; use density_matrix, trajectories, or expect."
        )
    if mesh is not None:
        return _state_on_devices(circuit, initial, adjoint, mesh)
    V, shape = split(circuit, initial)
    V = evolve(circuit, V, adjoint)
    return jax.lax.complex(V[0], V[1]).reshape(shape)


def round_trip_error(circuit: Circuit, initial: Inexact[Array, "*batch N"] | None = None) -> Float[Array, ""]:
    """The certificate of a gradient: |ψ − U†Uψ| as computed, for the worst state.

    Reverse mode works with states that are wrong by this much at the beginning of the circuit.
    """
    V, _ = split(circuit, initial)
    back = uncompute(circuit, evolve(circuit, V, Uncompute()))
    return jnp.max(jnp.linalg.norm(back - V, axis=(0, 2)))


def expect(
    observable: PauliSum | Sequence[PauliSum],
    circuit: Circuit,
    initial: Inexact[Array, "*batch N"] | None = None,
    *,
    adjoint: Adjoint | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, "..."]:
    """⟨ψ|H|ψ⟩ in the state ψ after the circuit; of each, along the last axis, if several are given.

    For a circuit with channels it is Tr(Hρ), with the density matrix ρ of 4^n entries (see `trajectories` for more
    qubits).

    Args:
        observable: one `PauliSum`, or several.
        circuit: prepares ψ.
        initial: state before the circuit; None: |0…0⟩. No leading axes if there are channels.
        adjoint: as of `state`.
        mesh: as of `state`.

    Raises:
        InputError: numbers of qubits that do not agree; no observable, or what is none; what is not a circuit; what is
            not possible on many devices.
    """
    several = observables("expect", observable, circuit)
    if mesh is not None:
        means = _means_on_devices(several, circuit, initial, adjoint, mesh)
    elif circuit.has_channels:
        rho = density_matrix(circuit, initial, adjoint=adjoint)
        means = [h.trace(rho) for h in several]
    else:
        psi = state(circuit, initial, adjoint=adjoint)
        means = [mean(h, psi) for h in several]
    return means[0] if isinstance(observable, PauliSum) else jnp.stack(means, -1)


def observables(name: str, given: Any, circuit: Any, *, only_one: bool = False) -> list[PauliSum]:
    """The observables given to a function of this name, with a circuit.

    Raises:
        InputError: there is none, or what is none; what is not a circuit.
    """
    several: list[Any] = [*given] if isinstance(given, (list, tuple)) and not only_one else [given]
    if not several:
        raise InputError(f"{name}: give at least one observable.")
    wrong = [h for h in several if not isinstance(h, PauliSum)]
    if wrong or not isinstance(circuit, Circuit):
        raise InputError(
            f"{name}: needs {name}(observable, circuit, …) with one PauliSum{'' if only_one else ' or several'} and a "
            f"Circuit, not {type(given).__name__} and {type(circuit).__name__}.{sum_hint(*wrong[:1])}"
        )
    return [hermitian_sum(name, h) for h in several]


def _state_on_devices(circuit, initial, adjoint, mesh):
    V, shape = (None, (1 << circuit.n,)) if initial is None else split(circuit, initial)

    def finish(V, _):
        return jax.lax.complex(V[0], V[1])

    return on_devices(circuit, V, mesh, adjoint, finish, None, PartitionSpec(None, AXIS)).reshape(shape)


def _means_on_devices(several, circuit, initial, adjoint, mesh):
    if not circuit.is_unitary or any(h.n != circuit.n for h in several):
        raise InputError("expect: on many devices circuits are unitary, and observables act on all of their qubits.")
    V, shape = (None, (1,)) if initial is None else split(circuit, initial)
    g = mesh.size.bit_length() - 1

    def finish(V, several):
        return jnp.stack([mean_on_devices(h, V, g) for h in several])

    found = on_devices(circuit, V, mesh, adjoint or Uncompute(), finish, several, PartitionSpec())
    return [*found.reshape(len(several), *shape[:-1])]


def density_matrix(
    circuit: Circuit, initial: Inexact[Array, "..."] | None = None, *, adjoint: Adjoint | None = None
) -> Complex[Array, "N N"]:
    """ρ after a circuit with channels, or any other, as a state of 2n qubits; differentiable in every mode and order.

    Args:
        circuit: acts on `initial`.
        initial: before it, a state (N,) or a density matrix (N, N); None: |0…0⟩⟨0…0|.
        adjoint: as of `state`; the default is `Uncompute()` if there are neither channels nor matrices that are not
            unitary, else `Checkpoint(1)`.

    Raises:
        InputError: another number of amplitudes; an adjoint that is none for this circuit.
    """
    N = 1 << circuit.n
    rho = None if initial is None else jnp.asarray(initial)
    if rho is not None:
        if rho.shape not in ((N,), (N, N)):
            raise InputError(f"density_matrix: initial has shape {rho.shape}; give ({N},) or ({N}, {N}).")
        rho = (rho if rho.ndim == 2 else jnp.outer(rho, jnp.conj(rho))).reshape(-1)
    return state(doubled(circuit), rho, adjoint=adjoint).reshape(N, N)


def fidelity(a: Inexact[Array, "*batch N"], b: Inexact[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """|⟨a|b⟩|² of two normalised states.

    Raises:
        InputError: they have different numbers of amplitudes.
    """
    if a.shape[-1] != b.shape[-1]:
        raise InputError(f"fidelity: the states have {a.shape[-1]} and {b.shape[-1]} amplitudes.")
    overlap = jnp.sum(jnp.conj(a) * b, -1)
    return overlap.real**2 + overlap.imag**2


def probabilities(psi: Inexact[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """|ψ_i|², the probability of each basis state."""
    return psi.real**2 + psi.imag**2


def sample(psi: Inexact[Array, "*batch N"], key: Array, shots: int) -> Int[Array, "*batch shots"]:
    """Measures all qubits `shots` times; a result is the index of a basis state, qubit 0 its most significant bit.

    Raises:
        InputError: what is not a state, a random key and a number of shots ≥ 0, in this order.
    """
    if not _is_key(key) or _is_key(psi) or not isinstance(shots, SupportsIndex) or operator.index(shots) < 0:
        raise InputError("sample: needs sample(psi, key, shots) with a state, a random key, and an integer shots ≥ 0.")
    p, count = probabilities(_of_qubits("sample", psi)), operator.index(shots)

    def measured(key, p):
        return jax.random.choice(key, len(p), (count,), p=p / jnp.sum(p))

    if p.ndim == 1:
        return measured(key, p)
    flat = p.reshape(-1, p.shape[-1])
    return jax.vmap(measured)(jax.random.split(key, len(flat)), flat).reshape(*p.shape[:-1], count)


def _is_key(key) -> bool:
    if not isinstance(key, jax.Array):
        return isinstance(key, np.ndarray) and key.dtype == np.uint32 and key.ndim == 1
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key.ndim == 0
    return key.dtype == jnp.uint32 and key.ndim == 1


def _of_qubits(name, psi) -> Array:
    """States of whole qubits, in at least single precision."""
    psi = jnp.asarray(psi)
    N = psi.shape[-1] if psi.ndim else 0
    if N < 2 or N & (N - 1):
        raise InputError(f"{name}: psi has shape {psi.shape}; the last axis must have 2^n amplitudes.")
    return psi.astype(at_least_single(psi.dtype))


def reduced_density_matrix(
    psi: Inexact[Array, "*batch N"], qubits: int | Sequence[int]
) -> Inexact[Array, "*batch d d"]:
    """ρ of some qubits, the others traced out; qubits[0] is the most significant bit of its index.

    Raises:
        InputError: qubits that are not there, or twice; the number of amplitudes is not a power of two.
    """
    psi = _of_qubits("reduced_density_matrix", psi)
    n = psi.shape[-1].bit_length() - 1
    keep = list(integers("reduced_density_matrix", qubits))
    if len(set(keep)) != len(keep) or not set(keep) <= set(range(n)):
        raise InputError(f"reduced_density_matrix: qubits {keep} must be different ones of 0 to {n - 1}.")
    rest = [q for q in range(n) if q not in keep]
    i, j = (
        np.array([sum((a >> k & 1) << bit for k, bit in enumerate(bits)) for a in range(1 << len(bits))])
        for bits in (bits_of(keep[::-1], n), bits_of(rest[::-1], n))
    )
    block = psi[..., i[:, None] | j]
    return block @ jnp.conj(jnp.swapaxes(block, -1, -2))


def entanglement_entropy(psi: Inexact[Array, "*batch N"], qubits: int | Sequence[int]) -> Float[Array, "*batch"]:
    """−Tr ρ ln ρ for the reduced density matrix ρ of some qubits, in nats.

    The derivative is infinite where a new eigenvalue of ρ leaves zero; there it is that of the others.

    Raises:
        InputError: as `reduced_density_matrix`.
    """
    rho = reduced_density_matrix(psi, qubits)
    tiny = jnp.finfo(rho.dtype).eps

    def log(p):
        return jnp.log(jnp.maximum(p, tiny))

    return -jnp.trace(funmh(rho, lambda p: p * log(p)), axis1=-2, axis2=-1).real


def split(circuit, initial):
    """The state as real and imaginary parts (2, S, N), in at least single precision, and its shape."""
    leaves = [circuit.parameters] if circuit.n_parameters else list(circuit.matrices.values())
    real = at_least_single(jnp.finfo(result_type(*leaves) if leaves else float).dtype)
    psi = zero_state(circuit.n, complex_dtype(real)) if initial is None else jnp.asarray(initial)
    if not jnp.issubdtype(psi.dtype, jnp.inexact):
        psi = psi.astype(float)
    if psi.ndim < 1 or psi.shape[-1] != 1 << circuit.n:
        raise InputError(
            f"circuits: the state has shape {psi.shape}; {circuit.n} qubits have {1 << circuit.n} amplitudes."
        )
    psi = psi.astype(result_type(psi, real) if leaves else at_least_single(psi.dtype))
    dtype = jnp.finfo(psi.dtype).dtype
    V = jnp.stack([psi.real.astype(dtype), psi.imag.astype(dtype)]).reshape(2, -1, psi.shape[-1])
    return V, psi.shape
