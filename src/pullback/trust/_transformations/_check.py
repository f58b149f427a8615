"""Every public function under every transformation of JAX, and in its strict modes.

The reference is the function itself, evaluated under `jit` in double precision, and its derivative along a line by
extrapolated differences. What is compared: values outside `jit` and without it altogether, batches, derivatives in
compositions of transformations, single precision, sharded batches, empty batches, NaN in the input, and JAX's flags
that turn sloppiness into errors.

Nearly all the time goes into tracing and compiling: what is within `jit` is compiled as one program, and one by one
only if that fails.
"""

import contextlib
import dataclasses
import gc
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from multiprocessing import get_context
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from pullback.core import InputError, PullbackError, nearest
from pullback.core._compat import QUICK_XLA
from pullback.trust._differences import derivative, noise_level
from pullback.trust._transformations._subject import Subject
from pullback.trust._transformations._subjects import primitive_subjects

_RTOL, _RTOL_SINGLE = 1e-6, 2e-3
_STEP = 1e-2
_MEMBERS = np.array([0.0, _STEP])  # of a batch
_RANKS, _DTYPES = partial(jax.numpy_rank_promotion, "raise"), partial(jax.numpy_dtype_promotion, "strict")


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """How one function does under one transformation: "ok", "no" with the documented reason, or "FAILS" with why."""

    word: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.word != "FAILS"


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A function and its verdicts by transformation."""

    name: str
    verdicts: dict[str, Verdict]

    @property
    def ok(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts.values())


class _Trial:
    """A subject with what the transformations share: compiled value, derivative, reference."""

    def __init__(self, subject: Subject, names: Iterable[str] = ()):
        self.subject = subject
        self.within_jit = [name for name in names if name in WITHIN_JIT]
        self.inputs = tuple(map(jnp.asarray, subject.inputs))
        self.single = tuple(a.astype(_narrow(a.dtype)) for a in self.inputs)

    def phi(self, t):
        return self.subject.number(t, self.inputs)

    @cached_property
    def of_inputs(self):
        return _jit(self.subject.number)

    def value(self, t=0.0) -> float:
        return float(self.of_inputs(jnp.asarray(t), self.inputs))

    @cached_property
    def slope(self) -> float:
        """dφ/dt by differences: what all derivatives are compared with."""
        return self.slope_at(0.0)

    def slope_at(self, t: float) -> float:
        scale = 0.05

        def along(s):
            return self.value(t + scale * s)

        return derivative(along, 1, noise_level(along))[0] / scale

    @cached_property
    def results(self) -> dict[str, Any]:
        """What the transformations within `jit` give, compiled as one program; nothing if one of them raises."""
        together = {names: both for names, both in _TOGETHER.items() if set(names) <= set(self.within_jit)}
        alone = [name for name in self.within_jit if not any(name in names for names in together)]

        def program(t):
            found = {name: WITHIN_JIT[name](self)[0](t) for name in alone}
            for names, both in together.items():
                found |= zip(names, both(self.phi, t), strict=True)
            return found

        try:
            return _jit(program)(0.0)
        except Exception:
            return {}

    def run(self, name: str):
        """What one of them gives."""
        return self.results[name] if name in self.results else _jit(WITHIN_JIT[name](self)[0])(0.0)

    @cached_property
    def traces_strictly(self) -> bool:
        """Whether all can be traced under both of JAX's strict flags."""
        try:
            self.trace(_RANKS, _DTYPES)
        except Exception:
            return False
        return True

    def trace(self, *flags: Callable[[], Any]) -> None:
        with contextlib.ExitStack() as stack:
            for flag in flags:
                stack.enter_context(flag())
            jax.make_jaxpr(self.phi)(0.0)
            jax.make_jaxpr(jax.grad(self.phi))(0.0)
            jax.make_jaxpr(lambda t: jax.jvp(self.phi, (t,), (jnp.ones(()),)))(0.0)


def _jit(f):
    return jax.jit(f, compiler_options=QUICK_XLA)


# Transformations within `jit`: trial -> (a program of t, what it gives at 0).


def _grad_in_jit(trial: _Trial):
    return jax.grad(trial.phi), trial.slope


def _linearize(trial: _Trial):
    return lambda t: jax.linearize(trial.phi, t)[1](1.0), trial.slope


def _vmap(trial: _Trial):
    return lambda t: jax.vmap(trial.phi)(t + _MEMBERS), [trial.value(), trial.value(_STEP)]


