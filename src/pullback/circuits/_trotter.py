r"""Circuits for the evolution under a sum of Pauli strings: product formulas.

H = Σ_g H_g is split into parts of commuting strings, whose evolutions are circuits without error. Then

    S₁(τ) = exp(−iτH_m) ⋯ exp(−iτH_1),
    S₂(τ) = exp(−iτH_1/2) ⋯ exp(−iτH_m) ⋯ exp(−iτH_1/2),
    S_2k(τ) = S_2k−2(pτ)² S_2k−2((1 − 4p)τ) S_2k−2(pτ)²,    p = 1/(4 − 4^{1/(2k−1)}),

and |S_k(T/r)^r − exp(−iTH)| = O(T^{k+1} / r^k).

Sources: M. Suzuki, J. Math. Phys. 32, 400 (1991); A. M. Childs, Y. Su, M. C. Tran, N. Wiebe, S. Zhu, Phys. Rev. X 11,
011020 (2021), arXiv:1912.08854 (its errors).
"""

import operator
from typing import SupportsIndex

import numpy as np
from jaxtyping import ArrayLike, Float

from pullback.circuits._blocks import TimeEvolution, repeat
from pullback.circuits._circuit import Circuit
from pullback.circuits._input import hermitian_sum
from pullback.core import InputError
from pullback.operators import PauliSum, Terms

_HIGHEST = 10  # order: beyond, the 2·5^(k − 1) evolutions of each part in a step only add rounding


def trotter(hamiltonian: PauliSum, time: Float[ArrayLike, ""], steps: int, *, order: int = 2) -> Circuit:
    """The circuit of `steps` Trotter steps that approximates exp(−i H time).

    Differentiable with respect to the coefficients of H and to the time. The circuit's parameters are the durations of
    the evolutions in one step; it takes no longer to compile for more steps.

    Args:
        hamiltonian: any sum of Pauli strings with real coefficients; split by `commuting_sets`.
        time: in units of the inverse coupling (ħ = 1).
        steps: number r of equal steps.
        order: 1, or even, up to 10: the error falls as r^−order.

    Raises:
        InputError: no Hermitian `PauliSum`; no positive number of steps; an order for which there is no formula.

    Examples:
        >>> h = PauliSum(2, {"Z0 Z1": -1.0, "X0": -0.5, "X1": -0.5})
        >>> trotter(h, 1.0, 10).n_parameters
        3
    """
    hermitian_sum("trotter", hamiltonian)
    if not isinstance(steps, SupportsIndex) or operator.index(steps) < 1:
        raise InputError(f"trotter: steps = {steps}; at least one step is needed.")
    parts = commuting_sets(hamiltonian)
    fractions = _durations(order, len(parts))
    step = [TimeEvolution(parts[g], duration * time / steps) for g, duration in fractions]
    return Circuit(hamiltonian.n, repeat(steps, step))


def commuting_sets(hamiltonian: PauliSum) -> list[PauliSum]:
    """H as a sum of sums of commuting strings: each string joins the first of them that it commutes with.

    Which strings come together depends on their order, not on the coefficients.
    """
    sets: list[list[int]] = []
    for k, string in enumerate(hamiltonian.words):
        for members in sets:
            if all(string.commutes_with(hamiltonian.words[j]) for j in members):
                members.append(k)
                break
        else:
            sets.append([k])
    words, coefficients = hamiltonian.words, hamiltonian.coefficients
    return [PauliSum(hamiltonian.n, Terms([words[k] for k in s], coefficients[np.array(s)])) for s in sets]


def _durations(order: int, parts: int) -> list[tuple[int, float]]:
    """(number of the part, duration of its evolution in steps), the first acting first."""
    if order == 1:
        return [(g, 1.0) for g in range(parts)]
    if order not in range(2, _HIGHEST + 1, 2):
        raise InputError(f"trotter: order = {order}; there are formulas of order 1 and 2, 4, … {_HIGHEST}.")
    if order == 2:
        half = [(g, 0.5) for g in range(parts - 1)]
        return [*half, *[(g, 1.0) for g in range(parts)[-1:]], *half[::-1]]
    p = 1 / (4 - 4 ** (1 / (order - 1)))
    joined: list[tuple[int, float]] = []
    for scale in (p, p, 1 - 4 * p, p, p):
        for g, duration in _durations(order - 2, parts):
            if joined and joined[-1][0] == g:  # of the first part, where two formulas meet
                duration += joined.pop()[1] / scale
            joined.append((g, scale * duration))
    return joined
