"""The conformance table: its stored derivatives computed again in 70 digits, and every row in every mode."""

import mpmath
import numpy as np
import pytest

from pullback.core import InputError
from pullback.trust import MODES, TOLERANCE, cases, check_conformance
from pullback.trust._conformance import _case, _check
from pullback.trust._conformance._exact import exact_derivatives

CASES = cases()
ROWS = {str(case): case for case in CASES}
OK = dict.fromkeys(MODES, "ok")

# The functions of HIPS/autograd, https://github.com/HIPS/autograd: what numerical programs are made of.
AUTOGRAD = """
    add subtract multiply divide negative power mod less less_equal equal not_equal greater_equal greater
    exp log square sqrt sin cos tan sinh cosh tanh sinc abs fabs logaddexp logaddexp2 absolute reciprocal exp2 expm1
    log2 log10 log1p arcsin arccos arctan arcsinh arccosh arctanh rad2deg degrees deg2rad radians
    real imag conj angle fft.fft fft.fftshift fft.ifftshift real_if_close
    sum mean prod var std max min amax amin
    reshape ravel squeeze diag roll array_split split vsplit hsplit dsplit expand_dims flipud fliplr rot90 swapaxes
    rollaxis transpose atleast_1d atleast_2d atleast_3d
    dot tensordot einsum cross trace outer linalg.det linalg.slogdet linalg.inv linalg.norm linalg.cholesky
    cumsum clip maximum minimum sort msort partition concatenate diagonal truncate_pad tile full triu tril where diff
    nan_to_num vstack hstack
"""
DISTRIBUTIONS = """
    t.pdf t.cdf t.logpdf t.logcdf multivariate_normal.logpdf multivariate_normal.pdf multivariate_normal.entropy
    norm.pdf norm.cdf norm.logpdf norm.logcdf
"""


def test_stored_derivatives():
    """Those of the whole table; the file has no other rows."""
    computed = {name: exact_derivatives(case, mpmath) for name, case in ROWS.items()}
    assert set(_case._stored()) == set(computed)
    for name, case in ROWS.items():
        assert case.derivatives == pytest.approx(computed[name], rel=1e-13, abs=1e-30), name


def test_exact_derivatives_of_known_functions():
    """d sin(x + t v), through the whole path of a row: weights w, Σ w y + y²/2."""
    case = ROWS["np.sin: regular"]
    (x,), (v,) = case.inputs, case.directions
    y, dy, ddy, w = np.sin(x), np.cos(x) * v, -np.sin(x) * v**2, np.sin(np.arange(1.0, 5.0))
    assert case.derivatives == pytest.approx((((w + y) * dy).sum(), ((w + y) * ddy + dy**2).sum()), rel=1e-14)


def test_every_function_of_autograd_has_a_row():
    covered = {case.primitive for case in CASES}
    wanted = {f"np.{name}" for name in AUTOGRAD.split()} | {f"scipy.stats.{name}" for name in DISTRIBUTIONS.split()}
    wanted |= {"eigh", "sqrtm", "scipy.linalg.solve_triangular"}
    assert wanted <= covered, wanted - covered


def test_names_are_unique():
    assert len(ROWS) == len(CASES)


HARDEST = [
    "eigh: triple level, complex",
    "eigh_tridiagonal: two equal, decoupled chains",
    "svd: double, zero values, complex",
]


def test_the_hardest_rows():
    modes = ("vjp", "fwd-rev")
    found = _check.verdicts([ROWS[name] for name in HARDEST], "ours", modes)
    assert [found[ROWS[name]] for name in HARDEST] == [dict.fromkeys(modes, "ok")] * len(HARDEST)


def test_the_table_shows_where_plain_jax_is_wrong():
    """Whether the ring's pairs of levels are equal after rounding depends on the processor: NaN, or a wrong number."""
    exact = {"eigh: regular": "ok", "eigh: triple level": "wrong", "np.linalg.norm: 0, convention 0": "NaN"}
    exact["svd: null space, double value"] = "missing"
    ring = "eigh: ring of 6 sites, 3 filled"
    found = _check.verdicts([ROWS[name] for name in (*exact, ring)], "theirs", ("jvp", "vjp"))
    assert {name: found[ROWS[name]]["vjp"] for name in exact} == exact
    assert found[ROWS[ring]]["vjp"] in ("NaN", "wrong")


def test_a_missing_rule_does_not_hide_its_neighbours():
    """Programs are compiled together; the first derivative is there although the second is not."""
    names = ["np.sin: regular", "svd: null space, double value", "np.roll: regular", "np.sin: complex"]
    found = _check.verdicts([ROWS[name] for name in names], "theirs")
    assert [found[ROWS[name]] for name in names] == [OK, dict.fromkeys(MODES, "missing"), OK, OK]


@pytest.mark.parametrize(("shift", "verdict"), [(0.1, "ok"), (10, "wrong"), (np.nan, "NaN"), (None, "missing")])
def test_verdicts(shift, verdict):
    case = ROWS["np.exp: regular"]
    for order, mode in ((1, "vjp"), (2, "rev-rev")):
        exact = case.derivatives[order - 1]
        assert _check._judge(case, mode, None if shift is None else exact * (1 + shift * TOLERANCE[order])) == verdict


@pytest.mark.slow
def test_every_row_in_every_mode():
    assert not [str(outcome.case) for outcome in check_conformance() if not outcome.ok]


def test_one_primitive_and_unknown_names():
    outcomes = list(check_conformance("np.max"))
    assert {o.case.primitive for o in outcomes} == {"np.max"}
    assert all(o.ours is None and o.theirs == OK and o.ok for o in outcomes)
    with pytest.raises(InputError, match="Did you mean 'pfaffian'"):
        next(check_conformance("pfafian"))


def test_a_row_without_stored_derivatives_says_what_to_do():
    case = _case.Case("np.new", "regular", (), (), exact=lambda mp: None, theirs=None)
    with pytest.raises(InputError, match=r"python -m pullback\.trust\._conformance"):
        _ = case.derivatives
