"""inverse-schrodinger: the notebook's problem, Johnson's targets, and users' files made from known potentials.

The densities in the files do not come from this package: Morse and Pöschl-Teller states in closed form, the double
well by diagonalisation in the basis of the harmonic oscillator.
"""

import numpy as np
import pytest

from pullback.core import InputError
from pullback.experiments.inverse_schrodinger import InverseSchrodinger
from pullback.runs import Run


def solve(**options):
    experiment = InverseSchrodinger(**options)
    result = experiment.run(experiment.prepare(), Run.null())
    return experiment, result


def oscillator(n, x):
    """The first n states of the harmonic oscillator, shape (n, points)."""
    rows = [np.pi**-0.25 * np.exp(-(x**2) / 2), np.pi**-0.25 * np.sqrt(2) * x * np.exp(-(x**2) / 2)]
    for k in range(2, n):
        rows.append(np.sqrt(2 / k) * x * rows[-1] - np.sqrt((k - 1) / k) * rows[-2])
    return np.stack(rows)


def double_well_states(x, n=120):
    """States of p²/2 + x⁴/4 - 2x², one row each."""
    ladder = np.diag(np.sqrt(np.arange(1, n + 8) / 2), 1)
    position, squared = ladder + ladder.T, np.diag(np.arange(n + 8) + 0.5)
    kinetic = squared - position @ position / 2
    square = position @ position
    hamiltonian = (kinetic + square @ square / 4 - 2 * square)[:n, :n]
    return np.linalg.eigh(hamiltonian)[1].T @ oscillator(n, x)


def morse(x):
    root, z = np.sqrt(20.0), 2 * np.sqrt(20.0) * np.exp(-x)
    return np.exp((root - 0.5) * np.log(z) - z / 2)


KNOWN = {  # potential, ground state, ends of the grid
    "morse": (lambda x: 10 * ((1 - np.exp(-x)) ** 2 - 1), morse, (-1.8, 5.0)),
    "poschl-teller": (lambda x: -6 / np.cosh(x) ** 2, lambda x: np.cosh(x) ** -3.0, (-7.0, 7.0)),
    "double-well": (lambda x: x**4 / 4 - 2 * x**2, lambda x: double_well_states(x)[0], (-5.0, 5.0)),
}


def error(x, found, exact, rho, threshold=1e-4):
    """max |V - V_exact|, up to the constant, where the density exceeds the threshold."""
    away = (found - exact)[rho > threshold * rho.max()]
    return np.abs(away - np.average(away, weights=rho[rho > threshold * rho.max()])).max()


@pytest.mark.parametrize("name", KNOWN)
def test_potentials_are_recovered_from_a_file(name, tmp_path):
    potential, state, ends = KNOWN[name]
    x = np.linspace(*ends, 240)
    rho = 3 * state(x) ** 2  # not normalised
    np.savetxt(tmp_path / "rho.csv", np.stack([x, rho], 1), delimiter=",", header="x,density", comments="")
    experiment, result = solve(input=tmp_path / "rho.csv")
    assert result.converged and result.summary["l1"] <= 1e-8
    assert error(x, result.arrays["potential"], potential(x), rho) < 2e-5
    assert result.summary["potential_error"] < 2e-5
    assert result.arrays["density"].sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-9)
    assert any("normalised" in note for note in experiment.prepare().notes)
    assert len(experiment.plot(result).axes) == 3


@pytest.mark.slow
def test_a_file_on_non_uniform_points(tmp_path):
    """Second order only: the error is that of the differences, not of the optimisation."""
    potential, state, _ = KNOWN["morse"]
    x = np.log(np.linspace(np.exp(-1.2), np.exp(2.5), 400))
    np.savez(tmp_path / "rho.npz", x=x, density=state(x) ** 2)
    _, result = solve(input=tmp_path / "rho.npz", tol=1e-7)
    assert result.converged and result.summary["potential_error"] < 1e-3
    assert 1e-3 < error(x, result.arrays["potential"], potential(x), state(x) ** 2, 1e-2) < 0.2


