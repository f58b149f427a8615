"""Sorts of steps, and the keys under which their matrices are kept."""

from enum import IntEnum
from typing import NamedTuple


class Sort(IntEnum):
    """What a step is; of those that one operation can be, the first."""

    LOCAL = 0  # a 2x2 matrix on one bit
    PERMUTATION = 1  # of amplitudes: X and SWAP, under controls
    DIAGONAL = 2  # a pair operation that mixes nothing
    PAIR = 3
    MATRIX = 4  # on several bits
    CHANNEL = 5
    EVOLUTION = 6  # without a matrix


class Key(NamedTuple):
    """Which data of a segment.

    Attributes:
        sort: PAIR (all 2x2 matrices), MATRIX, CHANNEL or EVOLUTION.
        size: the number of qubits of its matrices.
        branches: the number of operators of its channels.
        step: the number of its evolution.
    """

    sort: Sort
    size: int = 0
    branches: int = 0
    step: int = -1


PAIR = Key(Sort.PAIR, 1)


def matrix_key(size: int) -> Key:
    """Of matrices on so many qubits."""
    return Key(Sort.MATRIX, size)
