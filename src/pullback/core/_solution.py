"""`Solution`: what an iterative solver returns when asked for more than the value."""

from collections.abc import Callable
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, PyTree

from pullback.core._error_if import error_if
from pullback.core._errors import ConvergenceError
from pullback.core._results import FAILURES, RESULTS

Value = TypeVar("Value")
Arguments = ParamSpec("Arguments")


class Solution(eqx.Module, Generic[Value]):
    """The outcome of an iterative solver.

    Attributes:
        value: the solution, any pytree.
        result: a member of `RESULTS`; `RESULTS[solution.result]` is its text (cause and remedy).
        residual: how far the solver's equation is from being met, in the solver's stated norm.
        steps: the number of iterations taken.
        stats: further numbers that the solver reports, by name (products with the operator, gaps, growth).
    """

    value: Value
    result: RESULTS
    residual: ArrayLike
    steps: ArrayLike
    stats: dict[str, PyTree[ArrayLike]] = eqx.field(default_factory=dict)

    @property
    def converged(self) -> Array:
        """Whether the tolerance was met: a boolean array, one for each member of a batch."""
        return self.result == RESULTS.successful

    def unwrap(self, solver: str) -> Value:
        """The value, if the solver converged.

        Raises:
            ConvergenceError: naming `solver`, the cause, the remedy, the residual and the steps. Inside `jit`
                the same text is raised by the compiled program as `equinox.EquinoxRuntimeError`.
        """
        converged = self.converged
        if isinstance(converged, Tracer):
            codes = [jnp.where(self.result == failure, i, 0) for i, failure in enumerate(FAILURES)]
            return error_if(self.value, ~converged, [RESULTS[failure] for failure in FAILURES], sum(codes))
        if not converged.all():
            raise ConvergenceError(
                f"{solver}: {RESULTS[self.result]} Residual {self.residual}, steps {self.steps}.", self
            )
        return self.value


@runtime_checkable
class ByThrow(Protocol[Arguments, Value]):
    """The type of a solver that returns a `Solution` if it is called with throw=False, and the value otherwise."""

    @overload
    def __call__(self, *args: Any, throw: Literal[False], **options: Any) -> Solution[Value]: ...
    @overload
    def __call__(self, *args: Arguments.args, **options: Arguments.kwargs) -> Value: ...


def by_throw(solver: Callable[Arguments, Value | Solution[Value]]) -> ByThrow[Arguments, Value]:
    """`solver` itself: tells type checkers which of the two it returns. So its arguments are written once."""
    return cast(Any, solver)
