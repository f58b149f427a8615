"""`Verdict`: what `diagnose` returns, and the kinds that there are."""

import dataclasses
import textwrap
from enum import StrEnum, auto

_WIDTH = 100


class VERDICTS(StrEnum):
    """The kinds of verdicts."""

    reliable = auto()
    ill_conditioned = auto()
    gauge_dependent = auto()
    non_smooth = auto()
    chaotic = auto()
    not_converged = auto()
    wrong_rule = auto()
    not_finite = auto()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a gradient can be used. Prints as a table.

    Attributes:
        kind: a member of `VERDICTS`.
        digits: how many decimal digits of the gradient are right, 0 if it is no use.
        reasons: what was found, with numbers.
        remedy: what to do, naming the function to call; empty if nothing is to be done.
        value: of the function at the point.
        evaluations: what the diagnosis cost in evaluations of the function, a gradient counted as 3.
    """

    kind: VERDICTS
    digits: float
    reasons: tuple[str, ...]
    remedy: str
    value: float
    evaluations: int

    @property
    def ok(self) -> bool:
        """Whether the kind is `reliable`."""
        return self.kind is VERDICTS.reliable

    def __str__(self) -> str:
        rows = [("gradient", f"{self.kind.replace('_', ' ')}, {self.digits:.0f} digits")]
        rows += [("because" if i == 0 else "", reason) for i, reason in enumerate(self.reasons)]
        rows += [("remedy", self.remedy)] if self.remedy else []
        rows += [("value", f"{self.value:.10g}"), ("cost", f"{self.evaluations} evaluations")]
        lines = []
        for name, text in rows:
            lines += textwrap.wrap(text, _WIDTH, initial_indent=f"{name:10s}", subsequent_indent=10 * " ")
        return "\n".join(lines)
