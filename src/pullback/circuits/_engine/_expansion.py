"""What a schedule stands for, operation by operation, compared with the program that it was made of.

The scheduler moves operations past others, multiplies them, folds permutations into layouts and writes repetitions
once. Here nothing of that is believed. The segments are read as the evolver reads them: which members of which arrays
each repetition takes, and from which gates, parameters, factors and matrices the recipes make these. The result is
one row for each elementary operation, and the program has such rows too, straight from its word.

Operations without a common qubit commute. Two words are equal up to exchanges of such neighbours if, and only if, each
qubit sees the same sequence in both (V. Diekert and G. Rozenberg, The Book of Traces, World Scientific 1995, chapter
1): so rows are paired bit by bit, and then all their columns must agree exactly. Everything is done by whole arrays, in
time linear in the number of operations.

What the kernels of a body do, and to which bits a layout brings them, is compared in `_walk.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback.circuits._engine._keys import PAIR, Key, Sort, matrix_key
from pullback.circuits._engine._lower import Step, flips_of, steps_of
from pullback.circuits._engine._recipes import ChannelRecipe, EvolutionRecipe, MatrixRecipe, PairRecipe
from pullback.circuits._gates import Masks, Matrix
from pullback.circuits._program import Program

Where = tuple[Masks, tuple[int, ...]]  # the masks of an operation, and the bits of its matrix, if it has one


class Mismatch(Exception):
    """A schedule is not its program."""


class Act(NamedTuple):
    """What a part of a segment's body stands for.

    Attributes:
        key: the key of the data that it takes; None for permutations, which are flips (X under controls).
        first: the first of its members among those of the key in one repetition.
        where: the masks and targets of each member or flip, in order.
        named: whether amplitudes only change their names, which no kernel does.
    """

    key: Key | None
    first: int
    where: tuple[Where, ...]
    named: bool = False


class Rows(NamedTuple):
    """Elementary operations in order. The first columns have one entry, or k of them, for each; the others of places.

    Attributes:
        name: the number of what it does, but for where and by which numbers.
        given: which of the given matrices; −1 for none. draws: which of the random numbers; −1 for none.
        slots, factors, couplings: (rows, k), of its angles.
        place: where it acts, a row of the arrays below.
        masks: (places, 5). targets: (places, largest matrix), padded with −1. touched: (places,), a mask.
    """

    name: np.ndarray
    given: np.ndarray
    draws: np.ndarray
    slots: np.ndarray
    factors: np.ndarray
    couplings: np.ndarray
    place: np.ndarray
    masks: np.ndarray
    targets: np.ndarray
    touched: np.ndarray

    @classmethod
    def empty(cls, place, width: int, *places) -> "Rows":
        """Rows of these places, without all else."""
        one, more = len(place), (len(place), width)
        name, given, draws, slots, couplings = (np.full(s, -1, np.int32) for s in (one, one, one, more, more))
        masks, targets, touched = places
        return cls(name, given, draws, slots, np.zeros(more), couplings, place, masks, targets, touched)

    def fill(self, rows, element: "Element") -> None:
        self.name[rows] = element.name
        self.given[rows] = element.given
        self.draws[rows] = element.draws
        if (angles := element.angles) is None:
            return
        k = angles.slots.shape[1]
        require(not angles.unique or not angles.slots.size or np.bincount(angles.slots.ravel()).max() == 1)
        self.slots[rows, :k] = angles.slots
        self.factors[rows, :k] = 1 if angles.factors is None else angles.factors
        self.couplings[rows, :k] = -1 if angles.couplings is None else angles.couplings


class Element(NamedTuple):
    """What a recipe makes for some of its members: their numbers, which factor of each, and the columns of `Rows`."""

    members: np.ndarray
    factor: np.ndarray | int
    name: int
    angles: Any
    given: Any = -1
    draws: Any = -1


def require(holds) -> None:
    if not holds:
        raise Mismatch


def same_operations(program: Program, segments: Iterable[Any]) -> None:
    """Returns if the segments stand for the operations of the program.

    Raises:
        Mismatch: they do not.
    """
    names: dict[tuple, int] = {}
    own = _of_program(program, names)
    found = _joined([_of_segment(segment, names, own) for segment in segments], own)
    partner = _paired(own, found, program.n)
    for mine, theirs in zip(own[:6], found[:6]):
        require(np.array_equal(mine, theirs[partner]))
    for mine, theirs in zip(own[7:], found[7:]):
        require(np.array_equal(mine[own.place], theirs[found.place[partner]]))


def _paired(a: Rows, b: Rows, n: int) -> np.ndarray:
    """For each row of a its partner in b: the one with the same position in the sequence of each of its bits."""
    require(len(a.name) == len(b.name))
    touched = a.touched[a.place], b.touched[b.place]
    partner = np.full(len(a.name), -1)
    sequences = [tuple(np.flatnonzero(t & (1 << bit)) for t in touched) for bit in range(n)]
    sequences.append(tuple(np.flatnonzero(t == 0) for t in touched))  # phases of the whole state
    for i, j in sequences:
        require(len(i) == len(j))
        known = partner[i]
        require(np.all((known == -1) | (known == j)))
        partner[i] = j
    return partner


def _joined(parts: Sequence[Rows], like: Rows) -> Rows:
    offsets = np.cumsum([0, *(len(part.masks) for part in parts)])
    parts = [part._replace(place=part.place + offset) for part, offset in zip(parts, offsets)]
    return Rows(*map(np.concatenate, zip(*parts))) if parts else Rows(*(column[:0] for column in like))


def _places(where: Sequence[Where], more: Sequence[tuple], width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, targets and what is touched of places; `more` are the bits of evolutions without a matrix."""
    masks = np.array([w[0] for w in where], np.int64).reshape(-1, 5)
    require(all(len(w[1]) <= width for w in where))
    targets = np.array([(*w[1], *[-1] * (width - len(w[1]))) for w in where], np.int64).reshape(len(where), width)
    others = np.array([sum(1 << bit for bit in bits) for bits in more], np.int64)
    return masks, targets, _touched(masks, targets) | others