@pytest.mark.slow
def test_the_notebooks_problem():
    """Where L-BFGS on V stops at 0.0249: the infimum is 0, and the closed form with psi >= 1e-5 has 3.02e-8."""
    experiment, result = solve()
    history = result.arrays["history"]
    assert history[0] == pytest.approx(0.38652714355, abs=1e-10)
    assert result.converged and result.summary["steps"] < 60
    assert result.summary["l1"] <= 1e-8 and history[-1] == pytest.approx(result.summary["l1"])
    x, h = np.linspace(-1, 1, 300, endpoint=False), 2 / 300
    psi = np.where(np.abs(x) < 0.5, 1 - np.abs(x), 0)
    psi = np.maximum(psi / np.linalg.norm(psi), 1e-5)
    padded = np.pad(psi, 1)
    closed_form = (padded[2:] - 2 * psi + padded[:-2]) / (2 * h**2 * psi)
    inner = np.abs(x) < 0.49  # at the cliff the floor of psi enters, divided by h²
    found = result.arrays["potential"]
    assert error(x[inner], found[inner], closed_form[inner], psi[inner] ** 2) < 1e-5
    assert result.summary["potential_error"] < 1e-4 * np.ptp(closed_form[np.abs(x) < 0.5])
    labels = [axis.get_xlabel() + axis.get_ylabel() for axis in experiment.plot(result).axes]
    assert "bohr" in labels[0] and "hartree" in labels[1]


def test_constant_shifts_do_not_change_the_loss():
    """So the gradient sums to zero; and it is that of the notebook's program, differentiated by hand."""
    import jax

    from pullback import schrodinger as sch

    design = InverseSchrodinger().prepare().design
    loss = jax.jit(jax.value_and_grad(lambda v: sch.distance(design.solve(v)[1], design.amplitudes)))
    value, gradient = loss(design.start)
    assert abs(gradient.sum()) < 1e-13
    x, h = np.linspace(-1, 1, 300, endpoint=False), 2 / 300
    hamiltonian = np.diag(1 / h**2 + x**2 / 2) - np.diag(np.full(299, 0.5 / h**2), 1) * 2
    levels, states = np.linalg.eigh((hamiltonian + hamiltonian.T) / 2)
    psi, target = states[:, 0], np.asarray(design.amplitudes[0])
    assert float(value) == pytest.approx(np.abs(psi**2 - target**2).sum(), abs=1e-12)
    pull = 2 * np.sign(psi**2 - target**2) * psi
    by_hand = -psi * (states[:, 1:] @ ((states[:, 1:].T @ pull) / (levels[1:] - levels[0])))
    np.testing.assert_allclose(gradient, by_hand, atol=1e-12)


@pytest.mark.parametrize("name", ["johnson-smooth", "johnson-house"])
def test_johnsons_targets(name):
    """H = -d²/dx² + V on a ring of 100 points. His 500 to 5000 steps of nonlinear CG leave visible ripples."""
    _, result = solve(target=name, loss="amplitude", tol=1e-9)
    assert result.converged and result.summary["steps"] < 80
    arrays, h = result.arrays, 0.02
    hamiltonian = (2 * np.eye(100) - np.roll(np.eye(100), 1, 0) - np.roll(np.eye(100), -1, 0)) / h**2
    psi = np.abs(np.linalg.eigh(hamiltonian + np.diag(arrays["potential"]))[1][:, 0])
    x = np.linspace(-1, 1, 100, endpoint=False)
    wanted = 1 + np.sin(np.pi * x + np.cos(3 * np.pi * x))
    if name == "johnson-house":
        wanted = np.where(np.abs(x) < 0.5, 1 - np.abs(x), 0)
    assert np.sum((psi - wanted / np.linalg.norm(wanted)) ** 2) < 1e-9


@pytest.mark.parametrize(
    ("target", "states"), [("double-well", (0, 1)), pytest.param("morse", (2,), marks=pytest.mark.slow)]
)
def test_excited_and_several_states(target, states, tmp_path):
    _, result = solve(target=target, states=states, grid=120, tol=1e-9)
    assert result.converged and result.summary["model_error"] < 1e-2
    if target == "double-well":  # the splitting is part of what was found
        splitting = result.summary["energy_1"] - result.summary["energy_0"]
        assert splitting == pytest.approx(2.66144806683 - 2.65173171692, abs=1e-6)


def test_several_densities_in_a_file(tmp_path):
    potential, _, ends = KNOWN["double-well"]
    x = np.linspace(*ends, 110)
    states = double_well_states(x)
    columns = np.stack([x, states[0] ** 2, states[2] ** 2], 1)
    header = "x,density_0,density_2"
    np.savetxt(tmp_path / "rho.csv", columns, delimiter=",", header=header, comments="")
    experiment, result = solve(input=tmp_path / "rho.csv", kinetic="sinc")
    assert result.converged
    assert result.arrays["states"].tolist() == [0, 2]
    assert error(x, result.arrays["potential"], potential(x), states[0] ** 2) < 1e-3
    assert len(experiment.plot(result).axes[0].lines) == 4
    with pytest.raises(InputError, match="already say which states"):
        solve(input=tmp_path / "rho.csv", states=(1,))


