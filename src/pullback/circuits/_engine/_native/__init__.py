"""The accelerator: whole segments in one call of C++, where `pullback doctor --build` has compiled it.

It has values only. Their derivatives are given where `run` is called, by other modes of the library or by the programs
that JAX can differentiate, to which everything falls back.
"""

import ctypes
import logging
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.circuits._engine._dynamic import Dynamic
from pullback.circuits._engine._kernels import Dense, Diagonal, Pair
from pullback.circuits._engine._keys import PAIR
from pullback.circuits._engine._layout import Move, transposed_rows
from pullback.circuits._engine._locals import Locals
from pullback.circuits._engine._native import _operations as operations
from pullback.circuits._engine._native._build import library
from pullback.circuits._engine._walk import Deed, gates_of, require, same_deeds
from pullback.core import vary_like

FORWARD, TANGENT, ADJOINT, ADJOINT_TANGENT = range(4)  # of kernels.cpp
_KERNELS = (Locals, Pair, Diagonal, Dense, Move, Dynamic)  # themselves: `Jump` does other things than `Dense`
_MOST = 30  # qubits: tables are of 32-bit integers
_TARGET = "pullback_circuit"


@cache
def is_available() -> bool:
    """Whether the library was compiled, and is not switched off by PULLBACK_NATIVE=0.

    Raises:
        RuntimeError: it was not, and PULLBACK_NATIVE=require.
    """
    wish = os.environ.get("PULLBACK_NATIVE")
    if wish == "0" or not library().exists():
        if wish == "require":
            raise RuntimeError(
                "PULLBACK_NATIVE=require, but the accelerator of circuits is not compiled here. "
                "Run pullback doctor --build and read what it says."
            )
        return False
    loaded = ctypes.cdll.LoadLibrary(str(library()))
    jax.ffi.register_ffi_target(_TARGET, jax.ffi.pycapsule(loaded.PullbackCircuit), platform="cpu")
    return True


def is_native(segment) -> bool:
    """Whether a segment runs in C++ on CPUs."""
    if not is_available():
        _tell_once()
        return False
    return bool(segment.recipes) and len(_encoded(segment)[0]) > 0


@cache
def _tell_once() -> None:
    if os.environ.get("PULLBACK_NATIVE") != "0" and jax.default_backend() == "cpu":
        logging.getLogger(__name__).warning(
            "circuits run as plain JAX, slower; `pullback doctor --build` compiles their accelerator "
            "(PULLBACK_NATIVE=0 switches this message off)"
        )


def run(mode: int, segment, pure, states: tuple, data: dict, tangents: dict, fixed: dict) -> Any:
    """`pure()` or, on a CPU, the segment in C++.

    Args:
        mode: which program, see kernels.cpp.
        segment: of a schedule.
        pure: (states, data, tangents, fixed) -> the same result without the library: the new state; for the adjoints
            (new state, dictionary like `data`); each of these followed by its tangent for the modes with tangents.
        states: arrays (2, S, N) in the order of kernels.cpp.
        data, tangents: matrices by key, and their tangents, or nothing.
        fixed: integers of a `Dynamic` segment.
    """
    operands = (states, data, tangents, fixed)
    if not is_native(segment):
        return pure(*operands)
    operands = vary_like(operands)  # what the library returns depends on all of them

    def native(states, data, tangents, fixed):
        keys = sorted(data)
        ops, tables = _encoded(segment)
        ops = np.concatenate([[len(data[keys[0]])], ops])  # repetitions: those that are run, maybe a part of them
        integers = [fixed[name] for name in ("masks", "which", "bits") if name in fixed]
        flat = [*states, *(data[k] for k in keys), *(tangents[k] for k in keys if tangents), *integers]
        values = 1 + (mode in (TANGENT, ADJOINT_TANGENT))  # a value, or a value and its tangent
        like = [states[0]] * values + [data[k] for k in keys] * values * (mode in (ADJOINT, ADJOINT_TANGENT))
        results = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in like]
        call = jax.ffi.ffi_call(_TARGET, results, vmap_method="sequential")
        out = call(jnp.asarray(ops), jnp.asarray(tables), *flat, mode=mode, keys=len(keys))
        out = vary_like(out, flat)
        new, rest = out[:values], out[values:]
        if rest:
            new = [(V, dict(zip(keys, rest[k * len(keys) :]))) for k, V in enumerate(new)]
        return tuple(new) if values > 1 else new[0]

    return jax.lax.platform_dependent(*operands, cpu=native, default=pure)