def _touched(masks, targets):
    bits = np.where(targets >= 0, np.int64(1) << np.maximum(targets, 0), 0)
    return np.bitwise_or.reduce(masks[:, :4], axis=1) | np.bitwise_or.reduce(bits, axis=1)


def _number(names: dict, matrix: Matrix, step: Step | None = None) -> int:
    matrix = Matrix("X") if matrix.name in ("X", "SWAP") else matrix  # a SWAP is taken apart, and X is real
    rest = () if step is None else (step.strings, step.first, step.branches, step.targets if step.strings else ())
    return names.setdefault((matrix, *rest), len(names))


def _number_of(names: dict, step: Step) -> int:
    return _number(names, step.matrix, step if step.sort in (Sort.MATRIX, Sort.EVOLUTION, Sort.CHANNEL) else None)


def _of_program(program: Program, names) -> Rows:
    """The rows of a program, from the definitions of its operations."""
    parts = [
        [f for s in steps_of(operation, program.n) for f in (flips_of(s) if s.sort == Sort.PERMUTATION else [s])]
        for operation in program.alphabet
    ]
    steps = [step for part in parts for step in part]
    width = max((len(s.angles) for s in steps), default=0)
    where = [(s.masks, s.targets if s.sort in (Sort.MATRIX, Sort.CHANNEL) else ()) for s in steps]
    more = [s.bits if s.sort == Sort.EVOLUTION else () for s in steps]
    places = _places(where, more, max((len(w[1]) for w in where), default=0))

    counts = np.array([len(part) for part in parts], int)
    firsts, counts = (np.cumsum(counts) - counts)[program.word], counts[program.word]
    operation = np.repeat(np.arange(len(counts)), counts)  # of each row
    step = np.arange(len(operation)) + np.repeat(firsts - np.cumsum(counts) + counts, counts)

    def before(per_operation):
        """How many angles, or given matrices, come before each row's operation."""
        each = np.array(per_operation, int)[program.word]
        return (np.cumsum(each) - each)[operation]

    rows = Rows.empty(step, width, *places)
    rows.name[:] = np.array([_number_of(names, s) for s in steps], np.int32)[step]
    starts = before([o.angles for o in program.alphabet]) if width else step
    for j in range(width):
        own = np.array([s.angles[j] if j < len(s.angles) else -1 for s in steps])[step]
        some = slice(None) if np.all(own >= 0) else np.flatnonzero(own >= 0)
        at, of = starts[some] + own[some], step[some]
        rows.slots[some, j] = program.slots[at]
        rows.factors[some, j] = np.array([(*s.factors, *[0.0] * width)[j] for s in steps])[of] * program.factors[at]
        rows.couplings[some, j] = np.array([(*s.couplings, *[-1] * width)[j] for s in steps])[of]
    if len(program.matrices):
        at = before([o.kind in ("matrix", "channel") for o in program.alphabet])
        some = np.array([s.matrix.name in ("given", "channel") for s in steps])[step]
        rows.given[some] = program.matrices[at[some]]
        some = np.array([s.sort == Sort.CHANNEL for s in steps])[step]
        rows.draws[some] = at[some]
    return rows


def _of_segment(segment, names, like: Rows) -> Rows:
    """The rows of a segment, repetition by repetition."""
    width, widest = like.slots.shape[1], like.targets.shape[1]
    if segment.fixed:
        count, parts = 1, _parts_of_steps(segment)
        places = _places_of_steps(segment, widest)
        lengths = np.zeros((1, segment.count), int)
    else:
        count, parts = segment.count, _parts_of_acts(segment)
        where = [w for act in segment.acts for w in act.where]
        more = [
            segment.recipes[act.key].step.bits if act.key and act.key.sort == Sort.EVOLUTION else ()
            for act in segment.acts
            for _ in act.where
        ]
        places = _places(where, more, widest)
        lengths = np.array([act.key is None for act in segment.acts for _ in act.where], int)
        lengths = np.tile(lengths, (count, 1))
        missing = sum(len(act.where) for act in segment.acts[len(segment.acts) - segment.missing :])
        lengths[-1, len(where) - missing :] = 0
    found = []
    for key, (recipe, at) in parts.items():
        elements = [*_elements(key, recipe, names)]
        size = count * len(at)
        each = np.bincount(np.concatenate([e.members for e in elements]), minlength=size)
        require(len(each) == size and np.all(each > 0))
        lengths[:, at] = each.reshape(count, -1)
        found.append((at, elements))
    ends = np.cumsum(lengths).reshape(lengths.shape)
    rows = Rows.empty(np.repeat(np.tile(np.arange(lengths.shape[1]), count), lengths.ravel()), width, *places)
    rows.name[:] = _number(names, Matrix("X"))  # what no recipe fills are flips
    for at, elements in found:
        first = (ends - lengths)[:, at].ravel()
        for element in elements:
            rows.fill(first[element.members] + element.factor, element)
    return rows


