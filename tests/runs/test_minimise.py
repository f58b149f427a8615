"""Minimisation: known minima, every reason to stop, pytrees and complex numbers, histories."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from pullback.core import RESULTS, InputError
from pullback.runs import LBFGS, Adam, GaussNewton, GradientDescent, Interrupted, LeastSquares, Newton, Run, minimise
from pullback.runs._progress import Silent
from pullback.runs._signals import StopSignal


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def residual(x):
    """Rosenbrock's function is the sum of its squares."""
    return jnp.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def equations(x):
    return LeastSquares(residual(x), jax.jacfwd(residual)(x))


def convex(x):
    """Its minimum is where tanh(x) = −A x: nowhere else is the gradient zero."""
    return jnp.sum(jnp.log(jnp.cosh(x - 3))) + x @ (jnp.eye(x.size) / 9) @ x / 2


def newton_direction(x):
    value, gradient = jax.value_and_grad(convex)(x)
    step = -jnp.linalg.solve(jax.hessian(convex)(x), gradient)
    return value, step, gradient @ step


def test_rosenbrock_to_its_known_minimum():
    found = minimise(Run.null(), "fit", rosenbrock, jnp.zeros(10), tol=1e-20, max_steps=500)
    assert found.converged and found.message == ""
    np.testing.assert_allclose(found.x, 1, atol=1e-9)
    assert found.history.shape == (found.steps + 1,)
    assert found.history[0] == 9 and found.history[-1] == found.loss <= 1e-20
    assert np.all(np.diff(found.history) <= 0)
    witness = scipy.optimize.minimize(
        scipy.optimize.rosen,
        np.zeros(10),
        jac=scipy.optimize.rosen_der,
        method="L-BFGS-B",
        options={"ftol": 1e-16},
    )
    assert found.steps < 1.5 * witness.nit


