"""What `fixed_point`, `root` and `argmin` have in common: an equation F(v) = 0 on real vectors, a search, a verdict.

Whatever the search was, the residual decides whether a solution was found, never the size of its last step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float

from pullback.core import RESULTS, InputError, Solution
from pullback.implicit import _linear
from pullback.implicit._flat import Flat
from pullback.implicit._inputs import hoisted
from pullback.implicit._linear import Choice
from pullback.implicit._modes import Find, Held, find, leak, no_modes, rows
from pullback.implicit._newton import Newton, newton
from pullback.implicit._rule import Equation, differentiable
from pullback.implicit._search import OPTIMISTIX, Found, VectorMap, compiled, from_optimistix, frozen, max_abs

_POLISH = 20  # Newton steps after another method: quadratic convergence needs few, a change of contacts some more
_LEAK = 1e-5  # |J z| / |J| above which z is no zero mode; at a solution known to sqrt(eps) it is still below
_NOT_A_MODE = (
    "A declared zero mode is not one: the Jacobian at the solution does not annihilate it. Correct zero_modes=, or "
    "let Find() determine them."
)


class Problem(NamedTuple):
    """An equation on real vectors and how it is to be solved.

    Attributes:
        name: of the public function, for messages.
        flat: the layout of x.
        linear: the linear solver of Newton's method and of the derivative.
        zero_modes: as the user gave them.
        tol: v -> the largest residual that is accepted there.
    """

    name: str
    flat: Flat
    linear: Choice
    zero_modes: Any
    tol: Callable[[Array], Array]

    def search(self, solver: Any, residual: VectorMap, v: Float[Array, " n"], max_steps: int) -> Found:
        """A root by `solver`; `residual` must not carry tangents."""
        if isinstance(solver, Newton):
            return self.newton(solver, residual, v, max_steps)
        if not isinstance(solver, OPTIMISTIX):
            raise InputError(
                f"{self.name}: solver={solver!r} is not one of its solvers: see the documentation of {self.name}."
            )
        return self.polish(residual, from_optimistix(optx.root_find, residual, solver, v, max_steps))

    def newton(
        self,
        method: Newton,
        residual: VectorMap,
        v: Float[Array, " n"],
        max_steps: int,
        energy: Callable[[Array], Array] | None = None,
    ) -> Found:
        modes = self.zero_modes if isinstance(self.zero_modes, Find) else None
        equation = frozen(self.equation(residual, v))
        return newton(method, equation, v, tol=self.tol, max_steps=max_steps, modes=modes, energy=energy)

    def polish(self, residual: VectorMap, found: Found, energy: Callable[[Array], Array] | None = None) -> Found:
        """Newton's method from where another one stopped; if it fails too, the first reason stands."""
        last = self.newton(Newton(), residual, found.v, _POLISH, energy)
        result = RESULTS.where(found.result == RESULTS.successful, last.result, found.result)
        return Found(last.v, result, found.steps + last.steps)

    def equation(self, residual: Any, v: Float[Array, " n"]) -> Equation:
        """The equation with the declared zero modes."""
        modes = no_modes
        if self.zero_modes is not None and not isinstance(self.zero_modes, Find):
            modes = hoisted(rows(self.name, self.zero_modes, self.flat), v)
        return Equation(residual, modes, self.linear)

    def solution(
        self,
        residual: Any,
        found: Found,
        throw: bool,
        *,
        fault: tuple[Bool[Array, ""] | None, str] = (None, ""),
        split: Callable[[Array], tuple[Array, dict[str, Any]]] = lambda v: (v, {}),
    ) -> Any:
        """x with its derivative: by itself if `throw`, else as a `Solution` with certificates.

        Args:
            residual: hoisted; its leaves carry the tangents.
            found: where the search stopped.
            throw: raise without convergence.
            fault: (whether the solution has no derivative, why).
            split: takes apart a vector that holds more than x: (x, further numbers for the statistics).
        """
        v = found.v
        size, result, pair, stats, leaking = compiled(lambda: self._certificate(frozen(residual), found))
        equation = self.equation(residual, v) if pair is None else Equation(residual, Held(pair), self.linear)
        broken, reason = fault if leaking is None else (leaking, _NOT_A_MODE)
        equation = Equation(residual, equation.modes, self.linear, broken, reason)
        x, more = split(differentiable(equation, v))
        if not throw:
            stats |= {**more, "linear_residual": compiled(lambda: frozen(equation).probe_residual(v))}
        solution = Solution(self.flat.unpack(x), result, size, found.steps, stats)
        return solution.unwrap(self.name) if throw else solution

    def _certificate(self, residual, found):
        """(max|F|, the outcome, zero modes found, their statistics, whether a declared one is none)."""
        size = max_abs(residual(found.v))
        result = _verdict(found, size, self.tol(found.v))
        if self.zero_modes is None:
            return size, result, None, {}, None
        jacobian = Equation(residual, no_modes, self.linear).deflated(found.v)[0]
        if isinstance(self.zero_modes, Find):
            a = _linear.materialise(jacobian, found.v)
            pair, number, kept = find(a, self.zero_modes.rtol, self.linear.symmetric)
            return size, result, pair, {"zero_modes": number, "smallest_kept": kept}, None
        declared = frozen(self.equation(residual, found.v)).modes(found.v)
        return size, result, None, {}, leak(declared, jacobian, found.v) > _LEAK


def _verdict(found, residual, tol):
    why = RESULTS.where(found.result == RESULTS.successful, RESULTS.stalled, found.result)
    why = RESULTS.where(jnp.isfinite(residual), why, RESULTS.nonfinite)
    return RESULTS.where(residual <= tol, RESULTS.successful, why)
