"""From a program to items: what acts in one pass over the state.

Each operation becomes steps (`Step`), each as simple as it can be: a gate on one qubit, a permutation of amplitudes, a
diagonal or other pair operation, a matrix, an evolution. Steps are then collected into items: every step joins the
first item of its sort that comes after the last one on its bits. So runs on one qubit become one 2x2 matrix, gates
side by side one item, CNOT rings one permutation, and phases one diagonal.

Operations speak of qubits. Steps, and all that follows, speak of bits of an amplitude's index instead (`_order.py`):
nothing beyond `steps_of` knows which qubit a bit is, but for the strings of evolutions, which `PauliSum` reads.
"""

from bisect import bisect_left
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pullback.circuits._engine._keys import Sort
from pullback.circuits._gates import DIAGONAL, KINDS, PERMUTATIONS, Masks, Matrix, Pair, pair_of_rotor, pairs_of
from pullback.circuits._order import bits_of, mask_of
from pullback.circuits._program import Operation, Program
from pullback.core import InputError
from pullback.operators import PauliString

LARGEST_MATRIX = 6  # qubits of an evolution that is turned into a matrix


class Step(NamedTuple):
    """What one operation, or one factor of it, does.

    Attributes:
        bits: all bits it touches, the controls too.
        masks: of pair operations of all sorts; only the controls for the last two.
        matrix: the 2x2 matrix; or the given one, the evolution or the channel.
        angles, factors: which angles of the operation, and times what.
        couplings: for each angle the coefficient that it is multiplied by, −1 for none.
        strings, first: of evolutions; the strings, by qubits, are on those of the matrix if it is one.
        targets: the bits of a matrix, the least significant one of its index first.
        branches: the number of operators of a channel.
    """

    sort: Sort
    bits: tuple[int, ...]
    masks: Masks
    matrix: Matrix
    angles: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()
    couplings: tuple[int, ...] = ()
    strings: tuple[PauliString, ...] = ()
    first: int = 0
    targets: tuple[int, ...] = ()
    branches: int = 0


class Member(NamedTuple):
    """One matrix of an item: the steps (number, position of its first angle, of its given matrix) that multiply."""

    masks: Masks
    chain: list[tuple[int, int, int]]


class Item(NamedTuple):
    """Steps that act at once. `members` are keyed by the bit for local ones, else by order."""

    sort: Sort
    members: dict[int, Member]

    def signature(self, steps: list[Step]) -> tuple:
        """Equal for items that act by the same kernel."""
        if self.sort == Sort.LOCAL:
            return self.sort, tuple(sorted(self.members))
        if self.sort in (Sort.MATRIX, Sort.EVOLUTION, Sort.CHANNEL):
            return self.sort, self.members[0].chain[0][0]
        if self.sort == Sort.PERMUTATION:  # whose masks are of the controls alone
            return self.sort, tuple((m.masks, steps[m.chain[0][0]].targets) for m in self.members.values())
        return self.sort, tuple(m.masks for m in self.members.values())


def steps_of(operation: Operation, n: int) -> list[Step]:
    """The steps of one operation on some of n qubits.

    Raises:
        InputError: a controlled evolution on too many qubits.
    """
    if operation.conjugate:
        steps = steps_of(operation._replace(conjugate=False), n)
        return [s._replace(matrix=s.matrix._replace(conjugate=True)) for s in steps]
    targets = bits_of(operation.qubits[::-1], n)
    controls = mask_of(operation.controls, n)
    values = mask_of([q for q, v in zip(operation.controls, operation.values) if v], n)
    touched = (*targets, *bits_of(operation.controls, n))
    masks = Masks(0, 0, 0, controls, values)
    if operation.kind in KINDS:
        name = operation.kind
        if name in PERMUTATIONS and not (name == "SWAP" and operation.controls):
            return [Step(Sort.PERMUTATION, touched, masks, Matrix(name), targets=targets)] if name != "I" else []
        pairs = pairs_of(name, targets)
        if operation.adjoint:
            pairs = [p._replace(matrix=p.matrix._replace(adjoint=not p.matrix.adjoint)) for p in reversed(pairs)]
        return [_pair_step(p, touched, controls, values, ()) for p in pairs]
    if operation.kind == "rotor":
        return [_pair_step(pair_of_rotor(*operation.strings[0].masks(n)), touched, controls, values, (-1,))]
    if operation.kind == "channel":
        return [Step(Sort.CHANNEL, touched, masks, Matrix("channel"), targets=targets, branches=operation.branches)]
    if operation.kind == "matrix":
        matrix = Matrix("given", operation.adjoint)
        if len(targets) == 1:
            bit = 1 << targets[0]
            return [_pair_step(Pair(Masks(bit, bit), matrix), touched, controls, values, ())]
        return [Step(Sort.MATRIX, touched, masks, matrix, targets=targets)]
    strings, first = operation.strings, operation.first
    if all(a.commutes_with(b) for a, b in combinations(strings, 2)):
        rotors = [pair_of_rotor(*s.masks(n)) for s in strings]
        rotors = [r._replace(factors=(2 * r.factors[0],)) for r in rotors]
        return [_pair_step(r, touched, controls, values, (first + k,)) for k, r in enumerate(rotors)]
    if len(targets) <= LARGEST_MATRIX:
        own = tuple(s._replace(sites=tuple(map(operation.qubits.index, s.sites))) for s in strings)
        return [Step(Sort.MATRIX, touched, masks, Matrix("evolution"), (0,), (1.0,), (-1,), own, first, targets)]
    if operation.controls:
        raise InputError(
            f"control: the evolution acts on {len(targets)} qubits with strings that do not commute; up to "
            f"{LARGEST_MATRIX} are possible. Split it into Trotter steps."
        )
    return [Step(Sort.EVOLUTION, touched, masks, Matrix("evolution"), (0,), (1.0,), (-1,), strings, first)]


