"""Linear operators as users have them, as functions of one flat vector."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import scipy.sparse
from jax.core import Tracer
from jax.experimental import sparse
from jaxtyping import Array, Inexact, PyTree

from pullback.core import InputError, hoist, vary_like
from pullback.core._compile_cache import compiled_once

# Sparse ones are those of SciPy, of which there are a dozen classes, and of JAX.
Operator = Callable[[PyTree], PyTree] | Array | np.ndarray | lx.AbstractLinearOperator | sparse.JAXSparse | Any


def flat_operator(
    name: str, operator: Operator, x: PyTree
) -> tuple[Callable[[Array], Array], Inexact[Array, " n"], Callable[[Array], PyTree]]:
    """(apply, v, unflatten): x as one vector v, the operator on such vectors, and the way back to pytrees like x.

    v is complex if the operator makes complex vectors of real ones. `apply` keeps its argument's dtype or, for a real
    operator and a complex argument, its kind; `unflatten` takes real and complex vectors.

    Raises:
        InputError: x is empty or not inexact; the operator changes its form. `name` is the caller's.
    """
    function = as_function(name, operator)
    leaves, tree = jax.tree.flatten(x)
    if not leaves or sum(map(jnp.size, leaves)) == 0:
        raise InputError(f"{name}: the vector is empty.")
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.number):
            raise InputError(f"{name}: the vector has a leaf of dtype {jnp.result_type(leaf)}; it needs numbers.")
    shapes = [jnp.shape(leaf) for leaf in leaves]
    splits = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    dtype = jnp.result_type(*(jnp.result_type(leaf) for leaf in leaves))
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(float)
    out = _shapes_after(name, function, jax.eval_shape(partial(jax.tree.map, partial(jnp.asarray, dtype=dtype)), x), x)
    dtype = jnp.result_type(dtype, *(leaf.dtype for leaf in jax.tree.leaves(out)))

    def flatten(tree: PyTree) -> Inexact[Array, " n"]:
        return jnp.concatenate([jnp.ravel(leaf).astype(dtype_of(leaf)) for leaf in jax.tree.leaves(tree)])

    def dtype_of(leaf) -> Any:
        return jnp.result_type(leaf, dtype) if jnp.iscomplexobj(leaf) else dtype

    def unflatten(v: Array) -> PyTree:
        parts = jnp.split(v, splits)
        return jax.tree.unflatten(tree, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])

    def apply(v: Array) -> Array:
        if jnp.iscomplexobj(v) and not jnp.issubdtype(dtype, jnp.complexfloating):
            return jax.lax.complex(apply(v.real), apply(v.imag))  # a real operator need not know complex numbers
        return flatten(function(unflatten(v))).astype(v.dtype)

    return apply, vary_like(flatten(x).astype(dtype), out), unflatten


def hoisted(apply: Callable[[Array], Array], v: Inexact[Array, " n"]) -> tuple[Callable[[list, Array], Array], list]:
    """(closed, consts) of core's `hoist`; like `apply`, a real operator takes complex vectors, too."""
    closed, consts, _ = hoist(apply, v)

    def of_kind(consts: list, u: Array) -> Array:
        if jnp.iscomplexobj(u) and not jnp.iscomplexobj(v):
            return jax.lax.complex(closed(consts, u.real), closed(consts, u.imag))
        return closed(consts, u)

    return of_kind, consts


def scaled(apply: Callable[[Array], Array], v: Inexact[Array, " n"]) -> tuple[Callable[[Array], Array], Array]:
    """(A / c, c), with c the power of two next to the largest entry of a product with A, a positive number.

    Products, and squares of their norms, are then numbers as long as A has some; nothing is rounded.
    """
    closed, consts = hoisted(apply, v)
    consts, v = jax.lax.stop_gradient((consts, v))
    unit = compiled_once(lambda c, v: _unit(partial(closed, c), v), "unit", [(closed, (consts, v))], consts, v)
    return lambda x: apply(x) / unit.astype(x.dtype), unit


def _unit(apply: Callable[[Array], Array], v: Inexact[Array, " n"]) -> Array:
    probe = vary_like(jax.random.normal(jax.random.key(1), v.shape, v.dtype), v)
    size = jnp.abs(apply(probe)).max().astype(v.real.dtype)
    exponent = jnp.frexp(jnp.where(jnp.isfinite(size) & (size > 0), size, 1))[1]
    bound = jnp.finfo(v.dtype).maxexp - 4  # where 1 / c is a number, too
    return jnp.ldexp(jnp.ones((), size.dtype), jnp.clip(exponent, -bound, bound))


