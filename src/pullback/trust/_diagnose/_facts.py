"""What `diagnose` measures, each when it is first asked for."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core._compat import ClosedJaxpr
from pullback.trust._diagnose import _gauge, _loops
from pullback.trust._diagnose._line import Graded, Line, Stencil, wide
from pullback.trust._diagnose._program import equations, evaluate
from pullback.trust._diagnose._roundings import other_roundings
from pullback.trust._diagnose._solves import residuals

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
DIGITS = 15.9


class Facts:
    """The function on a line through the point, and the program that it is.

    Attributes:
        line: in double precision, if the function follows.
        narrow: in the precision that was given, if that is less.
        program: None if the function cannot be traced.
        large: the spacing of the first stencil, eps^(1/6).
        small: of one-sided differences, eps^(1/3).
        tolerance: of relative deviations from differences.
        least: digits of a gradient that can be used.
    """

    def __init__(self, f: Callable[[list], Any], x: list, seed: int):
        try:
            self.program: ClosedJaxpr | None = jax.make_jaxpr(f)(x)
        except _UNTRACEABLE:
            self.program = None
        wider = None if self.program is None else wide(f, x)
        compiled = self.program is not None
        hermitian = self.program is not None and _takes_hermitian(self.program)
        self.narrow = None if wider is None else Line(f, x, compiled=compiled, seed=seed, hermitian=hermitian)
        if wider is not None:
            self.program = jax.make_jaxpr(f)(wider)
        self.f, self.x = f, x if wider is None else wider
        self.line = Line(f, self.x, compiled=compiled, seed=seed, hermitian=hermitian)
        eps = self.line.eps
        if self.program is not None:
            eps = max(eps, float(jnp.finfo(self.program.out_avals[0].dtype).eps))
        self.large, self.small = eps ** (1 / 6), eps ** (1 / 3)
        single = eps > 1e-10
        self.tolerance = 2e-2 if single else 1e-4
        self.least = 2.0 if single or wider is not None else 3.0
        self._inside, self._gaps = 0, []

    @property
    def evaluations(self) -> int:
        lines = [self.line] if self.narrow is None else [self.line, self.narrow]
        return self._inside + sum(line.evaluations for line in lines)

    @cached_property
    def base(self) -> Graded:
        return self.line.graded(0.0)

    @cached_property
    def sides(self) -> tuple[Graded, Graded]:
        """A tiny step to the left and to the right."""
        return self.line.graded(-self.line.tiny), self.line.graded(self.line.tiny)

    @cached_property
    def noise(self) -> tuple[float, float]:
        _ = self.sides  # which know two of the values
        return self.line.noise()

    @cached_property
    def first(self) -> Stencil | None:
        """At large steps. The smaller noise counts: the other may have seen a jump at the point."""
        return self.line.stencil(self.large, min(self.noise))

    @cached_property
    def second(self) -> Stencil | None:
        """At small steps: a part of the length over which the slope changes, if that can be seen; or still smaller."""
        (left, right), slope = self.sides, self.base.slope
        turn, noise = abs(right.slope - left.slope), abs(left.slope - 2 * slope + right.slope)
        h, least = self.small / 10, 10 * self.line.tiny
        if turn > 4 * noise and turn > 0:
            h = min(0.02 * abs(slope) * 2 * self.line.tiny / turn, h)
        h = max(h, least)
        found = self.line.stencil(h, max(self.noise))
        smaller = max(h / 50, 100 * max(self.noise) / (self.tolerance * abs(slope)) if slope else h, least)
        if smaller < h / 3 and (found is None or found.doubt(slope) > self.tolerance):
            found = self.line.stencil(smaller, max(self.noise)) or found
        return found

    @cached_property
    def forward(self) -> float | None:
        """The slope by forward mode; None if there is none."""
        try:
            return self.line.forward()
        except (NotImplementedError, TypeError, ValueError):
            return None

    @cached_property
    def digits(self) -> float:
        """How many digits of the gradient stay where the point moves by some roundings, or the precision is less."""
        (left, right), base = self.sides, self.base
        found = self._digits_left(float(np.max(np.abs(left.gradient - 2 * base.gradient + right.gradient))) / 6**0.5)
        if self.narrow is not None:
            error = float(np.max(np.abs(self.single.gradient - base.gradient)))
            found = min(found, self._digits_left(error, self.narrow.eps))
        return found

    def _digits_left(self, error: float, eps: float | None = None) -> float:
        """Digits of a gradient with this error; all if there is none to tell, at the edge of where f is defined."""
        if error == 0 or not math.isfinite(error):
            return DIGITS
        scale = self.first.scale if self.first is not None else 0.0
        size = max(float(np.max(np.abs(self.base.gradient))), scale)
        if error <= 1e3 * (eps or self.line.eps) * abs(self.base.value):
            size = max(size, abs(self.base.value))  # a gradient that is zero up to rounding
        return min(-math.log10(error / size), DIGITS) if size > 0 else 0.0

    @cached_property
    def single(self) -> Graded:
        assert self.narrow is not None
        return self.narrow.graded(0.0)

    # Inside the program. What cannot be evaluated equation by equation says nothing.

    @cached_property
    def has_vectors(self) -> bool:
        return self.program is not None and _gauge.has_vectors(self.program)

    @cached_property
    def turned(self) -> float:
        """The largest change of the value when signs, phases and bases of eigenvectors change."""
        if not self.has_vectors or self.program is None:
            return 0.0
        return max(self._change(pattern, 0.0) for pattern in range(_gauge.patterns(self.program)))

    @cached_property
    def mixed(self) -> float:
        """Its change when vectors of nearly equal levels are mixed."""
        return self._change(0, _gauge.NEAR) if self.has_vectors else 0.0

    @cached_property
    def gap(self) -> float:
        """The smallest distance of two levels, relative to the largest, that is not rounding."""
        return min(self._gaps, default=1.0) if self.turned >= 0 else 1.0

    def _change(self, pattern: int, closeness: float) -> float:
        found = self.inside(lambda x: self._regauged(x, jnp.asarray(pattern), jnp.asarray(closeness)), compiled=False)
        return 0.0 if found is None else abs(float(found[0]) - self.base.value)

    @cached_property
    def _regauged(self) -> Callable[[list, Any, Any], list]:
        assert self.program is not None
        return jax.jit(_gauge.regauged(self.program, lambda gap: self._gaps.append(float(np.min(gap, initial=1.0)))))

    @cached_property
    def loops(self) -> list[_loops.Loop]:
        """The loops that were run, or the chain of equations."""
        found: list[_loops.Loop] = []
        if self.program is None:
            return found
        if _loops.has_loops(self.program):
            for beside in (False, True):
                run = _loops.watched(self.program, found.append, beside=beside)
                if self.inside(run, cost=3) is not None:
                    break
        elif _loops.has_chain(self.program):
            logs = self.inside(_loops.along(self.program, self.line.direction), cost=2, compiled=False)
            if logs is not None:
                found.append(_loops.of_chain(np.asarray(logs[0])))
        return found

    @cached_property
    def forward_digits(self) -> float:
        """How many digits of the gradient stay when every rounding inside is another one."""
        if self.program is None:
            return DIGITS
        gradient = self.inside(lambda x: evaluate(self.gradient_program, x, other_roundings()), cost=3)
        if gradient is None:
            return DIGITS
        error = float(np.max(np.abs(self.line.scaled(gradient) - self.base.gradient)))
        return self._digits_left(error) if math.isfinite(error) else 0.0

    @cached_property
    def gradient_program(self) -> ClosedJaxpr:
        return jax.make_jaxpr(jax.grad(self.f))(self.x)

    @cached_property
    def residual(self) -> float:
        """The largest relative residual of the linear equations in value and gradient that are solved by iteration."""
        found: list[float] = [0.0]
        if self.program is None:
            return 0.0
        rules = residuals(self.gradient_program, lambda r: found.append(float(np.max(r, initial=0.0))))
        if rules:
            self.inside(lambda values: evaluate(self.gradient_program, values, rules), cost=3)
        return max(found)

    def inside(self, run: Callable[[list], list], cost: int = 1, *, compiled: bool = True) -> list | None:
        """The results of the changed program; None if it fails."""
        self._inside += cost
        try:
            out = (jax.jit(run) if compiled else run)(self.x)
            jax.effects_barrier()
        except Exception:  # whatever an equation does not like: nothing is learnt
            return None
        return out


def _takes_hermitian(program: ClosedJaxpr) -> bool:
    """Whether it decomposes Hermitian matrices. Such code may read one triangle, and means no other changes."""
    return any(e.primitive.name in ("eigh", "cholesky") for e in equations(program.jaxpr))
