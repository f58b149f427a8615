"""What the kernels of many devices do, followed through the positions of bits, compared with what they stand for.

It is `_walk.py` without tables: a layout is the position of each bit, and a kernel's masks must be those of its act,
by positions.
"""

from collections.abc import Iterator

from pullback.circuits._engine._expansion import Mismatch, Where, require, same_operations
from pullback.circuits._engine._kernels import Dense, Pair
from pullback.circuits._engine._layout import Move
from pullback.circuits._engine._locals import Locals
from pullback.circuits._engine._sharded_tables import Brought, Flipped, Moves, Tabled
from pullback.circuits._engine._walk import FAULTS, Deed, gates_of, walk
from pullback.circuits._program import Program


def stands_for(program: Program, segments, g: int) -> bool:
    """Whether a schedule on 2^g devices does what its program says."""
    try:
        same_operations(program, segments)
        for segment in segments:
            require(not segment.fixed and not segment.missing)
            start = Positions(tuple(range(program.n)), g)
            require(walk(segment, start, _deeds_of(segment, g)).of == start.of)
    except FAULTS:
        return False
    return True


class Positions:
    """Bit b of the index is at position of[b]; the last g positions are bits of a device's number."""

    def __init__(self, of: tuple[int, ...], g: int):
        self.of, self.g = of, g
        self.local = len(of) - g

    def _with(self, names: dict[int, int]) -> "Positions":
        return Positions(tuple(names.get(p, p) for p in self.of), self.g)

    def moved(self, moves) -> "Positions":
        """After pairs of local positions have changed places; None: the highest local ones with the devices' bits."""
        found = self
        for pair in moves:
            if pair is None:
                exchanged = [(p - self.g, p) for p in range(self.local, len(self.of))]
            else:
                require(max(pair) < self.local and pair[0] != pair[1])
                exchanged = [pair]
            found = found._with({x: y for a, b in exchanged for x, y in ((a, b), (b, a))})
        return found

    def renamed(self, flips: tuple[Where, ...]) -> "Positions":
        require(len(flips) == 3)  # of a SWAP
        (there, _), (back, _), (again, _) = flips
        a, b = there.x, back.x
        require(a != b and there == again == (a, a, 0, b, b) and back == (b, b, 0, a, a))
        a, b = (self.of[bit.bit_length() - 1] for bit in (a, b))
        return self._with({a: b, b: a})

    def check(self, deed: Deed, where: list[Where]) -> None:
        if deed.sort == "gates":  # at which position each acts
            for (masks, _), p in zip(where, deed.content, strict=True):
                b = self.of.index(p)
                require(p < self.local and masks == (1 << b, 1 << b, 0, 0, 0))
            return
        ((masks, targets),) = where
        masks = tuple(sum(1 << p for b, p in enumerate(self.of) if mask >> b & 1) for mask in masks)
        match deed.sort:
            case "pair":
                require(deed.content == masks and not masks[1] >> self.local)
            case "flip":  # the mask that tells both apart is the flip's own
                require(deed.content == (masks[1], masks[3], masks[4]) and not masks[1] >> self.local)
                require(masks[0] == masks[1] and masks[2] == 0)
            case "dense":
                moves, size, controls, values = deed.content
                at = self.moved(moves)
                require(len(targets) == size)
                require(all(at.of[b] == self.local - size + j for j, b in enumerate(targets)))
                require(masks == (0, 0, 0, controls, values))
            case _:
                raise Mismatch


def _deeds_of(segment, g: int) -> Iterator[Deed]:
    """What the kernels of a segment do."""
    for kernel, source in zip(segment.kernels, segment.sources, strict=True):
        key, members = source.key, tuple(range(source.start, source.stop))
        match kernel:
            case Locals():
                for there, back, gates in kernel.phases:
                    yield from _move(there, back, g)
                    yield gates_of(key, [(source.start + k, p) for k, p in gates])
                require(sorted(k for *_, gates in kernel.phases for k, _ in gates) == [*range(len(members))])
            case Pair(tables=Tabled(masks)):
                yield Deed("pair", key, members, tuple(masks))
            case Dense(groups=Brought(moves, size, masks)):
                yield Deed("dense", key, members, (moves, size, masks.controls, masks.values))
            case Move(there=Flipped(masks)):
                require(kernel.back == kernel.there)
                yield Deed("flip", None, (), (masks.x, masks.controls, masks.values))
            case Move():
                yield from _move(kernel.there, kernel.back, g)
            case _:
                raise Mismatch


def _move(there, back, g: int) -> Iterator[Deed]:
    if there is None:
        require(back is None)
        return
    require(type(there) is Moves and there.g == g and back == there.back)
    yield Deed("move", None, (), there.moves)
