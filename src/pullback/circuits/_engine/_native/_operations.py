"""The operations that the library is given: one table, for the encoder in Python and for the header in C++.

A segment is one array of integers: the repetitions, the number of qubits, the number of operations, and for each its
length, its code (the position in `OPERATIONS`) and its fields. A table is the position of its first entry among those
of all tables.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

LARGEST = 6  # qubits of a dense matrix


class Permutation(NamedTuple):
    """Amplitude i comes from table[i]; with `rows`, a matrix of so many rows is what a transposition gives."""

    rows: int
    table: int


class Gates(NamedTuple):
    """2x2 matrices on different bits; `gates` is (member after the first, bit), … to the end."""

    key: int
    member: int
    gates: Sequence[int]


class Pair(NamedTuple):
    """A 2x2 matrix on pairs of amplitudes; the table is of the first ones, the second ones and the signs."""

    key: int
    member: int
    table: int
    pairs: int


class Diagonal(NamedTuple):
    """The diagonal of a 2x2 matrix, by the masks of the amplitudes that a layout names."""

    key: int
    member: int
    layout: int
    m: int
    controls: int
    values: int


class Dense(NamedTuple):
    """A matrix on groups of amplitudes, the table (d, groups)."""

    key: int
    member: int
    table: int
    groups: int


class Dynamic(NamedTuple):
    """A step that is data; `matrices` is the first key of those that are not 2x2 matrices."""

    matrices: int


Operation = Permutation | Gates | Pair | Diagonal | Dense | Dynamic
OPERATIONS: tuple[type[Operation], ...] = (Permutation, Gates, Pair, Diagonal, Dense, Dynamic)


def encoded(n: int, operations: Sequence[Operation]) -> np.ndarray:
    """All of the array but the repetitions."""
    flat = [n, len(operations)]
    for op in operations:
        fields = [*op[:-1], *op.gates] if isinstance(op, Gates) else op
        flat += [len(fields) + 2, OPERATIONS.index(type(op)), *fields]
    return np.array(flat, np.int64)


def decoded(ops: np.ndarray) -> Iterator[Operation]:
    """The operations of such an array.

    Raises:
        ValueError, TypeError, IndexError: it is none.
    """
    at = 2
    for _ in range(ops[1]):
        length, code, *fields = ops[at : at + ops[at]].tolist()
        kind = OPERATIONS[code]
        if length != len(fields) + 2:
            raise ValueError("an operation is cut off")
        at += length
        yield Gates(fields[0], fields[1], fields[2:]) if kind is Gates else kind(*fields)
    if at != len(ops):
        raise ValueError("more than the operations")


def header() -> str:
    """operations.h: the places of the fields in an operation."""
    lines = ["#pragma once", "#include <cstdint>", f"constexpr int kLargest = {LARGEST};"]
    for code, kind in enumerate(OPERATIONS):
        places = "".join(f" k{name.capitalize()} = {k}," for k, name in enumerate(kind._fields, 2))
        lines.append(f"namespace {kind.__name__.lower()} {{ enum : int64_t {{ kCode = {code},{places} }}; }}")
    return "\n".join(lines) + "\n"
