r"""One step of a Runge–Kutta method: explicit ones from their tableau, written out; others by diffrax itself.

`Coupled` makes a reversible method of an explicit one y → y + Ψ_h(t, y): on pairs (y, z),

    y_{n+1} = λ y_n + (1 − λ) z_n + Ψ_h(t_n, z_n),
    z_{n+1} = z_n − Ψ_{−h}(t_{n+1}, y_{n+1}),

of the same order, and undone by solving the second equation for z_n, then the first for y_n.

Source: S. McCallum, J. Foster, arXiv:2410.11648.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from diffrax import AbstractERK, ButcherTableau
from jaxtyping import PyTree

from pullback.core import InputError

Field = Callable[[Any, PyTree], PyTree]  # (t, y) -> dy/dt


class RK4(AbstractERK):
    """The classical Runge–Kutta method of order 4, for fixed steps: it has no estimate of its error."""

    tableau: ClassVar[ButcherTableau] = ButcherTableau(  # pyright: ignore[reportIncompatibleVariableOverride]
        c=np.array([0.5, 0.5, 1.0]),
        b_sol=np.array([1.0, 2.0, 2.0, 1.0]) / 6,
        b_error=np.zeros(4),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
    )
    interpolation_cls: ClassVar[Any] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: Any) -> int:
        return 4


class Euler(AbstractERK):
    """The method of order 1, for fixed steps; its second stage is f at the end. (That of diffrax has no tableau.)"""

    tableau: ClassVar[ButcherTableau] = ButcherTableau(  # pyright: ignore[reportIncompatibleVariableOverride]
        c=np.array([1.0]), b_sol=np.array([1.0, 0.0]), b_error=np.zeros(2), a_lower=(np.array([1.0]),)
    )
    interpolation_cls: ClassVar[Any] = diffrax.LocalLinearInterpolation

    def order(self, terms: Any) -> int:
        return 1


class Step(NamedTuple):
    """The state after a step, the estimate of its local error, and f at its end if the method knows it."""

    y: PyTree
    error: PyTree
    last: PyTree


def check(stepper: Any, *, adaptive: bool) -> None:
    """Refuses what cannot step.

    Raises:
        InputError: it is no stepper of diffrax for ordinary differential equations, or one without an estimate of its
            error is to choose its steps.
    """
    if not isinstance(stepper, diffrax.AbstractSolver):
        raise InputError(f"odeint: stepper={stepper!r}; give one of diffrax, such as flows.Tsit5().")
    tableau = getattr(stepper, "tableau", None)
    if not isinstance(tableau, ButcherTableau):
        raise InputError(f"odeint: {type(stepper).__name__} is no Runge–Kutta method.")
    if adaptive and not np.any(tableau.b_error):
        raise InputError(
            f"odeint: {type(stepper).__name__} has no estimate of its error: pass step_size=, or another stepper."
        )


def explicit_step(tableau: ButcherTableau, field: Field, t: Any, h: Any, y: PyTree, first: PyTree = None) -> Step:
    """One step of an explicit method; `first` is f(t, y), if it is known."""
    slopes = _slopes(tableau, field, t, h, y, first)
    y_new = combination(y, h, tableau.b_sol, slopes)
    error = combination(None, h, tableau.b_error, slopes)
    return Step(y_new, error, slopes[-1] if tableau.fsal else None)


def _slopes(tableau: ButcherTableau, field: Field, t: Any, h: Any, y: PyTree, first: PyTree = None) -> list[PyTree]:
    slopes = [field(t, y) if first is None else first]
    for c, row in zip(tableau.c, tableau.a_lower, strict=True):
        slopes.append(field(t + float(c) * h, combination(y, h, row, slopes)))
    return slopes


def combination(y: PyTree, h: Any, weights: Any, slopes: list[PyTree]) -> PyTree:
    """y + h Σ w k; without y if it is None."""
    used = [(float(w), k) for w, k in zip(weights, slopes, strict=True) if w != 0]

    def of_leaves(*leaves):
        terms = [w * k for (w, _), k in zip(used, leaves[-len(used) :] if used else (), strict=True)]
        total = h.astype(leaves[-1].real.dtype) * sum(terms[1:], terms[0])
        return total if y is None else leaves[0] + total

    if not used:
        return y if y is not None else jax.tree.map(jnp.zeros_like, slopes[0])
    trees = [k for _, k in used]
    return jax.tree.map(of_leaves, *trees) if y is None else jax.tree.map(of_leaves, y, *trees)


def any_step(stepper: diffrax.AbstractSolver, field: Field, t: Any, h: Any, y: PyTree) -> Step:
    """One step of any method of diffrax, started anew."""
    term = diffrax.ODETerm(lambda t, y, args: field(t, y))
    state = stepper.init(term, t, t + h, y, None)
    y_new, error, _, _, result = stepper.step(term, t, t + h, y, None, state, made_jump=jnp.asarray(False))
    failed = result != diffrax.RESULTS.successful
    error = jax.tree.map(lambda e: jnp.where(failed, jnp.inf, e), error)
    return Step(y_new, error, None)


def ready(stepper: Any, rtol: float, atol: float) -> Any:
    """The stepper with the tolerances of its root finder, and loops that both modes can differentiate."""
    if stepper.tableau.implicit:
        finder = diffrax.VeryChord(rtol=rtol, atol=atol)
        return dataclasses.replace(stepper, root_finder=finder, scan_kind="bounded")
    return stepper


class Coupled(NamedTuple):
    """The reversible method on pairs of an explicit one, with the coupling λ."""

    stepper: Any
    coupling: float

    def increment(self, field: Field, t: Any, h: Any, y: PyTree) -> tuple[PyTree, PyTree]:
        """(Ψ_h(t, y), estimate of its error)."""
        tableau = self.stepper.tableau
        slopes = _slopes(tableau, field, t, h, y)
        return combination(None, h, tableau.b_sol, slopes), combination(None, h, tableau.b_error, slopes)

    def step(self, field: Field, t: Any, h: Any, pair: tuple[PyTree, PyTree]) -> Step:
        (y, z), mix = pair, self.coupling
        change, error = self.increment(field, t, h, z)
        y = jax.tree.map(lambda y, z, c: mix * y + (1 - mix) * z + c, y, z, change)
        back, _ = self.increment(field, t + h, -h, y)
        return Step((y, jax.tree.map(jnp.subtract, z, back)), (error, error), None)

    def inverse(self, field: Field, t: Any, h: Any, pair: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        (y, z), mix = pair, self.coupling
        back, _ = self.increment(field, t + h, -h, y)
        z = jax.tree.map(jnp.add, z, back)
        change, _ = self.increment(field, t, h, z)
        return jax.tree.map(lambda y, z, c: (y - (1 - mix) * z - c) / mix, y, z, change), z


def principal(stepper: Any, state: PyTree) -> PyTree:
    """The part of the stepper's state that is the solution."""
    return state[0] if isinstance(stepper, Coupled) else state


def is_fsal(stepper: Any) -> bool:
    """Whether f at the start of a step is known from the one before."""
    return not isinstance(stepper, Coupled) and stepper.tableau.fsal and not stepper.tableau.implicit


def step_of(stepper: Any, field: Field, t: Any, h: Any, y: PyTree, first: PyTree = None) -> Step:
    """One step, by whichever way the method has."""
    if isinstance(stepper, Coupled):
        return stepper.step(field, t, h, y)
    if stepper.tableau.implicit:
        return any_step(stepper, field, t, h, y)
    return explicit_step(stepper.tableau, field, t, h, y, first)
