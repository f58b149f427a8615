"""From items to segments: repeated stretches become one body and a count, the rest a body of its own or data.

A stretch that repeats with some period becomes a `Segment` whose kernels are those of one period; of many such
stretches, the longest. What is left is done kernel by kernel if it is short, or else by a `Dynamic` kernel, one step
after the other: time to compile does not grow with the number of gates in either case. Bodies with many operations on
pairs of amplitudes are done so, too, because XLA takes exponentially long to compile them.

Each schedule is expanded again and compared with its program (`_expansion.py`, `_walk.py`). One that differs would be a
fault of this module: the circuit is then done as it is written, one step after the other.
"""

import gc
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pullback.circuits._engine._dynamic import Dynamic, Steps
from pullback.circuits._engine._evolution import Evolution
from pullback.circuits._engine._expansion import Act
from pullback.circuits._engine._jump import Jump
from pullback.circuits._engine._kernels import Dense, Diagonal, Gathered, Kernel, Pair
from pullback.circuits._engine._keys import PAIR, Key, Sort, matrix_key
from pullback.circuits._engine._layout import Layout, Move, move
from pullback.circuits._engine._locals import Locals
from pullback.circuits._engine._lower import Item, Member, collect, flips_of, one_by_one, permuted
from pullback.circuits._engine._recipes import ChannelRecipe, EvolutionRecipe, Leaves, MatrixRecipe, PairRecipe
from pullback.circuits._engine._walk import stands_for
from pullback.circuits._program import Program
from pullback.core import InputError

_SHORT = 16  # items that are compiled one by one
_LONGEST_PERIOD = 256
_MOST = 12  # stretches that are compiled by themselves
_CHAIN = 12  # operations on pairs of amplitudes in one body: XLA fuses them, and compiles a chain of n in a time of 2^n


class Source(NamedTuple):
    """Which data of a step a kernel takes: members start … stop of `key`; all of it if `key` is None."""

    key: Key | None
    start: int = 0
    stop: int = 0

    def of(self, data, fixed):
        if self.key is None:
            return Steps(data, fixed)
        if self.stop == self.start:
            return None
        return data[self.key][self.start : self.stop]


class Segment:
    """A body of kernels, done `count` times with the data that the recipes make.

    `data(leaves)` are arrays with a leading axis of `count`; `fixed` are integers with the same axis. `free` are the
    keys of data whose tangents may lead away from the unitary matrices, because their entries are given one by one.
    `acts` say which operations the body stands for; the last `missing` of them do not belong to the last repetition.
    """

    def __init__(self, kernels, sources, count, recipes, fixed, acts=(), missing=0):
        self.kernels: list[Kernel] = kernels
        self.sources: list[Source] = sources
        self.count: int = count
        self.recipes: dict[Key, Any] = recipes
        self.fixed: dict[str, np.ndarray] = fixed
        self.acts: tuple[Act, ...] = tuple(acts)
        self.missing: int = missing
        self.free = frozenset(key for key, recipe in recipes.items() if recipe.is_free)

    def data(self, leaves: Leaves) -> dict[Key, Array]:
        out = {}
        for key, recipe in self.recipes.items():
            u = recipe.evaluate(leaves)
            if self.fixed:
                out[key] = u if recipe.places is None else _padded(u, recipe.places, self.count)
            else:
                out[key] = u.reshape(self.count, -1, *u.shape[1:])
        return out


class Placed(NamedTuple):
    """A recipe whose matrices belong to some of the steps only."""

    recipe: Any
    places: np.ndarray | None

    @property
    def is_free(self) -> bool:
        return self.recipe.is_free

    def evaluate(self, leaves):
        return self.recipe.evaluate(leaves)


def _padded(u, places, count):
    return jnp.zeros((count, *u.shape[1:]), u.dtype).at[places].set(u, unique_indices=True)


@lru_cache(maxsize=32)
def schedule(program: Program) -> tuple[tuple[Segment, ...], np.ndarray | None]:
    """The segments of a program, and the last table, which brings the amplitudes to their order."""
    # Looking for garbage among a million new tuples, of which none is garbage, takes longer than all the rest.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return proved(program, _schedule, stands_for) or plain(program)
    finally:
        if was_enabled:
            gc.enable()


def proved(program, make, is_right):
    """make(program), or None if it is not right, or if a fault was met on the way.

    Raises:
        InputError: of `make`; that is no fault.
    """
    try:
        found = make(program)
    except InputError:
        raise
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return found if is_right(program, found) else None


def plain(program: Program) -> tuple[tuple[Segment, ...], np.ndarray | None]:
    """The schedule without repetitions, and without moving any operation past another."""
    steps, items = one_by_one(program)
    straight = np.arange(1 << program.n)
    segments, layout = _dynamic(program, steps, items, straight)
    return tuple(segments), move(layout, straight)


