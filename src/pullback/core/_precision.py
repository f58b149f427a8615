"""Double precision by default.

Physics needs float64: the first room that is loaded switches JAX's x64 mode on, unless the user said
otherwise by setting the environment variable JAX_ENABLE_X64. float32/complex64 *input* stays float32.
"""

import os

import jax


def enable_x64() -> None:
    """Switches JAX to double precision unless JAX_ENABLE_X64 is set in the environment."""
    if "JAX_ENABLE_X64" not in os.environ:
        jax.config.update("jax_enable_x64", True)
