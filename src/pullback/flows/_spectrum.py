"""What is asked of a Hamiltonian before the first step: whether it is Hermitian, and where its spectrum lies.

At a few times, or between all jumps if it is constant there; without derivatives. Matrices are bounded by the sums of
their rows, other operators by a short Lanczos recurrence, sums of drives by the spectra of their parts.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from pullback.core import InputError, error_if, hoist
from pullback.flows._hamiltonian import Family, Linear, applied
from pullback.krylov._funm_multiply import spectral_bounds

_FRACTIONS = (0.0, 0.137, 0.291, 0.5, 0.723, 0.871, 1.0)  # of the time, where H is looked at
_WITHIN = (0, 3, 6)  # those at which products with H are compared
_MARGIN = 0.1  # of the width of a spectrum that changes in time, on both sides
_DRIVES = 64  # values of each drive


class Facts(NamedTuple):
    """How far H is from H†, relative; bounds of its spectrum, if it is no matrix; half the width of its spectrum."""

    error: Float[Array, ""]
    bounds: tuple[Array, Array] | None
    radius: Float[Array, ""]


def facts_of(H: Family, psi: Array, ts: Array, jumps: Array, params: PyTree, bounds) -> Facts:
    """The facts, at the times that are looked at."""

    def inspect(ts, jumps):
        low, high = jnp.minimum(ts[0], ts[-1]), jnp.maximum(ts[0], ts[-1])
        edges = jnp.sort(jnp.concatenate([ts, jnp.clip(jumps, low, high)]))
        some = ts[0] + (ts[-1] - ts[0]) * jnp.asarray(_FRACTIONS, ts.dtype)
        pieces = (edges[1:] + edges[:-1]) / 2
        return _of_matrix(H, pieces, some, params) if H.dense else _of_operator(H, psi, pieces, some, params, bounds)

    closed, consts, _ = hoist(inspect, ts, jumps)
    return closed(*jax.lax.stop_gradient((consts, ts, jumps)))


def hermitian(psi: Array, facts: Facts) -> Array:
    """psi, if H is Hermitian.

    Raises:
        InputError: it is not, or not finite.
    """
    tolerance = float(jnp.finfo(psi.dtype).eps) ** 0.6
    wrong = ~(facts.error <= tolerance)
    text = "propagate: H is not Hermitian, or not finite"
    if isinstance(wrong, Tracer):
        return error_if(psi, wrong, f"{text}. The flow is unitary for H = H† only.")
    if wrong:
        raise InputError(f"{text}: H and H† differ by {float(facts.error):.1e} of their largest element.")
    return psi


def _of_matrix(H: Family, pieces: Array, some: Array, params: PyTree) -> Facts:
    def at(t):
        a: Any = H.combine((1.0,), (t,), params)
        return hermitian_error(a, a[0]), row_radius(a)[1]

    errors, radii = jax.lax.map(at, pieces if H.constant else jnp.concatenate([pieces, some]))
    return Facts(jnp.max(errors), None, jnp.max(radii))


def _of_operator(H: Family, psi: Array, pieces: Array, some: Array, params: PyTree, bounds) -> Facts:
    def apply(t):
        a = H.combine((1.0,), (t,), params)
        return lambda u: applied(a, u)

    def extremes(t):
        return jnp.stack(spectral_bounds(apply(t), psi))

    looked_at = pieces[:1] if H.constant and H.parts is None else some[jnp.asarray(_WITHIN)]
    error = jnp.max(jax.lax.map(lambda t: hermitian_error(apply(t), psi), looked_at))
    if bounds is not None:
        low, high = (jnp.asarray(b, psi.real.dtype) for b in bounds)
    elif H.parts is not None and not any(map(jnp.iscomplexobj, H.parts[1](some[0], params))):
        low, high = _of_drives(H.parts, psi, jnp.concatenate([pieces, some]), params)
    else:
        found = jax.lax.map(extremes, looked_at if H.constant else some)
        low, high = jnp.min(found), jnp.max(found)
    if not (H.constant and H.parts is None) and bounds is None:
        margin = _MARGIN * (high - low)
        low, high = low - margin, high + margin
    return Facts(error, (low, high), (high - low) / 2)


def _of_drives(parts, psi: Array, times: Array, params: PyTree) -> tuple[Array, Array]:
    """Bounds of Σ c_k(t) H_k from those of the H_k."""
    operators, coefficients = parts
    more = jnp.linspace(jnp.min(times), jnp.max(times), _DRIVES, dtype=times.dtype)
    times = jnp.concatenate([times, more])
    values = jnp.stack(jax.lax.map(lambda t: [c.astype(times.dtype) for c in coefficients(t, params)], times))
    ends = jnp.stack([jnp.stack(spectral_bounds(lambda u, a=a: applied(a, u), psi)) for a in operators])
    products = values[:, None] * ends[:, :, None]  # operators, ends, times
    return jnp.min(jnp.sum(jnp.min(products, 1), 0)), jnp.max(jnp.sum(jnp.max(products, 1), 0))


def row_radius(a: Array) -> tuple[Array, Array]:
    """(μ, ρ): the mean eigenvalue of a Hermitian matrix, and a bound on the norm of A − μ; without derivatives."""
    a = jax.lax.stop_gradient(a)
    center = jnp.trace(a).real / len(a)
    shifted = a - center.astype(a.dtype) * jnp.eye(len(a), dtype=a.dtype)
    return center, jnp.max(jnp.sum(jnp.abs(shifted), axis=1))


def hermitian_error(a: Linear, like: Array) -> Array:
    """Largest element of A − A† over that of A; of a function of vectors, for two random vectors."""
    if not callable(a):
        return jnp.max(jnp.abs(a - a.conj().T)) / _nonzero(jnp.max(jnp.abs(a)))
    u, v = (jax.random.normal(key, like.shape, like.dtype) for key in jax.random.split(jax.random.key(2)))
    au, av = applied(a, u), applied(a, v)
    scale = jnp.linalg.norm(av.ravel()) * jnp.linalg.norm(u.ravel())
    return jnp.abs(jnp.vdot(u, av) - jnp.vdot(au, v)) / _nonzero(scale)


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, 1, x)
