"""What the kernels of a schedule do, followed through the layouts, compared with what they stand for.

A permutation of amplitudes only renames them, so that a later kernel acts at other positions; at the end a table
brings every amplitude to its own. Here a layout is carried along with the kernels, moved where they move amplitudes
and renamed where the acts of a segment say so, and every kernel must do, at these positions, what its act says by
bits of an amplitude. The operations of the accelerator are read back from their numbers, and must be those of the
kernels.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pullback.circuits._engine._dynamic import Dynamic
from pullback.circuits._engine._evolution import Evolution
from pullback.circuits._engine._expansion import Mismatch, Where, require, same_operations
from pullback.circuits._engine._jump import Jump
from pullback.circuits._engine._kernels import Dense, Diagonal, Pair
from pullback.circuits._engine._keys import PAIR, Key
from pullback.circuits._engine._layout import Move
from pullback.circuits._engine._locals import Locals
from pullback.circuits._program import Program

FAULTS = Mismatch, IndexError, KeyError, TypeError, ValueError  # the latter four where arrays do not fit


class Deed(NamedTuple):
    """A part of what a kernel does.

    Attributes:
        sort: "move" (no member), "flip" (no member), "gates", "pair", "diagonal", "dense", "evolution", "dynamic".
        key, members: the data that it takes.
        content: arrays, numbers or tuples of them, by sort.
    """

    sort: str
    key: Key | None
    members: tuple[int, ...]
    content: Any


def walk(segment, layout: Any, deeds: Iterable[Deed]) -> Any:
    """The layout after one repetition, in which the deeds must do all acts of a segment, in order.

    A layout is `moved(content)`, `renamed(flips)`, and its `check(deed, where)` raises if the deed is not done there.

    Raises:
        Mismatch: they do something else.
    """
    acts, waiting = iter(segment.acts), {}
    key = None
    for deed in deeds:
        if deed.sort == "move":
            layout = layout.moved(deed.content)
            continue
        while not waiting:
            act = next(acts, None)
            if act is None:
                raise Mismatch
            if act.named:
                layout = layout.renamed(act.where)
            else:
                key, waiting = act.key, {act.first + k: where for k, where in enumerate(act.where)}
        members = deed.members or tuple(waiting)[:1]
        require(deed.key == key)
        layout.check(deed, [waiting.pop(member) for member in members])
    require(not waiting)
    for act in acts:
        require(act.named)
        layout = layout.renamed(act.where)
    return layout


def undone(segment, layout):
    """The layout after a segment, whose last repetition lacks permutations at its end."""
    for act in reversed(segment.acts[len(segment.acts) - segment.missing :]):
        require(act.named)
        layout = layout.renamed(act.where[::-1])
    return layout


def stands_for(program: Program, schedule: tuple[Any, np.ndarray | None]) -> bool:
    """Whether a schedule does what its program says: every operation, on its qubits, with its numbers, in order."""
    try:
        segments, last = schedule
        same_operations(program, segments)
        straight = np.arange(1 << program.n)
        layout = Amplitudes(straight)
        for segment in segments:
            if segment.fixed:
                (kernel,) = segment.kernels
                require(type(kernel) is Dynamic and kernel.n == program.n and not segment.missing)
                require(np.array_equal(layout.at, straight))
                continue
            after = walk(segment, layout, deeds_of(segment))
            require(segment.count == 1 or np.array_equal(after.at, layout.at))
            layout = undone(segment, after)
        require(np.array_equal(layout.at if last is None else layout.at[last], straight))
    except FAULTS:
        return False
    return True


def same_deeds(segment, others: Iterable[Deed]) -> bool:
    """Whether others do what the kernels of a segment do, in the same order."""
    try:
        for own, other in zip(deeds_of(segment), others, strict=True):
            require(own[:3] == other[:3])
            require(np.array_equal(own.content, other.content))
    except FAULTS:
        return False
    return True


class Amplitudes:
    """Position p holds amplitude at[p]."""

    def __init__(self, at: np.ndarray):
        self.at = at
        self._bits: np.ndarray | None = None

    def moved(self, table) -> "Amplitudes":
        require(table.shape == self.at.shape)
        return Amplitudes(self.at[table])

    def renamed(self, flips: tuple[Where, ...]) -> "Amplitudes":
        at = self.at.copy()
        for masks, _ in flips:
            at ^= masks.x * ((at & masks.controls) == masks.values)
        return Amplitudes(at)

    def check(self, deed: Deed, where: list[Where]) -> None:
        at, content = self.at, deed.content
        if deed.sort == "gates":  # which bit of the position each acts on
            for (masks, _), place in zip(where, content, strict=True):
                m = self._bit_at(place)
                require(masks == (m, m, 0, 0, 0))
            return
        ((masks, targets),) = where
        active = (at & masks.controls) == masks.values
        match deed.sort:
            case "pair":  # positions, their partners and the signs
                i, j, sign = content
                a, b = at[i], at[j]
                met = np.zeros(len(at), int)
                met[i], met[j] = 1, 1
                require(2 * len(i) == met.sum() and np.array_equal(met, active))
                require(np.all(_parity(a & masks.m) == 0) and np.all(_parity(b & masks.m) == 1))
                require(np.array_equal(b, a ^ masks.x) and np.array_equal(sign, 1 - 2 * _parity(a & masks.s)))
            case "diagonal":  # 0 where it does nothing, else 1 or 2
                require(masks.x == 0 and masks.s == 0)
                require(np.array_equal(content, np.where(active, 1 + _parity(at & masks.m), 0)))
            case "dense":  # the positions of all values of the targets, row by row
                amplitudes = at[content]
                require(len(content) == 1 << len(targets) and masks[:3] == (0, 0, 0))
                rows = np.zeros(len(content), int)
                for j, bit in enumerate(targets):
                    rows |= (np.arange(len(content)) >> j & 1) << bit
                require(np.all(amplitudes[0] & rows[-1] == 0))
                require(np.array_equal(amplitudes, amplitudes[0] | rows[:, None]))
                met = np.zeros(len(at), bool)
                met[content] = True
                require(content.size == met.sum() and np.array_equal(met, active))
            case "evolution":
                require(np.array_equal(at, np.arange(len(at))) and not any(masks))
            case _:
                raise Mismatch

    def _bit_at(self, place: int) -> int:
        """The mask of the amplitude's bit on which a gate on this bit of the position acts."""
        if self._bits is None:
            bits = self.at[1 << np.arange(len(self.at).bit_length() - 1)]
            of_bits = np.zeros(1, int)
            for m in bits:
                of_bits = np.concatenate([of_bits, of_bits | m])
            require(np.bitwise_or.reduce(bits) == len(self.at) - 1 and np.array_equal(self.at, of_bits))
            self._bits = bits
        return int(self._bits[place])


