"""The engine: what programs do to states, on one device or many. See docs/developers/circuits-engine.md."""

from pullback.circuits._engine._evolve import evolve, matrix, uncompute
from pullback.circuits._engine._sharded import AXIS, mean_on_devices, on_devices

__all__ = ["AXIS", "evolve", "matrix", "mean_on_devices", "on_devices", "uncompute"]
