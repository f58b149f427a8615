"""Every public function under every transformation of JAX, and in its strict modes.

The reference is the function itself, evaluated under `jit` in double precision, and its derivative along a line by
extrapolated differences. What is compared: values outside `jit` and without it altogether, batches, derivatives in
compositions of transformations, single precision, sharded batches, empty batches, NaN in the input, and JAX's flags
that turn sloppiness into errors.
"""

import contextlib
import dataclasses
import io
import os
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
from pullback.trust._conformance._check import QUICK
from pullback.trust._differences import derivative, noise_level
from pullback.trust._transformations._subject import Subject
from pullback.trust._transformations._subjects import primitive_subjects

_RTOL, _RTOL_SINGLE = 1e-6, 2e-3
_STEP = 1e-2  # between the members of a batch


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

    def __init__(self, subject: Subject):
        self.subject = subject
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
        scale = 0.05

        def along(s):
            return self.value(scale * s)

        return derivative(along, 1, noise_level(along))[0] / scale


def _jit(f):
    return jax.jit(f, compiler_options=QUICK)


# The transformations: each returns pairs (found, expected) to be compared, or raises.


def _eager(trial: _Trial):
    return [(trial.subject.number(jnp.zeros(()), trial.inputs), trial.value())]


def _no_jit(trial: _Trial):
    with jax.disable_jit():
        return [(trial.subject.number(jnp.zeros(()), trial.inputs), trial.value())]


def _grad_in_jit(trial: _Trial):
    return [(_jit(jax.grad(trial.phi))(0.0), trial.slope)]


def _eager_grad(trial: _Trial):
    return [(jax.grad(trial.phi)(0.0), trial.slope)]


def _linearize(trial: _Trial):
    return [(_jit(lambda t: jax.linearize(trial.phi, t)[1](1.0))(0.0), trial.slope)]


def _vmap(trial: _Trial):
    found = _jit(jax.vmap(trial.phi))(jnp.array([0.0, _STEP]))
    return list(zip(found, [trial.value(), trial.value(_STEP)], strict=True))


def _vmap_of_grad(trial: _Trial):
    found = _jit(jax.vmap(jax.grad(trial.phi)))(jnp.array([0.0, 0.0]))
    return [(x, trial.slope) for x in found]


def _grad_of_vmap_of_scan(trial: _Trial):
    def total(t):
        def twice(s):
            return jax.lax.scan(lambda c, _: (c + trial.phi(s * t), None), jnp.zeros(()), None, length=2)[0]

        return jax.vmap(twice)(jnp.array([1.0, 0.5])).sum()

    return [(_jit(jax.grad(total))(0.0), 3 * trial.slope)]


def _checkpoint(trial: _Trial):
    return [(_jit(jax.grad(jax.checkpoint(trial.phi)))(0.0), trial.slope)]  # pyright: ignore


def _shard_map(trial: _Trial):
    mesh = Mesh(np.array(jax.devices()[:1]), ("members",))
    spec = PartitionSpec("members")
    spread = jax.shard_map(jax.vmap(trial.phi), mesh=mesh, in_specs=spec, out_specs=spec)

    def value_and_slope(t):
        values, back = jax.vjp(spread, t)
        return values[0], back(jnp.ones(2))[0][1]

    return list(zip(_jit(value_and_slope)(jnp.zeros(2)), (trial.value(), trial.slope), strict=True))


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


def _empty(trial: _Trial):
    shape = _jit(jax.vmap(trial.phi))(jnp.zeros(0)).shape
    if shape != (0,):
        raise TypeError(f"no members give the shape {shape}")
    if trial.subject.batched:
        for leaf in jax.tree.leaves(trial.subject.function(*(jnp.zeros((0, *x.shape), x.dtype) for x in trial.inputs))):
            if leaf.shape[:1] != (0,):
                raise TypeError(f"a batch of no members gives the shape {leaf.shape}")
    return []


def _traces_with(flag: Callable[[], Any]) -> Callable[[_Trial], list]:
    """Values and derivatives can be traced within a flag."""

    def traces(trial):
        with flag():
            jax.make_jaxpr(trial.phi)(0.0)
            jax.make_jaxpr(jax.grad(trial.phi))(0.0)
            jax.make_jaxpr(lambda t: jax.jvp(trial.phi, (t,), (jnp.ones(()),)))(0.0)
        return []

    return traces


def _within(flag: Callable[[], Any], run: Callable[[_Trial], list]) -> Callable[[_Trial], list]:
    def trial_within(trial):
        _ = trial.value(), trial.slope, trial.value(_STEP)  # the references, as they are without the flag
        with flag():
            return run(trial)

    return trial_within


TRANSFORMATIONS: dict[str, Callable[[_Trial], list]] = {
    "eager": _eager,
    "grad": _within(lambda: jax.debug_nans(True), _eager_grad),
    "no jit": _no_jit,
    "jit grad": _grad_in_jit,
    "vmap": _vmap,
    "vmap grad": _vmap_of_grad,
    "scan": _grad_of_vmap_of_scan,
    "remat": _checkpoint,
    "linearize": _linearize,
    "shard_map": _shard_map,
    "float32": _float32,
    "ranks": _traces_with(lambda: jax.numpy_rank_promotion("raise")),
    "dtypes": _traces_with(lambda: jax.numpy_dtype_promotion("strict")),
    "empty": _empty,
    "NaN in": _nan_in,
}


def verdicts(subject: Subject, names: Iterable[str] = tuple(TRANSFORMATIONS)) -> Row:
    """One row of the table, or the part of it with these transformations."""
    trial, found = _Trial(subject), {}
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
    chosen = [i for i, subject in enumerate(subjects()) if name is None or name in subject.name]
    if not chosen:
        names = [subject.name for subject in subjects()]
        raise InputError(f"no function {name!r} in the table of transformations.{nearest(str(name), names)}")
    if min(processes, len(chosen)) <= 1:
        yield from map(partial(_of_number, subjects), chosen)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_be_quick) as pool:
        yield from pool.map(partial(_of_number, subjects), chosen)


def _of_number(subjects, i: int) -> Row:
    """Functions do not travel between processes, their numbers do."""
    return verdicts(subjects()[i])


def _be_quick() -> None:
    """The many small programs of eager evaluation take no options; each process compiles them without optimisation."""
    flags = (f"--{name}={str(value).lower()}" for name, value in QUICK.items())
    os.environ.setdefault("XLA_FLAGS", " ".join(flags))


def _near(found, expected, rtol=_RTOL) -> bool:
    return bool(abs(float(found) - float(expected)) <= rtol * max(abs(float(expected)), 1.0))


def _narrow(dtype):
    return {jnp.dtype("float64"): jnp.float32, jnp.dtype("complex128"): jnp.complex64}.get(dtype, dtype)
