"""Reading weighted graphs from tables of edges, as people, pandas, networkx and Gephi write them."""

import ast
import dataclasses
from pathlib import Path

import numpy as np

from pullback.core import InputError, Table, data_file, nearest, read_table
from pullback.operators import PauliSum

_SOURCE = ("source", "from", "src", "start", "tail", "u", "i", "node1", "node_1", "node 1", "node_a", "node a")
_TARGET = ("target", "to", "dst", "dest", "end", "head", "v", "j", "node2", "node_2", "node 2", "node_b", "node b")
_WEIGHT = ("weight", "w", "weights", "edge_weight")
_OTHER = ("type", "id", "label", "timeset", "interval", "key")  # what Gephi and networkx write beside them


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name, and weighted edges between their numbers."""

    names: tuple[str, ...]
    edges: np.ndarray  # (edges, 2)
    weights: np.ndarray

    def cut(self) -> PauliSum:
        """C = Σ_edges w_ab (1 − Z_a Z_b)/2, with a qubit for each node."""
        zz = [(f"Z{a} Z{b}", -w / 2) for (a, b), w in zip(self.edges.tolist(), self.weights.tolist())]
        return PauliSum(len(self.names), [*zz, ("", float(self.weights.sum()) / 2)])

    def cuts(self) -> np.ndarray:
        """The cut of each of the 2^n ways to split the nodes, whose bits are sides, node 0 the most significant."""
        i = np.arange(1 << len(self.names))
        total = np.zeros(len(i))
        for (a, b), w in zip(len(self.names) - 1 - self.edges, self.weights):
            total += w * (((i >> a) ^ (i >> b)) & 1)
        return total


def read_graph(path: Path, *, largest: int) -> Graph:
    """Reads two nodes in each line, and the weight of their edge in a third column if it is not one.

    Nodes have any names. A first line that names the columns (source, target, weight; from, to; u, v; and the like) is
    a header, and so is one of two words where all nodes are numbers. `0 1 {'weight': 2.0}`, as networkx writes, is
    read, too. An edge that occurs twice, in either direction, and one that joins a node to itself are errors.

    Raises:
        InputError: the file cannot be read as that, with the line; it has no edges, more than `largest` nodes, or
            weights that are all zero.
    """
    table = _plain(read_table(data_file(path)))
    if not table.rows:
        raise InputError(f"{path}: the file has no edges")
    width = len(table.rows[0][1])
    columns, table = table.named(_is_header(table), ("source", "target", "weight")[: max(2, min(width, 3))])
    source, target, weight = _roles(path, columns)
    names: dict[str, int] = {}
    edges: dict[tuple[int, int], float] = {}
    seen: dict[tuple[int, int], int] = {}
    for line, cells in table.rows:
        ends = cells[source], cells[target]
        if " #" in "".join(ends):
            raise table.error(line, f"{', '.join(ends)!r}: a comment stands in a line of its own")
        if not all(ends):
            raise table.error(line, f"a node has no name: {', '.join(cells)}")
        value = 1.0 if weight is None else table.number(line, cells[weight], "weight")
        if ends[0] == ends[1]:
            raise table.error(line, f"the edge joins {ends[0]} to itself; an edge joins two different nodes")
        a, b = sorted(names.setdefault(name, len(names)) for name in ends)
        if (a, b) in edges:
            raise table.error(line, f"the edge {ends[0]}, {ends[1]} occurs twice, first in line {seen[a, b]}")
        edges[a, b], seen[a, b] = value, line
    if not edges:
        raise InputError(f"{path}: the file has no edges")
    if len(names) > largest:
        raise InputError(f"{path}: has {len(names)} nodes; up to {largest} are possible")
    if not any(edges.values()):
        raise InputError(f"{path}: all weights are zero")
    return Graph(tuple(names), np.array(list(edges)), np.array(list(edges.values())))


def _is_header(table: Table) -> bool:
    first, rest = table.rows[0][1], table.rows[1:]
    small = [cell.lower() for cell in first]
    if any(name in _SOURCE for name in small) and any(name in _TARGET for name in small):
        return True
    words = not any(map(table.is_number, first[:2]))
    return words and bool(rest) and all(table.is_number(cell) for _, cells in rest for cell in cells[:2])


def _roles(path: Path, columns: list[str]) -> tuple[int, int, int | None]:
    """The places of source, target and weight among the columns."""
    found = [[k for k, name in enumerate(columns) if name in known] for known in (_SOURCE, _TARGET, _WEIGHT)]
    if not any(found[:2]) and len(columns) <= 3:  # a header of other names: by their order
        return 0, 1, 2 if len(columns) == 3 else None
    unknown = [name for name in columns if name not in (*_SOURCE, *_TARGET, *_WEIGHT, *_OTHER)]
    if unknown:
        raise InputError(f"{path}: unknown column {unknown[0]!r}.{nearest(unknown[0], ('source', 'target', 'weight'))}")
    if len(found[0]) != 1 or len(found[1]) != 1 or len(found[2]) > 1:
        raise InputError(f"{path}: needs one column source, one target and maybe a weight, found {', '.join(columns)}")
    return found[0][0], found[1][0], found[2][0] if found[2] else None


def _plain(table: Table) -> Table:
    """The table with networkx's dictionaries of attributes replaced by the weight in them."""
    if not any(cells[2:] and cells[2].startswith("{") for _, cells in table.rows):
        return table
    rows = []
    for line, cells in table.rows:
        text = " ".join(cells[2:])
        try:
            data = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            data = None
        if not isinstance(data, dict) or not set(data) <= {"weight"}:
            raise table.error(line, f"needs two nodes and {{'weight': number}}, found {' '.join(cells)[:60]!r}")
        rows.append((line, [*cells[:2], str(data.get("weight", 1.0))]))
    return dataclasses.replace(table, rows=rows)