def _vmap_of_grad(trial: _Trial):
    return lambda t: jax.vmap(jax.grad(trial.phi))(t + _MEMBERS), [trial.slope, trial.slope_at(_STEP)]


def _grad_of_vmap_of_scan(trial: _Trial):
    def total(t):
        def twice(s):
            return jax.lax.scan(lambda c, _: (c + trial.phi(s * t), None), jnp.zeros(()), None, length=2)[0]

        return jax.vmap(twice)(jnp.array([1.0, 0.5])).sum()

    return jax.grad(total), 3 * trial.slope


def _checkpoint(trial: _Trial):
    return jax.grad(jax.checkpoint(trial.phi)), trial.slope  # pyright: ignore


def _shard_map(trial: _Trial):
    mesh = Mesh(np.array(jax.devices()[:1]), ("members",))
    spec = PartitionSpec("members")
    spread = jax.shard_map(jax.vmap(trial.phi), mesh=mesh, in_specs=spec, out_specs=spec)

    def value_and_slope(t):
        values, back = jax.vjp(spread, t + jnp.zeros(2))
        return jnp.stack([values[0], back(jnp.ones(2))[0][1]])

    return value_and_slope, [trial.value(), trial.slope]


def _empty(trial: _Trial):
    return lambda t: jax.vmap(trial.phi)(t + jnp.zeros(0)), []


def _derivatives(phi, t):
    """`jit grad` and `linearize`: what `grad` transposes is what `linearize` returns."""
    value, tangent = jax.linearize(phi, t)
    return jax.linear_transpose(tangent, t)(jnp.ones_like(value))[0], tangent(1.0)


def _members(phi, t):
    """`vmap` and `vmap grad`."""
    return jax.vmap(jax.value_and_grad(phi))(t + _MEMBERS)


# The others: trial -> pairs (found, expected).


def _eager(trial: _Trial):
    return [(trial.subject.number(jnp.zeros(()), trial.inputs), trial.value())]


def _no_jit(trial: _Trial):
    with jax.disable_jit():
        return [(trial.subject.number(jnp.zeros(()), trial.inputs), trial.value())]


def _eager_grad(trial: _Trial):
    _ = trial.slope  # the reference is made without the flag
    with jax.debug_nans(True):
        return [(jax.grad(trial.phi)(0.0), trial.slope)]


def _float32(trial: _Trial):
    out = jax.eval_shape(trial.subject.function, *trial.single)
    wide = [leaf.dtype for leaf in jax.tree.leaves(out) if leaf.dtype in (jnp.float64, jnp.complex128)]
    if wide:
        raise TypeError(f"single precision becomes {wide[0]}")
    found = _jit(jax.value_and_grad(lambda t: trial.subject.number(t.astype(jnp.float32), trial.single)))(0.0)
    scale = max(abs(trial.slope), abs(trial.value()), 1e-3)
    return [(x / scale, y / scale, _RTOL_SINGLE) for x, y in zip(found, (trial.value(), trial.slope), strict=True)]


def _nan_in(trial: _Trial):
    """NaN in one entry of one input at a time: an error, or NaN in the result."""
    for k, x in enumerate(trial.inputs):
        if not x.size:
            continue
        bad = x.reshape(-1).at[0].set(jnp.nan).reshape(x.shape)
        inputs = (*trial.inputs[:k], bad, *trial.inputs[k + 1 :])
        for way in (trial.subject.number, trial.of_inputs):
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    value = float(way(jnp.zeros(()), inputs))
            except (PullbackError, RuntimeError, ValueError):  # JAX raises the latter around what a callback raised
                continue
            if not np.isnan(value):
                where = "" if way == trial.subject.number else " under jit"
                raise ArithmeticError(f"NaN in input {k} gives {value:.6g}{where}")
    return []


def _empty_input(trial: _Trial):
    """Without `vmap`, of functions that take leading axes by themselves; outside `jit`, where values are looked at."""
    if trial.subject.batched:
        for leaf in jax.tree.leaves(trial.subject.function(*(jnp.zeros((0, *x.shape), x.dtype) for x in trial.inputs))):
            if leaf.shape[:1] != (0,):
                raise TypeError(f"a batch of no members gives the shape {leaf.shape}")
    return []


def _strict(*flags: Callable[[], Any]) -> Callable[[_Trial], list]:
    """Value and derivatives can be traced within flags: within all of them at once, or else within these."""

    def traces(trial):
        if not trial.traces_strictly:
            trial.trace(*flags)
        return []

    return traces


