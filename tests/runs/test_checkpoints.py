"""Checkpoints: every dtype bit for bit, damage noticed, other programs' states refused, never half a file."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError
from pullback.runs._checkpoint import Checkpoint, DamagedCheckpoint, load_checkpoint, save_checkpoint
from pullback.runs._files import write_atomically

STATE = {
    "real": jnp.array([0.1, -0.0, jnp.nan, 5e-324]),
    "complex": jnp.array([[1 + 2j]]),
    "half": jnp.array([1.5, 2.5], jnp.bfloat16),
    "tiny": jnp.array([0.5], jnp.float8_e4m3fn),
    "int4": jnp.array([-8, 7], jnp.int4),
    "whole": (jnp.asarray(3), jnp.array([2**32 - 1], jnp.uint32)),
    "truth": jnp.array([True, False]),
    "empty": jnp.zeros((0, 2)),
    "key": jax.random.key(7),
    "keys": jax.random.split(jax.random.key(7, impl="rbg"), 3),
}


def raw(leaf):
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf).tobytes()


def test_every_dtype_survives_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, Checkpoint(STATE, finished=True, metrics_length=17))
    loaded = load_checkpoint(path, jax.tree.map(lambda leaf: leaf, STATE))
    assert loaded.finished and loaded.metrics_length == 17
    assert jax.tree.structure(loaded.state) == jax.tree.structure(STATE)
    for old, new in zip(jax.tree.leaves(STATE), jax.tree.leaves(loaded.state)):
        assert old.dtype == new.dtype and old.shape == new.shape and raw(old) == raw(new)
    assert (jax.random.normal(loaded.state["keys"][1]) == jax.random.normal(STATE["keys"][1])).all()


def test_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.npz", STATE) is None


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_noticed(tmp_path, part):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, Checkpoint(STATE, False, 0))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, STATE)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.npz"
    state = {"x": jnp.arange(1000.0)}
    save_checkpoint(path, Checkpoint(state, False, 0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, state)


def test_a_foreign_file_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, STATE)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            {"x": jnp.zeros(4)},
            r"\['x'\] \(float64, shape \(3,\)\) where this one has \['x'\] \(float64, shape \(4,\)\)",
        ),
        ({"x": jnp.zeros(3, jnp.float32)}, "where this one has .* float32|float32"),
        ({"y": jnp.zeros(3)}, r"where this one has \['y'\]"),
        ({"x": jnp.zeros(3), "z": jnp.zeros(1)}, r"holds nothing where this one has \['z'\]"),
        ({}, "where this one has nothing"),
    ],
)
def test_the_state_of_another_program_is_refused(tmp_path, like, message):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, Checkpoint({"x": jnp.zeros(3)}, False, 0))
    with pytest.raises(InputError, match=message):
        load_checkpoint(path, like)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
