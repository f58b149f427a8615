"""`primitive`: a program that JAX cannot see, with derivatives that its user supplies.

The value is computed on the host. The tangent J v is a `linear_map` whose forward function is the user's jvp and whose
transpose is the user's vjp; where only one of them is given, the other follows from it by linearity, one call for each
number of the input (or of the output). Rules are of two kinds:

- host rules, NumPy programs like the function itself. Their own derivatives, for second order, are central
  differences, when asked for: D_x[J(x) v] along dx from the jvp at x ± h dx; its transpose, which by the symmetry of
  second derivatives is D_x[J(x)^T c] along v, from the vjp;
- rules in JAX (marked by `jax_rule`), which may call this or other primitives: then all orders are exact.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from pullback.core import (
    InputError,
    MissingDerivativeError,
    PullbackError,
    instantiated,
    is_live,
    linear_map,
    vary_like,
)

_STENCIL = ((1, 2 / 3), (2, -1 / 12))  # f'(0) = Σ weight (f(k h) − f(−k h)) / h, to fourth order in h


class HostError(PullbackError, RuntimeError):
    """A program on the host raised an exception, or returned something else than was announced."""


@dataclasses.dataclass(frozen=True)
class FiniteDifference:
    """Central differences of fourth order for derivatives that have no rule.

    The arguments are moved by relative_step * max(scale, max|x|). The error is about eps^(4/5) per order, if the
    program is smooth and computes to rounding; a noisy one needs a larger step.

    Attributes:
        relative_step: None is eps^(1/5) of the arguments' precision.
        scale: the smallest size of the arguments on which the function varies.
    """

    relative_step: float | None = None
    scale: float = 1.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"FiniteDifference({name}={value}): {name} must be positive.")

    def along(self, f: Callable[[list], list], x: list, dx: list) -> list:
        """The derivative of f at x in the direction dx."""
        eps = max(float(jnp.finfo(a.dtype).eps) for a in x)
        step = eps**0.2 if self.relative_step is None else self.relative_step
        length = _largest(dx)
        h = jax.lax.stop_gradient(step * jnp.maximum(self.scale, _largest(x)) / jnp.where(length == 0, 1, length))

        def at(k):
            return f([(a + k * h * d).astype(a.dtype) for a, d in zip(x, dx)])

        pairs = [(weight / h, at(k), at(-k)) for k, weight in _STENCIL]
        return [
            jnp.asarray(sum(weight * (plus[i] - minus[i]) for weight, plus, minus in pairs), like.dtype)
            for i, like in enumerate(pairs[0][1])
        ]


@dataclasses.dataclass(frozen=True)
class jax_rule:
    """Marks a derivative rule of a `primitive` as written in JAX, so that it can be differentiated itself."""

    rule: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.rule(*args)


def primitive(
    fn: Callable[..., PyTree],
    *,
    out: PyTree[jax.ShapeDtypeStruct] | Callable[..., PyTree[jax.ShapeDtypeStruct]],
    jvp: Callable[..., PyTree] | None = None,
    vjp: Callable[..., tuple] | None = None,
    jacobian: Callable[..., PyTree] | None = None,
    vectorized: bool = False,
    finite_difference: FiniteDifference | None = None,
) -> Callable[..., PyTree]:
    r"""`fn`, a program on the host (NumPy, C, Fortran, another framework), as a JAX function with derivatives.

    The result works under `jit`, `vmap` and in loops. It is differentiable in every mode in its floating-point and
    complex arguments: first order from the rules given, higher orders if these are written in JAX (`jax_rule`) or by
    `finite_difference`. Conventions are those of `jax.jvp` and `jax.vjp`, without conjugation.

    Args:
        fn: fn(*args) -> pytree; args are pytrees of NumPy arrays. It must be pure, and is never called while tracing.
        out: what `fn` returns, as a pytree of `jax.ShapeDtypeStruct`; or a function of the arguments (in which shapes
            and dtypes stand for the arrays) that returns it.
        jvp: jvp(args, tangents) -> tangent of the output, structured like it; tangents is a tuple like args, with None
            for integers and booleans. Output leaves that are no floating-point numbers may be None.
        vjp: vjp(args, cotangent) -> tuple with one entry for each argument, structured like it (None where it is not
            differentiable).
        jacobian: instead of both: jacobian(*args), structured as `jax.jacobian` does, ∂out/∂args as a tuple with one
            entry for each argument, shapes out.shape + arg.shape. Complex arguments: holomorphic functions only.
        vectorized: `fn` and the host rules expect each array with one batch axis more in front, and return such. Else
            they are called once for each member of a batch.
        finite_difference: differentiate what has no rule (host rules, or `fn` itself) by differences.

    Returns:
        The differentiable function of the same arguments.

    Raises:
        HostError: when called, if `fn` or a rule raises (the message tells what), or returns other shapes than `out`.
            Under `jit` JAX raises its own error, which contains the message.
        MissingDerivativeError: a derivative is asked for which has neither a rule nor `finite_difference`.
        InputError: rules that contradict each other.

    Examples:
        A host function with its derivative, and the second derivative by differences of it.

        >>> import jax, numpy as np, pullback as pb
        >>> sine = pb.external.primitive(
        ...     np.sin,
        ...     out=lambda x: x,
        ...     jvp=lambda args, tangents: np.cos(args[0]) * tangents[0],
        ...     finite_difference=pb.external.FiniteDifference(),
        ... )
        >>> print(f"{jax.grad(jax.grad(sine))(0.5):.10f}")
        -0.4794255386
    """
    if jacobian is not None and (jvp is not None or vjp is not None):
        raise InputError("primitive: give either a jacobian, or jvp and vjp (one of them is enough), not both.")
    return _Primitive(fn, out, jvp, vjp, jacobian, vectorized, finite_difference)


class _Primitive:
    """The callable that `primitive` returns. Arguments are sorted into those that are differentiable and others."""

    def __init__(self, fn, out, jvp, vjp, jacobian, vectorized, finite_difference):
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.fn, self.out, self.rules = fn, out, {"jvp": jvp, "vjp": vjp, "jacobian": jacobian}
        self.vectorized, self.finite_difference = vectorized, finite_difference
        self._functions = {}

    def __call__(self, *args):
        leaves, tree = jax.tree.flatten(args)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        layout = _Layout(tree, tuple(_is_inexact(leaf) for leaf in leaves))
        # One function for each kind of arguments, made once: JAX remembers programs by the functions in them.
        if layout not in self._functions:
            self._functions[layout] = _Differentiable(self, layout)
        return self._functions[layout](*layout.split(leaves))


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a pytree falls into differentiable leaves and others."""

    tree: Any
    mask: tuple[bool, ...]

    def split(self, leaves):
        return [a for a, m in zip(leaves, self.mask) if not m], [a for a, m in zip(leaves, self.mask) if m]

    def merge(self, others, inexact):
        """The pytree; `others` None puts None in their places."""
        kinds = iter(inexact), (iter(others) if others is not None else None)
        leaves = [next(kinds[0]) if m else (next(kinds[1]) if kinds[1] is not None else None) for m in self.mask]
        return jax.tree.unflatten(self.tree, leaves)

    def pick(self, tree):
        """The differentiable leaves of a pytree like this one, in which the others may be None."""
        leaves = self.tree.flatten_up_to(tree)
        return [leaf for leaf, m in zip(leaves, self.mask) if m]


