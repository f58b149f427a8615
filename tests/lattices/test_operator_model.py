"""Sums of words of any length on lattices: against dense matrices from their definitions, in sectors and without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.lattices import OperatorModel, Sector, SpinModel, fidelity_susceptibility, ground_state, hubbard, ring
from pullback.operators import FermionSum, PauliSum, SpinSum, anticommutator, heisenberg, transverse_ising
from pullback.trust import check_derivatives
from tests.lattices.references import hubbard_matrix
from tests.operators import dense

SLOW = pytest.mark.slow


def random_terms(rng, kind, n, count):
    """Words of any length as (coefficient, text), a constant and a long word among them."""
    out = [(rng.normal(), "")]
    for _ in range(count):
        length = int(rng.integers(1, n + 1))
        if kind == "fermions":
            text = " ".join(f"{i}{'^' * int(rng.integers(2))}" for i in rng.integers(0, n, min(length, 5)))
        else:
            text = " ".join(f"{'XYZ'[rng.integers(3)]}{i}" for i in rng.permutation(n)[:length])
        out.append((rng.normal() + 1j * rng.normal() * (kind == "fermions"), text))
    return out


def hermitian(rng, kind, n, count):
    """A random Hermitian sum, and its dense matrix."""
    terms = random_terms(rng, kind, n, count)
    pairs = [(text, value) for value, text in terms]
    if kind == "fermions":
        found, exact = FermionSum(n, pairs), dense.fermions(n, terms)
        return found + found.adjoint(), exact + exact.conj().T
    if kind == "paulis":
        return PauliSum(n, [(text, np.real(value)) for text, value in pairs]), dense.words(n, terms)
    found, exact = SpinSum(n, pairs), dense.words(n, terms, 3)
    return found + found.adjoint(), exact + exact.conj().T


def check(model, exact):
    """The matrix, the product with a state, and the sum that it is for other rooms."""
    size = np.abs(exact).max()
    matrix = np.asarray(jax.jit(lambda m: m.matrix())(model))
    np.testing.assert_allclose(matrix, exact, atol=1e-13 * size)
    assert np.iscomplexobj(matrix) == bool(np.abs(exact.imag).max() > 1e-12)
    for psi in (np.cos(np.arange(len(exact))), np.exp(1j * np.arange(len(exact)))):
        np.testing.assert_allclose(model(jnp.asarray(psi)), exact @ psi, atol=1e-12 * size)
    np.testing.assert_allclose(model.to_sum().matrix(), exact, atol=1e-13 * size)


@pytest.mark.parametrize(("kind", "n"), [("paulis", 7), ("fermions", 7), pytest.param("spins", 4, marks=SLOW)])
def test_words_of_any_length(kind, n):
    """Longer than the windows of the product, and than the largest matrix of a few modes."""
    rng = np.random.default_rng(3)
    h, exact = hermitian(rng, kind, n, 8)
    check(OperatorModel(h), exact)
    if kind == "paulis":
        terms = [(1.0, "X0 X1 X2 X3 X4 X5 X6"), (0.3, "Y0 Z1 Z3 Z5 Y6"), (0.2, "Z0 Z3 Z6")]
        check(OperatorModel(PauliSum(n, [(text, value) for value, text in terms])), dense.words(n, terms))


@SLOW
def test_random_models_agree_between_the_rooms():
    """`lattices`, the operators (as `circuits` applies them) and dense matrices, entry for entry: 50 models."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 7))
        h, exact = hermitian(rng, "paulis", n, 6)
        np.testing.assert_allclose(h.matrix(), exact, atol=1e-13)
        np.testing.assert_allclose(OperatorModel(h).matrix(), exact, atol=1e-13)


def translated(word_sum, n):
    """Σ_i T^i h T^−i."""
    return sum(word_sum.on([(i + k) % n for i in range(n)]) for k in range(n))


def sector_levels(h, sectors):
    out = []
    for sector in sectors:
        try:
            part = OperatorModel(h).in_sector(sector)
        except InputError as error:
            if "no state" not in str(error):
                raise
            continue
        matrix = np.asarray(part.matrix())
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-12)
        out.append(np.linalg.eigvalsh(matrix))
    return np.sort(np.concatenate(out))