def _is_encodable(kernel) -> bool:
    if type(kernel) not in _KERNELS or (type(kernel) is not Dynamic and kernel.layout is None):  # of many devices
        return False
    return max(_sizes(kernel), default=0) <= operations.LARGEST and _qubits(kernel) <= _MOST


def _qubits(kernel) -> int:
    return kernel.n if isinstance(kernel, Dynamic) else len(kernel.layout).bit_length() - 1


def _sizes(kernel) -> tuple[int, ...]:
    """Of its matrices, in qubits."""
    if isinstance(kernel, Dense):
        return (len(kernel.groups.table).bit_length() - 1,)
    return kernel.sizes if isinstance(kernel, Dynamic) else ()


@lru_cache(maxsize=64)
def _encoded(segment) -> tuple[np.ndarray, np.ndarray]:
    """The operations of one repetition and their tables; empty if they are not those of the kernels.

    So it is where a kernel is not among those of the library, and would be if the encoding were at fault: then the
    segment is left to JAX.
    """
    none = np.zeros(0, np.int64), np.zeros(0, np.int32)
    if not all(map(_is_encodable, segment.kernels)):
        return none
    found = _encode(segment)
    return found if same_deeds(segment, decoded(segment, *found)) else none


def decoded(segment, ops: np.ndarray, tables: np.ndarray) -> Iterator[Deed]:
    """What the library does in one repetition, by the numbers that it is given: see `Program` in program.h."""
    N = 1 << int(ops[0])
    keys = sorted(segment.recipes)

    def table(start, size):
        require(0 <= start <= len(tables) - size)
        return tables[start : start + size].astype(int)

    for op in operations.decoded(ops):
        match op:
            case operations.Permutation(rows, start):
                require(rows == 0 or start == 0)
                yield Deed("move", None, (), np.arange(N).reshape(-1, rows).T.ravel() if rows else table(start, N))
            case operations.Gates(key, member, gates):
                pairs = zip(gates[::2], gates[1::2], strict=True)
                yield gates_of(keys[key], [(member + k, bit) for k, bit in pairs])
            case operations.Pair(key, member, start, pairs):
                yield Deed("pair", keys[key], (member,), tuple(table(start, 3 * pairs).reshape(3, pairs)))
            case operations.Diagonal(key, member, start, m, controls, values):
                i = table(start, N)
                classes = np.where((i & controls) == values, 1 + np.bitwise_count(i & m) % 2, 0)
                yield Deed("diagonal", keys[key], (member,), classes)
            case operations.Dense(key, member, start, groups):
                d = 1 << keys[key].size
                yield Deed("dense", keys[key], (member,), table(start, d * groups).reshape(d, groups))
            case operations.Dynamic():
                yield Deed("dynamic", None, (), tuple(op))


def _encode(segment) -> tuple[np.ndarray, np.ndarray]:
    keys = sorted(segment.recipes)
    ops: list[operations.Operation] = []
    tables: list[np.ndarray] = []

    def table(values) -> int:
        start = sum(map(len, tables))
        tables.append(np.asarray(values, np.int32).reshape(-1))
        return start

    def permutation(values):
        if values is not None:
            rows = transposed_rows(values)
            ops.append(operations.Permutation(rows, 0 if rows else table(values)))

    n = 0
    for kernel, source in zip(segment.kernels, segment.sources):
        key, member = keys.index(source.key) if source.key in keys else 0, source.start
        match kernel:
            case Locals():
                for there, _, gates in kernel.phases:
                    permutation(there)
                    pairs = sorted(gates, key=lambda gate: gate[1])
                    ops.append(operations.Gates(key, member, [x for pair in pairs for x in pair]))
            case Pair():
                b, active, sign, partner = kernel.tables
                i = np.flatnonzero(active & ~b)
                ops.append(operations.Pair(key, member, table(np.concatenate([i, partner[i], sign[i]])), len(i)))
            case Diagonal():
                layout = table(kernel.layout)
                for k, m in enumerate(kernel.masks):
                    ops.append(operations.Diagonal(key, member + k, layout, m.m, m.controls, m.values))
            case Dense():
                positions = kernel.groups.table
                ops.append(operations.Dense(key, member, table(positions), positions.shape[1]))
            case Move():
                permutation(kernel.there)
            case Dynamic():
                ops.append(operations.Dynamic(int(PAIR in keys)))
        n = _qubits(kernel)
    return operations.encoded(n, ops), np.concatenate([*tables, np.zeros(1, np.int32)])