class _Differentiable:
    """The differentiable function of flat arguments (k, x): k without derivatives, x with them."""

    push: Callable[..., list]  # (k, x, v) -> J v
    pull: Callable[..., list]  # (k, x, c) -> J^T c

    def __init__(self, owner, layout):
        self.owner, self.layout = owner, layout
        self.value = jax.custom_jvp(partial(self._on_host, "fn"))
        self.value.defjvp(self._value_jvp)
        rules = {kind: self._rule(kind, rule) for kind, rule in owner.rules.items() if rule is not None}
        push, pull = rules.get("jvp"), rules.get("vjp")
        if "jacobian" in rules:
            push = partial(self._push_by_jacobian, rules["jacobian"])
            pull = partial(self._pull_by_jacobian, rules["jacobian"])
        elif not rules:
            push = self._push_by_differences
        self.push = push or partial(_by_linearity, pull, self._like_out)
        self.pull = pull or partial(_by_linearity, push, lambda k, x: list(map(_struct, x)))

    def __call__(self, k, x):
        return jax.tree.unflatten(self._announced(k, x)[1].tree, self.value(k, x))

    def _announced(self, k, x):
        """What the function returns: leaves, and their layout."""
        out = self.owner.out
        if callable(out):
            out = out(*jax.tree.map(_struct, self.layout.merge(k, x)))
        leaves, tree = jax.tree.flatten(jax.tree.map(_struct, out))
        return leaves, _Layout(tree, tuple(map(_is_inexact, leaves)))

    def _like_out(self, k, x):
        leaves, layout = self._announced(k, x)
        return layout.split(leaves)[1]

    def _flat(self, kind, layout, k, x, *linear):
        """The user's function or rule, from flat arguments to flat results; `layout` is that of its output."""
        args, of_args = self.layout.merge(k, x), self.layout
        if kind == "fn":
            return layout.tree.flatten_up_to(self.owner.fn(*args))
        rule = self.owner.rules[kind]
        if kind == "jvp":
            return layout.pick(rule(args, of_args.merge(None, *linear)))
        if kind == "vjp":
            return of_args.pick(tuple(rule(args, layout.merge(None, *linear))))
        return [block for row in layout.pick(rule(*args)) for block in of_args.pick(tuple(row))]

    def _in_jax(self, kind, k, x, *linear):
        return self._flat(kind, self._announced(k, x)[1], k, x, *linear)

    def _on_host(self, kind, *operands):
        k, x, *_ = operands
        leaves, layout = self._announced(k, x)
        outs = layout.split(leaves)[1]
        announced = {
            "fn": leaves,
            "jvp": outs,
            "vjp": list(map(_struct, x)),
            "jacobian": [
                jax.ShapeDtypeStruct(y.shape + a.shape, jnp.result_type(y.dtype, a.dtype)) for y in outs for a in x
            ],
        }[kind]
        flat, tree = jax.tree.flatten(operands)
        what, shapes = f"{self.owner.name}: {kind}", [jnp.shape(a) for a in flat]
        call = partial(self._flat, kind, layout)
        host = partial(_host_call, what, call, announced, self.owner.vectorized, tree, shapes)
        if any(isinstance(a, Tracer) for a in flat):
            return vary_like(jax.pure_callback(host, announced, *flat, vmap_method="expand_dims"), flat)
        return [jnp.asarray(a) for a in host(*flat)]

    def _rule(self, kind, rule):
        """The user's rule as a function of flat arguments; one on the host gets the derivative by differences."""
        if isinstance(rule, jax_rule):
            return partial(self._in_jax, kind)
        function = jax.custom_jvp(partial(self._on_host, kind))
        function.defjvp(partial(self._rule_jvp, kind, function), symbolic_zeros=True)
        return function

    # Derivatives

    def _value_jvp(self, primals, tangents):
        k, x = primals
        out = self.value(k, x)
        layout = self._announced(k, x)[1]
        tangent = linear_map(
            lambda r, v: self.push(*r, v), lambda r, c: self.pull(*r, c), (k, x), instantiated(tangents[1], x)
        )
        zeros = [np.zeros(y.shape, jax.dtypes.float0) for y in layout.split(out)[0]]
        tangent, zeros = iter(tangent), iter(zeros)
        return out, [next(tangent) if m else next(zeros) for m in layout.mask]

    def _rule_jvp(self, kind, function, primals, tangents):
        """A rule is linear in its last argument, but for the Jacobian, and differentiated in x by differences."""
        k, x, *linear = primals
        _, dx, *dlinear = tangents
        out, total = function(*primals), None
        if any(map(is_live, dlinear[0] if dlinear else [])):
            direction = instantiated(dlinear[0], linear[0])
            other = {"jvp": self.pull, "vjp": self.push}[kind]
            total = linear_map(lambda r, d: function(*r, d), lambda r, d: other(*r, d), (k, x), direction)
        if any(map(is_live, dx)):
            moved = self._difference_rule(kind, function, k, x, linear, instantiated(dx, x))
            total = moved if total is None else [a + b for a, b in zip(total, moved)]
        return out, total

    def _difference_rule(self, kind, function, k, x, linear, dx):
        difference = self._differences(f"the {kind} rule of {self.owner.name}")

        def moved(r, dx):
            k, x, *linear = r
            return difference(lambda x: function(k, x, *linear), x, dx)

        def transposed(r, c):
            k, x, *linear = r
            if kind == "jacobian":
                return _pairings(lambda e: moved(r, e), list(map(_struct, x)), c)
            # That of dx -> D_x[J(x) v] dx is c -> D_x[J(x)^T c] v, and the other way round.
            at, direction = (c, *linear) if kind == "jvp" else (*linear, c)
            return difference(lambda x: self.pull(k, x, at), x, direction)

        return linear_map(moved, transposed, (k, x, *linear), dx)

    def _push_by_differences(self, k, x, v):
        layout = self._announced(k, x)[1]
        difference = self._differences(self.owner.name)
        return difference(lambda x: layout.split(self.value(k, x))[1], x, v)

    def _push_by_jacobian(self, jacobian, k, x, v):
        blocks, n = jacobian(k, x), len(x)
        rows = [blocks[i : i + n] for i in range(0, len(blocks), n)]
        dtypes = [y.dtype for y in self._like_out(k, x)]
        return [
            jnp.asarray(sum(jnp.tensordot(j, d, d.ndim) for j, d in zip(row, v)), dtype)
            for row, dtype in zip(rows, dtypes)
        ]

    def _pull_by_jacobian(self, jacobian, k, x, c):
        push = partial(self._push_by_jacobian, jacobian, k, x)
        return jax.linear_transpose(push, list(map(_struct, x)))(c)[0]

    def _differences(self, what):
        if self.owner.finite_difference is None:
            raise MissingDerivativeError(
                f"external.primitive: {what} has no derivative. Give a rule in JAX (jax_rule), or pass "
                "finite_difference=FiniteDifference() to use differences."
            )
        return self.owner.finite_difference.along