@SLOW
@pytest.mark.parametrize("kind", ["fermions", "paulis", "spins"])
def test_sectors_of_words_of_any_length(kind):
    """All sectors together have the levels of the dense matrix."""
    n = 6 if kind == "paulis" else 4
    seed = {
        "paulis": PauliSum(n, {"X0 X1 X2": 0.7, "X0 Y1 Z2 X3": 0.2, "Y0 X1 Z2 X3": -0.2, "Z0 Z1 Z2 Z3": 1.1, "": 0.3}),
        "fermions": FermionSum(n, {"0^ 1": 1 + 0.5j, "0^ 0 2^ 2": 0.4, "0^ 1^ 3 2": 0.3j, "0^ 1 2^ 2": 0.1}),
        "spins": SpinSum(n, {"X0 X0 Z1 Z1": 0.3, "X0 X1": 0.5, "Z0 X0 X1 Z1": 0.2}),
    }[kind]
    h = translated(seed + seed.adjoint(), n)
    numbers = [{"particles": p} for p in range(n + 1)] if kind == "fermions" else [{}]
    sectors = [Sector(momentum=k, **given) for given in numbers for k in range(n)]
    matrix = np.asarray(h.matrix())
    np.testing.assert_allclose(sector_levels(h, sectors), np.linalg.eigvalsh(matrix), atol=1e-11)


def test_a_conserved_magnetisation_of_four_spin_exchange():
    """(S_0·S_1)(S_2·S_3) and its translations conserve S^z and spin inversion; each of its words alone does not."""
    n = 4

    def exchange(i, j):
        return PauliSum(n, {f"{a}{i} {a}{j}": 0.25 for a in "XYZ"})

    h = heisenberg(n) + translated(0.3 * anticommutator(exchange(0, 1), exchange(2, 3)), n)
    sectors = [Sector(magnetisation=float(m)) for m in range(-2, 3)]
    exact = np.linalg.eigvalsh(np.asarray(h.matrix()))
    np.testing.assert_allclose(sector_levels(h, sectors), exact, atol=1e-12)
    with pytest.raises(InputError, match="does not conserve"):
        OperatorModel(h + PauliSum(n, {"X0 X1 X2 X3": 0.1})).in_sector(Sector(magnetisation=0.0))
    with pytest.raises(InputError, match="does not conserve"):
        OperatorModel(h + 0.1 * PauliSum(n, {"Z0 Z1 Z2": 1.0})).in_sector(Sector(spin_inversion=1))


def test_sums_and_couplings_on_a_lattice_are_one_model():
    """Same words, same sector, same table: XX and YY are kept once at fixed magnetisation."""
    sector = Sector(momentum=0, magnetisation=0.0, parity=1)
    couplings, words = SpinModel(ring(8), {"xx+yy+zz": 0.25}), OperatorModel(heisenberg(8))
    one, other = couplings.in_sector(sector), words.in_sector(sector)
    np.testing.assert_allclose(one.matrix(), other.matrix(), atol=1e-15)
    assert other.weights.size == 2
    assert not (couplings.to_sum() - heisenberg(8)).simplify(1e-15).words
    model = hubbard(ring(3), 1.0, 5.0, phase=0.2)
    np.testing.assert_allclose(model.to_sum().matrix(), hubbard_matrix(3, ring(3).bonds, 1.0, 5.0, 0.2), atol=1e-13)
    with_spin = Sector(particles=(2, 1), momentum=1)
    found = ground_state(model.to_sum(), sector=with_spin).energy
    np.testing.assert_allclose(found, ground_state(model, sector=with_spin).energy, atol=1e-12)


def test_derivatives_in_the_coefficients():
    """The energy of a sum of fermions in both modes and second order; dE/dc_k = ⟨w_k⟩ by Hellmann and Feynman."""
    hop = FermionSum(4, {"0^ 1": 1.0, "1^ 0": 1.0, "1^ 2": 1.0, "2^ 1": 1.0, "2^ 3": 1.0, "3^ 2": 1.0})
    repulsion = FermionSum(4, {"0^ 0 1^ 1": 1.0, "2^ 2 3^ 3": 1.0})

    def energy(t, U):
        return ground_state(U * repulsion - t * hop, sector=Sector(particles=2)).energy

    check_derivatives(energy, 1.0, 2.0, samples=1, throw=True)
    h = transverse_ising(4, 0.7)
    slope = jax.jit(jax.grad(lambda h: ground_state(h).energy))(h)
    psi = np.linalg.eigh(np.asarray(h.matrix()))[1][:, 0]
    exact = [psi @ dense.words(4, [(1, str(word))]).real @ psi for word in h.words]
    np.testing.assert_allclose(slope.coefficients, exact, atol=1e-12)


def test_what_is_no_model():
    with pytest.raises(InputError, match="not Hermitian"):
        ground_state(PauliSum(2, {"X0": 1j}))
    with pytest.raises(InputError, match="not Hermitian"):
        fidelity_susceptibility(lambda g: FermionSum(2, {"0^ 1": 1.0}), 1.0)
    with pytest.raises(InputError, match="3 modes"):
        ground_state(FermionSum(3, {"0^ 0": 1.0}), sector=Sector(particles=(1, 1)))
