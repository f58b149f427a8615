"""Circuits as products of 2^n x 2^n matrices, by definition: the witness of the tests.

Qubit 0 is the most significant bit of a basis state: psi.reshape((2,) * n)[s0, s1, s2, …].
"""

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
    """The product whose first letter acts on qubit 0, the most significant bit."""
    out = np.eye(1)
    for letter in letters:
        out = np.kron(out, PAULI[letter])
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


def applied(psi, matrix, qubits, controls=(), values=()):
    """The matrix on some qubits of states (2^n, …), where controls have their values.

    By axes: qubit q is axis q of a state, so that qubit 0 is the most significant bit of its index, and the first of
    the qubits that of the matrix's.
    """
    n, k = len(psi).bit_length() - 1, len(qubits)
    out = np.array(psi, complex).reshape((2,) * n + np.shape(psi)[1:])
    where = [slice(None)] * n
    for q, v in zip(controls, values, strict=True):
        where[q] = slice(v, v + 1)
    part = np.moveaxis(out[tuple(where)], qubits, range(k))
    part = np.tensordot(np.reshape(matrix, (2,) * 2 * k), part, k)
    out[tuple(where)] = np.moveaxis(part, range(k), qubits)
    return out.reshape(np.shape(psi))


def embed(matrix, qubits, n, controls=(), values=()):
    """The matrix on some qubits of n, as a matrix on all of them."""
    return applied(np.eye(1 << n), matrix, qubits, controls, values)


def turned(psi):
    """A state or a matrix in the order of Qiskit and Yao, where qubit 0 is the least significant bit."""
    n = len(psi).bit_length() - 1
    index = np.arange(1 << n).reshape((2,) * n).T.ravel()
    return psi[index] if psi.ndim == 1 else psi[np.ix_(index, index)]
