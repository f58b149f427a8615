"""Drawing circuits: what stands in which column, and the drawing as text."""

import shutil
from typing import NamedTuple

import numpy as np

from pullback.circuits._program import Operation


class Cell(NamedTuple):
    """One operation of a drawing: what stands on which qubit."""

    labels: dict[int, str]


class Column(NamedTuple):
    """Operations that stand above each other; `moment` counts as `Circuit.depth` does."""

    moment: int
    cells: list[Cell]


def columns(circuit, max_moments: int) -> tuple[list[Column], bool]:
    """The columns of the first moments, and whether there are more."""
    program = circuit.program
    angles = np.asarray(circuit.angles).tolist()
    busy, moments, angle = [0] * program.n, {}, 0
    more = False
    for k in program.word.tolist():
        operation = program.alphabet[k]
        values = angles[angle : angle + operation.angles]
        angle += operation.angles
        touched = (*operation.qubits, *operation.controls)
        moment = max((busy[q] for q in touched), default=0)
        for q in touched:
            busy[q] = moment + 1
        if moment < max_moments:
            moments.setdefault(moment, []).append(_cell(operation, values))
        else:
            more = True
            if min(busy) > max_moments:
                break
    out = []
    for moment in sorted(moments):
        shared: list[Column] = []  # operations of one moment whose connecting lines would cross stand side by side
        for cell in moments[moment]:
            low, high = min(cell.labels, default=0), max(cell.labels, default=-1)
            for column in shared:
                if all(high < min(c.labels) or low > max(c.labels) for c in column.cells):
                    column.cells.append(cell)
                    break
            else:
                shared.append(Column(moment, [cell]))
        out += shared
    return out, more


def _cell(operation: Operation, angles: list[float]) -> Cell:
    labels = {q: "●" if v else "○" for q, v in zip(operation.controls, operation.values)}
    given = f"({', '.join(f'{a:.3g}' for a in angles)})" if angles else ""
    dagger = "†" * operation.adjoint
    targets = operation.qubits
    match operation.kind:
        case "X" if operation.controls:
            return Cell(labels | {targets[0]: "⊕"})
        case "Z" if operation.controls:
            return Cell(labels | {targets[0]: "●"})
        case "SWAP":
            return Cell(labels | dict.fromkeys(targets, "×"))
        case "rotor":
            letters = operation.strings[0].letters
            names = dict(zip(targets, letters))
            first = targets[0] if targets else None
            names = {q: name + given * (q == first) for q, name in names.items()}
        case "matrix":
            names = {q: "U" + dagger + (f"[{j}]" if len(targets) > 1 else "") for j, q in enumerate(targets)}
        case "evolution":
            names = {q: "exp(−iHt)" + given * (q == targets[0]) for q in targets}
        case "channel":
            names = dict.fromkeys(targets, "noise")
        case kind:
            names = {q: kind + dagger + given * (q == targets[0]) for q in targets}
    return Cell(labels | names)


def draw(circuit, width: int | None, max_moments: int) -> str:
    """The circuit as text, in rows of at most `width` characters; None: as wide as the terminal."""
    n = circuit.n
    width = width or shutil.get_terminal_size((100, 24)).columns
    found, more = columns(circuit, max_moments)
    name = len(f"q{n - 1}: ")
    blocks: list[list[str]] = []
    lines: list[str] = []

    def begin():
        return [f"q{q // 2}: ".ljust(name) if q % 2 == 0 else " " * name for q in range(2 * n - 1)]

    for column in found:
        new = _column_lines(column, n)
        if lines and len(lines[0]) + len(new[0]) > width - 3 and len(lines[0]) > name:
            blocks.append(lines)
            lines = []
        lines = [old + text for old, text in zip(lines or begin(), new)]
    blocks.append(lines or begin())
    end = "─…" if more else "─"
    rows = []
    for k, block in enumerate(blocks):
        tail = end if k == len(blocks) - 1 else "─"
        rows.append("\n".join((line + tail * (j % 2 == 0)).rstrip() for j, line in enumerate(block)))
    return "\n\n".join(rows)


def _column_lines(column: Column, n: int) -> list[str]:
    """The 2n − 1 lines of one column: wires, and what is between them."""
    wires, gaps = [""] * n, [False] * (n - 1)
    for cell in column.cells:
        if not cell.labels:
            continue
        low, high = min(cell.labels), max(cell.labels)
        for q in range(low, high + 1):
            wires[q] = cell.labels.get(q, "┼")
        gaps[low:high] = [True] * (high - low)
    size = max(map(len, wires))
    middle = (size - 1) // 2
    out = []
    for q in range(n):
        text = wires[q]
        left = middle - (len(text) - 1) // 2 if text else 0
        out.append("─" + ("─" * left + text).ljust(size, "─"))
        if q < n - 1:
            out.append(" " + (" " * middle + ("│" if gaps[q] else "")).ljust(size))
    return out
