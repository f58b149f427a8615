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
        "The way back does not find the states again: half of the digits or more are lost on it. Store exact states "
        "(Uncompute and Reversible take checkpoint_every=m), or take adjoint=Checkpoint() or TwoLevel()."
    )
    parted = (
        "The two copies of a reversible method have parted: its steps must be shorter than (1 − coupling) over the "
        "rate of what decays. Tighten the tolerances, lower Reversible(coupling=…, checkpoint_every=…), or take "
        "adjoint=Checkpoint()."
    )
    no_event = (
        "No terminal event happened before the last time. Look at the sign and the direction of the event function, "
        "or ask for a later time."
    )
    too_many_events = (
        "There are more events than max_events, or they accumulate at one time. Raise max_events, or end with a "
        "terminal event."
    )
    grazing = (
        "An event function touches zero, or crosses it so flatly that the tolerance decides whether and when the event "
        "happens; there its time has no derivative. Change the start, or tighten the tolerances."
    )
    too_few_directions = (
        "All tangents that were carried along grow, so that others may grow as well. Carry more of them (k): one more "
        "than there are unstable directions."
    )


FAILURES = (
    RESULTS.max_steps_reached,
    RESULTS.stalled,
    RESULTS.breakdown,
    RESULTS.nonfinite,
    RESULTS.not_separated,
    RESULTS.outside_bounds,
    RESULTS.irreversible,
    RESULTS.parted,
    RESULTS.no_event,
    RESULTS.too_many_events,
    RESULTS.grazing,
    RESULTS.too_few_directions,
)
