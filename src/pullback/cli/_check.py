"""`pullback check`: the conformance table on this machine, ours and plain JAX side by side; and the table of
transformations."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping

from pullback.cli._subjects import subjects
from pullback.trust import MODES, TRANSFORMATIONS, check_conformance, check_transformations

_SIGNS = {"ok": "ok", "wrong": "WRONG", "NaN": "NaN", "missing": "-"}
_WIDTHS = 34, 38  # of the names and points


def check(primitive: str | None) -> Iterator[tuple[str, bool]]:
    """The lines of the table, each with whether its row passed; rows appear as they are computed.

    Raises:
        InputError: no row has this primitive.
    """
    outcomes = check_conformance(primitive, processes=os.cpu_count() or 1)
    first = next(outcomes)  # an unknown primitive is refused before the head is printed
    head = "".join(f"{mode:>8s}" for mode in MODES)
    yield f"{'':{sum(_WIDTHS) + 2}s}{'pullback (blank: JAX as it is)':<40s}   plain JAX", True
    yield _line("primitive", "point", head, head), True
    tally = {"pullback": Counter(), "plain JAX": Counter()}
    for outcome in itertools.chain([first], outcomes):
        ours, theirs = _cells(outcome.ours), _cells(outcome.theirs)
        yield _line(outcome.case.primitive, outcome.case.point, ours, theirs), outcome.ok
        tally["pullback"].update((outcome.ours or outcome.theirs).values())
        tally["plain JAX"].update(outcome.theirs.values())
    for who, counts in tally.items():
        yield f"{who:9s}  {',  '.join(f'{n} {verdict}' for verdict, n in counts.most_common())}", True


def check_transformed(name: str | None) -> Iterator[tuple[str, bool]]:
    """The lines of the table of transformations, each with whether its row passed.

    Raises:
        InputError: no function has this name.
    """
    rows = check_transformations(name, subjects=subjects, processes=os.cpu_count() or 1)
    first = next(rows)
    yield f"{'function':{_WIDTHS[0]}s} {' '.join(TRANSFORMATIONS)}", True
    words = Counter()
    for row in itertools.chain([first], rows):
        cells = (f"{verdict.word:{len(title)}s}" for title, verdict in row.verdicts.items())
        yield f"{row.name:{_WIDTHS[0]}s} {' '.join(cells)}".rstrip(), row.ok
        for title, verdict in row.verdicts.items():
            words[verdict.word] += 1
            if verdict.reason:
                yield f"    {title}: {verdict.reason}", row.ok
    yield ",  ".join(f"{n} {word}" for word, n in words.most_common()), True


def _line(primitive: str, point: str, ours: str, theirs: str) -> str:
    return f"{primitive:{_WIDTHS[0]}s} {point:{_WIDTHS[1]}s} {ours}   {theirs}"


def _cells(verdicts: Mapping[str, str] | None) -> str:
    return "".join(f"{_SIGNS[verdicts[mode]] if verdicts else '':>8s}" for mode in MODES)
