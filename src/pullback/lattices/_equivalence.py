"""Couplings that no spectrum can tell apart: the symmetries of rings and chains of spins.

The spectrum of H does not change when sites are moved by a symmetry of the lattice (translations and reflections of a
ring, the reflection of a chain), nor when single spins are turned by π about an axis, which changes signs of
couplings:

    by σz_i: x_i → −x_i,        by σx_i: z_i → −z_i and zz → −zz on the bonds of site i,        and likewise for others.

There are 4^n choices of turns, but their effect is a sum over sites and neighbouring pairs, so the best one is found
exactly by dynamic programming along the ring (Viterbi), in 4³ operations for each bond.
"""

import itertools
import math

import numpy as np
from jaxtyping import Float, Int

from pullback.core import InputError
from pullback.lattices._lattice import chain, ring
from pullback.lattices._spin_model import SpinModel, places

# A turn by σx^a σz^b: the sign that each Pauli matrix takes.
_TURNS = [{"x": (-1) ** b, "y": (-1) ** (a + b), "z": (-1) ** a} for a in (0, 1) for b in (0, 1)]


def closest_equivalent(model: SpinModel, reference: SpinModel) -> SpinModel:
    """The model with the spectrum of `model`, by the symmetries above, whose couplings are closest to the reference's.

    Closest in the sum of squared differences. Other relations between spectra are not looked for (rotations of all
    spins, dualities; a ring with zz and x alone is free fermions, and has a whole surface of couplings with the same
    spectrum). Works on numbers: not differentiable.

    Args:
        model: on a ring or a chain; words that read the same from both ends ("zz", "xx+yy", not "xy").
        reference: with the same lattice and kinds.

    Raises:
        InputError: the lattices or kinds differ, or are none of these.
    """
    _check(model, reference)
    found = {kind: np.asarray(values) for kind, values in model.couplings.items()}
    wanted = {kind: np.asarray(values) for kind, values in reference.couplings.items()}
    best, best_cost = model, math.inf
    for sites in _symmetries(model):
        moved = {kind: values[_moved_places(kind, model, sites)] for kind, values in found.items()}
        turns, cost = _best_turns(model, moved, wanted)
        if cost < best_cost:
            signs = {kind: _signs(kind, model, turns) for kind in moved}
            best = SpinModel(
                model.lattice, {kind: signs[kind] * values for kind, values in moved.items()}, spin=model.spin
            )
            best_cost = cost
    return best


def _check(model: SpinModel, reference: SpinModel) -> None:
    lattice = model.lattice
    if lattice not in (ring(lattice.sites), chain(lattice.sites)):
        raise InputError("couplings are compared on a ring() or a chain(), got another lattice")
    if reference.lattice != lattice or set(reference.couplings) != set(model.couplings):
        raise InputError(
            f"couplings of different models: {lattice.sites} sites with {', '.join(sorted(model.couplings))} and "
            f"{reference.lattice.sites} sites with {', '.join(sorted(reference.couplings))}"
        )
    skew = [kind for kind in model.couplings if any(word != word[::-1] for word in kind.split("+"))]
    if skew:
        raise InputError(f"term {skew[0]!r} has a direction: a reflection makes another term of it")


def _symmetries(model: SpinModel) -> list[Int[np.ndarray, " sites"]]:
    """Where each site comes from, for every symmetry of the lattice."""
    n = model.lattice.sites
    sites = np.arange(n)
    if model.lattice == chain(n):
        return [sites, sites[::-1]]
    return [np.roll(order, shift) for order in (sites, sites[::-1]) for shift in range(n)]


def _moved_places(kind: str, model: SpinModel, sites: Int[np.ndarray, " sites"]) -> Int[np.ndarray, " places"]:
    index = {frozenset(place): p for p, place in enumerate(places(kind, model.lattice))}
    return np.array([index[frozenset(int(sites[i]) for i in place)] for place in places(kind, model.lattice)], int)


def _best_turns(model: SpinModel, found: dict, wanted: dict) -> tuple[list[int], float]:
    """The turn of each site that brings `found` closest to `wanted`, and the squared distance left."""
    n = model.lattice.sites
    site_cost = np.zeros((n, 4))
    bond_cost = np.zeros((len(model.lattice.bonds), 4, 4))
    for kind in found:
        for p, place in enumerate(places(kind, model.lattice)):
            for turns in itertools.product(range(4), repeat=len(place)):
                cost = (_sign(kind, turns) * found[kind][p] - wanted[kind][p]) ** 2
                table = site_cost if len(place) == 1 else bond_cost
                table[(p, *turns)] += math.inf if math.isnan(cost) else cost

    best, best_cost = [0] * n, math.inf
    for first in range(4):  # a ring closes on the turn of its first site
        cost = np.where(np.arange(4) == first, site_cost[0], np.inf)
        came_from = []
        for i in range(n - 1):
            through = cost[:, None] + bond_cost[i] + site_cost[i + 1]
            came_from.append(np.argmin(through, axis=0))
            cost = np.min(through, axis=0)
        if len(bond_cost) == n:
            cost = cost + bond_cost[-1][:, first]
        if cost.min() < best_cost:
            best_cost, last = float(cost.min()), int(np.argmin(cost))
            best = [last]
            for step in reversed(came_from):
                best.insert(0, int(step[best[0]]))
    return best, best_cost


def _signs(kind: str, model: SpinModel, turns: list[int]) -> Float[np.ndarray, " places"]:
    return np.array([_sign(kind, tuple(turns[i] for i in place)) for place in places(kind, model.lattice)], float)


def _sign(kind: str, turns: tuple[int, ...]) -> float:
    """What the turns multiply a kind by: 1, −1, or NaN if they do not keep it (part of its words changes sign)."""
    signs = {math.prod(_TURNS[t][letter] for t, letter in zip(turns, word)) for word in kind.split("+")}
    return float(signs.pop()) if len(signs) == 1 else math.nan
