r"""Expectation values of states, and averages at a temperature.

<ψ|H|ψ> is linear in the couplings, so its gradient holds the expectation value of every term.

At the inverse temperature β, with Z = tr exp(−βH), everything follows from ln Z:

    F = −ln Z / β,      E = <H> = −∂ ln Z / ∂β,      C = β² (<H²> − <H>²),      <O> = tr(O exp(−βH)) / Z,

by functions of the dense matrix, whose derivatives are exact at every degeneracy (`linalg.spectral`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import InputError
from pullback.lattices._model import Model
from pullback.lattices._operator_model import as_model
from pullback.lattices._sector import Sector
from pullback.linalg import spectral
from pullback.operators import OperatorSum, spin_matrices


class Thermal(eqx.Module):
    """A system in equilibrium with a bath; the units of energy are those of the couplings, k_B = 1.

    Attributes:
        log_partition: ln Z.
        energy: <H>.
        specific_heat: dE/dT = β² (<H²> − <H>²), of the whole system.
        density_matrix: exp(−βH) / Z, in the basis of the sector, if there is one.
    """

    log_partition: Float[Array, ""]
    energy: Float[Array, ""]
    specific_heat: Float[Array, ""]
    density_matrix: Inexact[Array, "states states"]

    def expect(self, operator: Inexact[ArrayLike, "states states"]) -> Inexact[Array, ""]:
        """<O> of a matrix in the same basis."""
        return jnp.sum(self.density_matrix * jnp.asarray(operator).T)


def thermal(model: Model | OperatorSum, beta: ArrayLike, sector: Sector | None = None) -> Thermal:
    """Averages at the inverse temperature β, from the whole spectrum of a small model (or of its part in a sector).

    Differentiable in the model and in β, in every mode and order.

    Raises:
        InputError: more than 2^14 states; the sector is not conserved, or empty.

    Examples:
        One spin in a field: ln(2 cosh βh).

        >>> from pullback.lattices import SpinModel, chain
        >>> bath = thermal(SpinModel(chain(1), {"z": 0.5}), 2.0)
        >>> print(f"{bath.log_partition:.10f} {bath.energy:.10f}")
        1.1269280110 -0.3807970780
    """
    model = as_model(model, sector)
    matrix = model.matrix() if sector is None else model.in_sector(sector).matrix()
    levels = spectral(matrix)
    # Measured from the lowest level, as a constant: exp(−βE) of large β E neither overflows nor vanishes.
    bottom = jax.lax.stop_gradient(levels.w[0])
    beta = jnp.asarray(beta, levels.w.dtype)
    weights = levels.apply(lambda x: jnp.exp(-beta * (x - bottom)))
    partition = jnp.trace(weights).real
    rho = weights / partition
    # Tr of products as sums over entries; H is taken from the bottom so that its variance does not cancel.
    above = matrix - bottom * jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    first = jnp.sum(rho * above.T).real
    second = jnp.sum((rho @ above) * above.T).real
    return Thermal(jnp.log(partition) - beta * bottom, first + bottom, beta**2 * (second - first**2), rho)


def expectations(
    model: Model | OperatorSum, psi: Inexact[Array, " states"]
) -> dict[str, Float[Array, " places"]] | Inexact[Array, " words"]:
    """<ψ|P|ψ> for every place of every kind of a model, or for every word of a sum; ψ is normalised.

    Whatever the couplings are: they are not used.

    Raises:
        InputError: ψ has the wrong length.

    Examples:
        >>> from pullback.lattices import SpinModel, ground_state, ring
        >>> model = SpinModel(ring(6), {"zz": -1.0, "x": -1.0})
        >>> values = expectations(model, ground_state(model).state)
        >>> print(f"{values['x'][0]:.8f} {values['zz'][3]:.8f}")
        0.64395055 0.64395055
    """
    slopes = jax.grad(lambda m: jnp.vdot(psi, as_model(m).apply(psi)).real)(model)
    return slopes.coefficients if isinstance(slopes, OperatorSum) else slopes.couplings


def correlations(psi: Inexact[Array, " states"], word: str, *, spin: float = 0.5) -> Inexact[Array, "sites sites"]:
    """<ψ|σa_i σb_j|ψ> for all pairs of sites, for a word "ab" as "zz" or "xy"; ψ is normalised.

    Spins S as in `SpinModel`: σ = 2S. Complex if the states or matrices are; with i = j two different letters do not
    commute, and the product is in the order of the word.

    Args:
        psi: a state of the whole space, as `ground_state(...).full_state`.
        word: two letters.
        spin: ½, 1, …

    Raises:
        InputError: `word` is not two of the letters x, y, z; ψ is no state of such spins.
    """
    if len(word) != 2 or set(word) - set("xyz"):
        raise InputError(f"correlations: the word is two of the letters x, y, z, got {word!r}")
    d = round(2 * spin) + 1
    n = round(np.log(psi.size) / np.log(d))
    if psi.ndim != 1 or d**n != psi.size:
        raise InputError(f"correlations: spins {spin} have states of length {d}^n, got the shape {psi.shape}")

    def turned(letter: str) -> Array:
        matrix = spin_matrices(d)[letter.upper()]
        parts = [jnp.einsum("ab,lbr->lar", matrix, psi.reshape(d**i, d, -1)).reshape(-1) for i in range(n)]
        return jnp.stack(parts)

    return turned(word[0]).conj() @ turned(word[1]).T
