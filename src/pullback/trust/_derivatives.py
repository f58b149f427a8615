"""`check_derivatives`: is what AD says the derivative of what the function does?

Every mode is reduced to one number. With random directions v_1, v_2, … in the arguments and a random cotangent c,
φ(x) = Re Σ c · f(x) is a real scalar function, and each composition of forward and reverse mode gives its own value
of the mixed directional derivative D^m φ(x)[v_1, …, v_m]. The reference comes from values of f alone, by
extrapolated central differences along the line x + t v (mixed derivatives by polarisation).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from pullback.core import DerivativeError, InputError, refuse_half
from pullback.trust._arguments import as_array
from pullback.trust._differences import derivative, noise_level

MODES = ("jvp", "vjp", "fwd-rev", "rev-rev", "fwd-fwd")
_THIRD = ("fwd-fwd-fwd", "fwd-fwd-rev", "fwd-rev-rev", "rev-rev-rev")
_TOLERANCE = {jnp.dtype("float64"): (1e-8, 1e-6, 1e-4), jnp.dtype("float32"): (1e-3, 1e-2, 1e-1)}


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison: what AD gave in one mode along one set of directions, and what it is compared with."""

    mode: str
    ad: float
    reference: float
    reference_error: float
    relative_error: float
    verdict: Literal["ok", "wrong", "NaN", "missing", "unresolved"]
    detail: str = ""

    def __str__(self) -> str:
        return (
            f"{self.mode:12s} {self.ad: .12e} {self.reference: .12e} {self.relative_error:9.1e}  "
            f"{self.verdict}{': ' + self.detail if self.detail else ''}"
        )


@dataclasses.dataclass(frozen=True)
class DerivativeReport:
    """The table of `check_derivatives`; prints as one, under a line that says along which directions."""

    rows: tuple[Row, ...]
    directions: str

    @property
    def ok(self) -> bool:
        return all(row.verdict == "ok" for row in self.rows)

    def verdict(self, mode: str) -> str:
        """The worst verdict of one mode."""
        verdicts = [row.verdict for row in self.rows if row.mode == mode]
        if not verdicts:
            raise InputError(f"mode {mode!r} was not checked; checked: {sorted({r.mode for r in self.rows})}.")
        return next((v for v in verdicts if v != "ok"), "ok")

    def __str__(self) -> str:
        head = f"{'mode':12s} {'AD':>19s} {'reference':>19s} {'rel. error':>10s}  verdict"
        return "\n".join([self.directions, head, *map(str, self.rows)])

    __repr__ = __str__


