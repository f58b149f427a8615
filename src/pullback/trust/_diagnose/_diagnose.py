r"""`diagnose`: can the gradient of f be used?

Along a random line through the point the slope by AD is compared with differences of values at steps of about 1e-3 of
the arguments, whose error is estimated with the noise of f. Where they agree, both modes agree, and the gradient does
not change by more than roundings when the point does, it is good.

Where they do not, it is asked why, in this order. One-sided differences that stay apart: a kink, or a jump. Tangents
that grow exponentially in a loop: chaos. Eigenvectors of levels so close that steps mix them. A gradient that is
rounding errors. Jumps on both sides (rejected samples, pixels), which move the value and not the gradient. Differences
that agree at all steps, but not with AD: an iteration that has not converged, or a wrong
rule. What is left agrees at small steps alone: a derivative of small reach.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from pullback.core import InputError, refuse_half
from pullback.trust._arguments import as_array
from pullback.trust._diagnose._facts import DIGITS, Facts
from pullback.trust._diagnose._findings import QUESTIONS
from pullback.trust._diagnose._line import real_scalar
from pullback.trust._diagnose._verdict import VERDICTS, Verdict

_REMEDIES = {
    VERDICTS.reliable: "",
    VERDICTS.ill_conditioned: "Write f without cancellation (jnp.expm1, jnp.log1p, pb.elementary), scale the problem, "
    "or use double precision.",
    VERDICTS.gauge_dependent: "Let f depend on what has no gauge: pb.linalg.spectral_projector, pb.linalg.funmh, "
    "|<u|v>|²; or fix phases by a reference vector.",
    VERDICTS.non_smooth: "Smooth f (jax.nn.softplus, jax.nn.logsumexp, pb.linalg.density_matrix with smearing), or its "
    "gradient: pb.trust.evolution_strategies.",
    VERDICTS.chaotic: "Shorten the horizon (pb.trust.truncated); of long-time averages take pb.trust.shadowing or "
    "pb.trust.evolution_strategies.",
    VERDICTS.not_converged: "Raise max_steps or tighten the tolerance of the inner solver, and look at its Solution "
    "(throw=False); pb.implicit differentiates converged solutions.",
    VERDICTS.wrong_rule: "Find the rule: pb.trust.check_derivatives of the parts, pb.core.linear_map(check=True).",
    VERDICTS.not_finite: "Find the operation with jax.debug_nans; pb.elementary has norm, power, arctan2, … where "
    "JAX's rules divide by zero; mask inputs as well as results of jnp.where.",
}


def diagnose(f: Callable[..., Any], *args: Any, seed: int = 0) -> Verdict:
    """Says whether the gradient of `f` at this point can be used, why not, and what to do.

    It costs 20 to 35 evaluations of f, a gradient counted as three; up to 45 where f jumps.

    Args:
        f: function of pytrees to a real number. It is compiled if it can be.
        *args: the point. Floating-point and complex arrays are varied, everything else is held fixed.
            Hermitian matrices stay so if f decomposes matrices by `eigh` or `cholesky`.
        seed: of the direction along which f is looked at.

    Returns:
        A `Verdict`, which prints as a table. Its `kind` is a member of `VERDICTS`:

        - `reliable`: to as many `digits` as it says;
        - `ill_conditioned`: hardly a digit is left after rounding, or eigenvectors of levels that nearly coincide;
        - `gauge_dependent`: f depends on signs, phases or bases of eigenvectors, which are arbitrary;
        - `non_smooth`: a kink or a jump at the point, or a function that moves by steps;
        - `chaotic`: tangents grow exponentially; the gradient is right for steps that are too small to be of use;
        - `not_converged`: an inner solver stopped before its end;
        - `wrong_rule`: the derivative is not that of f, or there is none;
        - `not_finite`: NaN or infinite.

    Raises:
        InputError: f does not return one real number; no argument holds floating-point numbers, or half precision.

    Examples:
        >>> import jax, pullback as pb
        >>> def logistic(x, n):
        ...     return jax.lax.fori_loop(0, n, lambda _, x: 4 * x * (1 - x), x)
        >>> print(pb.trust.diagnose(lambda x: logistic(x, 5), 0.3).kind)
        reliable
        >>> print(pb.trust.diagnose(lambda x: logistic(x, 60), 0.3).kind)
        chaotic
    """
    varied, fixed = eqx.partition(jax.tree.map(as_array, args), eqx.is_inexact_array)
    x, tree = jax.tree.flatten(varied)
    if not any(leaf.size for leaf in x):
        raise InputError("diagnose: no argument holds floating-point or complex numbers.")
    for leaf in x:
        refuse_half("diagnose", leaf.dtype, "an argument")

    def of_x(x: list) -> Any:
        out = f(*eqx.combine(jax.tree.unflatten(tree, x), fixed))
        if not real_scalar(out):
            shapes = jax.tree.map(lambda a: f"{jnp.result_type(a)}{list(jnp.shape(a))}", out)
            raise InputError(f"diagnose: f must return one real number, as for jax.grad; it returns {shapes}.")
        return jax.tree.leaves(out)[0]

    facts = Facts(of_x, x, seed)
    finding = next(filter(None, (question(facts) for question in QUESTIONS)))
    return Verdict(
        finding.kind,
        float(min(max(finding.digits, 0.0), DIGITS)),
        (finding.reason,),
        finding.remedy or _REMEDIES[finding.kind],
        facts.line.value(0.0),
        facts.evaluations,
    )
