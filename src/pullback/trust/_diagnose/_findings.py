"""The questions of `diagnose`, in the order in which they are asked; the first that has an answer gives the verdict."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pullback.core import RESULTS, ConvergenceError
from pullback.trust._diagnose import _gauge
from pullback.trust._diagnose._facts import Facts
from pullback.trust._diagnose._line import Stencil
from pullback.trust._diagnose._steps import has_steps, moves_by_steps
from pullback.trust._diagnose._verdict import VERDICTS

_NO_RULE = (NotImplementedError, TypeError, ValueError)  # how JAX says that there is none
_CHANGED = 1e-6  # relative change of a value that depends on the gauge
_TREND = 1e-2  # relative difference of the gradient and the trend across jumps, from which on these matter
_NO_GRADIENT = (
    "pb.loops.scan and pb.loops.while_loop have every mode, pb.implicit differentiates solutions, pb.external wraps "
    "programs; or forward mode, jax.jacfwd."
)


class Finding(NamedTuple):
    """An answer; without a remedy it is the usual one for its kind."""

    kind: VERDICTS
    digits: float
    reason: str
    remedy: str = ""


def failing(facts: Facts) -> Finding | None:
    """Value and gradient raise an error, or are not finite."""
    for name in ("base", "single") if facts.narrow is not None else ("base",):
        try:
            found = getattr(facts, name)
        except _NO_RULE as error:
            if facts.program is None:
                facts.line.f(facts.x)  # an error of the function itself is raised
            return Finding(VERDICTS.wrong_rule, 0, f"there is no gradient: {_shortened(error)}", _NO_GRADIENT)
        except (ConvergenceError, RuntimeError) as error:
            return failure(error)
        if not math.isfinite(found.value):
            return Finding(VERDICTS.not_finite, 0, f"the value is {found.value}")
        bad = int(np.sum(~np.isfinite(found.gradient)))
        if bad:
            what = "the gradient" if bad == 1 == found.gradient.size else f"{bad} of {found.gradient.size} derivatives"
            return chaotic(facts) or Finding(VERDICTS.not_finite, 0, f"{what} is not finite")
    return None


def stepping(facts: Facts) -> Finding | None:
    """The gradient is zero because everything goes through rounding and comparisons."""
    if facts.base.gradient.any() or facts.program is None:
        return None
    if not moves_by_steps(facts.program, [True] * len(facts.x)):
        return None
    reason = "f moves by steps only (rounding, comparisons, positions): its gradient is zero wherever it exists"
    return Finding(VERDICTS.non_smooth, 0, reason)


def turning(facts: Facts) -> Finding | None:
    """The value changes with the signs, phases or bases of eigenvectors."""
    if facts.turned <= _threshold(facts):
        return None
    reason = f"other signs, phases or bases of eigenvectors change the value by {facts.turned:.1e}"
    return Finding(VERDICTS.gauge_dependent, 0, reason)


def cornered(facts: Facts) -> Finding | None:
    """One-sided slopes do not meet, or the value jumps, at smaller and smaller steps."""
    line, h, noise = facts.line, facts.small, min(facts.noise)
    if jump := _jump(facts):
        return Finding(VERDICTS.non_smooth, 0, f"the value jumps by {jump:.3g} at the point")
    left, right = line.chords(h)
    if not (math.isfinite(left) and math.isfinite(right)):
        h /= 100
        left, right = line.chords(h)
        if not (math.isfinite(left) and math.isfinite(right)):
            return Finding(VERDICTS.non_smooth, 0, "f is finite on one side of the point only, or nowhere around it")
    gap, size = right - left, max(abs(left), abs(right))
    wide = line.chords(facts.large)
    if abs(gap) <= 1e-3 * size + 40 * noise / h or abs(gap) <= 0.3 * abs(wide[1] - wide[0]):
        return None
    closer = max(h / 300, 400 * noise / abs(gap), 4 * line.tiny)
    if closer > h / 3:
        return None
    near = line.chords(closer)
    jump, jump_near = (left + right) * h, (near[0] + near[1]) * closer
    if abs(jump) > 50 * noise and abs(jump_near - jump) <= 0.05 * abs(jump):
        return Finding(VERDICTS.non_smooth, 0, f"the value jumps by {jump:.3g} at the point")
    if abs(near[1] - near[0] - gap) <= 0.2 * abs(gap):
        return Finding(
            VERDICTS.non_smooth, 0, f"a kink: the slope is {near[0]:.3g} on one side and {near[1]:.3g} on the other"
        )
    return None


def _jump(facts: Facts) -> float:
    """How far the value at the point is from those a tiny step away, if these go on smoothly; not beside a pole."""
    line, h, t = facts.line, facts.small, facts.line.tiny
    size = max(abs(line.value(0.0) - line.value(s * t)) for s in (-1, 1))
    beyond = max(abs(line.value(2 * s * t) - line.value(s * t)) for s in (-1, 1))
    if size <= 100 * beyond + 1e4 * line.eps * abs(facts.base.value) + 10 * t * abs(facts.base.slope):
        return 0.0
    stays = all(abs(line.value(s * h) - line.value(s * t)) <= 0.1 * size for s in (-1, 1))
    return size if stays else 0.0


def disagreeing(facts: Facts) -> Finding | None:
    """Forward and reverse mode differ."""
    slope, forward = facts.base.slope, facts.forward
    if facts.digits < facts.least or forward is None or not math.isfinite(forward):
        return None
    size = max(abs(slope), abs(forward), float(np.max(np.abs(facts.base.gradient))) / facts.line.n**0.5)
    if abs(slope - forward) <= facts.tolerance * size + 1e3 * facts.line.eps * abs(facts.base.value):
        return None
    if (found := chaotic(facts) or rounding(facts)) is not None:
        return found
    if abs(slope - forward) <= 10 ** (1 - facts.forward_digits) * size:
        return None
    reason = f"along one line reverse mode gives the slope {slope:.8g}, forward mode {forward:.8g}"
    return _unfinished(facts, abs(slope - forward) / size, reason) or Finding(
        VERDICTS.wrong_rule, 0, reason, "A transpose is wrong: pb.trust.check_derivatives, pb.core.checks_under_jit."
    )


def agreeing(facts: Facts) -> Finding | None:
    """Differences at large steps give the slope of AD."""
    first = facts.first
    if first is None or not _fits(facts) or facts.digits < facts.least:
        return None
    return Finding(VERDICTS.reliable, _digits(facts, first), _agreement(facts, first))


def chaotic(facts: Facts) -> Finding | None:
    """Tangents grow exponentially along a loop."""
    loops = [loop for loop in facts.loops if loop.is_chaotic]
    if not loops:
        return None
    worst = max(loops, key=lambda loop: loop.growth)
    rate = worst.growth / worst.steps
    reason = f"tangents grow by e^{worst.growth:.1f} in {worst.steps} steps (exponent {rate:.3g} a step)"
    return Finding(VERDICTS.chaotic, 0, reason)


def mixing(facts: Facts) -> Finding | None:
    """Eigenvectors of levels that are as good as equal."""
    gap = facts.gap
    if gap >= _gauge.NEAR or _fits(facts) or facts.mixed <= _threshold(facts) + 100 * gap * abs(facts.base.value):
        return None
    reason = f"it depends on single vectors of levels that are {gap:.1e} apart, relative to the largest level"
    remedy = "Take what does not distinguish these levels: pb.linalg.spectral_projector, pb.linalg.density_matrix."
    return Finding(VERDICTS.ill_conditioned, facts.digits, reason, remedy)


def rounding(facts: Facts) -> Finding | None:
    """The gradient is rounding errors."""
    digits = min(facts.digits, facts.forward_digits)
    if digits >= facts.least:
        return None
    what = f"{digits:.1f} digits of the gradient stay" if digits > 0.5 else "no digit of the gradient stays"
    return Finding(
        VERDICTS.ill_conditioned, digits, f"{what} when roundings inside, or the point, change by their size"
    )


def jumping(facts: Facts) -> Finding | None:
    """The value jumps near the point, again and again, and moves otherwise than its smooth parts do."""
    slope, first = facts.base.slope, facts.first
    if facts.program is None or not has_steps(facts.program) or rough(facts):
        return None
    if first is None or first.deviation(slope) <= max(facts.tolerance, _TREND):
        return None
    if facts.second is not None and facts.second.refutes(slope, facts.tolerance):  # smooth, with another slope
        return None
    jump = facts.line.jump(first.h, slope)
    if jump <= 50 * max(facts.noise):
        return None
    reason = f"the value jumps by {jump:.1e} within relative steps of {first.h:.0e} on both sides; the gradient is "
    reason += f"that between jumps, {slope:.3g} along a line where differences give {first.slope:.3g}"
    return Finding(VERDICTS.non_smooth, 0, reason)


def missing(facts: Facts) -> Finding | None:
    """Differences agree with each other, and not with AD."""
    slope = facts.base.slope
    stencils = [s for s in (facts.second, facts.first) if s is not None]
    if any(s.fits(slope, facts.tolerance) for s in stencils):
        return None
    left, right = facts.sides
    rounding = abs(right.slope - left.slope)  # what a point some roundings away would say
    sharp = [s for s in stencils if s.refutes(slope, facts.tolerance) and abs(s.slope - slope) > rounding]
    if not sharp:
        return None
    best = min(sharp, key=lambda s: s.doubt(slope))
    reason = f"along one line AD gives the slope {slope:.8g}, differences give {best.slope:.8g} ± {best.error:.1e}"
    return _unfinished(facts, best.deviation(slope), reason) or Finding(VERDICTS.wrong_rule, 0, reason)


def rough(facts: Facts) -> Finding | None:
    """The value is noisy because an iteration stops early."""
    loops = [loop for loop in facts.loops if loop.waits and loop.is_unfinished]
    if not loops:
        return None
    change = max(loop.change for loop in loops)
    return Finding(
        VERDICTS.not_converged, -math.log10(change), f"an iteration stops when its state still changes by {change:.1e}"
    )


def reaching(facts: Facts) -> Finding | None:
    """Small steps agree, or the values are too noisy for an opinion."""
    slope, second, first = facts.base.slope, facts.second, facts.first
    if second is not None and second.fits(slope, facts.tolerance):
        return Finding(VERDICTS.reliable, _digits(facts, second), _agreement(facts, second))
    if second is not None and second.is_flat and not facts.base.gradient.any():
        reason = f"the gradient is zero, and f is constant to relative steps of {second.h:.0e}"
        return Finding(VERDICTS.reliable, facts.digits, reason)
    if first is not None and first.deviation(slope) <= 10 * first.doubt(slope):
        digits = min(facts.digits, facts.forward_digits)
        reason = (
            f"f has a noise of {max(facts.noise):.1e}, in which differences drown; that of the gradient leaves digits"
        )
        return Finding(VERDICTS.reliable, digits, reason)
    return Finding(VERDICTS.ill_conditioned, 0, "differences at all steps disagree with AD and with each other")


QUESTIONS: tuple[Callable[[Facts], Finding | None], ...] = (
    *(failing, stepping, turning, mixing, cornered, disagreeing, agreeing, chaotic, rounding, jumping),
    *(missing, rough, reaching),
)  # fmt: skip


def failure(error: Exception) -> Finding:
    """What an error of a solver, or of a check inside a compiled program, says. Raises it again if it is neither."""
    text = str(error)
    if not isinstance(error, ConvergenceError) and "EquinoxRuntimeError" not in f"{type(error)} {text}":
        raise error
    kind = VERDICTS.not_finite if RESULTS[RESULTS.nonfinite] in text else VERDICTS.not_converged
    return Finding(kind, 0, _shortened(error))


def _unfinished(facts: Facts, deviation: float, reason: str) -> Finding | None:
    """Whether an iteration inside is to blame."""
    if facts.residual > 1e-3 * deviation:
        more = f"a linear equation inside is solved to {facts.residual:.1e} only"
        return Finding(VERDICTS.not_converged, -math.log10(deviation), f"{reason}; {more}")
    changes = [
        loop.change for loop in facts.loops if loop.cut_off and loop.is_unfinished and loop.change > 1e-3 * deviation
    ]
    if changes:
        more = f"an iteration inside still moves by {max(changes):.1e} in its last step"
        return Finding(VERDICTS.not_converged, -math.log10(deviation), f"{reason}; {more}")
    return None


def _fits(facts: Facts) -> bool:
    return facts.first is not None and facts.first.fits(facts.base.slope, facts.tolerance)


def _threshold(facts: Facts) -> float:
    """How much a value may change by roundings."""
    size = max(abs(facts.base.value), facts.large * (facts.first.scale if facts.first is not None else 0.0))
    return _CHANGED * size + min(10 * max(facts.noise), 1e-3 * size)


def _digits(facts: Facts, stencil: Stencil) -> float:
    deviation = stencil.deviation(facts.base.slope)
    if deviation <= stencil.doubt(facts.base.slope):
        return facts.digits
    return min(facts.digits, -math.log10(deviation))


def _agreement(facts: Facts, stencil: Stencil) -> str:
    slope = facts.base.slope
    text = f"differences at relative steps of {stencil.h:.0e} agree to {max(stencil.deviation(slope), 1e-16):.0e}"
    if not facts.base.gradient.any():
        return f"the gradient is zero; {text}"
    return text if stencil is facts.first else f"{text}, larger ones do not: that is how far it reaches"


def _shortened(error: Exception) -> str:
    """The line of a message that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "EquinoxRuntimeError: " in line:
            return line.split("EquinoxRuntimeError: ", 1)[1][:300]
    return (lines or [type(error).__name__])[0][:300]
