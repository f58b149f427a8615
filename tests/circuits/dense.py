"""Circuits as products of 2^n x 2^n matrices, by definition: the witness of the tests."""

import numpy as np

I = np.eye(2)
X = np.array([[0, 1], [1, 0]])
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1.0, -1.0])
PAULI = {"I": I, "X": X, "Y": Y, "Z": Z}


def exp_pauli(string, angle):
    """exp(-i angle/2 P) for P with P² = 1."""
    return np.cos(angle / 2) * np.eye(len(string)) - 1j * np.sin(angle / 2) * string


def pauli(letters):
    """The product whose first letter acts on qubit 0, the least significant bit."""
    out = np.eye(1)
    for letter in letters:
        out = np.kron(PAULI[letter], out)
    return out


def u3(t, p, m):
    c, s = np.cos(t / 2), np.sin(t / 2)
    return np.array([[c, -np.exp(1j * m) * s], [np.exp(1j * p) * s, np.exp(1j * (p + m)) * c]])


def fsim(t, p):
    out = np.eye(4, dtype=complex)
    out[1, 1] = out[2, 2] = np.cos(t)
    out[1, 2] = out[2, 1] = -1j * np.sin(t)
    out[3, 3] = np.exp(-1j * p)
    return out


CONSTANT = {
    "X": X,
    "Y": Y,
    "Z": Z,
    "H": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "S": np.diag([1, 1j]),
    "T": np.diag([1, np.exp(0.25j * np.pi)]),
    "SX": np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
    "SWAP": np.eye(4)[[0, 2, 1, 3]],
    "iSWAP": np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
}
ROTATION = {
    "Rx": (1, 1, lambda a: exp_pauli(X, a)),
    "Ry": (1, 1, lambda a: exp_pauli(Y, a)),
    "Rz": (1, 1, lambda a: exp_pauli(Z, a)),
    "P": (1, 1, lambda a: np.diag([1, np.exp(1j * a)])),
    "U3": (1, 3, u3),
    "Rxx": (2, 1, lambda a: exp_pauli(pauli("XX"), a)),
    "Ryy": (2, 1, lambda a: exp_pauli(pauli("YY"), a)),
    "Rzz": (2, 1, lambda a: exp_pauli(pauli("ZZ"), a)),
    "fSim": (2, 2, fsim),
}


def embed(matrix, qubits, n, controls=(), values=()):
    """The matrix on some qubits of n, the first of them its least significant bit, where controls have their values."""
    out = np.zeros((1 << n, 1 << n), complex)
    for column in range(1 << n):
        if any((column >> q & 1) != v for q, v in zip(controls, values)):
            out[column, column] = 1
            continue
        inner = sum((column >> q & 1) << k for k, q in enumerate(qubits))
        rest = column & ~sum(1 << q for q in qubits)
        for row in range(len(matrix)):
            out[rest | sum((row >> k & 1) << q for k, q in enumerate(qubits)), column] += matrix[row, inner]
    return out
