"""The form that the functions of this room share: values from SciPy, derivatives from functions of the same family."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from pullback.core import InputError, complex_dtype, result_type
from pullback.external import host_elementwise, with_partials


def evaluate(
    name: str,
    values: Callable[..., Any],
    arguments: dict[str, ArrayLike],
    derivatives: dict[str, Callable[..., Array]],
    *,
    complex_in: str = "",
    complex_result: bool = False,
) -> Array:
    """`values(*arguments)` on the host, differentiable in those arguments that `derivatives` names.

    Args:
        name: of the public function, for error messages.
        values: NumPy function of arrays of double precision.
        arguments: by name, in the order in which `values` takes them.
        derivatives: argument -> partial derivative, a function of all arguments. The other arguments are parameters:
            differentiating in one of them raises `MissingDerivativeError`.
        complex_in: the argument that may be complex, and the result with it.
        complex_result: the result is complex for real arguments too.
    """
    arrays = promoted(name, complex_in, arguments)
    dtype = result_type(*arrays)
    if complex_result:
        dtype = complex_dtype(dtype)
    partials = [
        derivatives.get(
            argument,
            f"{name}: there is no rule for the derivative with respect to {argument!r}. Pass a whole number, or hold "
            "it fixed with jax.lax.stop_gradient.",
        )
        for argument in arguments
    ]
    return with_partials(lambda *args: host_elementwise(values, *args, dtype=dtype), *partials)(*arrays)


def promoted(name: str, complex_in: str, arguments: dict[str, ArrayLike]) -> list[Array]:
    """The arguments as arrays of one precision: that of the widest one, whole numbers and Python scalars not counted.

    Args:
        complex_in: names of the arguments that may be complex, separated by blanks.

    Raises:
        InputError: an argument does not hold numbers, or is complex and may not be.
    """
    arrays = {k: a if isinstance(a, (bool, int, float, complex)) else jnp.asarray(a) for k, a in arguments.items()}
    dtype = result_type(*arrays.values())
    if not (jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_):
        raise InputError(f"{name} needs numbers, got dtype {dtype}.")
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)
    real = jnp.finfo(dtype).dtype
    for k, a in arrays.items():
        if jnp.iscomplexobj(a) and k not in complex_in.split():
            allowed = f"only {complex_in} may be" if complex_in else "its arguments are real"
            raise InputError(f"{name}: {k!r} is complex, but {allowed}.")
    return [jnp.asarray(a, complex_dtype(real) if jnp.iscomplexobj(a) else real) for a in arrays.values()]
