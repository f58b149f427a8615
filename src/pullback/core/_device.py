"""Is there a device to compute on?"""

import os

import jax

from pullback.core._errors import InputError


def require_device() -> None:
    """Raises `InputError` if JAX finds no device, as where `JAX_PLATFORMS` names one that is not here."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second one without the plugin of cuda
        told = "".join(f" ({line.split(' (')[0].rstrip('.')})" for line in str(error).splitlines()[:1])
        raise InputError(
            f"JAX finds no device with JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')!r}{told}: unset it, or set "
            "it to cpu"
        ) from error
