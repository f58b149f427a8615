r"""The function along a line through the point, φ(t) = f(x + t v), and its derivatives by AD and by differences.

Entries of v are ±(½ … 3/2) times the entries of x (the median of its array for those that vanish), and v has length one
in these units: t is a relative step.

A stencil of seven values at spacing H gives the derivative to order six, and to order four; their difference is the
error. Noise comes from second differences at steps of eps^(3/4).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

_TINY = float(np.finfo(float).tiny)
_NOISY = 10.0  # how many times the noise that was measured from few values it may be


class Stencil(NamedTuple):
    """What seven values at spacing h say of the derivative.

    Attributes:
        h: the spacing.
        slope: the derivative.
        error: of it.
        scale: the largest of the slopes of chords, for comparison where the derivative vanishes.
        is_flat: whether the values differ by noise only.
    """

    h: float
    slope: float
    error: float
    scale: float
    is_flat: bool

    def deviation(self, slope: float) -> float:
        """|slope − that of the stencil|, relative."""
        return abs(slope - self.slope) / max(abs(slope), abs(self.slope), self.scale, _TINY)

    def doubt(self, slope: float) -> float:
        """The error, relative to the same."""
        return self.error / max(abs(slope), abs(self.slope), self.scale, _TINY)

    def fits(self, slope: float, tolerance: float) -> bool:
        """Whether it agrees with a slope, and is sharp enough to say so."""
        return self.doubt(slope) <= tolerance and self.deviation(slope) <= tolerance + self.doubt(slope)

    def refutes(self, slope: float, tolerance: float) -> bool:
        """Whether the slope is another one: the stencil must be sharp by itself, not only beside a large slope."""
        size = abs(slope) if self.is_flat else max(abs(self.slope), self.scale)
        sharp = self.error <= 10 * tolerance * size
        return sharp and self.deviation(slope) > tolerance + 10 * self.doubt(slope)


class Graded(NamedTuple):
    """Value, slope along the line, and the gradient in units of the inverse scales, at a point of the line."""

    value: float
    slope: float
    gradient: np.ndarray


class Line:
    """A function of pytrees on a line, with a count of its evaluations.

    Args:
        f: of the varied arrays, a list.
        x: the point.
        compiled: whether to compile.
        seed: of the direction.
        hermitian: whether matrices that are Hermitian stay so along the line.
    """

    def __init__(self, f: Callable[[list], Any], x: list, *, compiled: bool, seed: int, hermitian: bool = False):
        rng = np.random.default_rng(seed)
        self.f, self.x, self.evaluations = f, x, 0
        self.scales = [_scales(np.asarray(a)) for a in x]
        draws = [_hermitian(_draw(rng, a), a) if hermitian else _draw(rng, a) for a in x]
        self.eps = max(float(jnp.finfo(a.dtype).eps) for a in x)
        self.n = sum(a.size for a in x)
        length = math.sqrt(sum(float(np.sum(np.abs(u) ** 2)) for u in draws))
        self.direction = [jnp.asarray(s * u / length, a.dtype) for s, u, a in zip(self.scales, draws, x)]
        # A step of many roundings, so that those of neighbours have nothing to do with each other.
        self.tiny = self.eps**0.75 * math.sqrt(self.n)
        jit = eqx.filter_jit if compiled else lambda f: f
        self._of_t = jit(lambda x, v, t: f(_moved(x, v, t)))
        self._gradient = jit(lambda x, v, t: jax.value_and_grad(f)(_moved(x, v, t)))
        self._forward = jit(lambda x, v: jax.jvp(f, (x,), (v,))[1])
        self._values: dict[float, float] = {}

    def value(self, t: float) -> float:
        """φ(t); NaN where f cannot be evaluated."""
        if t not in self._values:
            self.evaluations += 1
            try:
                self._values[t] = float(self._of_t(self.x, self.direction, jnp.asarray(t)))
            except RuntimeError:  # of a solver that fails there, or of a compiled check
                self._values[t] = math.nan
        return self._values[t]

    def graded(self, t: float) -> Graded:
        self.evaluations += 3
        value, gradient = self._gradient(self.x, self.direction, jnp.asarray(t))
        self._values[t] = float(value)
        slope = sum(float(jnp.sum(g * v).real) for g, v in zip(gradient, self.direction))
        return Graded(float(value), slope, self.scaled(gradient))

    def scaled(self, gradient: list) -> np.ndarray:
        """All numbers of a gradient in units of the inverse scales."""
        with np.errstate(invalid="ignore"):
            parts = [np.ravel(np.asarray(g) * s) for g, s in zip(gradient, self.scales)]
        return np.concatenate(parts)

    def forward(self) -> float:
        """φ'(0) by forward mode."""
        self.evaluations += 2
        return float(self._forward(self.x, self.direction))

    def noise(self) -> tuple[float, float]:
        """The noise of φ left and right of the point, from three values each, and not below a rounding."""
        f = [self.value(k * self.tiny) for k in range(-2, 3)]
        floor = self.eps * max(map(abs, f)) + _TINY
        left, right = (abs(a - 2 * b + c) / 6**0.5 for a, b, c in (f[:3], f[2:]))
        return max(left, floor), max(right, floor)

    def stencil(self, h: float, noise: float) -> Stencil | None:
        """None if f is not finite on it."""
        f = {k: self.value(k * h) for k in range(-3, 4)}
        if not all(map(math.isfinite, f.values())):
            return None
        one, two, three = (f[k] - f[-k] for k in (1, 2, 3))
        fourth = (8 * one - two) / (12 * h)
        sixth = (45 * one - 9 * two + three) / (60 * h)
        scale = max(abs(f[k] - f[0]) / (3 * h) for k in f)
        is_flat = max(f.values()) - min(f.values()) <= _NOISY * noise
        return Stencil(h, sixth, abs(sixth - fourth) + _NOISY * noise / h, scale, is_flat)

    def jump(self, h: float, slope: float) -> float:
        """The size of a jump of φ(t) − t slope within 3h: what is left of the largest change after many halvings.

        Zero if there is none, or if it stands alone: on the other side of the point everything is as the slope says.
        """

        def change(interval):
            return abs(self.value(interval[1]) - self.value(interval[0]) - slope * (interval[1] - interval[0]))

        parts = [(k * h, (k + 1) * h) for k in range(-3, 3)]
        halvings = min(11, int(math.log2(h / (30 * self.tiny))))
        part, sizes = max(parts, key=change), []
        for _ in range(halvings):
            middle = (part[0] + part[1]) / 2
            part = max(((part[0], middle), (middle, part[1])), key=change)
            sizes.append(change(part))
        if not all(map(math.isfinite, sizes)) or len(sizes) < 6 or sizes[-1] < 0.3 * sizes[-4]:
            return 0.0
        sides = (max(map(change, side)) for side in (parts[:3], parts[3:]))
        return sizes[-1] if min(sides) > 0.3 * sizes[-1] else 0.0

    def chords(self, h: float) -> tuple[float, float]:
        """The slopes of the chords to the left and to the right."""
        return (self.value(0.0) - self.value(-h)) / h, (self.value(h) - self.value(0.0)) / h


