"""Programs that JAX cannot see, as differentiable JAX functions."""

from pullback.external._elementwise import MissingDerivativeError, host_elementwise, with_partials

__all__ = [
    "MissingDerivativeError",
    "host_elementwise",
    "with_partials",
]
