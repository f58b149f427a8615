"""The algebra of sums against dense matrices in NumPy, and its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.krylov import eigsh
from pullback.operators import (
    FermionSum,
    PauliString,
    PauliSum,
    SpinSum,
    Terms,
    anticommutator,
    commutator,
    heisenberg,
    reverse_sites,
)
from pullback.trust import check_derivatives
from tests.operators import dense

RNG = np.random.default_rng(0)


def random_words(kind, n, count):
    """(coefficient, text) of words of any length; letters on one site more than once for spins."""
    out = []
    for _ in range(count):
        length = int(RNG.integers(0, n + 1))
        sites = RNG.integers(0, n, length) if kind != "paulis" else RNG.permutation(n)[:length]
        if kind == "fermions":
            text = " ".join(f"{i}{'^' * int(RNG.integers(2))}" for i in sites)
        else:
            text = " ".join(f"{'XYZ'[RNG.integers(3)]}{i}" for i in sites)
        out.append((complex(*RNG.normal(size=2)), text))
    return out


def made(kind, n, terms):
    pairs = [(text, value) for value, text in terms]
    if kind == "paulis":
        return PauliSum(n, pairs), dense.words(n, terms)
    if kind == "fermions":
        return FermionSum(n, pairs), dense.fermions(n, terms)
    spin = float(kind)
    return SpinSum(n, pairs, spin=spin), dense.words(n, terms, round(2 * spin) + 1)


KINDS = [("paulis", 4), ("fermions", 4), ("1", 3), *(pytest.param(k, 2, marks=pytest.mark.slow) for k in ("1.5", "2"))]


@pytest.mark.parametrize(("kind", "n"), KINDS)
def test_sums_are_their_matrices(kind, n):
    check_sums(kind, n, 1)


def check_sums(kind, n, samples):
    """Sums, products, conjugates, commutators: of operators, and of matrices."""
    for _ in range(samples):
        (a, A), (b, B) = (made(kind, n, random_words(kind, n, 6)) for _ in range(2))
        size = np.abs(A).max() * np.abs(B).max() * len(A)
        pairs = {
            "a": (a, A),
            "a + b": (a + b, A + B),
            "algebra": (
                (2 - 1j) * a / 3 - b + 0.5 - np.float64(2) * a,
                (2 - 1j) * A / 3 - B + 0.5 * np.eye(len(A)) - 2 * A,
            ),
            "product": (a @ b, A @ B),
            "square": (a * a, A @ A),
            "conjugate": (a.adjoint(), A.conj().T),
            "commutator": (commutator(a, b), A @ B - B @ A),
            "anticommutator": (anticommutator(a, b), A @ B + B @ A),
        }
        for name, (found, exact) in pairs.items():
            np.testing.assert_allclose(_matrix(found), exact, atol=1e-13 * size, err_msg=name)
            assert len(set(found.words)) == len(found.words), name
        assert a.is_hermitian == bool(np.allclose(A, A.conj().T, atol=1e-9))
        assert (a + a.adjoint()).is_hermitian
        psi = RNG.normal(size=(2, len(A))) + 1j * RNG.normal(size=(2, len(A)))
        np.testing.assert_allclose(a(jnp.asarray(psi)), psi @ A.T, atol=1e-12 * size)
        np.testing.assert_allclose(
            a.expect(jnp.asarray(psi)), np.einsum("ki,ij,kj->k", psi.conj(), A, psi), atol=1e-11 * size
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["paulis", "fermions", "1"])
def test_many_sums_are_their_matrices(kind):
    check_sums(kind, 3, 20)


def _matrix(sum_):
    """From the factors of the words, for any n: what other rooms build from."""
    total = 0
    for c, word in zip(np.asarray(sum_.coefficients), sum_.words):
        matrices, string = word.factors()
        sign = np.diag([1.0, -1.0])
        parts = [matrices.get(i, sign if i in string else np.eye(sum_.levels)) for i in range(sum_.n)]
        term = np.eye(1)
        for part in parts:
            term = np.kron(term, part)
        total = total + c * term
    return total if not isinstance(total, int) else np.zeros((sum_.dimension,) * 2)


def test_canonical_relations():
    """{c_i, c†_j} = δ_ij, {c_i, c_j} = 0, by symbols alone: the other words are gone, not small."""
    n = 4
    c = [FermionSum(n, {f"{i}": 1.0}) for i in range(n)]
    for i in range(n):
        for j in range(n):
            found = anticommutator(c[i], c[j].adjoint())
            assert str(found) == ("1.0*[]" if i == j else "0.0*[]")
            assert not anticommutator(c[i], c[j]).words
    x, y, z = (SpinSum(1, {f"{letter}0": 0.5}, spin=1.5) for letter in "XYZ")
    assert str((x @ x + y @ y + z @ z).simplify()) == "3.75*I"  # S(S + 1)
    assert str(commutator(x, y)) == "0.5j*Z0"
    assert not commutator(heisenberg(5), PauliSum(5, {f"Z{i}": 1.0 for i in range(5)})).simplify(1e-15).words


@pytest.mark.parametrize("n", [3, 5])
def test_jordan_wigner(n):
    """Random Hermitian sums: Pauli strings with real coefficients and the same matrix; long strings of σz included."""
    terms = [*random_words("fermions", n, 8), (1.0, f"{n - 1}^ 0")]
    h, H = made("fermions", n, terms)
    h, H = h + h.adjoint(), H + H.conj().T
    paulis = h.to_paulis().hermitian()
    assert not jnp.iscomplexobj(paulis.coefficients)
    np.testing.assert_allclose(paulis.matrix(), H, atol=1e-13)
    np.testing.assert_allclose(h.matrix(), H, atol=1e-13)
    order = RNG.permutation(n)
    texts = [" ".join(f"{order[int(w.rstrip('^'))]}{'^' * w.count('^')}" for w in text.split()) for _, text in terms]
    moved = dense.fermions(n, [(value, text) for (value, _), text in zip(terms, texts)])
    np.testing.assert_allclose(h.on(order).matrix(), moved + moved.conj().T, atol=1e-13)


def test_words_of_a_hundred_sites():
    """No array of 2^100 numbers is made by algebra."""
    a = PauliSum(None, {"X0 Z99": 1.0, "Y3": 2.0})
    assert a.n == 100
    assert str(commutator(a, PauliSum(None, {"Z0": 0.5}))) == "-1j*Y0 Z99"
    hop = FermionSum(None, {"99^ 0": 1.0, "0^ 99": 1.0}).to_paulis().simplify()
    assert {word.letters for word in hop.words} == {"X" + 98 * "Z" + "X", "Y" + 98 * "Z" + "Y"}


def test_real_stays_real_and_single_precision_single():
    h = heisenberg(3, jnp.float32(1.0))
    assert h.coefficients.dtype == jnp.float32
    psi = jnp.ones((2, 8), jnp.float32) / 8**0.5
    assert h(psi).dtype == jnp.float32
    assert h.expect(psi).dtype == jnp.float32
    np.testing.assert_allclose(h.expect(psi), [0.75, 0.75], rtol=1e-6)  # all spins along x
    assert PauliSum(1, {"Y0": 1.0})(jnp.ones(2)).dtype == jnp.complex128
    assert heisenberg(3, spin=1.0).matrix().dtype == jnp.complex128
    assert SpinSum(2, {"Z0 Z1": 1.0})(jnp.ones(9, jnp.float32)).dtype == jnp.float32
    assert PauliSum(2, {})(jnp.ones(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.optimised
def test_derivatives_in_the_coefficients_and_the_state():
    """Energy, product and a function of a square: both modes and second order."""
    words = [PauliString("XX", (0, 2)), PauliString("Y", (1,)), PauliString("ZZZ", (0, 1, 2)), PauliString("", ())]
    psi = jnp.asarray(RNG.normal(size=8) + 1j * RNG.normal(size=8))

    def results(c, psi):
        h = PauliSum(3, Terms(words, c))
        square = h @ h + 0.3 * h
        return h.expect(psi), h(psi), square.expect(psi).real, commutator(h, h.on([1, 2, 0])).coefficients

    check_derivatives(results, jnp.asarray(RNG.normal(size=4)), psi, samples=1, throw=True)

    def fermionic(c, psi):
        return FermionSum(3, Terms(FermionSum(3, {"2^ 0": 1, "0^ 2": 1, "1^ 1": 1}).words, c)).expect(psi)

    check_derivatives(fermionic, jnp.asarray(RNG.normal(size=3) + 0j), psi, samples=1, throw=True)


def test_the_derivative_of_a_mean_value_is_that_of_the_matrix():
    """d⟨H⟩/dc = ⟨w⟩ and its second derivative 2 ⟨dψ|w|ψ⟩, from dense matrices."""
    terms = random_words("paulis", 3, 4)
    h = PauliSum(3, [(text, value.real) for value, text in terms])
    psi, dpsi = (jnp.asarray(RNG.normal(size=8)) for _ in range(2))
    words = [dense.words(3, [(1, str(word))]) for word in h.words]
    energy = jax.jit(lambda h, psi: h.expect(psi))
    np.testing.assert_allclose(jax.grad(energy)(h, psi).coefficients, [(psi @ w @ psi).real for w in words], atol=1e-13)
    mixed = jax.jvp(lambda psi: jax.grad(energy)(h, psi).coefficients, (psi,), (dpsi,))[1]
    np.testing.assert_allclose(mixed, [2 * (dpsi @ w @ psi).real for w in words], atol=1e-13)
    batch = jax.vmap(jax.grad(energy, argnums=1), (None, 0))(h, jnp.stack([psi, dpsi]))
    H = sum(c * w for c, w in zip(np.asarray(h.coefficients), words))
    np.testing.assert_allclose(batch, 2 * (jnp.stack([psi, dpsi]) @ H.T).real, atol=1e-12)


def test_models_are_operators_of_krylov():
    model = heisenberg(8)
    w, _ = eigsh(model)
    assert float(w[0]) == pytest.approx(-0.4563866761171 * 8, abs=1e-10)
    slope = jax.grad(lambda J: eigsh(heisenberg(8, J))[0][0])(1.0)
    assert float(slope) == pytest.approx(-0.4563866761171 * 8, abs=1e-9)


def test_the_other_order_of_sites():
    h, H = made("paulis", 3, random_words("paulis", 3, 5))

    def kron(a, b, c):
        return np.kron(a, np.kron(b, c))

    a, b, c = RNG.normal(size=(3, 2, 2))
    np.testing.assert_allclose(reverse_sites(jnp.asarray(kron(a, b, c)), axes=(-2, -1)), kron(c, b, a))
    u, v, w = RNG.normal(size=(3, 3))
    np.testing.assert_allclose(reverse_sites(jnp.asarray(kron(u, v, w)), levels=3), kron(w, v, u))
    np.testing.assert_allclose(reverse_sites(h).matrix(), reverse_sites(jnp.asarray(H), axes=(0, 1)), atol=1e-14)
    with pytest.raises(InputError, match="to_paulis"):
        reverse_sites(FermionSum(2, {"0^ 1": 1.0}))
    with pytest.raises(InputError, match="6 states"):
        reverse_sites(jnp.ones(6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PauliSum(2, {"X2": 1.0}), "'X2' does not fit on 2 sites"),
        (lambda: PauliSum(2, {"Q0": 1.0}), "cannot read 'Q0'"),
        (lambda: PauliSum(2, {"X0 X0": 1.0}), "site 0 occurs twice"),
        (lambda: PauliSum(2, {"X0": "1"}), "must be numbers"),
        (lambda: PauliSum(2, {"X0": np.ones(2)}), "must be numbers"),
        (lambda: PauliSum(0, {}), "at least one site"),
        (lambda: PauliSum(1.5, {}), "must be an integer"),
        (lambda: PauliSum(2, Terms([PauliString("X", (0,))], jnp.ones(2))), "needs 1 coefficients"),
        (lambda: PauliSum(2, {"X0": 1j}).hermitian(), "differs from its Hermitian conjugate"),
        (lambda: PauliSum(2, {"X0": 1.0}) + FermionSum(2, {"0^ 1": 1.0}), "cannot be combined"),
        (lambda: SpinSum(2, {"X0": 1.0}) @ SpinSum(2, {"X0": 1.0}, spin=1.5), "cannot be combined"),
        (lambda: SpinSum(2, {"X0": 1.0}, spin=0.5), "PauliSum is for spins 1/2"),
        (lambda: FermionSum(2, {"0+": 1.0}), "cannot read '0\\+'"),
        (lambda: PauliSum(2, {"X0": 1.0}).on([0, 0]), "2 different sites"),
        (lambda: PauliSum(2, {"X0": 1.0})(jnp.ones(8)), "amplitudes, not 4"),
        (lambda: PauliSum(15, {"X0": 1.0}).matrix(), "apply the operator as a function"),
        (lambda: jax.jit(lambda c: PauliSum(1, {"X0": c}).is_hermitian)(1.0), "needs coefficients that are numbers"),
        (lambda: heisenberg(0), "at least one site"),
        (lambda: heisenberg(3, np.ones(2)), "needs one number or 3"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_mistakes(make, message):
    with pytest.raises(InputError, match=message):
        make()