def _parts_of_acts(segment) -> dict[Key, tuple[Any, np.ndarray]]:
    """For each key its recipe, and where its members are in a repetition, by their numbers."""
    of_key: dict[Key, dict[int, int]] = {}
    keys = [(act.key, act.first + k) for act in segment.acts for k in range(len(act.where))]
    for at, (key, member) in enumerate(keys):
        if key is not None:
            require(member not in of_key.setdefault(key, {}))
            of_key[key][member] = at
    require(of_key.keys() == segment.recipes.keys())
    require(all(sorted(found) == [*range(len(found))] for found in of_key.values()))
    return {key: (segment.recipes[key], np.array([f[k] for k in range(len(f))])) for key, f in of_key.items()}


def _parts_of_steps(segment) -> dict[Key, tuple[Any, np.ndarray]]:
    """The same for steps that are data: each takes a member of one key."""
    sizes = segment.kernels[0].sizes
    which = segment.fixed.get("which", np.zeros(segment.count, int))
    require(which.shape == (segment.count,))
    parts = {}
    for code, key in enumerate([PAIR, *map(matrix_key, sizes)]):
        at = np.flatnonzero(which == code)
        require((len(at) > 0) == (key in segment.recipes))
        if len(at):
            recipe, places = segment.recipes[key]
            require(np.array_equal(at, np.arange(segment.count) if places is None else places))
            parts[key] = recipe, at
    require(parts.keys() == segment.recipes.keys())
    return parts


def _places_of_steps(segment, widest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    masks = segment.fixed["masks"].astype(np.int64)
    require(masks.shape == (segment.count, 5))
    targets = np.full((len(masks), widest), -1)
    sizes = np.array([0, *segment.kernels[0].sizes])
    if len(sizes) > 1:
        require(sizes[-1] <= widest and segment.fixed["bits"].shape == (len(masks), sizes[-1]))
        size = sizes[segment.fixed["which"]][:, None]
        targets[:, : sizes[-1]] = np.where(np.arange(sizes[-1]) < size, segment.fixed["bits"], -1)
    return masks, targets, _touched(masks, targets)


def _elements(key: Key, recipe, names) -> Iterator[Element]:
    """What a recipe makes of which numbers, as its `evaluate` does."""
    match recipe:
        case PairRecipe():
            yield from _factors(recipe, names)
        case MatrixRecipe():
            for places, step, angles, given in recipe.parts:
                require(matrix_key(len(step.targets)) == key)
                given = given if step.matrix.is_given else -1
                yield Element(places, 0, _number_of(names, step), angles, given)
        case ChannelRecipe():
            size, branches = recipe.size
            channel = Matrix("channel")
            number = _number(names, channel, Step(Sort.CHANNEL, (), Masks(0, 0), channel, branches=branches))
            require(key == Key(Sort.CHANNEL, size, branches))
            yield Element(np.arange(len(recipe.slots)), 0, number, None, recipe.slots, recipe.places)
        case EvolutionRecipe():
            size = len(recipe.angles.slots)
            yield Element(np.arange(size), 0, _number_of(names, recipe.step), recipe.angles)


def _factors(recipe: PairRecipe, names) -> Iterator[Element]:
    """The factors of chains of 2x2 matrices."""
    places = np.concatenate([group.places for group in recipe.groups])
    require(np.array_equal(np.bincount(places), np.ones(len(places))))
    member, position = places, None
    if recipe.products:  # places are those of factors, which tables give to members
        member, position = np.full((2, len(places)), -1)
        for members, table in recipe.products:
            require(table.shape[1].bit_count() == 1)  # neighbours multiply, and neighbours of the products
            row, column = np.nonzero(table < len(places))
            require(np.all(member[table[row, column]] < 0))
            member[table[row, column]] = members[row]
            position[table[row, column]] = column
        require(np.all(member >= 0))
    require(recipe.size == member.max() + 1)
    for group in recipe.groups:
        for k, e in enumerate(group.elements):
            given = e.given if e.matrix.is_given else -1
            number = _number(names, e.matrix)
            if position is None:
                yield Element(group.places, k, number, e.angles, given)
            else:
                yield Element(member[group.places], position[group.places], number, e.angles, given)
