"""Programs that JAX cannot see, as differentiable JAX functions."""

from pullback.external._elementwise import host_elementwise, with_partials
from pullback.external._primitive import FiniteDifference, HostError, jax_rule, primitive

__all__ = [
    "FiniteDifference",
    "HostError",
    "host_elementwise",
    "jax_rule",
    "primitive",
    "with_partials",
]
