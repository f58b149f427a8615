"""The models of the textbooks on rings and chains: one definition for every room."""

from collections.abc import Sequence
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from pullback.core import InputError
from pullback.operators._pauli_string import PauliString
from pullback.operators._pauli_sum import PauliSum
from pullback.operators._spin_sum import SpinSum
from pullback.operators._spin_word import SpinWord
from pullback.operators._sum import Terms


def transverse_ising(n: int, g: ArrayLike = 1.0, J: ArrayLike = 1.0, *, periodic: bool = True) -> PauliSum:
    r"""The transverse-field Ising model on a ring (or an open chain) of n spins, in Pauli matrices,

        H = −J Σ_i Z_i Z_{i+1} − g Σ_i X_i.

    Critical at g = J, where the ring has the ground energy −2J / sin(π / 2n) (n > 2).

    Args:
        n: number of spins.
        g: field, one number or one for each site; differentiable.
        J: coupling, one number or one for each bond; differentiable.
        periodic: ring or open chain. A ring of two sites has one bond.

    Raises:
        InputError: n is less than 1; another number of fields or couplings.
    """
    bonds = _bonds("transverse_ising", n, periodic)
    words = [spin_word("ZZ", bond, 2) for bond in bonds] + [spin_word("X", (i,), 2) for i in range(n)]
    return PauliSum(n, Terms(words, _joined(-_each("J", J, len(bonds)), -_each("g", g, n))))


@overload
def heisenberg(n: int, J: ArrayLike = 1.0, *, periodic: bool = True) -> PauliSum: ...
@overload
def heisenberg(n: int, J: ArrayLike = 1.0, *, spin: float, periodic: bool = True) -> PauliSum | SpinSum: ...


def heisenberg(n: int, J: ArrayLike = 1.0, *, spin: float = 0.5, periodic: bool = True) -> PauliSum | SpinSum:
    r"""The Heisenberg antiferromagnet (J > 0) on a ring (or an open chain) of n spins, in spin matrices S = σ / 2,

        H = Σ_i J S_i · S_{i+1} = Σ_i (J / 4) (X_i X_{i+1} + Y_i Y_{i+1} + Z_i Z_{i+1}).

    (Pauli matrices instead of spin matrices: J = 4.)

    Args:
        n: number of spins.
        J: exchange, one number or one for each bond; differentiable.
        spin: ½, 1, …
        periodic: ring or open chain. A ring of two sites has one bond.

    Raises:
        InputError: n is less than 1; another number of couplings; a spin that is none.

    Examples:
        A ring of four spins ½ has the ground energy −2J.

        >>> import numpy as np
        >>> print(f"{np.linalg.eigvalsh(heisenberg(4).matrix())[0]:.12f}")
        -2.000000000000
    """
    bonds = _bonds("heisenberg", n, periodic)
    return _exchange(n, bonds, _each("J", J, len(bonds)), spin)


@overload
def j1_j2(n: int, J1: ArrayLike = 1.0, J2: ArrayLike = 0.5, *, periodic: bool = True) -> PauliSum: ...
@overload
def j1_j2(
    n: int, J1: ArrayLike = 1.0, J2: ArrayLike = 0.5, *, spin: float, periodic: bool = True
) -> PauliSum | SpinSum: ...


def j1_j2(
    n: int, J1: ArrayLike = 1.0, J2: ArrayLike = 0.5, *, spin: float = 0.5, periodic: bool = True
) -> PauliSum | SpinSum:
    r"""The Heisenberg ring (or open chain) with exchange to first and second neighbours,

        H = Σ_i J1 S_i · S_{i+1} + J2 S_i · S_{i+2}.

    At J2 = J1 / 2 (Majumdar and Ghosh) two products of dimers are the ground states of an even ring of spins ½, with
    the energy −3 J1 n / 8.

    Args:
        n: number of spins, at least 5 on a ring.
        J1: exchange of neighbours, one number or one for each bond; differentiable.
        J2: that of second neighbours.
        spin: ½, 1, …
        periodic: ring or open chain.

    Raises:
        InputError: a ring of fewer than five sites, where second neighbours coincide; as `heisenberg`.
    """
    if periodic and n < 5:
        raise InputError(f"a ring of {n} sites has no distinct second neighbours: take n >= 5 or periodic=False")
    first = _bonds("j1_j2", n, periodic)
    second = [(i, (i + 2) % n) for i in range(n if periodic else max(0, n - 2))]
    strengths = _joined(_each("J1", J1, len(first)), _each("J2", J2, len(second)))
    return _exchange(n, [*first, *second], strengths, spin)


def _exchange(n: int, bonds: Sequence[tuple[int, int]], J: Float[Array, " bonds"], spin: float) -> PauliSum | SpinSum:
    if spin < 0.5 or 2 * spin != round(2 * spin):
        raise InputError(f"a spin is 1/2, 1, 3/2, ..., got {spin}")
    levels = round(2 * spin) + 1
    terms = Terms([spin_word(a + a, bond, levels) for bond in bonds for a in "XYZ"], jnp.repeat(J / 4, 3))
    return PauliSum(n, terms) if spin == 0.5 else SpinSum(n, terms, spin=spin)


def spin_word(letters: str, sites: tuple[int, ...], levels: int = 2) -> PauliString | SpinWord:
    """Letters on different sites, in any order: a Pauli string, or the word of larger spins; I is the identity."""
    pairs = sorted((site, letter) for site, letter in zip(sites, letters) if letter != "I")
    if levels == 2:
        return PauliString.of(dict(pairs))
    return SpinWord(tuple(letter for _, letter in pairs), tuple(site for site, _ in pairs), levels)


def _bonds(name: str, n: int, periodic: bool) -> list[tuple[int, int]]:
    if n < 1:
        raise InputError(f"{name}: needs at least one site, got {n}")
    chain = [(i, i + 1) for i in range(n - 1)]
    return [*chain, (n - 1, 0)] if periodic and n > 2 else chain


def _each(name: str, values: ArrayLike, count: int) -> Float[Array, " count"]:
    """One number for each place."""
    dtype = jnp.result_type(values)
    # By name, so that the dtype is not a weak one.
    values = jax.lax.convert_element_type(values, dtype if jnp.issubdtype(dtype, jnp.inexact) else float)
    if values.shape not in ((), (count,)):
        raise InputError(f"{name}: needs one number or {count}, one for each place, got the shape {values.shape}")
    return jnp.broadcast_to(values, (count,))


def _joined(*parts: Float[Array, " _"]) -> Float[Array, " terms"]:
    dtype = np.result_type(*(part.dtype for part in parts))
    return jnp.concatenate([part.astype(dtype) for part in parts])
