"""The experiments: one file each. A file here is an experiment; nothing else registers it.

This room's own names find and load experiments; finding reads the files without importing them (and so
without JAX).
"""

from pullback.experiments._catalogue import experiment_names, is_builtin, load_experiment, load_file, summary

__all__ = ["experiment_names", "is_builtin", "load_experiment", "load_file", "summary"]
