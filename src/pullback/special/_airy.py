"""Airy functions: the solutions of w″ = z w, whose equation is their derivative rule (DLMF 9.2.1)."""

import jax
import scipy.special
from jaxtyping import Array, ArrayLike, Inexact

from pullback.external import host_elementwise
from pullback.special._evaluate import promoted

_Four = tuple[Inexact[Array, "..."], Inexact[Array, "..."], Inexact[Array, "..."], Inexact[Array, "..."]]


def airy(z: ArrayLike) -> _Four:
    """Airy functions Ai, Ai′, Bi, Bi′ of a real or complex argument (DLMF 9.2).

    Returns:
        (Ai(z), Ai′(z), Bi(z), Bi′(z)), as SciPy does.
    """
    return _airy(*promoted("airy", "z", {"z": z}))


@jax.custom_jvp
def _airy(z):
    return host_elementwise(scipy.special.airy, z, dtype=(z.dtype,) * 4)


@_airy.defjvp
def _airy_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    ai, dai, bi, dbi = out = _airy(z)
    return out, (dai * dz, z * ai * dz, dbi * dz, z * bi * dz)
