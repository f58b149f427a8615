"""Whether a gradient can be used: measured on a line of points, and by looking into the program."""

from pullback.trust._diagnose._diagnose import diagnose
from pullback.trust._diagnose._verdict import VERDICTS, Verdict

__all__ = ["VERDICTS", "Verdict", "diagnose"]
