"""`pullback check`: the conformance table on this machine, ours and plain JAX side by side."""

import itertools
from collections.abc import Iterator

from pullback.trust import MODES, check_conformance

_SIGNS = {"ok": "ok", "wrong": "WRONG", "NaN": "NaN", "missing": "-"}


def check(primitive: str | None) -> Iterator[tuple[str, bool]]:
    """The lines of the table, each with whether ours passed it; rows appear as they are computed.

    Raises:
        InputError: no row has this primitive.
    """
    outcomes = check_conformance(primitive)
    head = "".join(f"{mode:>8s}" for mode in MODES)
    first = next(outcomes)  # an unknown primitive is refused before the head is printed
    yield f"{'':51s}{'pullback':<40s}   plain JAX", True
    yield f"{'primitive':17s} {'point':31s} {head}   {head}", True
    for case, row in itertools.groupby(itertools.chain([first], outcomes), key=lambda outcome: outcome.case):
        row = list(row)
        ours, theirs = ("".join(f"{_SIGNS[getattr(o, who)]:>8s}" for o in row) for who in ("ours", "theirs"))
        yield f"{case.primitive:17s} {case.point:31s} {ours}   {theirs}", all(o.ours == "ok" for o in row)