def _moved(x: list, v: list, t: Any) -> list:
    return [a + jnp.asarray(t, a.real.dtype) * d for a, d in zip(x, v)]


def wide(f: Callable[[list], Any], x: list) -> list | None:
    """The point in double precision, if f follows and it is not so already."""
    if all(a.dtype in (jnp.float64, jnp.complex128) for a in x):
        return None
    y = [a.astype(jnp.promote_types(a.dtype, jnp.float64)) for a in x]
    try:
        out = jax.eval_shape(f, y)
    except Exception:  # a function of single precision only
        return None
    return y if out.dtype == jnp.float64 else None


def real_scalar(out: PyTree) -> bool:
    leaves = jax.tree.leaves(out)
    return len(leaves) == 1 and jnp.shape(leaves[0]) == () and jnp.issubdtype(jnp.result_type(leaves[0]), jnp.floating)


def _scales(a: np.ndarray) -> np.ndarray:
    sizes = np.abs(a).astype(float)
    nonzero = sizes[(sizes > 0) & np.isfinite(sizes)]
    if not nonzero.size:
        return np.ones(a.shape)
    sizes = np.where(np.isfinite(sizes) & (sizes > 0), sizes, np.median(nonzero))
    return np.asarray(np.clip(sizes, 1e-12 * nonzero.max(), float(np.finfo(a.dtype).max) / 8))


def _draw(rng: np.random.Generator, a: jax.Array) -> np.ndarray:
    u = rng.uniform(0.5, 1.5, a.shape) * rng.choice([-1, 1], a.shape)
    if jnp.iscomplexobj(a):
        u = u * np.exp(2j * np.pi * rng.uniform(size=a.shape))
    return np.asarray(u)


def _hermitian(u: np.ndarray, a: jax.Array) -> np.ndarray:
    """The Hermitian part of a draw for a Hermitian matrix, or a stack of them; entries keep their size."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        return u
    b = np.asarray(a)
    if not np.allclose(b, _adjoint(b), rtol=0, atol=100 * np.finfo(b.dtype).eps * np.max(np.abs(b), initial=0.0)):
        return u
    lower = np.tril(u, -1)
    return lower + _adjoint(lower) + np.eye(u.shape[-1]) * np.real(u)


def _adjoint(a: np.ndarray) -> np.ndarray:
    return np.conj(np.swapaxes(a, -1, -2))
