"""symplectic: orders, closed orbits, grids of integers, derivatives in all modes, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import RESULTS, Direct, InputError, TwoLevel, Uncompute
from pullback.flows import symplectic
from pullback.trust import check_derivatives

ECCENTRICITY = 0.6
KEPLER = jnp.array([1 - ECCENTRICITY, 0.0]), jnp.array([0.0, ((1 + ECCENTRICITY) / (1 - ECCENTRICITY)) ** 0.5])


def kinetic(p, mass):
    return jnp.sum(p**2) / 2


def gravity(q, mass):
    return -mass / jnp.sqrt(jnp.sum(q**2))


@pytest.mark.parametrize(("order", "steps"), [(2, 1000), (4, 300), (6, 100), (8, 100)])
def test_orders(order, steps):
    """A closed orbit ends where it began; half the step, 2^order times less error."""

    def miss(n):
        return jnp.max(
            jnp.abs(symplectic((kinetic, gravity), *KEPLER, 2 * jnp.pi / n, n, 1.0, order=order)[0] - KEPLER[0])
        )

    errors = [float(jax.jit(partial(miss, n))()) for n in (steps, 2 * steps)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.35
    assert errors[0] < 0.05


@pytest.mark.parametrize("arithmetic", [pytest.param("float", marks=pytest.mark.slow), "fixed"])
def test_all_modes(arithmetic):
    def end(q, p, mass, h):
        return symplectic((kinetic, gravity), q, p, h, 40, mass, arithmetic=arithmetic)

    check_derivatives(end, *KEPLER, 1.0, 0.03, samples=1, rtol=(1e-8, 1e-6), throw=True)


def test_a_gradient_on_the_grid_is_the_stored_one_to_the_last_bit():
    """A chaotic figure of eight, for which floating point loses digits on the way back."""
    q = jnp.array([[0.97000436, -0.24308753], [-0.97000436, 0.24308753], [0.0, 0.0]])
    w = jnp.array([-0.93240737, -0.86473146])
    p = jnp.stack([-w / 2, -w / 2, w])

    def potential(q, m):
        return sum(-m[i] * m[j] / jnp.sqrt(jnp.sum((q[i] - q[j]) ** 2)) for i in range(3) for j in range(i))

    def loss(adjoint, q, p, m):
        end, _ = symplectic((kinetic, potential), q, p, 0.002, 3000, m, arithmetic="fixed", adjoint=adjoint)
        return jnp.sum(end**2)

    found, stored = (
        jax.jit(jax.value_and_grad(partial(loss, adjoint), (0, 1, 2)))(q, p, jnp.ones(3))
        for adjoint in (Uncompute(), Direct())
    )
    (value, (by_q, by_p, by_m)), (value_stored, (by_q_stored, by_p_stored, by_m_stored)) = found, stored
    assert value == value_stored and np.array_equal(by_q, by_q_stored) and np.array_equal(by_p, by_p_stored)
    np.testing.assert_allclose(by_m, by_m_stored, rtol=1e-13)  # a sum over the steps, which XLA may round otherwise
    certified = symplectic((kinetic, potential), q, p, 0.002, 3000, jnp.ones(3), arithmetic="fixed", throw=False)
    assert certified.residual == 0 and certified.result == RESULTS.successful
    assert abs(certified.stats["energy_change"]) < 1e-6


@pytest.mark.slow
def test_a_million_steps_take_no_more_memory():
    def program(n):
        loss = lambda q: jnp.sum(symplectic((kinetic, gravity), q, KEPLER[1], 0.01, n, 1.0, arithmetic="fixed")[0] ** 2)  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(KEPLER[0]).compile()

    sizes = [program(n).memory_analysis().temp_size_in_bytes for n in (1000, 10**6)]
    assert sizes[1] == sizes[0] < 10_000
    found = symplectic((kinetic, gravity), *KEPLER, 0.01, 10**6, 1.0, arithmetic="fixed", throw=False)
    assert found.residual == 0


@pytest.mark.slow
def test_a_lennard_jones_crystal_to_the_last_bit():
    """64 atoms in a periodic box at the melting density, ρ = 0.8442: a way that no floating point finds back."""
    n, side = 2000, (64 / 0.8442) ** (1 / 3)
    corner = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    q = jnp.asarray(corner * side / 4)
    p = jax.random.normal(jax.random.key(0), (64, 3)) * 1.2
    p = p - p.mean(axis=0)
    i, j = np.triu_indices(64, 1)

    def potential(q, epsilon):
        d = q[i] - q[j]
        d = d - side * jnp.round(d / side)
        inverse = 1 / jnp.sum(d**2, axis=-1) ** 3
        return 4 * epsilon * jnp.sum(inverse**2 - inverse)

    def gradient(adjoint, n):
        def loss(q):
            end, _ = symplectic((kinetic, potential), q, p, 0.004, n, 1.0, arithmetic="fixed", adjoint=adjoint)
            return jnp.sum(end**2)

        return jax.jit(jax.grad(loss)).lower(q).compile()

    undone, stored, longer = gradient(Uncompute(), n), gradient(Direct(), n), gradient(Uncompute(), 100 * n)
    assert np.array_equal(undone(q), stored(q))
    sizes = [program.memory_analysis().temp_size_in_bytes for program in (undone, longer, stored)]
    assert sizes[1] == sizes[0] < sizes[2] / 50
    certified = symplectic((kinetic, potential), q, p, 0.004, n, 1.0, arithmetic="fixed", throw=False)
    assert certified.residual == 0 and abs(certified.stats["energy_change"]) < 1


def test_a_drive_and_all_states():
    """q'' = −ω² q + cos 3t: the exact solution; states on the way; another way to say the same H."""

    def potential(q, omega, t):
        return omega**2 * q**2 / 2 - q * jnp.cos(3 * t)

    h, n, every = 0.01, 300, 50
    q, p = symplectic((lambda p, omega: p**2 / 2, potential), 0.3, -0.2, h, n, 1.4, order=6, every=every, t0=0.5)
    t = 0.5 + h * every * np.arange(1, n // every + 1)
    a = 1 / (1.4**2 - 9)
    c, s = 0.3 - a * np.cos(1.5), -0.2 + 3 * a * np.sin(1.5)
    exact = a * np.cos(3 * t) + c * np.cos(1.4 * (t - 0.5)) + s / 1.4 * np.sin(1.4 * (t - 0.5))
    np.testing.assert_allclose(q, exact, atol=1e-11)
    whole = symplectic(lambda q, p, omega, t: p**2 / 2 + potential(q, omega, t), 0.3, -0.2, h, n, 1.4, order=6, t0=0.5)
    np.testing.assert_allclose(whole, (q[-1], p[-1]), rtol=1e-13)


def test_what_goes_wrong_is_said():
    def repelled(q, m):
        return -(q**4)

    blown = symplectic((kinetic, repelled), 1.0, 0.0, 0.1, 100, throw=False)
    assert blown.result == RESULTS.nonfinite
    beyond = symplectic((kinetic, repelled), 1.0, 0.0, 0.1, 100, arithmetic="fixed", throw=False)
    assert beyond.result == RESULTS.nonfinite and not np.isfinite(beyond.value[0])
    stored = symplectic((kinetic, gravity), *KEPLER, 0.01, 10, 1.0, adjoint=TwoLevel(), throw=False)
    assert stored.result == RESULTS.successful


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hamiltonian": lambda q, p, m: q @ p}, "not a sum T"),
        ({"q0": jnp.ones(3)}, "p0 must"),
        ({"q0": jnp.array([1j, 0]), "p0": jnp.array([1j, 0])}, "must be real"),
        ({"p0": jnp.array([np.nan, 0])}, "NaN or infinite"),
        ({"n": 0}, "n must be a positive"),
        ({"n": 2.5}, "n must be a positive"),
        ({"order": 3}, "order must be one of"),
        ({"arithmetic": "exact"}, "arithmetic must be"),
        ({"every": 3}, "must divide"),
    ],
)
def test_refusals(no_type_checks, change, text):
    options = {"hamiltonian": (kinetic, gravity), "q0": KEPLER[0], "p0": KEPLER[1], "h": 0.1, "n": 10, "params": 1.0}
    with pytest.raises(InputError, match=text):
        symplectic(**(options | change))