def _pair_step(pair: Pair, touched, controls, values, couplings):
    masks = pair.masks._replace(controls=pair.masks.controls | controls, values=pair.masks.values | values)
    m, x = masks.m, masks.x
    if masks.controls and x == m and pair.matrix.name in DIAGONAL:
        masks, x = masks._replace(x=0), 0
    if not masks.controls and m.bit_count() == 1 and x in (0, m) and not masks.s:
        sort, touched = Sort.LOCAL, (m.bit_length() - 1,)
        masks = Masks(m, m)
    else:
        sort = Sort.PAIR if x else Sort.DIAGONAL
    couplings = couplings or (-1,) * len(pair.angles)
    return Step(sort, touched, masks, pair.matrix, pair.angles, pair.factors, couplings)


def flips_of(step: Step) -> list[Step]:
    """A permutation as flips, X under controls; a SWAP is three."""
    c, v = step.masks.controls, step.masks.values
    ones = [1 << b for b in step.targets]
    if len(ones) == 1:
        masks = [Masks(ones[0], ones[0], 0, c, v)]
    else:
        there, back = (Masks(b, b, 0, a | c, a | v) for a, b in (ones, ones[::-1]))
        masks = [there, back, there]
    return [Step(Sort.PAIR, step.bits, m, Matrix("X")) for m in masks]


def permuted(step: Step, amplitudes: np.ndarray) -> np.ndarray:
    """Where a permutation takes amplitudes."""
    active = (amplitudes & step.masks.controls) == step.masks.values
    if len(step.targets) == 1:
        moved = amplitudes ^ (1 << step.targets[0])
    else:
        a, b = step.targets
        differ = ((amplitudes >> a) ^ (amplitudes >> b)) & 1
        moved = amplitudes ^ (differ << a) ^ (differ << b)
    return np.where(active, moved, amplitudes)


def one_by_one(program: Program) -> tuple[list[Step], list[Item]]:
    """All different steps, and an item for each occurrence of one, in the order of the program."""
    steps: list[Step] = []
    parts: list[list[tuple[int, Step]]] = []
    for operation in program.alphabet:
        new = steps_of(operation, program.n)
        parts.append([*enumerate(new, len(steps))])
        steps += new
    items: list[Item] = []
    angle = given = 0
    for k in program.word.tolist():
        for number, step in parts[k]:
            key = step.bits[0] if step.sort == Sort.LOCAL else 0
            items.append(Item(step.sort, {key: Member(step.masks, [(number, angle, given)])}))
        angle += program.alphabet[k].angles
        given += program.alphabet[k].kind in ("matrix", "channel")
    return steps, items


def collect(program: Program) -> tuple[list[Step], list[Item]]:
    """All different steps, and the items of the program in order."""
    steps: list[Step] = []
    parts: list[list[tuple[int, Step, bool, int]]] = []  # of each operation: number, step, whether it is local, where
    for operation in program.alphabet:
        new = steps_of(operation, program.n)
        local = [step.sort == Sort.LOCAL for step in new]
        first = len(steps)
        parts.append([(first + j, s, one, s.bits[0] if one else -1) for j, (s, one) in enumerate(zip(new, local))])
        steps += new
    angles = [o.angles for o in program.alphabet]
    is_given = [int(o.kind in ("matrix", "channel")) for o in program.alphabet]

    items: list[Item] = []
    of_sort: dict[Sort, list[int]] = {sort: [] for sort in (Sort.LOCAL, Sort.PERMUTATION, Sort.DIAGONAL)}
    last = [-1] * program.n  # the last item of each bit
    chains: list[list | None] = [None] * program.n  # and its chain there, if that item is local
    angle = given = 0
    for k in program.word.tolist():
        for number, step, is_local, key in parts[k]:
            if is_local:
                chain = chains[key]
                if chain is not None:
                    chain.append((number, angle, given))
                    continue
                after = last[key]
            else:
                after = max([last[b] for b in step.bits], default=-1)
            where, known = -1, of_sort.get(step.sort)
            if known and known[-1] >= after:
                where = known[bisect_left(known, after)]
            if where < 0:
                where = len(items)
                items.append(Item(step.sort, {}))
                if known is not None:
                    known.append(where)
            chain = [(number, angle, given)]
            members = items[where].members
            members[key if is_local else len(members)] = Member(step.masks, chain)
            if is_local:
                last[key], chains[key] = where, chain
            else:
                for b in step.bits:
                    last[b], chains[b] = where, None
        angle += angles[k]
        given += is_given[k]
    return steps, items
