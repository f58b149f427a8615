"""The conformance table: its reference values computed again in 40 digits, and every row in every mode."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.trust import _conformance as table
from pullback.trust import cases, check_conformance
from tests.linalg.references import line_derivatives, projector_value

CASES = cases()


def total(w, v):
    return sum(w[:3]) + sum(w[:3]) ** 2


def trace_with_observable(f):
    def value(w, v):
        n = len(w)
        o = table.observable(n)
        return sum(
            v[r][i] * f(w[i]) * mp.conj(v[c][i]) * mp.mpf(o[r, c]) for r in range(n) for c in range(n) for i in range(n)
        )

    return value


def projector(k, n=6):
    return projector_value(table.observable(n), k)


def chain(d, e):
    return np.diag(d) + np.diag(e, 1) + np.diag(e, -1)


def fermi(x):
    return 1 / (1 + mp.exp(20 * (x - mp.mpf(0.5))))


CHAIN_DIRECTION = chain(np.cos(np.arange(1.0, 7.0)), np.sin(np.arange(1.0, 6.0)))
REFERENCES = {
    "eigh regular": (table.rotated(table.REGULAR), projector(3)),
    "eigh triple": (table.rotated(table.TRIPLE), projector(3)),
    "eigh complex": (table.rotated(table.TRIPLE, complex_=True), projector(3)),
    "eigh nearly": (table.rotated(table.NEARLY), projector(3)),
    "eigh ring": (table.ring(6), projector(3)),
    "eigvalsh regular": (table.rotated(table.REGULAR, complex_=True), total),
    "eigvalsh triple": (table.rotated(table.TRIPLE), total),
    "exp regular": (table.rotated(table.REGULAR), trace_with_observable(mp.exp)),
    "exp triple": (table.rotated(table.TRIPLE), trace_with_observable(mp.exp)),
    "exp complex": (table.rotated(table.TRIPLE, complex_=True), trace_with_observable(mp.exp)),
    "fermi nearly": (table.rotated(table.NEARLY), trace_with_observable(fermi)),
    "tanh ring": (table.ring(6), trace_with_observable(mp.tanh)),
    "chain regular": (chain(np.arange(1.0, 7.0), np.full(5, 0.5)), projector(1)),
    "chain double": (chain(*table.TWO_CHAINS), projector(2)),
}


@pytest.mark.parametrize("name", table.D)
def test_references(name):
    a, value = REFERENCES[name]
    s = CHAIN_DIRECTION if name.startswith("chain") else table.perturbation(6, complex_=np.iscomplexobj(a))
    assert line_derivatives(value, a, s, (1, 2)) == pytest.approx(table.D[name], rel=1e-12)


HARDEST = [c for c in CASES if c.point in ("the same, complex", "levels split by 1e-10", "two equal, decoupled chains")]


@pytest.mark.parametrize("case", HARDEST, ids=lambda c: f"{c.primitive}: {c.point}")
def test_the_hardest_rows(case):
    modes = ("vjp", "fwd-rev")
    assert {mode: table.verdict(case, case.ours, mode) for mode in modes} == dict.fromkeys(modes, "ok")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.primitive}: {c.point}")
def test_every_row_in_every_mode(case):
    assert {mode: table.verdict(case, case.ours, mode) for mode in table.MODES} == dict.fromkeys(table.MODES, "ok")


def test_the_table_shows_where_plain_jax_is_wrong():
    triple = next(c for c in CASES if c.point == "projector, triple level")
    assert table.verdict(triple, jnp.linalg.eigh, "vjp") in ("wrong", "NaN")
    regular = next(c for c in CASES if c.point == "projector, regular")
    assert table.verdict(regular, jnp.linalg.eigh, "vjp") == "ok"


def test_one_primitive_and_unknown_names():
    outcomes = list(check_conformance("eigvalsh"))
    assert {o.case.primitive for o in outcomes} == {"eigvalsh"}
    assert {o.ours for o in outcomes} == {"ok"}
    with pytest.raises(InputError, match="Did you mean 'eigh'"):
        next(check_conformance("eihg"))