def test_adam_takes_the_steps_of_the_paper():
    """Kingma and Ba, algorithm 1, written out."""
    found = minimise(Run.null(), "fit", rosenbrock, jnp.zeros(4), optimiser=Adam(0.01), tol=0.0, max_steps=200)
    x, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    for t in range(1, 201):
        g = scipy.optimize.rosen_der(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(found.x, x, rtol=1e-9)
    np.testing.assert_allclose(found.loss, scipy.optimize.rosen(x), rtol=1e-9)
    assert found.result == RESULTS.max_steps_reached and not found.converged and "max_steps" in found.message


def test_gradient_descent_and_its_histories():
    found = minimise(
        Run.null(), "fit", rosenbrock, jnp.zeros(4), optimiser=GradientDescent(1e-3), tol=0.0, max_steps=50
    )
    x, losses, norms = np.zeros(4), [], []
    for _ in range(51):
        g = scipy.optimize.rosen_der(x)
        losses.append(scipy.optimize.rosen(x))
        norms.append(np.linalg.norm(g))
        end, x = x, x - 1e-3 * g
    np.testing.assert_allclose(found.x, end, rtol=1e-10)
    np.testing.assert_allclose(found.history, losses, rtol=1e-10)
    np.testing.assert_allclose(found.gradient_history, norms, rtol=1e-10)


def test_gauss_newton_beside_minpack():
    found = minimise(
        Run.null(), "fit", rosenbrock, jnp.zeros(6), optimiser=GaussNewton(equations), tol=1e-26, max_steps=50
    )
    witness = scipy.optimize.least_squares(lambda x: np.asarray(residual(x)), np.zeros(6), method="lm")
    assert found.converged and np.all(np.diff(found.history) <= 0)
    assert found.steps <= witness.nfev
    np.testing.assert_allclose(found.x, witness.x, atol=1e-9)


def test_gauss_newton_leaves_directions_alone_that_change_nothing():
    """The residuals know the differences of x alone: its mean stays, as in the pseudoinverse."""

    def differences(x):
        return x[1:] - x[:-1] - jnp.array([1.0, 2.0])

    found = minimise(
        Run.null(),
        "fit",
        lambda x: jnp.sum(differences(x) ** 2),
        jnp.array([5.0, 1.0, 0.0]),
        optimiser=GaussNewton(lambda x: LeastSquares(differences(x), jax.jacfwd(differences)(x))),
        tol=1e-26,
        max_steps=20,
    )
    assert found.converged
    np.testing.assert_allclose(found.x, 2 + np.array([-4 / 3, -1 / 3, 5 / 3]), atol=1e-12)


def test_gauss_newton_at_a_minimum_that_is_not_zero_has_stalled():
    optimiser = GaussNewton(lambda x: LeastSquares(jnp.append(x, 1.0), jnp.eye(3, 2)))
    found = minimise(
        Run.null(), "fit", lambda x: jnp.sum(x**2) + 1, jnp.ones(2), optimiser=optimiser, tol=0.5, max_steps=60
    )
    assert found.result == RESULTS.stalled and abs(found.loss - 1) < 1e-14


def test_newton_shortens_its_steps_where_they_are_too_long():
    """A full step from far away on the flat side of log cosh ends higher than it began."""
    start = jnp.array([-20.0, 12.0])
    optimiser = Newton(convex, newton_direction)
    found = minimise(Run.null(), "fit", convex, start, optimiser=optimiser, tol=-1.0, gtol=1e-10, max_steps=30)
    assert found.converged and found.steps < 15
    np.testing.assert_allclose(np.tanh(found.x - 3), -np.asarray(found.x) / 9, atol=1e-10)
    assert np.all(np.diff(found.history) <= 0)


def test_parameters_may_be_any_pytree_and_complex():
    target = {"z": jnp.array([1 + 2j, -3j]), "w": (jnp.float32(0.5), 2.0)}

    def loss(x):
        difference = jax.tree.map(lambda a, b: jnp.sum(jnp.abs(a - b) ** 2), {"z": x["z"], "w": x["w"]}, target)
        return sum(jax.tree.leaves(difference)), {"n": x["n"]}

    start = {"z": jnp.zeros(2, complex), "w": (jnp.float32(0), 0.0), "n": 3}
    found = minimise(Run.null(), "fit", loss, start, tol=1e-12, max_steps=50)
    assert found.converged and found.x["n"] == 3
    np.testing.assert_allclose(found.x["z"], target["z"], atol=1e-5)
    assert found.x["z"].dtype == complex and found.x["w"][0].dtype == jnp.float32


def test_float32_stays_float32():
    found = minimise(Run.null(), "fit", rosenbrock, jnp.zeros(5, jnp.float32), tol=1e-9, max_steps=200)
    assert found.converged and found.x.dtype == jnp.float32


def test_gradient_tolerance():
    found = minimise(Run.null(), "fit", lambda x: rosenbrock(x) + 1, jnp.zeros(5), tol=0.0, gtol=1e-6, max_steps=500)
    assert found.converged and found.gradient_norm <= 1e-6
    np.testing.assert_allclose(found.loss, 1, atol=1e-12)


def test_a_start_that_is_good_enough_takes_no_step():
    found = minimise(Run.null(), "fit", rosenbrock, jnp.ones(5), tol=1e-12, max_steps=500)
    assert found.converged and found.steps == 0 and found.history.tolist() == [0.0]


def test_a_loss_that_cannot_go_lower_has_stalled():
    found = minimise(Run.null(), "fit", lambda x: rosenbrock(x) + 1, jnp.zeros(5), tol=0.5, max_steps=500)
    assert found.result == RESULTS.stalled and found.steps < 200
    np.testing.assert_allclose(found.loss, 1, rtol=1e-14)


def test_a_stationary_start_above_the_tolerance_is_no_success():
    found = minimise(Run.null(), "fit", lambda x: 1 + jnp.sum(x**2), jnp.zeros(3), tol=0.0, max_steps=50)
    assert found.result == RESULTS.stalled and found.loss == 1


def test_nan_stops_at_the_last_finite_point():
    """The square root has no value below 0, where Adam steps without looking."""

    def loss(x):
        return jnp.sum(jnp.sqrt(x))

    found = minimise(Run.null(), "fit", loss, jnp.ones(3), optimiser=Adam(0.3), tol=-1.0, max_steps=90)
    assert found.result == RESULTS.nonfinite and "NaN" in found.message
    assert np.all(np.asarray(found.x) >= 0) and found.loss == loss(found.x) == found.history[-2]
    assert np.isnan(found.history[-1])


def test_a_failed_search_starts_again_from_steepest_descent():
    """Searches along this unbounded function end out of its domain, and the memory misleads the next ones."""
    found = minimise(Run.null(), "fit", lambda x: jnp.sum(jnp.log(x)), jnp.ones(2), tol=-35.0, max_steps=50)
    failed = np.flatnonzero(np.diff(found.history) == 0)
    assert found.converged and failed.size > 0 and np.all(np.diff(found.history)[failed + 1] < 0)
    assert np.all(found.x > 0)


def test_nan_at_the_start():
    found = minimise(Run.null(), "fit", lambda x: jnp.sum(jnp.log(x)), -jnp.ones(3), tol=0.0, max_steps=50)
    assert found.result == RESULTS.nonfinite and found.steps == 0


def test_a_gradient_that_is_nan_is_noticed():
    """The value is finite and the derivative is 0 * inf: the usual trap of automatic differentiation."""
    found = minimise(
        Run.null(),
        "fit",
        lambda x: jnp.sum(jnp.where(x > 0, jnp.sqrt(x), x)),
        -jnp.ones(2),
        tol=-9.0,
        max_steps=50,
    )
    assert found.result == RESULTS.nonfinite


@pytest.mark.parametrize(
    ("fun", "x0", "message"),
    [
        (lambda x: x, jnp.zeros(3), "must be a real scalar"),
        (lambda x: jnp.sum(x) * 1j, jnp.zeros(3), "must be a real scalar"),
        (lambda x: None, jnp.zeros(3), "must be a real scalar"),
        (lambda x: 0.0, {"n": 3}, "no floating-point array"),
    ],
)
def test_bad_problems_are_refused(fun, x0, message):
    with pytest.raises(InputError, match=message):
        minimise(Run.null(), "fit", fun, x0, tol=0.0, max_steps=5)


class StopAt(Silent):
    """A display that presses Ctrl-C when it sees a step number."""

    def __init__(self, stop, step):
        self.stop, self.step = stop, step

    @contextlib.contextmanager
    def task(self, name, max_steps):
        del name, max_steps

        def show(step, _metrics):
            self.stop.requested = step >= self.step

        yield show


@pytest.mark.parametrize("optimiser", [LBFGS(memory=4), Adam(0.01), GradientDescent(1e-4), GaussNewton(equations)])
def test_interrupted_and_continued_bit_for_bit(tmp_path, optimiser):
    """The chunks are cut by the clock: this also shows that the result does not depend on them."""

    def fit(run):
        return minimise(run, "fit", rosenbrock, jnp.zeros(6), optimiser=optimiser, tol=1e-20, max_steps=150)

    exact = fit(Run.null())
    interruptions = 0
    for step in (0, 1, 9, 40):
        stop = StopSignal()
        try:
            fit(Run(tmp_path, progress=StopAt(stop, step), stop=stop))
        except Interrupted:
            interruptions += 1  # a chunk may have reached the end: then the next run has nothing to do
    assert interruptions > 0
    found = fit(Run(tmp_path, progress=Silent(), stop=StopSignal()))
    assert found.steps == exact.steps and found.result == exact.result
    assert found.history.tobytes() == exact.history.tobytes()
    assert np.asarray(found.x).tobytes() == np.asarray(exact.x).tobytes()
