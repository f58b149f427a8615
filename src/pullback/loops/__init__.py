"""Floor 1: loops whose derivatives exist in every mode and do not store every step."""

from pullback.core import Checkpoint, Direct, TwoLevel, Uncompute
from pullback.loops._counted import counted_scan
from pullback.loops._reversible import reversible_scan
from pullback.loops._scan import scan
from pullback.loops._while_loop import while_loop

__all__ = ["Checkpoint", "Direct", "TwoLevel", "Uncompute", "counted_scan", "reversible_scan", "scan", "while_loop"]
