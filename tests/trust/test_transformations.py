"""The table of transformations: what JAX does to functions, done to every public function."""

import pytest

from pullback import elementary, flows, implicit, linalg, loops, special
from pullback.cli._subjects import subjects
from pullback.core import InputError
from pullback.trust import check_transformations
from pullback.trust._transformations._check import verdicts

ROWS = {subject.name: subject for subject in subjects()}
# One of each kind of fault that there was, with what found it.
FOUND = [
    ("linalg.density_matrix", ("ranks", "jit grad")),
    ("linalg.svd", ("ranks",)),
    ("linalg.schur", ("dtypes",)),
    ("linalg.logm", ("ranks", "dtypes")),
    ("linalg.eigh_tridiagonal", ("ranks", "dtypes")),
    ("linalg.solve_lyapunov", ("dtypes",)),
    ("linalg.expm_multiply", ("NaN in",)),
    ("linalg.pfaffian", ("NaN in",)),
    ("elementary.logsumexp", ("dtypes",)),
    ("elementary.spence", ("shard_map",)),
    ("special.zeta", ("ranks", "dtypes")),
    ("special.j0", ("shard_map",)),
    ("loops.while_loop", ("shard_map", "empty")),
    ("loops.reversible_scan", ("shard_map",)),
    ("implicit.root", ("shard_map",)),
    ("external.primitive", ("shard_map",)),
    ("operators.PauliSum", ("ranks",)),
    ("operators.SpinSum", ("dtypes",)),
    ("krylov.eigsh", ("dtypes",)),
    ("krylov.eigsh", ("ranks", "dtypes")),
    ("krylov.svds", ("shard_map",)),
    ("krylov.funm_multiply", ("dtypes",)),
    ("krylov.expm_multiply", ("dtypes",)),
    ("schrodinger.eigenstates", ("ranks",)),
    ("schrodinger.invert_density", ("jit grad",)),
    ("lattices.ground_state", ("ranks",)),
    ("circuits.state", ("dtypes",)),
    ("circuits.density_matrix", ("dtypes", "shard_map")),
    ("particles.SoftDiscs", ("ranks", "NaN in")),
]


@pytest.mark.parametrize(("name", "transformations"), FOUND, ids=[name for name, _ in FOUND])
def test_what_failed_once(name, transformations):
    row = verdicts(ROWS[name], transformations)
    assert row.ok, {k: v.reason for k, v in row.verdicts.items() if not v.ok}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_function_under_every_transformation(name):
    row = verdicts(ROWS[name])
    assert row.ok, {k: v.reason for k, v in row.verdicts.items() if not v.ok}


@pytest.mark.parametrize("room", [linalg, elementary, special, loops, flows, implicit])
def test_every_public_function_has_a_row(room):
    rows = {name.split(",")[0] for name in ROWS}
    functions = [name for name in room.__all__ if not isinstance(getattr(room, name), type)]
    assert not [name for name in functions if f"{room.__name__.removeprefix('pullback.')}.{name}" not in rows]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"linalg\.eig"):
        next(check_transformations("linalg.eihg"))