def check_derivatives(
    f: Callable[..., PyTree],
    *args: Any,
    modes: Sequence[str] = MODES,
    order: int = 2,
    reference: Literal["differences", "complex-step"] = "differences",
    rtol: Sequence[float] | None = None,
    atol: float = 0.0,
    samples: int = 2,
    scale: float = 0.1,
    seed: int = 0,
    throw: bool = False,
) -> DerivativeReport:
    """Compares the derivatives that JAX computes of `f` with differences of its values.

    Args:
        f: function of pytrees, real or complex, to any pytree. Must run under `jit`.
        *args: the point. Floating-point and complex arrays are varied, everything else is held fixed.
        modes: "jvp", "vjp", or compositions such as "fwd-rev" (forward over reverse), of any length.
        order: modes of a higher order are left out; order=3 adds the third-order compositions.
        reference: "differences" of values of f, or "complex-step" for `f` holomorphic and real on real arguments
            (first derivative to rounding; higher ones by differences of it).
        rtol: relative tolerances at first, second, third order. Default 1e-8, 1e-6, 1e-4 in double precision,
            1e-3, 1e-2, 1e-1 when any argument is single precision (the reference is then evaluated in double).
        atol: absolute tolerance added to these.
        samples: number of random sets of directions.
        scale: length of the directions relative to max(1, |x|): the largest steps of the differences.
        seed: of the random directions.
        throw: raise instead of only reporting.

    Returns:
        A report that prints as a table: for each mode AD, reference, relative error and a verdict
        ("ok", "wrong", "NaN", "missing": JAX refused, "unresolved": the reference itself is not sharp enough to
        tell; not ok). A row "jvp=vjp" compares both modes with each other to rounding.

    Raises:
        DerivativeError: with `throw=True`, if any verdict is not ok.
        InputError: unknown mode or nothing to differentiate.

    Examples:
        >>> import jax.numpy as jnp, pullback as pb
        >>> pb.trust.check_derivatives(jnp.sin, 0.3, order=1).ok
        True
    """
    modes = tuple(m for m in modes if _order(m) <= order)
    if order >= 3:
        modes += tuple(m for m in _THIRD if m not in modes)
    if reference not in ("differences", "complex-step"):
        raise InputError(f"reference must be 'differences' or 'complex-step', got {reference!r}.")
    x, fixed = eqx.partition(jax.tree.map(as_array, args), eqx.is_inexact_array)
    leaves = jax.tree.leaves(x)
    for leaf in leaves:
        refuse_half("check_derivatives", leaf.dtype, "an argument")
    if not leaves:
        raise InputError("check_derivatives: no argument holds floating-point or complex numbers.")
    if reference == "complex-step" and any(map(jnp.iscomplexobj, leaves)):
        raise InputError("the complex step needs real arguments; use reference='differences'.")
    rtol = tuple(rtol) if rtol is not None else _TOLERANCE[min((a.real.dtype for a in leaves), key=_digits)]

    def of_x(x):
        return f(*eqx.combine(x, fixed))

    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(samples):
        directions = [_direction(rng, x, scale) for _ in range(max(map(_order, modes)))]
        cotangent = jax.tree.map(lambda s: _random(rng, s.shape, s.dtype), jax.eval_shape(of_x, x))
        phi = _scalar(of_x, cotangent, real=True)
        size = _size(cotangent, of_x(x))
        first = {}
        references = _references(of_x, cotangent, x, directions, reference)
        for mode in modes:
            value, problem = _evaluate(phi, x, directions, mode)
            first[mode] = value
            m = _order(mode)
            exact, error = references(m)
            rows.append(_judge(mode, value, problem, exact, error, rtol[min(m, len(rtol)) - 1], atol, size))
        if all(math.isfinite(first.get(mode, math.nan)) for mode in ("jvp", "vjp")):
            rows.append(_judge("jvp=vjp", first["vjp"], "", first["jvp"], 0.0, rtol[0] / 10, atol, size))
    report = DerivativeReport(tuple(rows), _described(args, samples, scale, seed))
    if throw and not report.ok:
        raise DerivativeError(f"derivatives disagree with their reference:\n{report}")
    return report


def _described(args, samples: int, scale: float, seed: int) -> str:
    """The directions that were taken, in words."""
    varied = [
        f"args{jax.tree_util.keystr(path)}{list(jnp.shape(a)) or ''}"
        for path, a in jax.tree_util.tree_leaves_with_path(args)
        if eqx.is_inexact_array(as_array(a))
    ]
    what = ", ".join(varied) if len(varied) <= 6 else f"{', '.join(varied[:5])} and {len(varied) - 5} more"
    sets = "one set" if samples == 1 else f"{samples} sets"
    return f"{sets} of random directions (seed {seed}, length about {scale:g} max(1, |x|)) in {what}"


def directional_derivative(f: Callable[[PyTree], Any], x: PyTree, directions: Sequence[PyTree], mode: str) -> Any:
    """D^m f(x)[v_1, …, v_m] of a real scalar function, by the composition of modes that `mode` names.

    The rightmost word is applied first: "fwd-rev" is forward over reverse. "jvp" is "fwd", "vjp" is "rev".
    """
    h = f
    for word, v in zip(reversed(_words(mode)), directions, strict=True):
        h = _forward(h, v) if word == "fwd" else _reverse(h, v)
    return h(x)


def _forward(h, v):
    return lambda x: jax.jvp(h, (x,), (v,))[1]


def _reverse(h, v):
    def along(x):
        gradient = jax.tree.leaves(jax.grad(h)(x))
        return sum(jnp.sum(g * d).real for g, d in zip(gradient, jax.tree.leaves(v)))

    return along


def _words(mode: str) -> list[str]:
    words = {"jvp": ["fwd"], "vjp": ["rev"]}.get(mode, mode.split("-"))
    if not set(words) <= {"fwd", "rev"}:
        raise InputError(f"unknown mode {mode!r}: use 'jvp', 'vjp', or words 'fwd' and 'rev' joined by '-'.")
    return words