def _jitted(name: str) -> Callable[[_Trial], list]:
    def pairs(trial):
        found, expected = np.asarray(trial.run(name)), np.asarray(WITHIN_JIT[name](trial)[1])
        if found.shape != expected.shape:
            raise TypeError(f"the result has the shape {found.shape}, not {expected.shape}")
        return list(zip(found.ravel(), expected.ravel(), strict=True))

    return pairs


WITHIN_JIT: dict[str, Callable[[_Trial], tuple[Callable[[Any], Any], Any]]] = {
    "jit grad": _grad_in_jit,
    "vmap": _vmap,
    "vmap grad": _vmap_of_grad,
    "scan": _grad_of_vmap_of_scan,
    "remat": _checkpoint,
    "linearize": _linearize,
    "shard_map": _shard_map,
    "empty": _empty,
}
# What one program gives that is traced and compiled once.
_TOGETHER: dict[tuple[str, ...], Callable[[Callable, Any], Any]] = {
    ("jit grad", "linearize"): _derivatives,
    ("vmap", "vmap grad"): _members,
}
TRANSFORMATIONS: dict[str, Callable[[_Trial], list]] = {
    "eager": _eager,
    "grad": _eager_grad,
    "no jit": _no_jit,
    "jit grad": _jitted("jit grad"),
    "vmap": _jitted("vmap"),
    "vmap grad": _jitted("vmap grad"),
    "scan": _jitted("scan"),
    "remat": _jitted("remat"),
    "linearize": _jitted("linearize"),
    "shard_map": _jitted("shard_map"),
    "float32": _float32,
    "ranks": _strict(_RANKS),
    "dtypes": _strict(_DTYPES),
    "empty": lambda trial: _empty_input(trial) + _jitted("empty")(trial),
    "NaN in": _nan_in,
}


def verdicts(subject: Subject, names: Iterable[str] = tuple(TRANSFORMATIONS)) -> Row:
    """One row of the table, or the part of it with these transformations."""
    names = tuple(names)
    trial, found = _Trial(subject, (name for name in names if name not in subject.cannot)), {}
    for name in names:
        if name in subject.cannot:
            found[name] = Verdict("no", subject.cannot[name])
            continue
        try:
            wrong = [pair for pair in TRANSFORMATIONS[name](trial) if not _near(*pair)]
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            found[name] = Verdict("FAILS", f"{type(error).__name__}: {lines[0]}")
        else:
            reason = ", ".join(f"{float(x):.10g} where {float(y):.10g} is right" for x, y, *_ in wrong)
            found[name] = Verdict("FAILS" if wrong else "ok", reason)
    return Row(subject.name, found)


def check_transformations(
    name: str | None = None,
    *,
    subjects: Callable[[], Sequence[Subject]] = primitive_subjects,
    processes: int = 1,
) -> Iterator[Row]:
    """Every public function, or those whose name contains `name`, under every transformation.

    Args:
        name: as "linalg.eigh", or a part of it, as "krylov".
        subjects: makes the list of functions; with several processes it must be importable.
        processes: how many to share the work between.

    Raises:
        InputError: no function has this name.
    """
    names = [subject.name for subject in subjects()]
    chosen = [other for other in names if name is None or name in other]
    if not chosen:
        raise InputError(f"no function {name!r} in the table of transformations.{nearest(str(name), names)}")
    if min(processes, len(chosen)) <= 1:
        yield from map(partial(_of_name, subjects), chosen)
        return
    with (
        tempfile.TemporaryDirectory() as programs,
        ProcessPoolExecutor(processes, get_context("spawn"), _be_quick, (programs,)) as pool,
    ):
        yield from pool.map(partial(_of_name, subjects), chosen)


def _of_name(subjects, name: str) -> Row:
    """Functions do not travel between processes, their names do."""
    return verdicts(next(subject for subject in subjects() if subject.name == name))


def _be_quick(programs: str) -> None:
    """For processes of their own, which share a folder of compiled programs.

    The many small programs of eager evaluation take no options: they are compiled without optimisation as well.
    """
    flags = (f"--{name}={str(value).lower()}" for name, value in QUICK_XLA.items())
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", programs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    gc.set_threshold(200_000, 50, 50)  # tracing makes millions of objects, hardly any of them in circles


def _near(found, expected, rtol=_RTOL) -> bool:
    return bool(abs(float(found) - float(expected)) <= rtol * max(abs(float(expected)), 1.0))


def _narrow(dtype):
    return {jnp.dtype("float64"): jnp.float32, jnp.dtype("complex128"): jnp.complex64}.get(dtype, dtype)
