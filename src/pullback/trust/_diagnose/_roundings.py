"""A program in which every rounding error is another one.

Each result of an operation that rounds is multiplied by 1 ± eps, with random signs. What the results change by is the
forward error of the program: it sees cancellation that a small change of the inputs does not, as of 1 − cos x, which is
constant between two numbers of which the cosine rounds to the same.

Source: D. S. Parker, Monte Carlo arithmetic, UCLA CSD-970002 (1997).
"""

import itertools
from collections.abc import Mapping

import jax.numpy as jnp

from pullback.core._compat import bound
from pullback.trust._diagnose._program import Rule

_ROUND = {
    *("add", "sub", "mul", "div", "pow", "integer_pow", "square", "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1"),
    *("log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh"),
    *("atanh", "logistic", "erf", "erfc", "erf_inv", "lgamma", "digamma", "dot_general", "reduce_sum", "add_any"),
    *("cumsum", "cumprod", "reduce_prod", "conv_general_dilated", "fft"),
}


def other_roundings() -> Mapping[str, Rule]:
    """The rules for such a program."""
    numbers = itertools.count(1)

    def rounded(a):
        if not jnp.issubdtype(jnp.result_type(a), jnp.inexact):
            return a
        place = jnp.arange(jnp.size(a)).reshape(jnp.shape(a))
        signs = jnp.sign(jnp.sin(12.9898 * place + 78.233 * next(numbers)))  # without a pattern that a sum could see
        return a * (1 + jnp.finfo(a.dtype).eps * signs).astype(a.dtype)

    def rule(equation, values):
        return [rounded(a) for a in bound(equation, values)]

    return dict.fromkeys(_ROUND, rule)
