"""Elementary functions whose rule in JAX is wrong, infinite or NaN at some point, under their NumPy names.

Each is exact there, or follows a convention that its docstring states, in every mode and order. What is right in
`jax.numpy` is not here.
"""

from pullback.elementary._bessel_i import i0, i1
from pullback.elementary._gammainc import gammainc, gammaincc
from pullback.elementary._inverse import arccos, arccosh, arcsin
from pullback.elementary._logarithms import logaddexp, logaddexp2, logcosh, logsumexp, xlogy
from pullback.elementary._moduli import abs, abs2, angle, arctan2, hypot, norm, safe_divide, safe_sqrt, sign, std
from pullback.elementary._power import power
from pullback.elementary._removable import sinc, spence

__all__ = [
    # moduli and angles
    "abs",
    "abs2",
    "angle",
    "arctan2",
    "hypot",
    "norm",
    "sign",
    "std",
    # guards
    "safe_divide",
    "safe_sqrt",
    # inverse functions
    "arccos",
    "arccosh",
    "arcsin",
    # powers and logarithms
    "logaddexp",
    "logaddexp2",
    "logcosh",
    "logsumexp",
    "power",
    "xlogy",
    # removable singularities
    "i0",
    "i1",
    "sinc",
    "spence",
    # incomplete gamma functions
    "gammainc",
    "gammaincc",
]