def _parity(i):
    return np.bitwise_count(i).astype(int) % 2


def deeds_of(segment) -> Iterator[Deed]:
    """What the kernels of a segment do."""
    for kernel, source in zip(segment.kernels, segment.sources, strict=True):
        key, start = source.key, source.start
        members = tuple(range(start, source.stop))
        match kernel:
            case Locals():
                for there, back, gates in kernel.phases:
                    yield from _move(there, back)
                    yield gates_of(key, [(start + k, bit) for k, bit in gates])
                require(sorted(k for *_, gates in kernel.phases for k, _ in gates) == [*range(len(members))])
            case Pair():
                b, active, sign, partner = kernel.tables
                i = np.flatnonzero(active & ~b)
                j = partner[i]
                require(np.all(b[j] & active[j]) and np.array_equal(partner[j], i) and np.array_equal(sign[j], sign[i]))
                yield Deed("pair", key, members, (i, j, sign[i]))
            case Diagonal():
                for member, b, active in zip(members, kernel.b, kernel.active, strict=True):
                    yield Deed("diagonal", key, (member,), np.where(active, 1 + b, 0))
            case Dense():  # Jump too
                table, given = kernel.groups
                back = np.arange(len(given))
                back[table.ravel()] = len(back) + np.arange(table.size)
                require(np.array_equal(given, back))
                if isinstance(kernel, Jump):
                    require(segment.recipes[key].size == (kernel.d.bit_length() - 1, kernel.branches))
                yield Deed("dense", key, members, table)
            case Move():
                yield from _move(kernel.there, kernel.back)
            case Evolution():
                yield from _move(kernel.move.there, kernel.move.back)
                step = segment.recipes[key].step
                require(kernel.strings == step.strings and kernel.conjugate == step.matrix.conjugate)
                yield Deed("evolution", key, members, None)
            case Dynamic():  # of which everything else is data
                yield Deed("dynamic", None, (), (int(PAIR in segment.recipes),))
            case _:
                raise Mismatch


def gates_of(key, pairs: Iterable[tuple[int, int]]) -> Deed:
    members, bits = zip(*sorted(pairs))
    return Deed("gates", key, members, bits)


def _move(there, back) -> Iterator[Deed]:
    if there is None:
        require(back is None)
        return
    require(np.array_equal(there[back], np.arange(len(there))))
    yield Deed("move", None, (), there)
