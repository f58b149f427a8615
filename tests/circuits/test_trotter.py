"""Trotter circuits and QAOA against matrix exponentials, their orders and exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pullback.circuits import commuting_sets, expect, qaoa, state, trotter
from pullback.core import InputError
from pullback.operators import PauliSum, Terms
from pullback.trust import check_derivatives
from tests.spins import pauli_sum

WORDS = {"": 0.7, "Z0 Z1": -1.0, "X0": -0.5, "Y1 Y2": 0.3, "X1 Z2": 0.4, "Z0": 0.2}
LETTERS = ["III", "ZZI", "XII", "IYY", "IXZ", "ZII"]
PARTS = [[0, 1, 5], [2, 3, 4]]  # by hand: which of these commute
SUM = PauliSum(3, WORDS)
TIME = 0.8


def evolution(matrix, time):
    return scipy.linalg.expm(-1j * time * matrix)


def dense(coefficients, strings=range(6)):
    return pauli_sum(3, [(coefficients[k], LETTERS[k]) for k in strings])


def formula(coefficients, tau, order):
    """Suzuki's recursion, written out with matrices."""
    a, b = (dense(coefficients, part) for part in PARTS)
    if order == 1:
        return evolution(b, tau) @ evolution(a, tau)
    if order == 2:
        return evolution(a, tau / 2) @ evolution(b, tau) @ evolution(a, tau / 2)
    p = 1 / (4 - 4 ** (1 / (order - 1)))
    outer = np.linalg.matrix_power(formula(coefficients, p * tau, order - 2), 2)
    return outer @ formula(coefficients, (1 - 4 * p) * tau, order - 2) @ outer


def test_commuting_sets():
    assert [[SUM.words.index(s) for s in part.words] for part in commuting_sets(SUM)] == PARTS


@pytest.mark.parametrize("order", [1, 2, 4, pytest.param(6, marks=pytest.mark.slow)])
def test_formulas_and_their_orders(order):
    coefficients, errors = list(WORDS.values()), []
    for steps in (3, 6):
        found = trotter(SUM, TIME, steps, order=order).matrix()
        step = formula(coefficients, TIME / steps, order)
        np.testing.assert_allclose(found, np.linalg.matrix_power(step, steps), atol=1e-13)
        errors.append(np.linalg.norm(found - evolution(dense(coefficients), TIME), 2))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.1


def test_derivatives_by_couplings_and_time():
    observable = PauliSum(3, {"Z0 Z2": 1.0, "X1": 0.5})
    matrix = pauli_sum(3, [(1.0, "ZIZ"), (0.5, "IXI")])
    coefficients = np.array(list(WORDS.values()))

    @jax.jit
    def mean(c, time):
        return expect(observable, trotter(PauliSum(3, Terms(SUM.words, c)), time, 3, order=2))

    def witness(c, time):
        psi = np.linalg.matrix_power(formula(c, time / 3, 2), 3)[:, 0]
        return (psi.conj() @ matrix @ psi).real

    by_coupling, by_time = jax.grad(mean, argnums=(0, 1))(jnp.asarray(coefficients), TIME)
    for k, d in enumerate(1e-5 * np.eye(6)):
        slope = (witness(coefficients + d, TIME) - witness(coefficients - d, TIME)) / 2e-5
        np.testing.assert_allclose(by_coupling[k], slope, atol=1e-9)
    slope = (witness(coefficients, TIME + 1e-5) - witness(coefficients, TIME - 1e-5)) / 2e-5
    np.testing.assert_allclose(by_time, slope, atol=1e-9)


@pytest.mark.slow
def test_derivatives_in_every_mode():
    def mean(c, time):
        return expect(PauliSum(3, {"Z0 Z2": 1.0}), trotter(PauliSum(3, Terms(SUM.words, c)), time, 3, order=4))

    check_derivatives(mean, jnp.asarray(list(WORDS.values())), TIME, order=2)


def test_qaoa_against_matrices():
    """Two layers with a cost that is not diagonal, and another mixer."""
    angles = np.array([[0.3, -0.7], [1.1, 0.4]])
    mixer = PauliSum(3, {"X0 X1": 1.0, "X2": 0.5})
    expected = np.full(8, 8**-0.5)
    for gamma, beta in angles:
        expected = evolution(pauli_sum(3, [(1.0, "XXI"), (0.5, "IIX")]), beta) @ (
            evolution(dense(list(WORDS.values())), gamma) @ expected
        )
    circuit = qaoa(SUM, angles, mixer=mixer)
    np.testing.assert_allclose(state(circuit), expected, atol=1e-13)
    np.testing.assert_array_equal(circuit.parameters, angles.ravel())


def test_one_layer_of_qaoa_without_triangles():
    """<C_ab> = 1/2 + 1/4 sin 4β sin γ (cos^d γ + cos^e γ) for degrees d + 1 and e + 1, and its slope by γ.

    Z. Wang, S. Hadfield, Z. Jiang, E. Rieffel, Phys. Rev. A 97, 022304 (2018), arXiv:1706.02998."""
    edges = np.array([[0, 1], [1, 2], [2, 3], [0, 3], [3, 4]])
    degree = np.bincount(edges.ravel()) - 1
    cut = PauliSum(5, [("", 2.5), *((f"Z{a} Z{b}", -0.5) for a, b in edges)])

    def exact(gamma, beta):
        powers = jnp.cos(gamma) ** degree[edges]
        return (0.5 + 0.25 * jnp.sin(4 * beta) * jnp.sin(gamma) * powers.sum(1)).sum()

    @jax.jit
    def found(gamma, beta):
        return expect(cut, qaoa(cut, jnp.stack([gamma, beta])[None]))

    at = 0.7, 0.4
    np.testing.assert_allclose(found(*at), exact(*at), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(found, (0, 1))(*at), jax.grad(exact, (0, 1))(*at), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trotter(SUM, 1.0, 0), "at least one step"),
        (lambda: trotter(SUM, 1.0, 2, order=3), "order 1 and 2, 4"),
        (lambda: trotter(SUM, 1.0, 2, order=0), "order 1 and 2, 4"),
        (lambda: qaoa(SUM, np.zeros(4)), "a row of γ and β"),
        (lambda: qaoa(SUM, np.zeros((1, 2)), mixer=PauliSum(2, {"X0": 1.0})), "mixer acts on 2"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