def _order(mode: str) -> int:
    return len(_words(mode))


def _digits(dtype) -> int:
    return -int(math.log10(jnp.finfo(dtype).eps))


def _random(rng, shape, dtype):
    values = rng.normal(size=shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        values = values + 1j * rng.normal(size=shape)
    return jnp.asarray(values, dtype)


def _direction(rng, x, scale):
    size = max(1.0, *(float(jnp.max(jnp.abs(a), initial=0.0)) for a in jax.tree.leaves(x)))
    return jax.tree.map(lambda a: scale * size * _random(rng, a.shape, a.dtype) / max(1.0, a.size) ** 0.5, x)


def _scalar(of_x, cotangent, *, real):
    def phi(x):
        terms = jax.tree.map(lambda c, y: jnp.sum(c * y), cotangent, of_x(x))
        total = sum(jax.tree.leaves(terms))
        return jnp.real(total) if real else total

    return phi


def _evaluate(phi, x, directions, mode) -> tuple[float, str]:
    try:
        program = jax.jit(lambda x: directional_derivative(phi, x, directions[: _order(mode)], mode))
        return float(program(x)), ""
    except (NotImplementedError, TypeError, ValueError) as error:  # how JAX says that a rule is missing
        return math.nan, str(error).strip().splitlines()[0][:100]


def _references(of_x, cotangent, x, directions, kind):
    """order -> (D^m φ[v_1..v_m], error), each evaluated once, from values of f in double precision."""
    wide = jnp.complex128 if kind == "complex-step" else None
    step = 1e-25

    def widen(a):
        return a.astype(wide or jnp.promote_types(a.dtype, jnp.float64))

    x, directions = jax.tree.map(widen, x), [jax.tree.map(widen, v) for v in directions]
    phi = _scalar(of_x, cotangent, real=kind == "differences")
    on_line = jax.jit(lambda t, v: phi(jax.tree.map(lambda a, d: a + t * d, x, v)))

    def along(v, m):
        if kind == "complex-step":

            def slope(t):
                return float(jnp.imag(on_line(t + 1j * step, v))) / step

            return derivative(slope, m - 1, noise_level(slope))

        def value(t):
            return float(on_line(t, v))

        return derivative(value, m, noise_level(value))

    cache = {}

    def reference(m):
        if m not in cache:
            # Polarisation: D^m[v1..vm] = 1/(2^m m!) Σ_signs (Π signs) D^m along Σ signs·v, signs[0] = +1 counted twice.
            total, total_error = 0.0, 0.0
            for tail in itertools.product((1, -1), repeat=m - 1):
                signs = (1, *tail)
                v = jax.tree.map(lambda *d, s=signs: sum(a * b for a, b in zip(s, d)), *directions[:m])
                value, error = along(v, m)
                factor = math.prod(signs) * 2.0 / (2.0**m * math.factorial(m))
                total, total_error = total + factor * value, total_error + abs(factor) * error
            cache[m] = (total, total_error)
        return cache[m]

    return reference


def _size(cotangent, y) -> float:
    """Σ |c y|: what a derivative that vanishes is to be compared with."""
    terms = jax.tree.map(lambda c, y: jnp.sum(jnp.abs(c * y)), cotangent, y)
    return float(sum(jax.tree.leaves(terms)))


def _judge(mode, value, problem, reference, reference_error, rtol, atol, size) -> Row:
    larger = max(abs(reference), abs(value) if math.isfinite(value) else 0.0)
    difference = abs(value - reference)
    relative = difference / larger if larger > 0 else difference
    tolerance = rtol * abs(reference) + atol
    # A derivative that vanishes has no digits to compare; then the reference must be sharp compared with f.
    vanishes = abs(reference) <= 4 * reference_error <= 10 * rtol * size
    if problem:
        verdict = "missing"
    elif not math.isfinite(value):
        verdict = "NaN"
    elif difference <= tolerance or (vanishes and difference <= 4 * reference_error):
        verdict = "ok"
    elif difference <= 4 * reference_error:
        verdict = "unresolved"
    else:
        verdict = "wrong"
    return Row(mode, value, reference, reference_error, relative, verdict, problem)
