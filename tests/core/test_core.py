"""Outcomes, errors, units and conventions."""

import copy
import os
import pickle
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import (
    RESULTS,
    Checkpoint,
    ConvergenceError,
    Implicit,
    InputError,
    MissingExtraError,
    Solution,
    Uncompute,
    error_if,
    nearest,
    tags,
    units,
    whole_number,
)


def solution(x):
    result = RESULTS.where(x < 1, RESULTS.successful, RESULTS.max_steps_reached)
    return Solution(value=2 * x, result=result, residual=x, steps=jnp.asarray(3))


def test_unwrap():
    assert solution(jnp.asarray(0.5)).unwrap("solver") == 1.0
    with pytest.raises(
        ConvergenceError, match=r"solver: The maximum number of steps.*Raise max_steps.*Residual 2.0, steps 3"
    ):
        solution(jnp.asarray(2.0)).unwrap("solver")


def test_unwrap_under_jit():
    run = eqx.filter_jit(lambda x: solution(x).unwrap("solver"))
    assert run(jnp.asarray(0.5)) == 1.0
    with pytest.raises(eqx.EquinoxRuntimeError, match="maximum number of steps"):
        run(jnp.asarray(2.0))


def test_solutions_batch():
    batch = jax.vmap(solution)(jnp.array([0.5, 2.0]))
    assert batch.converged.tolist() == [True, False]


def test_every_failure_names_a_remedy():
    for name in ("max_steps_reached", "stalled", "breakdown", "nonfinite"):
        text = RESULTS[getattr(RESULTS, name)]
        assert text.count(".") >= 2, f"{name} needs a cause and a remedy"


@pytest.mark.parametrize("make", [lambda: Checkpoint(0), lambda: Uncompute(-1), lambda: Implicit(tol=0.0)])
def test_adjoints_check_their_options(make):
    with pytest.raises(InputError, match="must be positive"):
        make()


def test_units():
    """CODATA 2022 values, and the textbook conversions."""
    assert 1 / units.electronvolt == pytest.approx(27.211386245981, rel=1e-10)
    assert units.angstrom == pytest.approx(1 / 0.529177210544, rel=1e-9)
    assert 1 / units.kelvin == pytest.approx(315775.0248, rel=1e-8)
    assert 1 / units.inverse_centimetre == pytest.approx(219474.63136314, rel=1e-10)
    assert 1 / units.femtosecond == pytest.approx(0.024188843265864, rel=1e-10)
    assert units.dalton == pytest.approx(1822.888486283, rel=1e-9)
    assert 1 / units.debye == pytest.approx(2.541746473, rel=1e-8)
    assert 1 / units.gigapascal == pytest.approx(29421.015697, rel=1e-8)
    assert 1 / units.kilocalorie_per_mole == pytest.approx(627.5094740631, rel=1e-9)


def test_nearest():
    assert "'eigh'" in nearest("eihg", ["eigh", "svd"])
    assert nearest("zzz", ["eigh"]) == " Known: eigh."


@pytest.mark.parametrize(
    ("script", "dtype"),
    [
        ("import pullback, jax.numpy as jnp", "float64"),
        ("import jax, pullback; import jax.numpy as jnp", "float64"),
        ("import os; os.environ['JAX_ENABLE_X64'] = '0'; import pullback, jax.numpy as jnp; pullback.core", "float32"),
    ],
)
def test_double_precision_is_the_default(script, dtype):
    env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    code = f"{script}; print(jnp.ones(1).dtype)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert out.stdout.strip() == dtype


def test_errors_and_tags_survive_copies():
    error = pickle.loads(pickle.dumps(MissingExtraError("torch", "ml", "this")))
    assert "pullback[ml]" in str(error) and str(copy.copy(error)) == str(error)
    assert copy.deepcopy(tags.hermitian) is pickle.loads(pickle.dumps(tags.hermitian)) is tags.hermitian


def test_whole_numbers():
    assert whole_number("f", "n", np.int64(3)) == 3
    for bad in (1.0, "1", None):
        with pytest.raises(InputError, match="f: n must be a Python integer"):
            whole_number("f", "n", bad)
    with pytest.raises(InputError, match="traced"):
        jax.jit(lambda n: whole_number("f", "n", n))(3)


def test_errors_of_compiled_programs():
    """Of a batch one member decides, and an empty batch has none that could be wrong."""
    program = eqx.filter_jit(jax.vmap(lambda x: error_if(x, x < 0, ["first", "second"], jnp.where(x < -1, 1, 0))))
    assert program(jnp.ones(2)).tolist() == [1, 1] and program(jnp.zeros(0)).shape == (0,)
    with pytest.raises(eqx.EquinoxRuntimeError, match="second"):
        program(jnp.array([1.0, -2.0]))