def _schedule(program):
    steps, items = collect(program)
    n = program.n
    ids: dict[tuple, int] = {}
    word = np.array([ids.setdefault(item.signature(steps), len(ids)) for item in items], int)
    layout = np.arange(1 << n)
    segments: list[Segment] = []
    found = longest(stretches(word))
    at = 0
    for (start, period, count), following in zip(found, [*found[1:], None]):
        if count == 1:
            part = items[at : start + period]  # the first ones may have completed what was before
            if len(part) > _SHORT or _is_chain(part):
                new, layout = _dynamic(program, steps, part, layout)
            elif part:
                new, layout = _repeated(program, steps, part, len(part), 1, layout)
            else:
                new = []
            at = start + period
        else:
            # What repeats itself is left alone: its count would no longer be right.
            room = following[1] if following and following[2] == 1 else 0
            at = start + period * count
            at += _completed(items, word, start, period, count, room)
            if _is_chain(items[start : start + period]):
                new, layout = _dynamic(program, steps, items[start:at], layout)
            else:
                new, layout = _repeated(program, steps, items[start:at], period, count, layout)
        segments += new
    return tuple(segments), move(layout, np.arange(1 << n))


def _is_chain(items) -> bool:
    return sum(item.sort in (Sort.PAIR, Sort.DIAGONAL, Sort.MATRIX) for item in items) > _CHAIN


def _completed(items, word, start, period, count, room) -> int:
    """How many of `room` items after a repetition belong to one more, of which only permutations are missing."""
    body, following = word[start : start + period], word[start + period * count :][: min(period, room)]
    same = len(following) if len(following) < period else period - 1
    same = int(np.argmin(np.append(body[:same] == following[:same], False)))
    missing = items[start + same : start + period]
    return same if same and all(item.sort == Sort.PERMUTATION for item in missing) else 0


