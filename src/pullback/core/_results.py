"""Why a solver stopped: one enumeration for the whole package, each member with its cause and its remedy.

`RESULTS` is an equinox enumeration: its members are arrays that pass through `jit` and `vmap`; compare them
with `==`, and read the text with `RESULTS[result]`.
"""

import equinox as eqx


class RESULTS(eqx.Enumeration):
    successful = ""
    max_steps_reached = (
        "The maximum number of steps was reached before the tolerance was met. "
        "Raise max_steps, loosen the tolerance, or start closer to the solution."
    )
    stalled = (
        "No further progress was possible: the step or the decrease fell below rounding before the tolerance "
        "was met. Loosen the tolerance, use higher precision, or improve the scaling of the problem."
    )
    breakdown = (
        "The iteration broke down: a direction or subspace became numerically dependent. "
        "Use another starting vector, a larger block, or a different solver."
    )
    nonfinite = (
        "A value became NaN or infinite. Check the input for NaN and inf, start from a point where the function is "
        "finite, or shorten the step."
    )
    not_separated = (
        "The last of the wanted eigenvalues equals the next one to the accuracy of the calculation, so that the "
        "vectors are not determined and have no derivative. Ask for all members of the multiplet (k), for fewer, or "
        "for one symmetry sector, or tighten the tolerance."
    )
    outside_bounds = (
        "The spectrum reaches beyond the bounds that were given or estimated. Pass bounds=(a, b) that contain it."
    )
    irreversible = (
        "The inverse steps do not find the states again: half of the digits or more are lost on the way back. Store "
        "exact states with Uncompute(checkpoint_every=m), or take scan with adjoint=TwoLevel()."
    )


FAILURES = (
    RESULTS.max_steps_reached,
    RESULTS.stalled,
    RESULTS.breakdown,
    RESULTS.nonfinite,
    RESULTS.not_separated,
    RESULTS.outside_bounds,
    RESULTS.irreversible,
)
