"""Adjoint objects: how the derivative of a loop, a flow or a solver is to be computed.

One grammar for the whole package: *problem* x *solver* x *adjoint* -> `Solution`. A solver accepts the
adjoints that make sense for it and says which is its default. These objects only hold choices; the rules live
in the rooms that own the mathematics.
"""

from typing import Any

import equinox as eqx

from pullback.core._errors import InputError


class Adjoint(eqx.Module):
    """Base of the adjoint objects."""


class Direct(Adjoint):
    """Differentiates the operations one after the other, as plain JAX does.

    Reverse mode stores every intermediate state: memory O(steps). Right for short loops and for debugging.
    """


class Checkpoint(Adjoint):
    """Stores a state every `every` steps and recomputes between them.

    Memory O(steps/every + every) in reverse mode, at most two more forward sweeps. `every=1` stores each
    state but none of what is computed inside a step, one more sweep. Works for any step; forward mode stores nothing.
    """

    every: int = eqx.field(default=1, static=True)

    def __check_init__(self):
        _positive("Checkpoint", every=self.every)


class TwoLevel(Adjoint):
    """Checkpoints in two nested levels: memory O(sqrt(steps)), two more forward sweeps."""


class Uncompute(Adjoint):
    """Runs the inverse step beside the adjoint: memory independent of the number of steps.

    For unitary, symplectic and reversible maps. What rounding does to the recomputed state is measured and
    returned as a certificate; `checkpoint_every=m` stores an exact state every m steps to bound it.
    """

    checkpoint_every: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.checkpoint_every is not None:
            _positive("Uncompute", checkpoint_every=self.checkpoint_every)


class Implicit(Adjoint):
    """Differentiates the equation that the solution obeys, by one linear solve at the solution.

    Memory and time do not depend on how the solution was found. `tol` is the relative tolerance of the
    derivative's own linear solve (None: the solver ties it to its own), `max_steps` its iteration bound,
    `linear_solver` the method (None: the solver chooses; `pullback.implicit` says which there are).
    """

    tol: float | None = eqx.field(default=None, static=True)
    max_steps: int | None = eqx.field(default=None, static=True)
    linear_solver: Any = eqx.field(default=None, static=True)

    def __check_init__(self):
        _positive("Implicit", **{k: v for k in ("tol", "max_steps") if (v := getattr(self, k)) is not None})


def _positive(name: str, **values: int | float) -> None:
    for field, value in values.items():
        if not value > 0:
            raise InputError(f"{name}({field}={value}): {field} must be positive.")