def _host_call(what, fun, announced, vectorized, tree, shapes, *flat):
    """Calls `fun` for every member of the batch that stands in front of the `shapes`, or once for all."""
    flat = [np.asarray(a) for a in flat]
    batch = np.broadcast_shapes(*(a.shape[: a.ndim - len(shape)] for a, shape in zip(flat, shapes)))
    flat = [np.broadcast_to(a, batch + shape) for a, shape in zip(flat, shapes)]
    size = math.prod(batch)
    flat = [a.reshape((size, *shape)) for a, shape in zip(flat, shapes)]

    def call(flat, lead):
        try:
            found = fun(*jax.tree.unflatten(tree, flat))
        except Exception as error:
            raise HostError(f"{what} raised {type(error).__name__}: {error}") from error
        return [_checked(what, i, y, lead, like) for i, (y, like) in enumerate(zip(found, announced))]

    if vectorized:
        results = call(flat, (size,))
    elif batch == ():
        results = [y[None] for y in call([a[0] for a in flat], ())]
    else:
        members = [call([a[i] for a in flat], ()) for i in range(size)]
        results = [np.stack(column) for column in zip(*members)] or []
    return [y.reshape(batch + like.shape) for y, like in zip(results, announced)]


def _checked(what, i, y, lead, like):
    y = np.asarray(y)
    if y.shape != lead + like.shape:
        raise HostError(f"{what} returned shape {y.shape} as result {i}; announced is {lead + like.shape}.")
    if not np.can_cast(y.dtype, like.dtype, "same_kind"):
        raise HostError(f"{what} returned dtype {y.dtype} as result {i}; announced is {like.dtype}.")
    return y.astype(like.dtype)