def test_densities_of_no_common_potential(tmp_path):
    """The search ends where nothing is gained any more, and says what may be wrong."""
    x = np.linspace(-5, 5, 80)
    columns = np.stack([x, oscillator(2, x)[0] ** 2, oscillator(2, x - 0.5)[1] ** 2], 1)
    np.savez(tmp_path / "rho.npz", x=x, density_0=columns[:, 1], density_1=columns[:, 2])
    _, result = solve(input=tmp_path / "rho.npz")
    assert not result.converged and result.summary["steps"] < 200
    assert "may not belong to one potential" in result.message


@pytest.mark.slow
def test_resampling(tmp_path):
    potential, state, ends = KNOWN["poschl-teller"]
    x = np.linspace(*ends, 400)
    np.savetxt(tmp_path / "rho.csv", np.stack([x, state(x) ** 2], 1), delimiter=",")
    _, result = solve(input=tmp_path / "rho.csv", grid=200, kinetic="sinc")
    points = result.arrays["x"]
    assert points.size == 200 and (points[0], points[-1]) == (x[0], x[-1])
    assert error(points, result.arrays["potential"], potential(points), state(points) ** 2) < 1e-3


def test_a_ring_from_a_file(tmp_path):
    """Mathieu: the ground state of a cosine potential on a ring, whose density has no other source of V."""
    x = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    k = np.arange(-20, 21)
    coupled = np.diag(k**2 / 2) + 0.75 * (np.eye(41, k=1) + np.eye(41, k=-1))
    psi = np.linalg.eigh(coupled)[1][:, 0] @ np.exp(1j * np.outer(k, x))
    np.savez(tmp_path / "ring.npz", x=x, density=np.abs(psi) ** 2)
    _, result = solve(input=tmp_path / "ring.npz", boundary="periodic", kinetic="fourier")
    assert result.converged
    assert error(x, result.arrays["potential"], 1.5 * np.cos(x), np.abs(psi) ** 2) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"optimiser": "lbfgs"}, {"optimiser": "adam", "learning_rate": 1.0}],
)
def test_the_optimisers_of_the_notebook(options):
    """They go down, and stop short with an explanation (exit code 3)."""
    _, result = solve(**options, grid=60, max_steps=20)
    assert not result.converged
    assert result.arrays["history"][-1] < result.arrays["history"][0]
    assert "above --tol 1e-08" in result.message and "newton" in result.message


@pytest.mark.slow
def test_smoothness_trades_the_density_for_a_smooth_potential():
    rough = solve(target="double-well", grid=80, loss="amplitude")[1]
    smooth = solve(target="double-well", grid=80, loss="amplitude", smoothness=1e-3)[1]
    assert smooth.converged
    roughness = [np.sum(np.diff(result.arrays["potential"]) ** 2) for result in (rough, smooth)]
    assert roughness[1] < 0.1 * roughness[0]
    assert rough.summary["amplitude"] < 1e-8 < smooth.summary["amplitude"] < 0.1
    with pytest.raises(InputError, match="add --loss amplitude"):
        solve(smoothness=1.0)


def test_bad_requests(tmp_path):
    np.savetxt(tmp_path / "rho.csv", np.stack([np.arange(9.0), np.ones(9)], 1), delimiter=",")
    x = np.linspace(-4, 4, 3001)
    np.savetxt(tmp_path / "many.csv", np.stack([x, x**2 * np.exp(-(x**2))], 1), delimiter=",")
    for options, message in (
        ({"states": (0, 0)}, "different state numbers"),
        ({"states": (1,)}, "is a ground state"),
        ({"boundary": "periodic"}, "goes with --input"),
        ({"kinetic": "fourier"}, "needs the boundary 'periodic'"),
        ({"input": tmp_path / "rho.csv", "states": (0, 1)}, "one density for 2 states"),
        ({"input": tmp_path / "rho.csv", "states": (2,)}, "only 0 minima"),
        ({"input": tmp_path / "many.csv", "states": (1,), "kinetic": "fd2"}, "matrices of 3001²"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            InverseSchrodinger(**options).prepare()
        assert "\n" not in str(caught.value)
