"""Checkpoints: the state of a loop, bit for bit, in one file that is whole or absent.

The file is an uncompressed `.npz`: the raw bytes of every leaf (so any dtype will do), their shapes, dtypes
and paths in the tree, and the length of `metrics.jsonl` at that moment. Zip keeps a checksum of each entry,
so damage is noticed when reading. The tree itself is not stored: the program that resumes builds its initial
state again, and the leaves are put in the places they came from.
"""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pullback.core import InputError
from pullback.runs._files import write_atomically

_META = "meta"
_FORMAT = 1


class DamagedCheckpoint(Exception):
    """The file is truncated, corrupted or not a checkpoint."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A moment of a loop.

    Attributes:
        state: pytree of arrays.
        finished: whether the loop had ended.
        metrics_length: bytes of `metrics.jsonl` written before this moment.
    """

    state: Any
    finished: bool
    metrics_length: int


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint`, atomically. Raises `InputError` where it cannot be written."""
    leaves = jax.tree_util.tree_leaves_with_path(checkpoint.state)
    meta = {
        "format": _FORMAT,
        "finished": checkpoint.finished,
        "metrics_length": checkpoint.metrics_length,
        "leaves": [_label(place, leaf) for place, leaf in leaves],
    }
    entries = {f"leaf{i}": np.frombuffer(_host(leaf).tobytes(), np.uint8) for i, (_, leaf) in enumerate(leaves)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_META: np.array(json.dumps(meta))}, **entries)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, like: Any) -> Checkpoint | None:
    """Reads a checkpoint; None where there is none.

    Args:
        path: the file.
        like: a state of the same loop, which gives the tree, the places and the types of the leaves.

    Raises:
        DamagedCheckpoint: the file cannot be read.
        InputError: the file holds the state of another program.
    """
    if not path.exists():
        return None
    places, treedef = jax.tree_util.tree_flatten_with_path(like)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            meta = json.loads(str(file[_META]))
            if meta["format"] != _FORMAT:
                raise ValueError(f"format {meta['format']}")
            saved = [file[f"leaf{i}"] for i in range(len(meta["leaves"]))]
        finished, length, labels = bool(meta["finished"]), int(meta["metrics_length"]), meta["leaves"]
    except Exception as error:  # damaged archives raise many kinds
        raise DamagedCheckpoint(" ".join(str(error).split()) or type(error).__name__) from error
    expected = [_label(place, leaf) for place, leaf in places]
    if labels != expected:
        old, new = next(pair for pair in zip([*labels, None], [*expected, None]) if pair[0] != pair[1])
        raise InputError(
            f"{path}: written by a different program: it holds {_show(old)} where this one has {_show(new)}; "
            "start anew with: pullback run"
        )
    leaves = [_device(data, leaf) for data, (_, leaf) in zip(saved, places)]
    return Checkpoint(jax.tree.unflatten(treedef, leaves), finished, length)


def _label(place: Any, leaf: jax.Array) -> list[Any]:
    return [jax.tree_util.keystr(place), str(leaf.dtype), list(leaf.shape)]


def _show(label: list[Any] | None) -> str:
    return "nothing" if label is None else f"{label[0]} ({label[1]}, shape {tuple(label[2])})"


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _host(leaf: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _device(data: np.ndarray, like: jax.Array) -> jax.Array:
    """The raw bytes as an array like `like`: its shape, dtype, kind of random key, and devices."""
    plain = jax.random.key_data(like) if _is_key(like) else like
    value = jnp.asarray(np.frombuffer(data.tobytes(), plain.dtype).reshape(plain.shape))
    if _is_key(like):
        value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(like))
    # Only arrays spread over several devices have a place worth restoring; pinning others would recompile.
    return jax.device_put(value, like.sharding) if len(like.devices()) > 1 else value
