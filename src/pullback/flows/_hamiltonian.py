r"""Hamiltonians as users have them, as families of operators in time.

    a matrix, a model, an operator                H
    t, params -> a matrix, a model, an operator   H(t)
    t, psi, params -> H(t) psi                    a product
    [H_0, (H_1, f_1), (H_2, f_2), …]              H_0 + Σ_k f_k(t, params) H_k

A method needs Σ_j w_j H(t_j) at a few times t_j. For matrices and for drives this is one operator again, whatever the
number of drives.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import scipy.sparse
from jax.core import Tracer
from jax.experimental import sparse
from jaxtyping import Array, ArrayLike, Float, Inexact, PyTree

from pullback.core import InputError, result_type
from pullback.flows._times import Numbers
from pullback.krylov._operators import as_function

Linear = Array | Callable[[Array], Array]  # a matrix, or a function of a vector
_FORMS = (
    "propagate: H must be a matrix, an operator psi -> H psi, a function of (t, params) that returns one of these, a "
    "function (t, psi, params) -> H(t) psi, or a list [H0, (H1, f1), ...] with drives f(t, params)"
)


class PiecewiseConstant(eqx.Module):
    """A drive that is values[j] for times[j] ≤ t < times[j + 1], and zero before times[0] and after times[-1].

    Steps of `propagate` and `lindblad` end where it jumps. Differentiable with respect to the values and the times.

    Attributes:
        times: where it jumps, increasing, one more than values.
        values: along the first axis.

    Examples:
        >>> pulse = PiecewiseConstant([0.0, 1.0, 3.0], [0.5, -0.2])
        >>> print(pulse(2.0), pulse(4.0))
        -0.2 0.0
    """

    times: Float[Array, " m"]
    values: Inexact[Array, "n *shape"]

    def __init__(self, times: Numbers, values: Numbers):
        """The drive.

        Raises:
            InputError: not one more time than values; times that do not increase.
        """
        times, values = jnp.asarray(times), jnp.asarray(values)
        self.times, self.values = (a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in (times, values))
        if self.times.ndim != 1 or self.values.ndim < 1 or len(self.times) != len(self.values) + 1:
            raise InputError(
                f"PiecewiseConstant: n values need n + 1 times, got shapes {self.values.shape} and {self.times.shape}."
            )
        if not isinstance(self.times, Tracer) and not (np.diff(np.asarray(self.times)) > 0).all():
            raise InputError("PiecewiseConstant: times must increase.")

    def __call__(self, t: ArrayLike, params: PyTree = None) -> Inexact[Array, "*shape"]:
        """The value at time t; `params` is there since drives have it, and is not used."""
        del params
        j = jnp.searchsorted(self.times, jax.lax.stop_gradient(jnp.asarray(t, self.times.dtype)), side="right") - 1
        inside = (j >= 0) & (j < len(self.values))
        return jnp.where(inside, self.values[jnp.clip(j, 0, len(self.values) - 1)], 0)


class Family(NamedTuple):
    """H as a function of time.

    Attributes:
        combine: (weights, times, params, at=None) -> Σ_j w_j H(t_j); drives that jump are taken at the time `at`.
        dense: whether this is a matrix.
        constant: whether H does not depend on the time, but at jumps.
        jumps: times at which a drive jumps.
        parts: (operators, (t, params) -> their coefficients), of a sum of drives.
    """

    combine: Callable[..., Linear]
    dense: bool
    constant: bool
    jumps: tuple[Array, ...] = ()
    parts: tuple[list[Linear], Callable[..., list[Array]]] | None = None


def family(H: Any, psi: Array, t: Array, params: PyTree) -> Family:
    """The Hamiltonian as a family of operators on states like psi.

    Raises:
        InputError: it has none of the forms above; its operators do not fit the state.
    """
    if isinstance(H, list | tuple):
        found = _driven(H, psi)
    elif not callable(H) or hasattr(H, "in_structure") or (arguments := _arguments(H)) == 1:
        found = _constant(_linear(H, psi))
    elif arguments == 3:
        found = _of_products(H)
    else:
        found = _of_time(H, psi, t, params)
    out = jax.eval_shape(lambda p: applied(found.combine((1.0,), (t,), p), psi), params)
    if getattr(out, "shape", None) != psi.shape:
        raise InputError(f"propagate: H makes {getattr(out, 'shape', type(out))} of a state of shape {psi.shape}.")
    return found


def applied(a: Linear, psi: Array) -> Array:
    """A ψ, in the dtype of ψ."""
    if callable(a):
        out: Any = a(psi)
        return out.astype(psi.dtype)
    if jnp.iscomplexobj(a) or not jnp.iscomplexobj(psi):
        return a.astype(psi.dtype) @ psi
    a = a.astype(psi.real.dtype)  # half of the products, on half of the memory
    return jax.lax.complex(a @ psi.real, a @ psi.imag)


def _constant(a: Linear) -> Family:
    if callable(a):
        return Family(lambda w, times, params, at=None: _weighted([sum(w)], [a]), False, True)
    return Family(lambda w, times, params, at=None: _times(sum(w), a), True, True)


def _of_products(H: Callable) -> Family:
    def combine(weights, times, params, at=None):
        return _weighted(weights, [lambda u, t=t: H(t, u, params) for t in times])

    return Family(combine, False, False)


def _of_time(H: Callable, psi: Array, t: Array, params: PyTree) -> Family:
    dense = []
    jax.eval_shape(lambda t, p: dense.append(not callable(_linear(H(t, p), psi))), t, params)

    def combine(weights, times, params, at=None):
        return _weighted(weights, [_linear(H(t, params), psi) for t in times])

    return Family(combine, dense[0], False)


def _driven(H: Sequence, psi: Array) -> Family:
    """H_0 + Σ f_k H_k: the drives are numbers, the operators are made once."""
    fixed, pairs = [], []
    for part in H:
        (pairs if isinstance(part, list | tuple) else fixed).append(part)
    if not H or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{_FORMS}; got a list that is not one of operators and of pairs.")
    drives = [f if callable(f) else (lambda t, p, f=f: f) for _, f in pairs]
    for f in drives:
        if not isinstance(f, PiecewiseConstant) and _arguments(f) != 2:
            raise InputError("propagate: a drive must be a function of (t, params), a PiecewiseConstant or a number.")
    operators = [*fixed, *(a for a, _ in pairs)]
    if any(callable(a) and not hasattr(a, "in_structure") and _arguments(a) != 1 for a in operators):
        raise InputError(f"{_FORMS}; the operators of a list do not depend on time, their drives do.")
    parts = [_linear(a, psi) for a in operators]
    dense = not any(map(callable, parts))
    stacked = jnp.stack([jnp.asarray(a, result_type(*parts)) for a in parts]) if dense else None

    def coefficients(t, params, at=None):
        times = [t if at is None or not isinstance(f, PiecewiseConstant) else at for f in drives]
        return [jnp.ones((), t.dtype)] * len(fixed) + [_number(f(s, params)) for f, s in zip(drives, times)]

    def combine(weights, times, params, at=None):
        columns = zip(*(coefficients(t, params, at) for t in times), strict=True)
        c: list[Any] = [sum(_times(w, x) for w, x in zip(weights, column, strict=True)) for column in columns]
        if stacked is None:
            return _weighted(c, parts)
        dtype = result_type(stacked, *c)
        return jnp.tensordot(jnp.stack([x.astype(dtype) for x in c]), stacked.astype(dtype), 1)

    jumps = tuple(f.times for f in drives if isinstance(f, PiecewiseConstant))
    smooth = any(callable(f) and not isinstance(f, PiecewiseConstant) for _, f in pairs)
    return Family(combine, dense, not smooth, jumps, (parts, coefficients))


def _linear(operator: Any, psi: Array) -> Any:
    """An operator as a matrix, or as a function of states like psi, whose columns are states if it is a matrix."""
    if callable(operator) and not hasattr(operator, "in_structure"):
        return operator  # of arrays as they are
    if callable(operator) or isinstance(operator, lx.AbstractLinearOperator):
        apply: Any = as_function("propagate", operator)
        return jax.vmap(apply, 1, 1) if psi.ndim == 2 else apply
    if scipy.sparse.issparse(operator) or isinstance(operator, sparse.JAXSparse):
        return as_function("propagate", operator)
    try:
        matrix = jnp.asarray(operator)
    except (TypeError, ValueError):
        matrix = None
    if matrix is None or not jnp.issubdtype(matrix.dtype, jnp.number):
        raise InputError(f"{_FORMS}; got {type(operator).__name__}.")
    n = psi.shape[0] if psi.ndim else 0
    if psi.ndim not in (1, 2) or matrix.shape != (n, n):
        raise InputError(
            f"propagate: a matrix H of shape {matrix.shape} and a state of shape {psi.shape} do not fit; states are "
            "(n,), or (n, k) for k of them as columns."
        )
    return matrix


def _weighted(weights: Sequence[Any], parts: Sequence[Linear]) -> Linear:
    def total(matrices: Iterable[Any]) -> Any:
        return sum(_times(w, a) for w, a in zip(weights, matrices, strict=True))

    if not any(map(callable, parts)):
        return total(parts)
    return lambda u: total(applied(a, u) for a in parts)


def _number(x: Any) -> Array:
    if jnp.shape(x) != ():
        raise InputError(f"propagate: a drive must return one number, got the shape {jnp.shape(x)}.")
    return jnp.asarray(x)


def _times(w: ArrayLike, a: Array) -> Array:
    """w a in the precision of both, also where JAX is told not to promote by itself."""
    if isinstance(w, int | float):
        return w * a
    dtype = result_type(w, a)
    return jnp.asarray(w, dtype) * jnp.asarray(a, dtype)


def _arguments(f: Callable) -> int:
    """How many arguments must be given."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"{_FORMS}; the arguments of {f!r} cannot be read, wrap it: lambda t, params: ...") from None
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    count = sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)
    if count not in (1, 2, 3):
        raise InputError(f"{_FORMS}; got a function of {count} arguments.")
    return count