def _by_linearity(known, like, k, x, c):
    """J v from a vjp, or J^T c from a jvp: the known one on every basis vector of what is wanted, in one batch."""
    return _pairings(lambda e: known(k, x, e), like(k, x), c)


def _pairings(fun, like, c):
    """The `like`-shaped y with Re(y · e) = Re(c · fun(e)) for all e: the transpose of fun, linear over the reals."""
    results = []
    for i, leaf in enumerate(like):
        zeros = [jnp.zeros(a.shape, a.dtype) for a in like]
        basis = jnp.eye(math.prod(leaf.shape), dtype=leaf.dtype).reshape(-1, *leaf.shape)

        def pair(e, i=i, zeros=zeros):
            products = [jnp.sum(a * b).real for a, b in zip(c, fun([*zeros[:i], e, *zeros[i + 1 :]]))]
            return jnp.sum(jnp.stack(products))

        y = jax.vmap(pair)(basis)
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            y = y - 1j * jax.vmap(pair)(1j * basis)
        results.append(y.reshape(leaf.shape).astype(leaf.dtype))
    return results


def _struct(a):
    return jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a))


def _is_inexact(a):
    return jnp.issubdtype(a.dtype, jnp.inexact)


def _largest(leaves):
    return jnp.max(jnp.stack([jnp.max(jnp.abs(a), initial=0.0) for a in leaves]))