def as_function(name: str, operator: Operator) -> Callable[[PyTree], PyTree]:
    """The operator as a function of a vector.

    Raises:
        InputError: it is neither a function, a square matrix, nor a lineax operator.
    """
    if isinstance(operator, lx.AbstractLinearOperator):
        return operator.mv
    if callable(operator):
        return operator
    matrix = as_matrix(name, operator)
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name}: the operator needs a square matrix, got the shape {matrix.shape}.")
    return lambda x: matrix @ x


def as_matrix(name: str, operator: Any) -> Array | sparse.JAXSparse:
    """A matrix of any kind, sparse ones included, as one of JAX.

    Raises:
        InputError: it is not a matrix of numbers.
    """
    if scipy.sparse.issparse(operator):
        entries = scipy.sparse.coo_array(operator)
        places = np.stack([entries.row, entries.col], axis=1)
        rows, columns = entries.shape  # pyright: ignore[reportGeneralTypeIssues]
        matrix = sparse.BCOO((jnp.asarray(entries.data), jnp.asarray(places)), shape=(rows, columns))
    elif isinstance(operator, sparse.JAXSparse):
        matrix = operator
    else:
        matrix = jnp.asarray(operator) if _is_numbers(operator) else None
    if matrix is None or len(matrix.shape) != 2:
        given = type(operator).__name__ if matrix is None else f"an array of shape {tuple(matrix.shape)}"
        raise InputError(
            f"{name}: the operator is a function x -> A x, a matrix (also a sparse one, of SciPy or "
            f"jax.experimental.sparse), or a lineax operator; got {given}."
        )
    return matrix


def _is_numbers(operator: Any) -> bool:
    try:
        dtype = np.asarray(operator).dtype if isinstance(operator, list) else jnp.result_type(operator)
    except (TypeError, ValueError):
        return False
    return jnp.issubdtype(dtype, jnp.number)


def start(
    name: str, operator: Operator, v0: PyTree, shape: PyTree
) -> tuple[Callable[[Array], Array], Inexact[Array, " n"], Callable[[Array], PyTree]]:
    """`flat_operator` at the user's start vector, without tangents, or at a random one of the shape.

    Raises:
        InputError: both are given, or neither where the operator does not say it itself; v0 is zero or not finite.
    """
    if v0 is not None and shape is not None:
        raise InputError(f"{name}: give v0 or shape, not both")
    if v0 is None:
        shape = shape_of(name, operator) if shape is None else shape
        apply, zeros, unflatten = flat_operator(name, operator, like(shape))
        random = jax.random.normal(jax.random.key(0), zeros.shape, zeros.dtype)
        return apply, vary_like(random, zeros), unflatten
    apply, v, unflatten = flat_operator(name, operator, v0)
    v = jax.lax.stop_gradient(v)
    if not isinstance(v, Tracer) and not (jnp.isfinite(v).all() and v.any()):
        raise InputError(f"{name}: v0 is zero or not finite")
    return apply, v, unflatten


def shape_of(name: str, operator: Operator) -> PyTree:
    """What an operator acts on, where it says so itself: a matrix, or with `in_structure()`, as operators of lineax,

    models of `lattices` and sums of `operators` have it.

    Raises:
        InputError: the operator is a function, or not an operator.
    """
    in_structure = getattr(operator, "in_structure", None)
    if in_structure is not None:
        return in_structure()
    if callable(operator):
        raise InputError(f"{name}: an operator that is a function needs v0 or shape.")
    matrix = as_matrix(name, operator)
    dtype = matrix.dtype if jnp.issubdtype(matrix.dtype, jnp.inexact) else jnp.result_type(float)
    return jax.ShapeDtypeStruct(matrix.shape[1:], dtype)


def like(shape: PyTree) -> PyTree:
    """Zeros of a shape, or of the shapes and dtypes of a pytree of arrays or of `jax.ShapeDtypeStruct`s."""
    if isinstance(shape, int) or (isinstance(shape, tuple) and all(isinstance(n, int) for n in shape)):
        return jnp.zeros(shape)
    return jax.tree.map(lambda leaf: vary_like(jnp.zeros(leaf.shape, leaf.dtype), leaf), shape)


def _shapes_after(name: str, function: Callable, x: PyTree, given: PyTree) -> PyTree:
    try:
        out = jax.eval_shape(function, x)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: the operator cannot be applied to a vector like the one given: {error}") from error
    forms = [(jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (given, out)]
    if forms[0] != forms[1]:
        raise InputError(f"{name}: the operator makes {forms[1]} of a vector of the form {forms[0]}.")
    return out