def stretches(word: np.ndarray) -> list[tuple[int, int, int]]:
    """(start, period, count): greedily the longest repetition; what does not repeat has count 1."""
    n = len(word)
    best, period = np.zeros(n, int), np.ones(n, int)  # how far a repetition that starts here reaches
    for p in range(1, min(_LONGEST_PERIOD, n // 3, max(1, 200_000_000 // max(n, 1))) + 1):
        same = word[:-p] == word[p:]
        stops = np.append(np.flatnonzero(~same), n - p)
        run = stops[np.searchsorted(stops, np.arange(n - p))] - np.arange(n - p)
        covered = p * (run // p + 1) * (run >= 2 * p)
        better = covered > best[: n - p]
        best[: n - p][better], period[: n - p][better] = covered[better], p
    worth = np.flatnonzero(best > np.maximum(4, 2 * period))
    out, at = [], 0
    while at < n:
        k = np.searchsorted(worth, at)
        start = int(worth[k]) if k < len(worth) else n
        if start > at:
            out.append((at, start - at, 1))
        if start < n:
            out.append((start, int(period[start]), int(best[start] // period[start])))
            start += int(best[start])
        at = start
    return out


def longest(found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The stretches with only the longest repetitions, up to `_MOST`; what lies between them does not repeat."""
    lengths = sorted((period * count for _, period, count in found if count > 1), reverse=True)
    least = lengths[_MOST] + 1 if len(lengths) > _MOST else 0
    out: list[tuple[int, int, int]] = []
    for start, period, count in found:
        if count > 1 and period * count >= least:
            out.append((start, period, count))
        elif out and out[-1][2] == 1:
            out[-1] = (out[-1][0], out[-1][1] + period * count, 1)
        else:
            out.append((start, period * count, 1))
    return out


def _repeated(program, steps, items: list[Item], period, count, layout):
    """One body for all repetitions; its layout at the end is the one at its start.

    The last repetition may lack permutations at its end. They are done all the same, and what they did is undone by
    names: a layout tells which amplitude lies where.
    """
    n, body = program.n, items[:period]
    missing = body[len(items) - period * count :] if len(items) > period * count else []
    used: dict[Key, int] = {}
    acts = [act_of(steps, item, used) for item in body]
    start = _kernels(n, steps, body, layout)[2] if count > 1 else layout
    segments = [] if np.array_equal(layout, start) else [_moved(layout, start)]
    kernels, sources, end = _kernels(n, steps, body, start)
    if count > 1 and not np.array_equal(start, end):
        kernels.append(Move.between(end, start))
        sources.append(Source(PAIR))
        end = start
    members: dict[Key, list[Member]] = {}
    for item in items:
        if item.sort != Sort.PERMUTATION:
            members.setdefault(key_of(steps, item), []).extend(ordered(item))
    recipes = recipes_of(program, steps, members)
    segments.append(Segment(kernels, sources, count + bool(missing), recipes, {}, acts, len(missing)))
    for item in reversed(missing):
        for member in reversed(item.members.values()):
            end = permuted(steps[member.chain[0][0]], end)  # each permutation is its own inverse
    return segments, end


def act_of(steps, item: Item, used: dict[Key, int]) -> Act:
    """What an item stands for; `used` counts the members of each key. Permutations are done by names."""
    if item.sort == Sort.PERMUTATION:
        flips = [f for member in item.members.values() for f in flips_of(steps[member.chain[0][0]])]
        return Act(None, 0, tuple((f.masks, ()) for f in flips), True)
    key = key_of(steps, item)
    targets = steps[item.members[0].chain[0][0]].targets if item.sort in (Sort.MATRIX, Sort.CHANNEL) else ()
    where = tuple((member.masks, targets) for member in ordered(item))
    first = used.get(key, 0)
    used[key] = first + len(where)
    return Act(key, first, where)


def _moved(old: Layout, new: Layout) -> Segment:
    return Segment([Move.between(old, new)], [Source(PAIR)], 1, {}, {})


def _kernels(n, steps, body, layout):
    kernels: list[Kernel] = []
    sources: list[Source] = []
    used: dict[Key, int] = {}
    for item in body:
        if item.sort == Sort.PERMUTATION:
            for member in item.members.values():
                layout = permuted(steps[member.chain[0][0]], layout)
            continue
        members = ordered(item)
        step = steps[members[0].chain[0][0]]
        match item.sort:
            case Sort.LOCAL:
                kernel = Locals.on(sorted(item.members), layout)
            case Sort.DIAGONAL:
                kernel = Diagonal([m.masks for m in members], layout)
            case Sort.PAIR:
                kernel = Pair.on(members[0].masks, layout)
            case Sort.MATRIX:
                groups = Gathered.on(step.targets, step.masks.controls, step.masks.values, layout)
                kernel = Dense(groups, layout)
            case Sort.CHANNEL:
                kernel = Jump(step.targets, step.branches, layout)
            case _:
                kernel = Evolution(n, step.strings, step.matrix.conjugate, layout)
        layout = kernel.layout
        key = key_of(steps, item)
        start = used.get(key, 0)
        used[key] = start + len(members)
        kernels.append(kernel)
        sources.append(Source(key, start, used[key]))
    return kernels, sources, layout


def key_of(steps, item: Item) -> Key:
    """Under which key the data of an item are kept."""
    number = next(iter(item.members.values())).chain[0][0]
    match item.sort:
        case Sort.CHANNEL:
            return Key(Sort.CHANNEL, len(steps[number].targets), steps[number].branches)
        case Sort.MATRIX:
            return matrix_key(len(steps[number].targets))
        case Sort.EVOLUTION:
            return Key(Sort.EVOLUTION, step=number)
    return PAIR


def ordered(item: Item) -> list[Member]:
    return [item.members[k] for k in sorted(item.members)]


_RECIPES = {
    Sort.PAIR: PairRecipe,
    Sort.MATRIX: MatrixRecipe,
    Sort.CHANNEL: ChannelRecipe,
    Sort.EVOLUTION: EvolutionRecipe,
}


def recipes_of(program, steps, members: dict[Key, list[Member]]) -> dict[Key, Any]:
    """How the data of members are made."""
    return {key: _RECIPES[key.sort](program, steps, found) for key, found in members.items()}


def _dynamic(program, steps, items, layout):
    """Segments of one step after the other, with evolutions and channels between them."""
    n, segments, at = program.n, [], 0
    straight = np.arange(1 << n)
    for k, item in enumerate([*items, None]):
        if item is not None and item.sort not in (Sort.EVOLUTION, Sort.CHANNEL):
            continue
        if k > at:
            if not np.array_equal(layout, straight):
                segments.append(_moved(layout, straight))
            segments.append(_one_by_one(program, steps, items[at:k]))
            layout = straight
        if item is not None:
            new, layout = _repeated(program, steps, [item], 1, 1, layout)
            segments += new
        at = k + 1
    return segments, layout


def _one_by_one(program, steps, items: list[Item]):
    members: dict[Key, list[Member]] = {}
    places: dict[Key, list[int]] = {}
    masks, bits = [], []
    for item in items:
        key = PAIR if item.sort == Sort.PERMUTATION else key_of(steps, item)
        for member in ordered(item):
            step = steps[member.chain[0][0]]
            for where in [f.masks for f in flips_of(step)] if item.sort == Sort.PERMUTATION else [member.masks]:
                members.setdefault(key, []).append(member)
                places.setdefault(key, []).append(len(masks))
                masks.append(where)
                bits.append(step.targets if key != PAIR else ())
    count = len(masks)
    sizes = tuple(sorted({len(b) for b in bits if b}))
    fixed: dict[str, np.ndarray] = {"masks": np.array(masks, np.int32).reshape(count, 5)}
    if sizes:
        fixed["which"] = np.zeros(count, np.int32)
        for j, k in enumerate(sizes):
            fixed["which"][places[matrix_key(k)]] = 1 + j
        fixed["bits"] = np.array([(*b, *[0] * (sizes[-1] - len(b))) for b in bits], np.int32)
    recipes = {}
    for key, recipe in recipes_of(program, steps, members).items():
        where = np.array(places[key])
        recipes[key] = Placed(recipe, None if len(where) == count else where)
    return Segment([Dynamic(program.n, sizes)], [Source(None)], count, recipes, fixed)
