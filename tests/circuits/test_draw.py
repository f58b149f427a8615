"""Drawings, letter by letter, and that huge circuits are drawn at once."""

import time

import numpy as np

from pullback import circuits as qc
from pullback.plots import circuit_diagram


def lines(text):
    return text.strip("\n").splitlines()


def test_all_symbols():
    circuit = qc.Circuit(
        4,
        [
            qc.control((0, 3), qc.put(2, qc.X), values=(0, 1)),
            qc.rotor("X0 Z3", 0.4),
            qc.put(1, qc.daggered(qc.S)),
            qc.put((3, 1), qc.SWAP),
            qc.put((2, 0), qc.matrix_gate(np.eye(4))),
            qc.put(0, qc.bit_flip(0.1)),
        ],
    )
    assert lines(circuit.draw(80)) == lines("""
q0: ─○────X(0.4)───U[1]─noise─
     │      │       │
q1: ─┼─S†───┼────×──┼─────────
     │      │    │  │
q2: ─⊕──────┼────┼─U[0]───────
     │      │    │
q3: ─●──────Z────×────────────
""")


def test_moments_are_those_of_depth():
    circuit = qc.variational_circuit(4, 2)
    found, more = circuit.columns(1000)
    assert found[-1].moment + 1 == circuit.depth
    assert not more


def test_lines_break_and_huge_circuits_stop():
    circuit = qc.variational_circuit(3, 20_000)
    start = time.perf_counter()
    text = circuit.draw(40, max_moments=12)
    assert time.perf_counter() - start < 5
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("q0:") == len(text.split("\n\n")) > 1
    assert text.endswith("…")


def test_figure():
    circuit = qc.variational_circuit(3, 3)
    figure = circuit_diagram(circuit)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert sum(word.startswith("Rz") for word in words) == 18
    assert sum(word.startswith("Rx") for word in words) == 12
