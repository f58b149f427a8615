"""What is said of the couplings that were found."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import ArrayLike

from pullback.runs import Quantity


def largest_difference(found: Mapping[str, ArrayLike], true: Mapping[str, ArrayLike]) -> Quantity:
    """The largest deviation of a coupling, and of which."""
    deviations = {kind: np.abs(np.asarray(found[kind]) - np.asarray(true[kind])) for kind in true}
    kind = max(deviations, key=lambda kind: deviations[kind].max())
    place = f"{'bond' if len(kind) > 1 else 'site'} {int(deviations[kind].argmax())}"
    return Quantity(deviations[kind].max(), f"largest deviation from the true couplings, {kind} of {place}", digits=2)


def listed(found: Mapping[str, ArrayLike]) -> dict[str, Quantity]:
    """The couplings themselves, place by place."""
    return {kind: Quantity(" ".join(f"{x:.5g}" for x in np.ravel(np.asarray(found[kind])))) for kind in found}
