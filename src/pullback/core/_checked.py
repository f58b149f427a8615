"""Checks of values inside `jit`, on request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_checked: ContextVar[bool] = ContextVar("checks_under_jit", default=False)


@contextmanager
def checks_under_jit() -> Iterator[None]:
    """Within this context, input checks of values (finite, Hermitian) are also compiled into programs.

    Outside `jit` they are always made. Inside they cost a reduction and a callback, so that they are made on request
    only. A check that fails raises an error with its message when the program runs: `equinox.EquinoxRuntimeError`
    from programs compiled by `equinox.filter_jit`, JAX's own, longer one from `jax.jit`. The context matters while a
    program is traced: what was compiled before stays as it is.
    """
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def are_checked_under_jit() -> bool:
    """Whether the tracing happens within `checks_under_jit`."""
    return _checked.get()
