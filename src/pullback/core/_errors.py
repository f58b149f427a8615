"""Errors. Each message says what was given, what is needed and what to do."""

import difflib
from collections.abc import Iterable


class PullbackError(Exception):
    """Base class of the errors that pullback raises on purpose."""


class InputError(PullbackError, ValueError):
    """The user's input cannot be used: the message says what was given, what is needed, what to do."""


class ConvergenceError(PullbackError, RuntimeError):
    """An iterative method stopped before it reached its tolerance.

    `solution` is the `Solution` at the point where it stopped (with its residual and number of steps), or
    None when the failure was found inside a compiled program.
    """

    def __init__(self, message: str, solution=None):
        super().__init__(message)
        self.solution = solution


class DerivativeError(PullbackError, AssertionError):
    """Derivatives do not agree with their reference; the message holds the table of what was compared."""


class MissingDerivativeError(PullbackError, NotImplementedError):
    """A derivative was asked for that has no rule; the message names the argument and the way around it."""


class MissingExtraError(PullbackError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package!r}. Install it with: pip install 'pullback[{extra}]'")
        self._arguments = package, extra, purpose

    def __reduce__(self):  # exceptions are copied and unpickled from their message otherwise
        return type(self), self._arguments


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelled name: " Did you mean 'eigh'?", or the known names, or nothing."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(known)}." if known else ""
