"""The circuit of the quantum approximate optimisation algorithm."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pullback.circuits._blocks import H, TimeEvolution, layers, put
from pullback.circuits._circuit import Circuit
from pullback.circuits._input import hermitian_sum
from pullback.core import InputError
from pullback.operators import PauliSum


def qaoa(cost: PauliSum, angles: Float[ArrayLike, "layers 2"], *, mixer: PauliSum | None = None) -> Circuit:
    """|γ, β⟩ = Π_l exp(−iβ_l B) exp(−iγ_l C) |+…+⟩, with the first layer acting first.

    Differentiable with respect to the angles, which are the circuit's parameters, and to the coefficients of C and B.

    Args:
        cost: C, usually diagonal; then its evolution is exact.
        angles: a row of γ and β for each layer, in radians over the unit of C and B.
        mixer: B; None: Σ_q X_q.

    Raises:
        InputError: no Hermitian `PauliSum`; a mixer on another number of qubits; angles of another shape.

    Sources: E. Farhi, J. Goldstone, S. Gutmann, arXiv:1411.4028; other mixers: S. Hadfield, Z. Wang, B. O'Gorman, E. G.
    Rieffel, D. Venturelli, R. Biswas, Algorithms 12, 34 (2019), arXiv:1709.03489.

    Examples:
        >>> cut = PauliSum(2, {"": 0.5, "Z0 Z1": -0.5})  # of one edge; one layer is enough
        >>> from pullback.circuits import expect
        >>> print(f"{expect(cut, qaoa(cut, jnp.array([[jnp.pi / 2, jnp.pi / 8]]))):.12f}")
        1.000000000000
    """
    n = hermitian_sum("qaoa", cost).n
    mixer = PauliSum(n, {f"X{q}": 1.0 for q in range(n)}) if mixer is None else hermitian_sum("qaoa", mixer)
    if mixer.n != n:
        raise InputError(f"qaoa: the mixer acts on {mixer.n} qubits and the cost on {n}.")
    rows: Array = jnp.asarray(angles)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise InputError(f"qaoa: angles have shape {rows.shape}; a row of γ and β for each layer is needed.")
    layer = [TimeEvolution(cost, 0.0), TimeEvolution(mixer, 0.0)]
    return Circuit(n, [*(put(q, H) for q in range(n)), layers(layer, rows)])
