r"""Steps of iψ' = H(t) ψ: products of exponentials of Hermitian generators.

    Magnus            exp(−iG),   G = h (H_1 + H_2)/2 − i (√3/12) h² [H_2, H_1] + O(h⁵),
    commutator-free   exp(−ih (a H_1 + b H_2)) exp(−ih (b H_1 + a H_2)),   a, b = 1/4 ∓ √3/6,
    splitting         Π_k exp(−i d_k h V/2) exp(−i d_k h T) exp(−i d_k h V/2),   V at the middle of each,

with H_1, H_2 at the Gauss points of the step. All are symmetric in time: a step from t + h by −h undoes one from t
by h.

Sources: S. Blanes, F. Casas, J. A. Oteo, J. Ros, Phys. Rep. 470, 151 (2009); A. Alvermann, H. Fehske, J. Comput. Phys.
230, 5930 (2011); M. D. Feit, J. A. Fleck, A. Steiger, J. Comput. Phys. 47, 412 (1982); coefficients of the splitting as
in `symplectic`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from pullback.core import InputError
from pullback.flows._hamiltonian import Family, applied
from pullback.flows._series import REACH, Generator, exponential
from pullback.flows._spectrum import row_radius
from pullback.flows._symplectic import PARTS
from pullback.linalg import funmh

Step = Callable[[Array, Array, Array, PyTree], Array]  # (psi, t, h, params) -> psi
Bounds = tuple[ArrayLike, ArrayLike] | None  # of the spectrum of an H that is no matrix

_ROOT = 3**0.5 / 6
_NODES = {2: (0.5,), 4: (0.5 - _ROOT, 0.5 + _ROOT), 6: (0.5 - 15**0.5 / 10, 0.5, 0.5 + 15**0.5 / 10)}
_WEIGHTS = {  # the weights of the nodes in each exponential, the first one first
    2: ((1.0,),),
    4: ((0.25 + _ROOT, 0.25 - _ROOT), (0.25 - _ROOT, 0.25 + _ROOT)),
}


class Chebyshev(eqx.Module):
    """Exponentials by Chebyshev's series: about |hH| + 10 products with H, for |hH| up to 64.

    As a method by itself: one exponential a step for a constant H, `CommutatorFree(4)` for any other.

    Attributes:
        bounds: (a, b) that contain the spectrum of H at all times, for an H that is no matrix. None: estimated, by 40
            products with H at each of a few times.
    """

    bounds: tuple[float, float] | None = eqx.field(default=None, static=True)


class Taylor(eqx.Module):
    """Exponentials by Taylor's series, for |hH| up to 4. Takes more products than `Chebyshev`, and one vector less.

    Attributes:
        bounds: as of `Chebyshev`.
    """

    bounds: tuple[float, float] | None = eqx.field(default=None, static=True)


class Eigh(eqx.Module):
    """Exponentials by eigendecomposition, of matrices. For a constant H there is one, whatever the times."""


Exponential = Chebyshev | Taylor | Eigh


class Magnus(eqx.Module):
    """One exponential a step, of a series in commutators; for an H that is a matrix.

    Attributes:
        order: 2, 4 or 6: 1, 2 or 3 evaluations of H a step.
        exponential: how the exponential is computed.
    """

    order: Literal[2, 4, 6] = eqx.field(default=4, static=True)
    exponential: Exponential = Chebyshev()

    def __check_init__(self):
        _one_of("Magnus", self.order, (2, 4, 6))


class CommutatorFree(eqx.Module):
    """A product of exponentials of sums of H at different times, for any H.

    Attributes:
        order: 2 or 4: 1 or 2 exponentials a step.
        exponential: how the exponentials are computed.
    """

    order: Literal[2, 4] = eqx.field(default=4, static=True)
    exponential: Exponential = Chebyshev()

    def __check_init__(self):
        _one_of("CommutatorFree", self.order, (2, 4))


class SplitOperator(eqx.Module):
    """For H = T + V on a grid, with T diagonal after a Fourier transform: H is the pair (T, V).

    T: kinetic energies at the wave numbers in the order of `jnp.fft.fftfreq`, V: potential energies on the grid, both
    of the shape of the state, of any dimension. Each an array, or a function of (t, params) that returns one.

    Attributes:
        order: 2, 4, 6 or 8: 1, 5, 9 or 15 pairs of Fourier transforms a step.
    """

    order: Literal[2, 4, 6, 8] = eqx.field(default=4, static=True)

    def __check_init__(self):
        _one_of("SplitOperator", self.order, tuple(PARTS))


def series_step(method: Magnus | CommutatorFree, H: Family, bounds: Bounds) -> Step:
    """One step by exponentials.

    Raises:
        InputError: the method is for matrices, and H is none.
    """
    exponential, order = method.exponential, method.order
    if not H.dense and ((isinstance(method, Magnus) and order > 2) or isinstance(exponential, Eigh)):
        raise InputError(
            f"propagate: {method} needs an H that is a matrix. For products take CommutatorFree(4), or write H as "
            "model.matrix()."
        )
    if isinstance(method, Magnus):

        def magnus(psi, t, h, params):
            h_at: list[Any] = [H.combine((1.0,), (t + c * h,), params) for c in _NODES[order]]
            if order == 2:
                return _act(exponential, _generator(H, (h,), (t + h / 2,), params, bounds), psi)
            return _act(exponential, _of_matrix(_magnus([a.astype(psi.dtype) for a in h_at], h)), psi)

        return magnus

    def commutator_free(psi, t, h, params):
        times = [t + c * h for c in _NODES[order]]
        for row in _WEIGHTS[order]:
            psi = _act(exponential, _generator(H, [w * h for w in row], times, params, bounds), psi)
        return psi

    return commutator_free


def splitting_step(order: int, kinetic: Any, potential: Any) -> Step:
    """One step of the splitting."""
    T, V = (f if callable(f) else (lambda t, params, f=f: f) for f in (kinetic, potential))
    half = PARTS[order]
    parts = (*half[:-1], half[-1], *reversed(half[:-1]))

    def rotated(psi, energy, h):
        return jnp.exp(-1j * (h * energy).astype(psi.dtype)) * psi

    def step(psi, t, h, params):
        for part in parts:
            d = part * h
            energy, middle = jnp.asarray(V(t + d / 2, params)), t + d / 2
            psi = rotated(psi, energy, d / 2)
            psi = jnp.fft.ifftn(rotated(jnp.fft.fftn(psi), jnp.asarray(T(middle, params)), d))
            psi = rotated(psi, energy, d / 2)
            t = t + d
        return psi

    return step


def longest(exponential: Exponential) -> float:
    """The largest |hH| that one exponential can take."""
    match exponential:
        case Chebyshev():
            return REACH["chebyshev"]
        case Taylor():
            return REACH["taylor"]
    return float("inf")


def _magnus(h_at: Sequence[Array], h: Array) -> Array:
    """G of orders 4 and 6. In the notation of the source, with A = −iH, α_1 = h A_2, …, Ω = −iG."""
    h = h.astype(h_at[0].dtype)
    if len(h_at) == 2:
        first, second = h_at
        return h / 2 * (first + second) - 1j * (3**0.5 / 12) * h**2 * _commutator(second, first)
    first, middle, last = ((-1j * a) for a in h_at)
    a1 = h * middle
    a2 = (15**0.5 / 3) * h * (last - first)
    a3 = (10 / 3) * h * (last - 2 * middle + first)
    c1 = _commutator(a1, a2)
    c2 = _commutator(a1, 2 * a3 + c1) / -60
    return 1j * (a1 + a3 / 12 + _commutator(-20 * a1 - a3 + c1, a2 + c2) / 240)


def _commutator(a: Array, b: Array) -> Array:
    return a @ b - b @ a


def _generator(H: Family, weights: Sequence[Array], times: Sequence[Array], params: PyTree, bounds: Bounds):
    """G = Σ_j w_j H(t_j)."""
    a = H.combine(weights, times, params)
    if not callable(a):
        return _of_matrix(a)
    assert bounds is not None
    low, high = (jnp.asarray(b) for b in bounds)
    radius = sum(jnp.abs(w) for w in weights) * (high - low) / 2
    return Generator(lambda u: applied(a, u), sum(weights) * (low + high) / 2, radius)


def _of_matrix(a: Array) -> Generator:
    return Generator(lambda u: applied(a, u), *row_radius(a))


def _act(how: Exponential, g: Generator, psi: Array) -> Array:
    match how:
        case Chebyshev():
            return exponential("chebyshev", g, psi)
        case Taylor():
            return exponential("taylor", g, psi)
    matrix = jax.vmap(g.apply, 1, 1)(jnp.eye(len(psi), dtype=psi.dtype))
    return funmh(matrix, lambda x: jnp.exp(-1j * x.astype(psi.dtype))) @ psi


def _one_of(name: str, order: Any, orders: tuple[int, ...]) -> None:
    if order not in orders:
        raise InputError(f"{name}: order must be one of {orders}, got {order!r}.")
