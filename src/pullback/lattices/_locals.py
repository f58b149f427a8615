"""Terms as small matrices on few modes: what they do to basis states.

The words of a term that act on the same modes become one matrix, in the basis |l_i l_j …⟩ of these modes. A word on so
many modes that the matrix would be large stays a product of matrices on one mode each, its σz as parities of modes.
"""

from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Inexact, Int

from pullback.lattices._space import Space, States
from pullback.lattices._terms import Term

_LARGEST = 64  # states of the modes of one matrix
_SIGN = np.diag([1.0, -1.0])


class Block(NamedTuple):
    """A matrix on ascending modes."""

    modes: tuple[int, ...]
    matrix: Inexact[np.ndarray, "n n"]


class Local(NamedTuple):
    """A product of blocks on different modes, times the parity of the levels of the modes of `string`.

    Attributes:
        blocks: one, or, of a word on many modes, one for each mode.
        string: other modes, ascending.
        words: what it is made of.
    """

    blocks: tuple[Block, ...]
    string: tuple[int, ...]
    words: Term

    @property
    def modes(self) -> tuple[int, ...]:
        """All modes on which it is not the identity, ascending."""
        return tuple(sorted((*self.string, *(mode for block in self.blocks for mode in block.modes))))

    @property
    def is_real(self) -> bool:
        return not any(np.iscomplexobj(block.matrix) for block in self.blocks)


def locals_of(space: Space, term: Term) -> list[Local]:
    """The matrices of a term."""
    groups: dict[tuple, tuple[np.ndarray, list]] = {}
    out = []
    for word, value in term:
        matrices, string = word.factors()
        modes = tuple(sorted(matrices))
        if space.levels ** len(modes) > _LARGEST:
            out.append(_long(word, value, matrices, string))
            continue
        matrix = value * reduce(np.kron, [matrices[mode] for mode in modes], np.eye(1))
        total, words = groups.get((modes, string), (0, []))
        groups[modes, string] = total + matrix, [*words, (word, value)]
    for (modes, string), (matrix, words) in groups.items():
        if np.any(matrix):
            out.append(Local((Block(modes, real_if_possible(matrix)),), string, tuple(words)))
    return out


@lru_cache(maxsize=64)
def model_locals(space: Space, key: tuple, make_terms) -> list[list[Local]]:
    """Those of all the terms that `make_terms(*key)` lists."""
    return [locals_of(space, term) for term in make_terms(*key)]


def diagonal(space: Space, term: list[Local], states: States) -> Float[np.ndarray, " states"]:
    """<s|H_a|s> for some states."""
    out = np.zeros(states.size)
    for local in term:
        own = space.parity(states, local.string)
        for block in local.blocks:
            own = own * np.real(np.diag(block.matrix))[space.levels_of(states, block.modes)]
        out += own
    return out


def transitions(
    space: Space, term: list[Local], states: States
) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"], Inexact[np.ndarray, " entries"]]:
    """The matrix elements <t|H_a|s> with t ≠ s: (position of s in `states`, t, element)."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for local in term:
        first, *others = local.blocks
        source, target, value = _elements(space, first, states, diagonal=bool(others))
        for block in others:
            place, target, factor = _elements(space, block, target, diagonal=True)
            source, value = source[place], value[place] * factor
        if others:
            moved = target != states[source]
            source, target, value = source[moved], target[moved], value[moved]
        if local.string:
            value = value * space.parity(states[source], local.string)
        parts.append((source, target, value))
    source, target, value = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return source, target, value


def _elements(space: Space, block: Block, states: States, *, diagonal: bool):
    """(position of s, t, <t|block|s>), those with t = s included or not."""
    levels = space.levels_of(states, block.modes)
    sources, targets, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for b, a in zip(*np.nonzero(block.matrix)):
        if a == b and not diagonal:
            continue
        here = np.flatnonzero(levels == a)
        before, after = (_digits(int(c), space.levels, len(block.modes)) for c in (a, b))
        step = sum(int(y - x) * space.place(m) for m, x, y in zip(block.modes, before, after))
        sources.append(here)
        targets.append(states[here] + step)
        values.append(np.full(here.size, block.matrix[b, a]))
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(values)


def _long(word, value, matrices: dict[int, np.ndarray], string: tuple[int, ...]) -> Local:
    given = value
    signs = {mode for mode, matrix in matrices.items() if np.array_equal(matrix, _SIGN)}
    blocks = []
    for mode in sorted(matrices.keys() - signs):
        matrix = matrices[mode]
        if np.any(np.imag(matrix)) and not np.any(np.real(matrix)):  # Y = iR: two of them are real
            matrix, value = np.imag(matrix), 1j * value
        blocks.append(Block((mode,), matrix))
    first = blocks.pop(0) if blocks else Block((), np.eye(1))
    first = Block(first.modes, real_if_possible(value * first.matrix))
    return Local((first, *blocks), tuple(sorted({*string, *signs})), ((word, given),))


def _digits(c: int, levels: int, count: int) -> list[int]:
    return [c // levels ** (count - 1 - i) % levels for i in range(count)]


def real_if_possible(matrix: np.ndarray) -> np.ndarray:
    """The array, real if no imaginary part is other than zero."""
    return np.real(matrix).copy() if not np.any(np.imag(matrix)) else matrix
