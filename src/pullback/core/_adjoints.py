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


class Reversible(Adjoint):
    """Makes a reversible method of an explicit Runge–Kutta method, and undoes its steps: no states are stored.

    For flows that do not contract much: each step costs two of the method. `coupling` is λ of McCallum and Foster's
    scheme (`flows` has the derivation). On the way back rounding errors grow like λ^−m over m steps; forwards a decay
    e^{−at} is stable for steps h < (1 − λ)/a. None: λ = 1 − log(1/eps) / 4m, which loses a quarter of the digits.
    `checkpoint_every=m` stores an exact state every m steps. None: m is the bound on the number of steps.
    """

    coupling: float | None = eqx.field(default=None, static=True)
    checkpoint_every: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        options = {k: v for k in ("coupling", "checkpoint_every") if (v := getattr(self, k)) is not None}
        _positive("Reversible", **options)
        if self.coupling is not None and self.coupling > 1:
            raise InputError(f"Reversible(coupling={self.coupling}): coupling must not be larger than 1.")


class Backsolve(Adjoint):
    """Solves the adjoint equation backwards in time, and the state's own equation with it: no states are stored.

    For conservative flows over short times. What contracts forwards explodes on the way back: the state found at the
    start is compared with the true one, and an error raised where half of the digits are lost. The derivative is that
    of the exact flow to the tolerance of the solution, not that of the numbers that are returned.
    """


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
