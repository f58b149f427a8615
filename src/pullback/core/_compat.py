"""The one place that touches what differs, or may differ, between JAX versions."""

from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

not_mapped = getattr(batching, "not_mapped", None)  # the name is gone in 0.12, its value is still None

__all__ = ["ClosedJaxpr", "Primitive", "ad", "batching", "jaxpr_as_fun", "mlir", "not_mapped"]
