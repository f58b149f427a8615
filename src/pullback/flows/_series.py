r"""exp(−iG) ψ for a Hermitian generator G, by a polynomial whose degree follows from a bound on G.

With the spectrum of G in [μ − ρ, μ + ρ] and A = (G − μ)/ρ,

    exp(−iG) ψ = e^{−iμ} Σ_k (2 − δ_k0) (−i)^k J_k(ρ) T_k(A) ψ,        T_{k+1} = 2 A T_k − T_{k−1},

with Bessel functions J_k, which fall off faster than exponentially for k > ρ; or, with Taylor's series, (−iρ)^k/k! and
A^k. Neither sum depends on μ and ρ, which are not differentiated. Radii are rounded up to a table of powers of 2^{1/4}:
its coefficients and degrees are numbers that are known when the program is made.

Source: H. Tal-Ezer, R. Kosloff, J. Chem. Phys. 81, 3967 (1984).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Inexact

from pullback.core import hoist
from pullback.loops import counted_scan

Basis = Literal["chebyshev", "taylor"]
REACH: dict[Basis, float] = {"chebyshev": 64.0, "taylor": 4.0}  # the largest ρ; beyond, Taylor's series loses digits
_SMALLEST, _PER_OCTAVE = -10, 4  # the table begins with ρ = 2^-10
_GROUP = 4  # terms that are computed at a time
_ENOUGH = {8: 1e-18, 4: 1e-9}  # bytes of a real number: size of a coefficient that is neglected


class Generator(NamedTuple):
    """G as a function of a vector, the centre μ of its spectrum, and a bound ρ on the norm of G − μ."""

    apply: Callable[[Array], Array]
    center: Float[Array, ""]
    radius: Float[Array, ""]


def exponential(basis: Basis, g: Generator, psi: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """exp(−iG) ψ to rounding; NaN if ρ is beyond the reach of the series."""
    real = psi.real.dtype
    radii, table, groups = _tables(basis)
    center, radius = jax.lax.stop_gradient((g.center, g.radius))
    at = jnp.ceil(_PER_OCTAVE * (jnp.log2(jnp.maximum(radius, 2.0**_SMALLEST)) - _SMALLEST))
    row = jnp.clip(at, 0, len(radii) - 1).astype(int)
    reach = jnp.asarray(radii, real)[row]
    coefficients = jnp.asarray(table, psi.dtype)[row]
    count = jnp.asarray(groups[real.itemsize])[row]
    apply, consts, _ = hoist(g.apply, psi)
    scale = reach.astype(psi.dtype), center.astype(psi.dtype)

    def scaled(u, p):
        consts, (reach, center) = p
        return (apply(consts, u) - center * u) / reach

    def group(state, us, p):
        (older, old), (c,), total = state, us, 0
        for k in range(_GROUP):
            new = scaled(old, p)
            new = new if basis == "taylor" else new + new - older
            older, old, total = old, new, total + c[k] * new
        return (older, old), (), total

    first = scaled(psi, (consts, scale))
    start = coefficients[0] * psi + coefficients[1] * first
    bound = (table.shape[1] - 2) // _GROUP
    inputs = ((coefficients[2:].reshape(bound, _GROUP), None),)
    _, _, rest = counted_scan(group, (psi, first), (consts, scale), count, bound=bound, inputs=inputs)
    within = radius <= REACH[basis] * (1 + 1e-6)
    phase = jnp.where(within, jnp.exp(-1j * center.astype(psi.dtype)), jnp.nan)
    return phase * (start + rest)


@lru_cache(maxsize=2)
def _tables(basis: Basis) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """(radii, coefficients of each, how many groups of terms each needs by bytes of a real number)."""
    octaves = int(np.log2(REACH[basis])) - _SMALLEST
    radii = 2.0 ** (_SMALLEST + np.arange(octaves * _PER_OCTAVE + 1) / _PER_OCTAVE)
    k = np.arange(200)
    if basis == "chebyshev":
        sizes = np.where(k == 0, 1, 2) * scipy.special.jv(k, radii[:, None])
    else:
        sizes = np.exp(k * np.log(radii[:, None]) - scipy.special.gammaln(k + 1))
    # The last term that is not small; a coefficient may be small by chance before the largest.
    needed = {b: 1 + np.max(np.where(np.abs(sizes) > tol, k, 0), axis=1) for b, tol in _ENOUGH.items()}
    groups = {b: np.maximum(0, -(-(n - 2) // _GROUP)) for b, n in needed.items()}
    columns = 2 + _GROUP * int(groups[8].max())
    return radii, (sizes * (-1j) ** (k % 4))[:, :columns], groups
