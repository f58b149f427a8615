r"""Occupations of levels: f(x) with x = (ε − μ)/T, and the chemical potential at which they sum to N.

    fermi: 1/(1 + e^x),     gaussian: erfc(x)/2,     cold: erfc(−y)/2 + e^{−y²}/√(2π) with y = −x − 1/√2.

Sources: N. D. Mermin, Phys. Rev. 137, A1441 (1965) (Fermi-Dirac); N. Marzari, D. Vanderbilt et al., Phys. Rev. Lett.
82, 3296 (1999), arXiv:cond-mat/9903147 (cold smearing).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from pullback.core import InputError, nearest

Smearing = Literal["fermi", "gaussian", "cold"]
Scalar = Float[Array, ""] | float | int | np.number


@partial(jax.jit, static_argnums=0)
def bisect(occupation, n_electrons, temperature, w):
    """The middle of the interval on which the occupations of the levels w sum to n_electrons."""
    resolution = 4 * w.size * jnp.finfo(w.dtype).eps

    def excess(mu):
        return jnp.sum(occupation((w - mu) / temperature)) - n_electrons

    # Tails of all smearings are below 1e-16 of an electron at 40 temperatures.
    outside = 40 * temperature + jnp.finfo(w.dtype).eps * jnp.max(jnp.abs(w))
    bracket = w[0] - outside - jnp.ptp(w), w[-1] + outside + jnp.ptp(w)

    def edge(is_above):
        def halve(_, bounds):
            low, high = bounds
            middle = (low + high) / 2
            above = is_above(excess(middle))
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        return jax.lax.fori_loop(0, 100, halve, bracket)

    left = edge(lambda x: x >= -resolution)[1]
    right = edge(lambda x: x > resolution)[0]
    middle = (left + right) / 2
    # Cold smearing is not monotonic: between two roots the middle is none.
    return jnp.where(jnp.abs(excess(middle)) <= 8 * resolution, middle, left)


@jax.custom_jvp
def _logistic(x):
    return jax.nn.sigmoid(x)


@_logistic.defjvp
def _logistic_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    # Not y (1 − y), which has no digits left where the level is full. Higher orders may be the built-in ones.
    return _logistic(x), jax.nn.sigmoid(x) * jax.nn.sigmoid(-x) * dx


def _fermi(x):
    return _logistic(-x)


def _gaussian(x):
    return jax.scipy.special.erfc(x) / 2


def _cold(x):
    y = -x - 2**-0.5
    return jax.scipy.special.erfc(-y) / 2 + jnp.exp(-(y**2)) / (2 * jnp.pi) ** 0.5


_OCCUPATIONS = {"fermi": _fermi, "gaussian": _gaussian, "cold": _cold}


def occupation_function(smearing):
    """x -> f(x)."""
    if smearing not in _OCCUPATIONS:
        raise InputError(f"unknown smearing {smearing!r}.{nearest(smearing, list(_OCCUPATIONS))}")
    return _OCCUPATIONS[smearing]


def check_temperature(temperature):
    """Refuses what is no number, or a negative one."""
    check_number("temperature", temperature)
    if not isinstance(temperature, Tracer) and not float(temperature) >= 0:
        raise InputError(f"temperature must not be negative, got {temperature}.")


def check_electrons(n_electrons, n, open_interval=False):
    """Refuses numbers of electrons that do not fit on n levels."""
    check_number("n_electrons", n_electrons)
    if not isinstance(n_electrons, Tracer):
        count = float(n_electrons)
        if not 0 <= count <= n or (open_interval and count in (0, n)):
            kind = "strictly between" if open_interval else "from"
            raise InputError(f"n_electrons must be {kind} 0 and the number of levels {n}, got {n_electrons}.")


def check_number(name, x):
    """Refuses an array."""
    if jnp.shape(x) != ():
        raise InputError(f"{name} must be one number, got shape {jnp.shape(x)}; vmap over it for several.")
